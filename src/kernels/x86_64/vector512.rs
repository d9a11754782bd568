//! Vectors of 512 bits: everything but the products, which depend on the CPU's features.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::avx512bw::Bw;
use crate::kernels::has_all;
use crate::kernels::vector::{Narrow, Op, Table, Vector};

/// Vectors of 512 bits.
#[derive(Clone, Copy)]
pub(crate) struct V512<F>(PhantomData<F>);

/// A set of CPU features whose vectors these are.
pub(crate) trait Features: Copy {
    /// Their names.
    const NEEDS: &'static [&'static str];

    /// Runs `op` compiled for them.
    fn vectorize<O: Op<V512<Self>>>(vector: V512<Self>, op: O) -> O::Output;
}

/// The first `n` lanes.
#[inline(always)]
fn mask(n: usize) -> u16 {
    ((1_u32 << n.min(16)) - 1) as u16
}

// SAFETY of every block below: a value of `V512` proves that the CPU has the instructions, and
// the line before a load or store asserted, or a mask ensures, that memory holds what it touches.
impl<F: Features> Vector for V512<F> {
    const LANES: usize = 16;
    const SHUFFLES: bool = true;

    type Int = __m512i;
    type Float = __m512;
    type Bytes = __m512i;
    type Mask = __mmask16;

    type Base = V512<Bw>;

    const NEEDS: &'static [&'static str] = F::NEEDS;

    #[inline(always)]
    fn detect() -> Option<Self> {
        has_all(F::NEEDS).then_some(Self(PhantomData))
    }

    #[inline(always)]
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output {
        F::vectorize(self, op)
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_int(self, values: &[i32]) -> __m512i {
        assert!(values.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_epi32(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8]) -> __m512i {
        assert!(bytes.len() >= 64);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_epi8(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_few_groups(self, bytes: &[u8]) -> __m512i {
        assert!(bytes.len() < 64);
        // SAFETY: see the top.
        unsafe { _mm512_maskz_loadu_epi8((1 << bytes.len()) - 1, bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_int(self, values: __m512i, to: &mut [i32]) {
        // SAFETY: see the top.
        unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr(), mask(to.len()), values) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn totals(self, values: [__m512i; 4]) -> [i32; 4] {
        // SAFETY: see the top.
        unsafe {
            let [a, b, c, d] = values.map(|values| {
                let high = _mm512_extracti64x4_epi64::<1>(values);
                _mm256_add_epi32(_mm512_castsi512_si256(values), high)
            });
            // Adds neighbours within each 128 bits: two lanes of each vector are left, at last one.
            let pairs = [_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)];
            let halves = _mm256_hadd_epi32(pairs[0], pairs[1]);
            let low = _mm256_castsi256_si128(halves);
            let totals = _mm_add_epi32(low, _mm256_extracti128_si256::<1>(halves));
            core::mem::transmute::<__m128i, [i32; 4]>(totals)
        }
    }

    #[inline(always)]
    fn sum_groups(self, groups: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe {
            let pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), groups);
            _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))
        }
    }

    #[inline(always)]
    fn transpose(self, square: &mut [__m512i; 16]) {
        // SAFETY: see the top.
        unsafe {
            // Within each 128 bits, four vectors at a time: quarter q of vector 4*i + j then holds
            // lane 4*q + j of the four vectors from 4*i on.
            for i in 0..4 {
                let [a, b, c, d] =
                    [square[4 * i], square[4 * i + 1], square[4 * i + 2], square[4 * i + 3]];
                let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
                let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
                square[4 * i] = _mm512_unpacklo_epi64(ab, cd);
                square[4 * i + 1] = _mm512_unpackhi_epi64(ab, cd);
                square[4 * i + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
                square[4 * i + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
            }
            // Then the quarters, a square of 4 x 4 for each j.
            for j in 0..4 {
                let [a, b, c, d] = [square[j], square[4 + j], square[8 + j], square[12 + j]];
                let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b);
                let high = _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b);
                let low_next = _mm512_shuffle_i32x4::<0b01_00_01_00>(c, d);
                let high_next = _mm512_shuffle_i32x4::<0b11_10_11_10>(c, d);
                square[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, low_next);
                square[4 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, low_next);
                square[8 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high, high_next);
                square[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high, high_next);
            }
        }
    }

    #[inline(always)]
    fn mul(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn float(self, value: f32) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load_float(self, values: &[f32]) -> __m512 {
        assert!(values.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_float(self, values: __m512, to: &mut [f32]) {
        // SAFETY: see the top.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), values) }
    }

    #[inline(always)]
    fn add_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn max_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        // SAFETY: see the top. The default rounding is to nearest even.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        // SAFETY: see the top. The default rounding is half to even. What the conversion cannot
        // hold gives the smallest integer, wrong only above: so there it is bounded first. Of
        // two operands the minimum answers the second for NaN.
        unsafe { _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(32767.0), a)) }
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m512i; 4], by: &Narrow) -> __m512i {
        // SAFETY: see the top.
        unsafe {
            let zero_point = _mm512_set1_epi16(i16::from(by.zero_point));
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero_point);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero_point);
            // The packs work within each 128 bits: a quarter of a, b, c and d each.
            let quarters = _mm512_packus_epi16(ab, cd);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, quarters);
            let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(by.min as i8));
            let bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8(by.max as i8));
            _mm512_xor_si512(bytes, _mm512_set1_epi8(by.flip as i8))
        }
    }

    #[inline(always)]
    fn store_quarter(self, bytes: __m512i, quarter: usize, to: &mut [u8]) {
        // SAFETY: see the top.
        unsafe {
            let bytes = match quarter {
                0 => _mm512_castsi512_si128(bytes),
                1 => _mm512_extracti32x4_epi32::<1>(bytes),
                2 => _mm512_extracti32x4_epi32::<2>(bytes),
                _ => _mm512_extracti32x4_epi32::<3>(bytes),
            };
            if to.len() >= 16 {
                _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
            } else {
                let mask = mask(to.len()).into();
                _mm512_mask_storeu_epi8(
                    to.as_mut_ptr().cast(),
                    mask,
                    _mm512_castsi128_si512(bytes),
                );
            }
        }
    }

    #[inline(always)]
    fn store_half(self, bytes: __m512i, half: usize, to: &mut [u8]) {
        assert!(to.len() >= 32);
        // SAFETY: see the top.
        unsafe {
            let bytes = match half {
                0 => _mm512_castsi512_si256(bytes),
                _ => _mm512_extracti64x4_epi64::<1>(bytes),
            };
            _mm256_storeu_si256(to.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32], filler: f32) -> __m512 {
        let filler = self.float(filler);
        // SAFETY: see the top.
        unsafe { _mm512_mask_loadu_ps(filler, mask(values.len()), values.as_ptr()) }
    }

    #[inline(always)]
    fn sub_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn truncate(self, a: __m512) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_cvttps_epi32(a) }
    }

    #[inline(always)]
    fn add_exponent(self, a: __m512, by: __m512i) -> __m512 {
        // SAFETY: see the top.
        unsafe {
            let sum = _mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32::<23>(by));
            _mm512_castsi512_ps(sum)
        }
    }

    #[inline(always)]
    fn add_eights(self, sums: __m512, values: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe {
            let low = _mm512_castps512_ps256(values);
            let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(values));
            let sums = _mm256_add_ps(_mm512_castps512_ps256(sums), low);
            _mm512_castps256_ps512(_mm256_add_ps(sums, _mm256_castpd_ps(high)))
        }
    }

    #[inline(always)]
    fn greater(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: see the top.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: see the top.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn unordered(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: see the top.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) }
    }

    #[inline(always)]
    fn either(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn bits(self, mask: __mmask16) -> u32 {
        mask.into()
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8], flip: u8) -> __m512i {
        assert!(bytes.len() >= 16);
        // SAFETY: see the top.
        unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm512_cvtepu8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
        }
    }

    #[inline(always)]
    fn load_quarters(self, bytes: &[u8]) -> __m512i {
        assert!(bytes.len() >= 64);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_epi8(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_set1_epi8(value as i8) }
    }

    #[inline(always)]
    fn xor_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn max_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_max_epu8(a, b) }
    }

    #[inline(always)]
    fn equal_bytes(self, a: __m512i, b: __m512i) -> u64 {
        // SAFETY: see the top.
        unsafe { _mm512_cmpeq_epi8_mask(a, b) }
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: __m512i) -> __m512i {
        // As with 256 bits: a byte takes part in all rows of its half up to its own.
        //
        // SAFETY: see the top. Each row has the 16 bytes that are loaded.
        unsafe {
            let mut found = _mm512_setzero_si512();
            let half = _mm512_set1_epi8(-128);
            for (mut index, steps) in
                [bytes, _mm512_xor_si512(bytes, half)].into_iter().zip(table.steps.chunks_exact(8))
            {
                for step in steps {
                    let step = _mm512_broadcast_i32x4(_mm_loadu_si128(step.as_ptr().cast()));
                    found = _mm512_xor_si512(found, _mm512_shuffle_epi8(step, index));
                    index = _mm512_subs_epi8(index, _mm512_set1_epi8(16));
                }
            }
            found
        }
    }
}
