//! `i32x4.dot_i16x8_s` multiplies 8 pairs of 16 bits and adds each two neighbours into 32 bits, which
//! no products of bytes overflow. Weights are widened when they are packed, inputs when rows are
//! prepared:
//!
//! ```text
//! sums += dot(w02, x02) + dot(w13, x13)         (i16 x i16 pairs -> i32)
//! ```
//! 4 rows x 1 pair of vectors: 8 registers of sums, 4 of weights, 2 of inputs, if the engine has 16.

use core::arch::wasm32::*;

use super::vector128::V128;
use crate::kernels::pair::{Half, Pair};
use crate::kernels::vector::{Broadcast, Direct, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// Both factors widened to 16 bits.
#[derive(Clone, Copy)]
pub(crate) struct Native;

impl Product for Native {
    type Vector = Pair<V128>;

    const TECHNIQUE: Technique = Technique::Native;
    const OPERATIONS: usize = 8;
    const WEIGHT_BYTES: usize = 64;

    /// Weights 0 and 2 of all lanes, weights 1 and 3 of all lanes.
    type Weights = [[v128; 2]; 2];
    type Inputs = [[v128; 2]; 2];

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        crate::kernels::pack::widened(weights, packed);
    }

    #[inline(always)]
    fn weights(pair: Pair<V128>, packed: &[u8]) -> [[v128; 2]; 2] {
        [pair.load_groups(packed), pair.load_groups(&packed[32..])]
    }

    #[inline(always)]
    fn dot(
        _: Pair<V128>,
        [low, high]: [v128; 2],
        [w02, w13]: [[v128; 2]; 2],
        [x02, x13]: [[v128; 2]; 2],
    ) -> [v128; 2] {
        [
            i32x4_add(
                i32x4_add(low, i32x4_dot_i16x8(w02[0], x02[0])),
                i32x4_dot_i16x8(w13[0], x13[0]),
            ),
            i32x4_add(
                i32x4_add(high, i32x4_dot_i16x8(w02[1], x02[1])),
                i32x4_dot_i16x8(w13[1], x13[1]),
            ),
        ]
    }
}

impl Broadcast for Native {
    const VECTORS: usize = 1;
    const ROWS: usize = 4;
    const IN_FLIGHT: usize = 2;

    /// Inputs 0 and 2 in 16 bits each, then 1 and 3, as bytes of little-endian words.
    type Group = [[u8; GROUP]; 2];

    fn group([a, b, c, d]: [u8; GROUP]) -> ([[u8; GROUP]; 2], i32) {
        let pair = |a: u8, b: u8| {
            let [[a0, a1], [b0, b1]] = [a, b].map(|byte| i16::from(byte as i8).to_le_bytes());
            [a0, a1, b0, b1]
        };
        ([pair(a, c), pair(b, d)], 0)
    }

    #[inline(always)]
    fn prepare(pair: Pair<V128>, row: &[u8], prepared: &mut [[[u8; GROUP]; 2]]) -> i32 {
        let half = pair.half();
        let (wholes, rest) = row.as_chunks::<16>();
        let mut to = prepared.as_chunks_mut::<4>().0.iter_mut();
        for (inputs, to) in wholes.iter().zip(to.by_ref()) {
            prepare_four(half, half.load_groups(inputs), to);
        }
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            let mut last = [0; 16];
            crate::kernels::copy_short(&mut last, rest);
            prepare_four(half, half.load_groups(&last), to);
        }
        0
    }

    #[inline(always)]
    fn broadcast(pair: Pair<V128>, &[x02, x13]: &[[u8; GROUP]; 2]) -> [[v128; 2]; 2] {
        [pair.int(i32::from_le_bytes(x02)), pair.int(i32::from_le_bytes(x13))]
    }
}

impl Direct for Native {
    const ROWS: usize = 1;

    #[inline(always)]
    fn inputs(_: Pair<V128>, [low, high]: [v128; 2]) -> [[v128; 2]; 2] {
        let ([low02, low13], [high02, high13]) = (widen(low), widen(high));
        [[low02, high02], [low13, high13]]
    }
}

/// Bytes 0 and 2 of 4 groups, then bytes 1 and 3, in 16 bits each.
#[inline(always)]
fn widen(groups: v128) -> [v128; 2] {
    [i16x8_shr(i16x8_shl(groups, 8), 8), i16x8_shr(groups, 8)]
}

/// Prepares 4 groups.
#[inline(always)]
fn prepare_four(half: V128, inputs: v128, to: &mut [[[u8; GROUP]; 2]; 4]) {
    let [x02, x13] = widen(inputs);
    let first = i32x4_shuffle::<0, 4, 1, 5>(x02, x13);
    let second = i32x4_shuffle::<2, 6, 3, 7>(x02, x13);
    *to = bytemuck::cast([half.byte_lanes(first), half.byte_lanes(second)]);
}
