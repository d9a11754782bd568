//! AVX-VNNI: `vpdpbusd` on vectors of 256 bits, for CPUs that have it without AVX-512.
//!
//! ```text
//! sums = vpdpbusd(sums, x + 128, w)
//! ```
//! 6 rows x 2 vectors: 12 of 16 registers hold sums, 2 weights, 1 inputs.

use core::arch::x86_64::*;

use super::vector256::{Features, V256};
use crate::kernels::vector::{Broadcast, Direct, Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

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

// SAFETY of every block below: a value of `V256<Vnni>` proves that the CPU has the instructions,
// and the line before a load asserted that memory holds what it reads.

/// The offset product: the one `xor` it needs was done when the inputs were stored.
#[derive(Clone, Copy)]
pub(crate) struct Offset;

impl Product for Offset {
    type Vector = V256<Vnni>;

    const TECHNIQUE: Technique = Technique::Offset;
    const OPERATIONS: usize = 1;
    const WEIGHT_BYTES: usize = 32;

    type Weights = __m256i;
    type Inputs = __m256i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(_: V256<Vnni>, packed: &[u8]) -> __m256i {
        assert!(packed.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(packed.as_ptr().cast()) }
    }

    #[inline(always)]
    fn dot(_: V256<Vnni>, sums: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_dpbusd_avx_epi32(sums, inputs, weights) }
    }
}

impl Broadcast for Offset {
    const VECTORS: usize = 2;
    const ROWS: usize = 6;
    const IN_FLIGHT: usize = 10;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    #[inline(always)]
    fn broadcast(vector: V256<Vnni>, &group: &[u8; GROUP]) -> __m256i {
        vector.int(i32::from_le_bytes(group))
    }
}

impl Direct for Offset {
    const ROWS: usize = 3;

    #[inline(always)]
    fn inputs(_: V256<Vnni>, groups: __m256i) -> __m256i {
        groups
    }
}
