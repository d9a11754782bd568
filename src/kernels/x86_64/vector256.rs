//! Vectors of 256 bits: everything but the products, which depend on the CPU's features.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use crate::kernels::vector::{Narrow, Op, Vector};

/// Vectors of 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct V256<F>(PhantomData<F>);

/// A set of CPU features whose vectors these are.
pub(crate) trait Features: Copy {
    /// Their names.
    const NEEDS: &'static [&'static str];

    /// Whether this CPU has them.
    fn detect() -> bool;

    /// Runs `op` compiled for them.
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output;
}

// SAFETY of every block below: a value of `V256` proves that the CPU has the instructions, and
// the line before a load or store asserted that memory holds what it touches.
impl<F: Features> Vector for V256<F> {
    const LANES: usize = 8;

    type Int = __m256i;
    type Float = __m256;
    type Bytes = __m256i;

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
    fn any_nan(self, a: __m256) -> bool {
        // SAFETY: see the top.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) != 0 }
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
}

/// Stores 8 elements, or as many of them as there is room for.
#[inline(always)]
fn store<T: Copy + Default>(to: &mut [T], whole: impl Fn(&mut [T; 8])) {
    match to.first_chunk_mut() {
        Some(to) => whole(to),
        None => {
            let mut all = [T::default(); 8];
            whole(&mut all);
            to.copy_from_slice(&all[..to.len()]);
        }
    }
}
