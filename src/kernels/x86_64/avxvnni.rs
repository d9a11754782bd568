//! AVX-VNNI: `vpdpbusd` on vectors of 256 bits, for CPUs that have it without AVX-512.
//!
//! ```text
//! sums = vpdpbusd(sums, x + 128, w)
//! ```
//! 6 rows x 2 vectors: 12 of 16 registers hold sums, 2 weights, 1 inputs.

use core::arch::x86_64::*;

use super::dot::DotBytes;
use super::vector256::{Features, V256};
use crate::kernels::Technique;
use crate::kernels::vector::Op;

/// The features AVX2 and AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni;

impl Features for Vnni {
    const NEEDS: &'static [&'static str] = &["avx2", "avxvnni"];

    #[inline(always)]
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx2,avxvnni")]
        fn compiled<O: Op<V256<Vnni>>>(vector: V256<Vnni>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the features.
        unsafe { compiled(vector, op) }
    }
}

/// The offset product: the one `xor` it needs was done when the inputs were stored.
impl DotBytes for V256<Vnni> {
    const TECHNIQUE: Technique = Technique::Offset;
    const ROWS: usize = 6;
    const DIRECT_ROWS: usize = 3;

    #[inline(always)]
    fn dot(self, sums: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_dpbusd_avx_epi32(sums, inputs, weights) }
    }
}
