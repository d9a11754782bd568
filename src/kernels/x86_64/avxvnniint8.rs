//! AVX-VNNI-INT8: `vpdpbssd` multiplies signed bytes with signed ones, on vectors of 256 bits.
//!
//! ```text
//! sums = vpdpbssd(sums, x, w)
//! ```
//! 6 rows x 2 vectors: 12 of 16 registers hold sums, 2 weights, 1 inputs.

use core::arch::x86_64::*;

use super::dot::DotBytes;
use super::vector256::{Features, V256};
use crate::kernels::Technique;
use crate::kernels::trial::Trial;
use crate::kernels::vector::Op;

/// Whether it computes what it should on this CPU.
pub(crate) static TRIAL: Trial = Trial::new();

/// The features AVX2 and AVX-VNNI-INT8.
#[derive(Clone, Copy)]
pub(crate) struct VnniInt8;

impl Features for VnniInt8 {
    const NEEDS: &'static [&'static str] = &["avx2", "avxvnniint8"];

    #[inline(always)]
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx2,avxvnniint8")]
        fn compiled<O: Op<V256<VnniInt8>>>(vector: V256<VnniInt8>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the features.
        unsafe { compiled(vector, op) }
    }
}

impl DotBytes for V256<VnniInt8> {
    const TECHNIQUE: Technique = Technique::Native;
    const ROWS: usize = 6;
    const DIRECT_ROWS: usize = 3;

    #[inline(always)]
    fn dot(self, sums: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_dpbssd_epi32(sums, inputs, weights) }
    }
}
