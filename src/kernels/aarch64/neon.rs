//! NEON: `smull` multiplies 8 signed bytes with 8 others, `sadalp` adds pairs of the products onto 4
//! sums. Two products of -128 and -128 do not fit 16 bits together, so none are added there.
//!
//! ```text
//! sums = sadalp(sums, smull(w01, x01))          inputs 0 and 1 of a group
//! sums = sadalp(sums, smull(w23, x23))          inputs 2 and 3
//! ```
//! 4 rows x 2 pairs of vectors: 16 of 32 registers hold sums, 8 weights, 2 inputs, the others products.

use core::arch::aarch64::*;

use super::vector128::{Features, V128};
use crate::kernels::pair::Pair;
use crate::kernels::vector::{Broadcast, Direct, Op, Product};
use crate::kernels::{GROUP, Technique};

/// The feature NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Features for Neon {
    const NEEDS: &'static [&'static str] = &["neon"];

    #[inline(always)]
    fn vectorize<O: Op<Pair<V128<Self>>>>(pair: Pair<V128<Self>>, op: O) -> O::Output {
        #[target_feature(enable = "neon")]
        fn compiled<O: Op<Pair<V128<Neon>>>>(pair: Pair<V128<Neon>>, op: O) -> O::Output {
            op.run(pair)
        }
        // SAFETY: `pair` proves the feature.
        unsafe { compiled(pair, op) }
    }
}

// SAFETY of every block below: a value of `V128<Neon>` proves that the CPU has the instructions, and
// the array holds what is loaded.

/// Products of 16 bits, added up in 32.
#[derive(Clone, Copy)]
pub(crate) struct Native;

impl Product for Native {
    type Vector = Pair<V128<Neon>>;

    const TECHNIQUE: Technique = Technique::Native;
    const OPERATIONS: usize = 8;
    const WEIGHT_BYTES: usize = 32;

    /// Weights 0 and 1 of the first four lanes, of the others, then weights 2 and 3. In halves of
    /// registers, or the compiler brings upper halves down, one by one, before it multiplies.
    type Weights = [int8x8_t; 4];
    type Inputs = [int8x8_t; 4];

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        let pairs = |k: usize| weights.iter().flat_map(move |w| [w[k], w[k + 1]]);
        for (packed, w) in packed.iter_mut().zip(pairs(0).chain(pairs(2))) {
            *packed = w as u8;
        }
    }

    #[inline(always)]
    fn weights(_: Pair<V128<Neon>>, packed: &[u8]) -> [int8x8_t; 4] {
        let packed: &[u8; 32] = packed.first_chunk().expect("the weights of a vector");
        // SAFETY: see the top.
        unsafe {
            [
                vreinterpret_s8_u8(vld1_u8(packed.as_ptr())),
                vreinterpret_s8_u8(vld1_u8(packed[8..].as_ptr())),
                vreinterpret_s8_u8(vld1_u8(packed[16..].as_ptr())),
                vreinterpret_s8_u8(vld1_u8(packed[24..].as_ptr())),
            ]
        }
    }

    #[inline(always)]
    fn dot(
        _: Pair<V128<Neon>>,
        [low, high]: [int32x4_t; 2],
        weights: [int8x8_t; 4],
        inputs: [int8x8_t; 4],
    ) -> [int32x4_t; 2] {
        // SAFETY: see the top.
        unsafe {
            let low = vpadalq_s16(low, vmull_s8(weights[0], inputs[0]));
            let high = vpadalq_s16(high, vmull_s8(weights[1], inputs[1]));
            let low = vpadalq_s16(low, vmull_s8(weights[2], inputs[2]));
            [low, vpadalq_s16(high, vmull_s8(weights[3], inputs[3]))]
        }
    }
}

impl Broadcast for Native {
    const VECTORS: usize = 2;
    const ROWS: usize = 4;
    const IN_FLIGHT: usize = 4;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    #[inline(always)]
    fn broadcast(_: Pair<V128<Neon>>, &[a, b, c, d]: &[u8; GROUP]) -> [int8x8_t; 4] {
        // SAFETY: see the top.
        let [x01, x23] = unsafe {
            let x01 = vdup_n_s16(i16::from_le_bytes([a, b]));
            let x23 = vdup_n_s16(i16::from_le_bytes([c, d]));
            [vreinterpret_s8_s16(x01), vreinterpret_s8_s16(x23)]
        };
        [x01, x01, x23, x23]
    }
}

impl Direct for Native {
    const ROWS: usize = 2;

    #[inline(always)]
    fn inputs(_: Pair<V128<Neon>>, [low, high]: [int32x4_t; 2]) -> [int8x8_t; 4] {
        // SAFETY: see the top.
        unsafe {
            [
                vreinterpret_s8_s16(vmovn_s32(low)),
                vreinterpret_s8_s16(vmovn_s32(high)),
                vreinterpret_s8_s16(vshrn_n_s32::<16>(low)),
                vreinterpret_s8_s16(vshrn_n_s32::<16>(high)),
            ]
        }
    }
}
