//! AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned bytes with 64 signed ones and adds groups of
//! 4 onto 16 sums, exactly, in one instruction.
//!
//! ```text
//! offset:    sums = vpdpbusd(sums, x + 128, w)
//! positive:  sums = vpdpbusd(sums, |w|, x ^ s)
//! ```
//! 12 rows x 2 vectors fill 24 of the 32 registers with sums: per group of inputs 2 loads of
//! weights, 12 broadcasts, 24 products.

use core::arch::x86_64::*;

use super::vector512::{Features, V512};
use crate::kernels::vector::{Broadcast, Direct, Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// The features AVX-512 F, BW and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni;

impl Features for Vnni {
    const NEEDS: &'static [&'static str] = &["avx512f", "avx512bw", "avx512vnni"];

    #[inline(always)]
    fn vectorize<O: Op<V512<Self>>>(vector: V512<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn compiled<O: Op<V512<Vnni>>>(vector: V512<Vnni>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the features.
        unsafe { compiled(vector, op) }
    }
}

// SAFETY of every block below: a value of `V512<Vnni>` proves that the CPU has the instructions,
// and the line before a load asserted that memory holds what it reads.
/// The offset product: the one `xor` it needs was done when the inputs were stored.
#[derive(Clone, Copy)]
pub(crate) struct Offset;

impl Product for Offset {
    type Vector = V512<Vnni>;

    const TECHNIQUE: Technique = Technique::Offset;
    const OPERATIONS: usize = 1;
    const WEIGHT_BYTES: usize = 64;

    type Weights = __m512i;
    type Inputs = __m512i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(_: V512<Vnni>, packed: &[u8]) -> __m512i {
        load(packed)
    }

    #[inline(always)]
    fn dot(_: V512<Vnni>, sums: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_dpbusd_epi32(sums, inputs, weights) }
    }
}

/// Both products take inputs as they are.
macro_rules! inputs_as_they_are {
    ($($product:ty)*) => {
        $(impl Broadcast for $product {
            const VECTORS: usize = 2;
            const ROWS: usize = 12;
            const IN_FLIGHT: usize = 10;

            type Group = [u8; GROUP];

            fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
                (inputs, 0)
            }

            #[inline(always)]
            fn broadcast(vector: V512<Vnni>, &group: &[u8; GROUP]) -> __m512i {
                vector.int(i32::from_le_bytes(group))
            }
        }

        impl Direct for $product {
            const ROWS: usize = 4;

            #[inline(always)]
            fn inputs(_: V512<Vnni>, groups: __m512i) -> __m512i {
                groups
            }
        })*
    };
}

inputs_as_they_are!(Offset Positive);

/// The positive product: |w| and the sign mask of w lie side by side in memory.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = V512<Vnni>;

    const TECHNIQUE: Technique = Technique::Positive;
    const OPERATIONS: usize = 2;
    const WEIGHT_BYTES: usize = 128;

    /// |w|, and the mask of its sign.
    type Weights = (__m512i, __m512i);
    type Inputs = __m512i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        super::pack_positive(weights, packed);
    }

    #[inline(always)]
    fn weights(_: V512<Vnni>, packed: &[u8]) -> (__m512i, __m512i) {
        (load(packed), load(&packed[64..]))
    }

    #[inline(always)]
    fn dot(
        _: V512<Vnni>,
        sums: __m512i,
        (magnitudes, signs): (__m512i, __m512i),
        inputs: __m512i,
    ) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_dpbusd_epi32(sums, magnitudes, _mm512_xor_si512(inputs, signs)) }
    }
}

#[inline(always)]
fn load(packed: &[u8]) -> __m512i {
    assert!(packed.len() >= 64);
    // SAFETY: see the top.
    unsafe { _mm512_loadu_epi8(packed.as_ptr().cast()) }
}
