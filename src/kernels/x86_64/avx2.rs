//! AVX2: `vpmaddubsw` multiplies 32 unsigned bytes with 32 signed ones and adds pairs into 16
//! bits, with saturation. The positive product never saturates: a pair of |w| * (x ^ s) lies in
//! -32768..=32512.
//!
//! ```text
//! pairs = vpmaddubsw(|w|, x ^ s)
//! sums += vpmaddwd(pairs, 1)
//! ```
//! 4 rows x 2 vectors: 8 registers of sums, 4 of weights, 1 of inputs, 1 of ones, 2 to work in.

use core::arch::x86_64::*;

use crate::kernels::vector::{Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// Vectors of 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

// SAFETY of every block below: a value of `Avx2` proves that the CPU has the instructions, and
// the line before a load or store asserted that memory holds what it touches.
impl Vector for Avx2 {
    const LANES: usize = 8;

    type Int = __m256i;
    type Float = __m256;

    #[inline(always)]
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2")]
        fn compiled<O: Op<Avx2>>(vector: Avx2, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `self` proves the feature.
        unsafe { compiled(self, op) }
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
    fn store_bytes(self, values: __m256i, to: &mut [u8]) {
        store(to, |whole| {
            // SAFETY: see the top.
            unsafe {
                let lowest = _mm256_set1_epi32(0x0C08_0400);
                let halves = _mm256_shuffle_epi8(values, lowest);
                let low = _mm256_castsi256_si128(halves);
                let high = _mm256_extracti128_si256::<1>(halves);
                let bytes = _mm_unpacklo_epi32(low, high);
                _mm_storel_epi64(whole.as_mut_ptr().cast(), bytes);
            }
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
        // SAFETY: see the top. The default rounding is half to even.
        unsafe { _mm256_cvtps_epi32(a) }
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

/// The positive product: |w| and the sign mask of w lie side by side in memory.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = Avx2;

    const NAME: &'static str = "x86_64-avx2-positive";
    const TECHNIQUE: Technique = Technique::Positive;
    const VECTORS: usize = 2;
    const ROWS: usize = 4;
    const IN_FLIGHT: usize = 2;
    const WEIGHT_BYTES: usize = 64;

    /// |w|, and the mask of its sign.
    type Weights = (__m256i, __m256i);
    type Inputs = __m256i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        crate::kernels::pack_positive(weights, packed);
    }

    #[inline(always)]
    fn weights(_: Avx2, packed: &[u8]) -> (__m256i, __m256i) {
        assert!(packed.len() >= 64);
        let at = packed.as_ptr().cast::<__m256i>();
        // SAFETY: see the top.
        unsafe { (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))) }
    }

    #[inline(always)]
    fn inputs(_: Avx2, group: [u8; GROUP]) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(group)) }
    }

    #[inline(always)]
    fn dot(
        _: Avx2,
        sums: __m256i,
        (magnitudes, signs): (__m256i, __m256i),
        inputs: __m256i,
    ) -> __m256i {
        // SAFETY: see the top.
        unsafe {
            let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_xor_si256(inputs, signs));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}
