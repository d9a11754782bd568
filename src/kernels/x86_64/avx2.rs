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

use super::vector256::{Features, V256};
use crate::kernels::vector::{Op, Product};
use crate::kernels::{GROUP, Technique};

/// The feature AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Features for Avx2 {
    const NEEDS: &'static [&'static str] = &["avx2"];

    fn detect() -> bool {
        is_x86_feature_detected!("avx2")
    }

    #[inline(always)]
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx2")]
        fn compiled<O: Op<V256<Avx2>>>(vector: V256<Avx2>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the feature.
        unsafe { compiled(vector, op) }
    }
}

// SAFETY of every block below: a value of `V256<Avx2>` proves that the CPU has the instructions,
// and the line before a load asserted that memory holds what it reads.
/// The positive product: |w| and the sign mask of w lie side by side in memory.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = V256<Avx2>;

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
    fn weights(_: V256<Avx2>, packed: &[u8]) -> (__m256i, __m256i) {
        assert!(packed.len() >= 64);
        let at = packed.as_ptr().cast::<__m256i>();
        // SAFETY: see the top.
        unsafe { (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))) }
    }

    #[inline(always)]
    fn inputs(_: V256<Avx2>, group: [u8; GROUP]) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(group)) }
    }

    #[inline(always)]
    fn dot(
        _: V256<Avx2>,
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
