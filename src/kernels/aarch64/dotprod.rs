//! The dot products of ARMv8.2: `sdot` adds 4 products of signed bytes onto each of 4 sums.
//!
//! ```text
//! sums = sdot(sums, w, x)
//! ```
//! 6 rows x 2 pairs of vectors: 24 of 32 registers hold sums, 4 weights. `sdot` by element takes a
//! group of inputs from the lowest lane of a register, so that a plain load broadcasts it.

use core::arch::aarch64::*;
use core::arch::asm;

use super::vector128::{Features, V128};
use crate::kernels::pair::Pair;
use crate::kernels::vector::{Broadcast, Direct, Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// The features NEON and dot products.
#[derive(Clone, Copy)]
pub(crate) struct DotProd;

impl Features for DotProd {
    const NEEDS: &'static [&'static str] = &["neon", "dotprod"];

    #[inline(always)]
    fn vectorize<O: Op<Pair<V128<Self>>>>(pair: Pair<V128<Self>>, op: O) -> O::Output {
        #[target_feature(enable = "neon,dotprod")]
        fn compiled<O: Op<Pair<V128<DotProd>>>>(pair: Pair<V128<DotProd>>, op: O) -> O::Output {
            op.run(pair)
        }
        // SAFETY: `pair` proves the features.
        unsafe { compiled(pair, op) }
    }
}

// SAFETY of every block below: a value of `V128<DotProd>` proves that the CPU has the instructions.

/// Lanes are outputs: a group of inputs for all lanes.
#[derive(Clone, Copy)]
pub(crate) struct ByElement;

/// Lanes are inputs: a group for each lane.
#[derive(Clone, Copy)]
pub(crate) struct ByVector;

/// Both take weights as they are.
macro_rules! product {
    ($product:ident of $inputs:ty, $dot:ident) => {
        impl Product for $product {
            type Vector = Pair<V128<DotProd>>;

            const TECHNIQUE: Technique = Technique::Native;
            const OPERATIONS: usize = 2;
            const WEIGHT_BYTES: usize = 32;

            type Weights = [int32x4_t; 2];
            type Inputs = [$inputs; 2];

            #[inline(always)]
            fn weights(pair: Pair<V128<DotProd>>, packed: &[u8]) -> [int32x4_t; 2] {
                pair.load_groups(packed)
            }

            #[inline(always)]
            fn dot(
                _: Pair<V128<DotProd>>,
                sums: [int32x4_t; 2],
                weights: [int32x4_t; 2],
                inputs: [$inputs; 2],
            ) -> [int32x4_t; 2] {
                // SAFETY: see the top.
                unsafe {
                    [$dot(sums[0], weights[0], inputs[0]), $dot(sums[1], weights[1], inputs[1])]
                }
            }
        }
    };
}

product!(ByElement of f32, sdot_by_element);
product!(ByVector of int32x4_t, sdot);

impl Broadcast for ByElement {
    const VECTORS: usize = 2;
    const ROWS: usize = 6;
    const IN_FLIGHT: usize = 6;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    /// The bits of a group, in the type that is loaded into a vector's register.
    #[inline(always)]
    fn broadcast(_: Pair<V128<DotProd>>, &group: &[u8; GROUP]) -> [f32; 2] {
        [f32::from_bits(u32::from_le_bytes(group)); 2]
    }
}

impl Direct for ByVector {
    // With 3 some of the vectors would go through memory.
    const ROWS: usize = 2;

    #[inline(always)]
    fn inputs(_: Pair<V128<DotProd>>, groups: [int32x4_t; 2]) -> [int32x4_t; 2] {
        groups
    }
}

/// `sums + weights * inputs`, the products of each 4 bytes added up.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, weights: int32x4_t, inputs: int32x4_t) -> int32x4_t {
    // SAFETY: reads and writes these registers and nothing else.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {inputs:v}.16b",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            inputs = in(vreg) inputs,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The same with one group of inputs for all lanes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot_by_element(mut sums: int32x4_t, weights: int32x4_t, inputs: f32) -> int32x4_t {
    // SAFETY: reads and writes these registers and nothing else.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {inputs:v}.4b[0]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            inputs = in(vreg) inputs,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
