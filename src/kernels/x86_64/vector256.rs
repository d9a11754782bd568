//! Vectors of 256 bits: everything but the products, which depend on the CPU's features.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::avx2::Avx2;
use crate::kernels::vector::{Narrow, Op, Table, Vector};
use crate::kernels::{copy_short, has_all};

/// Vectors of 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct V256<F>(PhantomData<F>);

/// A set of CPU features whose vectors these are.
pub(crate) trait Features: Copy {
    /// Their names.
    const NEEDS: &'static [&'static str];

    /// Runs `op` compiled for them.
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output;
}

// SAFETY of every block below: a value of `V256` proves that the CPU has the instructions, and
// the line before a load or store asserted that memory holds what it touches.
impl<F: Features> Vector for V256<F> {
    const LANES: usize = 8;
    const SHUFFLES: bool = true;

    type Int = __m256i;
    type Float = __m256;
    type Bytes = __m256i;
    type Mask = __m256;

    type Base = V256<Avx2>;

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
    fn int(self, value: i32) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_int(self, values: &[i32]) -> __m256i {
        assert!(values.len() >= 8);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8]) -> __m256i {
        assert!(bytes.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_few_groups(self, bytes: &[u8]) -> __m256i {
        let mut all = [0; 32];
        copy_short(&mut all, bytes);
        self.load_groups(&all)
    }

    #[inline(always)]
    fn store_int(self, values: __m256i, to: &mut [i32]) {
        store(to, |whole| {
            // SAFETY: see the top.
            unsafe { _mm256_storeu_si256(whole.as_mut_ptr().cast(), values) }
        });
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn totals(self, [a, b, c, d]: [__m256i; 4]) -> [i32; 4] {
        // SAFETY: see the top.
        unsafe {
            // Adds neighbours within each 128 bits: two lanes of each vector are left, at last one.
            let pairs = [_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)];
            let halves = _mm256_hadd_epi32(pairs[0], pairs[1]);
            let low = _mm256_castsi256_si128(halves);
            let totals = _mm_add_epi32(low, _mm256_extracti128_si256::<1>(halves));
            core::mem::transmute::<__m128i, [i32; 4]>(totals)
        }
    }

    #[inline(always)]
    fn sum_groups(self, groups: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), groups);
            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
        }
    }

    #[inline(always)]
    fn transpose(self, square: &mut [__m256i; 16]) {
        // SAFETY: see the top.
        unsafe {
            // Blocks of 2 x 2, of 4 x 4, then of 8 x 8: in each step half of every block changes
            // places with half of its neighbour.
            let [a, b, c, d, e, f, g, h, ..] = *square;
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ef, gh) = (_mm256_unpacklo_epi32(e, f), _mm256_unpacklo_epi32(g, h));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            let (ef_high, gh_high) = (_mm256_unpackhi_epi32(e, f), _mm256_unpackhi_epi32(g, h));
            let first = [
                _mm256_unpacklo_epi64(ab, cd),
                _mm256_unpackhi_epi64(ab, cd),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ];
            let second = [
                _mm256_unpacklo_epi64(ef, gh),
                _mm256_unpackhi_epi64(ef, gh),
                _mm256_unpacklo_epi64(ef_high, gh_high),
                _mm256_unpackhi_epi64(ef_high, gh_high),
            ];
            for i in 0..4 {
                square[i] = _mm256_permute2x128_si256::<0x20>(first[i], second[i]);
                square[i + 4] = _mm256_permute2x128_si256::<0x31>(first[i], second[i]);
            }
        }
    }

    #[inline(always)]
    fn mul(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn float(self, value: f32) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load_float(self, values: &[f32]) -> __m256 {
        assert!(values.len() >= 8);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_float(self, values: __m256, to: &mut [f32]) {
        store(to, |whole| {
            // SAFETY: see the top.
            unsafe { _mm256_storeu_ps(whole.as_mut_ptr(), values) }
        });
    }

    #[inline(always)]
    fn add_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn max_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        // SAFETY: see the top. The default rounding is to nearest even.
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256i {
        // SAFETY: see the top. The default rounding is half to even. What the conversion cannot
        // hold gives the smallest integer, wrong only above: so there it is bounded first. Of
        // two operands the minimum answers the second for NaN.
        unsafe { _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(32767.0), a)) }
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m256i; 4], by: &Narrow) -> __m256i {
        // SAFETY: see the top.
        unsafe {
            let zero_point = _mm256_set1_epi16(i16::from(by.zero_point));
            let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero_point);
            let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zero_point);
            // The packs work within each 128 bits: a half of a, b, c and d each.
            let halves = _mm256_packus_epi16(ab, cd);
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(halves, order);
            let bytes = _mm256_max_epu8(bytes, _mm256_set1_epi8(by.min as i8));
            let bytes = _mm256_min_epu8(bytes, _mm256_set1_epi8(by.max as i8));
            _mm256_xor_si256(bytes, _mm256_set1_epi8(by.flip as i8))
        }
    }

    #[inline(always)]
    fn store_quarter(self, bytes: __m256i, quarter: usize, to: &mut [u8]) {
        // SAFETY: see the top.
        let quarters: [[u8; 8]; 4] = unsafe { core::mem::transmute(bytes) };
        store(to, |whole| *whole = quarters[quarter]);
    }

    #[inline(always)]
    fn store_half(self, bytes: __m256i, half: usize, to: &mut [u8]) {
        assert!(to.len() >= 16);
        // SAFETY: see the top.
        unsafe {
            let bytes = match half {
                0 => _mm256_castsi256_si128(bytes),
                _ => _mm256_extracti128_si256::<1>(bytes),
            };
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32], filler: f32) -> __m256 {
        // Not by a masked load: emulators read what the mask leaves out, past the end of memory.
        let mut all = [filler; 8];
        copy_short(&mut all, &values[..values.len().min(8)]);
        self.load_float(&all)
    }

    #[inline(always)]
    fn sub_float(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn truncate(self, a: __m256) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_cvttps_epi32(a) }
    }

    #[inline(always)]
    fn add_exponent(self, a: __m256, by: __m256i) -> __m256 {
        // SAFETY: see the top.
        unsafe {
            let sum = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32::<23>(by));
            _mm256_castsi256_ps(sum)
        }
    }

    #[inline(always)]
    fn add_eights(self, sums: __m256, values: __m256) -> __m256 {
        self.add_float(sums, values)
    }

    #[inline(always)]
    fn greater(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn unordered(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_cmp_ps::<_CMP_UNORD_Q>(a, b) }
    }

    #[inline(always)]
    fn either(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_or_ps(a, b) }
    }

    #[inline(always)]
    fn bits(self, mask: __m256) -> u32 {
        // SAFETY: see the top.
        unsafe { _mm256_movemask_ps(mask) as u32 }
    }

    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the top.
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8], flip: u8) -> __m256i {
        assert!(bytes.len() >= 8);
        // SAFETY: see the top.
        unsafe {
            let bytes = _mm_loadl_epi64(bytes.as_ptr().cast());
            _mm256_cvtepu8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
        }
    }

    #[inline(always)]
    fn load_quarters(self, bytes: &[u8]) -> __m256i {
        assert!(bytes.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_set1_epi8(value as i8) }
    }

    #[inline(always)]
    fn xor_bytes(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn max_bytes(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_max_epu8(a, b) }
    }

    #[inline(always)]
    fn equal_bytes(self, a: __m256i, b: __m256i) -> u64 {
        // SAFETY: see the top.
        unsafe { u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)) as u32) }
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: __m256i) -> __m256i {
        // A shuffle answers 0 where its index is negative, else looks only at four bits. So a
        // byte, less 16 per row, takes part in all rows up to its own. Bytes of the other half
        // of the table are negative from the start, and stay so because they saturate.
        //
        // SAFETY: see the top. Each row has the 16 bytes that are loaded.
        unsafe {
            let mut found = _mm256_setzero_si256();
            let half = _mm256_set1_epi8(-128);
            for (mut index, steps) in
                [bytes, _mm256_xor_si256(bytes, half)].into_iter().zip(table.steps.chunks_exact(8))
            {
                for step in steps {
                    let step = _mm256_broadcastsi128_si256(_mm_loadu_si128(step.as_ptr().cast()));
                    found = _mm256_xor_si256(found, _mm256_shuffle_epi8(step, index));
                    index = _mm256_subs_epi8(index, _mm256_set1_epi8(16));
                }
            }
            found
        }
    }
}

/// Stores 8 elements, or as many of them as there is room for.
#[inline(always)]
fn store<T: Copy + Default>(to: &mut [T], whole: impl Fn(&mut [T; 8])) {
    match to.first_chunk_mut() {
        Some(to) => whole(to),
        None => {
            let mut all = [T::default(); 8];
            whole(&mut all);
            let len = to.len();
            copy_short(to, &all[..len]);
        }
    }
}
