//! AVX-VNNI-INT8: `vpdpbssd` multiplies signed bytes with signed ones, on vectors of 256 bits.
//!
//! ```text
//! sums = vpdpbssd(sums, x, w)
//! ```
//! 6 rows x 2 vectors: 12 of 16 registers hold sums, 2 weights, 1 inputs.

use core::arch::x86_64::*;

use super::vector256::{Features, V256};
use crate::kernels::trial::Trial;
use crate::kernels::vector::{Broadcast, Direct, Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

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

// SAFETY of every block below: a value of `V256<VnniInt8>` proves that the CPU has the instructions,
// and the line before a load asserted that memory holds what it reads.

/// The instruction is the product.
#[derive(Clone, Copy)]
pub(crate) struct Native;

impl Product for Native {
    type Vector = V256<VnniInt8>;

    const TECHNIQUE: Technique = Technique::Native;
    const OPERATIONS: usize = 1;
    const WEIGHT_BYTES: usize = 32;

    type Weights = __m256i;
    type Inputs = __m256i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(_: V256<VnniInt8>, packed: &[u8]) -> __m256i {
        assert!(packed.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(packed.as_ptr().cast()) }
    }

    #[inline(always)]
    fn dot(_: V256<VnniInt8>, sums: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_dpbssd_epi32(sums, inputs, weights) }
    }
}

impl Broadcast for Native {
    const VECTORS: usize = 2;
    const ROWS: usize = 6;
    const IN_FLIGHT: usize = 10;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    #[inline(always)]
    fn broadcast(vector: V256<VnniInt8>, &group: &[u8; GROUP]) -> __m256i {
        vector.int(i32::from_le_bytes(group))
    }
}

impl Direct for Native {
    const ROWS: usize = 3;

    #[inline(always)]
    fn inputs(_: V256<VnniInt8>, groups: __m256i) -> __m256i {
        groups
    }
}
