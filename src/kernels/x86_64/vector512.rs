//! Vectors of 512 bits: everything but the products, which depend on the CPU's features.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use crate::kernels::vector::{Narrow, Op, Vector};

/// Vectors of 512 bits.
#[derive(Clone, Copy)]
pub(crate) struct V512<F>(PhantomData<F>);

/// A set of CPU features whose vectors these are.
pub(crate) trait Features: Copy {
    /// Their names.
    const NEEDS: &'static [&'static str];

    /// Whether this CPU has them.
    fn detect() -> bool;

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

    type Int = __m512i;
    type Float = __m512;
    type Bytes = __m512i;

    const NEEDS: &'static [&'static str] = F::NEEDS;

    #[inline(always)]
    fn detect() -> Option<Self> {
        F::detect().then_some(Self(PhantomData))
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
    fn any_nan(self, a: __m512) -> bool {
        // SAFETY: see the top.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) != 0 }
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
}
