//! The positive product, on vectors of any width.
//!
//! ```text
//! sums += |x| * (w ^ s)        s = sign of x      (one byte of memory for each weight)
//! sums += |w| * (x ^ s)        s = sign of w      (two, but inputs are read as they are)
//! ```
//! The first factor is unsigned and the second one signed, as `pmaddubsw` and `vpdpbusd` want them.

use core::marker::PhantomData;

use super::dot::AsStored;
use crate::kernels::vector::{Broadcast, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// Vectors of unsigned bytes that can be multiplied with vectors of signed ones, and what suits them.
pub(super) trait UnsignedBySigned: Vector {
    /// Operations of [`UnsignedBySigned::multiply`] on vectors of the instruction set.
    const OPERATIONS: usize;
    /// Rows of the largest tile, for lanes that are outputs.
    const ROWS: usize;
    /// Vectors of sums that keep the multiplier busy.
    const IN_FLIGHT: usize;
    /// Rows of a tile for lanes that are inputs.
    const DIRECT_ROWS: usize;

    /// `sums + magnitudes * (others ^ signs)`, the products of each 4 bytes added up.
    fn multiply(
        self,
        sums: Self::Int,
        magnitudes: Self::Int,
        others: Self::Int,
        signs: Self::Int,
    ) -> Self::Int;
}

/// |x| of a group of inputs, and the masks of their signs.
pub(super) type Split = [[u8; GROUP]; 2];

/// Vectors that can take rows apart.
pub(super) trait SplitRows: UnsignedBySigned {
    /// [`Broadcast::prepare`] for [`Split`].
    fn split(self, row: &[u8], prepared: &mut [Split]) -> i32;
}

/// |w| and the sign mask of w lie side by side in memory.
#[derive(Clone, Copy)]
pub(super) struct Positive<V>(PhantomData<V>);

impl<V: UnsignedBySigned> Product for Positive<V> {
    type Vector = V;

    const TECHNIQUE: Technique = Technique::Positive;
    const OPERATIONS: usize = V::OPERATIONS;
    const WEIGHT_BYTES: usize = 2 * GROUP * V::LANES;

    /// |w|, and the mask of its sign.
    type Weights = (V::Int, V::Int);
    type Inputs = V::Int;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        let weights = weights.as_flattened();
        let (magnitudes, signs) = packed.split_at_mut(weights.len());
        for ((&w, magnitude), sign) in weights.iter().zip(magnitudes).zip(signs) {
            *magnitude = w.unsigned_abs();
            *sign = if w < 0 { 0xFF } else { 0 };
        }
    }

    #[inline(always)]
    fn weights(vector: V, packed: &[u8]) -> (V::Int, V::Int) {
        (vector.load_groups(packed), vector.load_groups(&packed[GROUP * V::LANES..]))
    }

    #[inline(always)]
    fn dot(
        vector: V,
        sums: V::Int,
        (magnitudes, signs): (V::Int, V::Int),
        inputs: V::Int,
    ) -> V::Int {
        vector.multiply(sums, magnitudes, inputs, signs)
    }
}

impl<V: UnsignedBySigned> AsStored for Positive<V> {
    const ROWS: usize = V::ROWS;
    const IN_FLIGHT: usize = V::IN_FLIGHT;
    const DIRECT_ROWS: usize = V::DIRECT_ROWS;
}

/// The factors' parts are exchanged, |x| and the sign mask of x against w: half the memory of
/// [`Positive`].
#[derive(Clone, Copy)]
pub(super) struct PositiveInputs<V>(PhantomData<V>);

impl<V: SplitRows> Product for PositiveInputs<V> {
    type Vector = V;

    const TECHNIQUE: Technique = Technique::PositiveInputs;
    const OPERATIONS: usize = V::OPERATIONS;
    const WEIGHT_BYTES: usize = GROUP * V::LANES;

    type Weights = V::Int;
    /// |x|, and the mask of its sign.
    type Inputs = (V::Int, V::Int);

    #[inline(always)]
    fn weights(vector: V, packed: &[u8]) -> V::Int {
        vector.load_groups(packed)
    }

    #[inline(always)]
    fn dot(
        vector: V,
        sums: V::Int,
        weights: V::Int,
        (magnitudes, signs): (V::Int, V::Int),
    ) -> V::Int {
        vector.multiply(sums, magnitudes, weights, signs)
    }
}

impl<V: SplitRows> Broadcast for PositiveInputs<V> {
    const VECTORS: usize = 2;
    const ROWS: usize = V::ROWS;
    const IN_FLIGHT: usize = V::IN_FLIGHT;

    type Group = Split;

    fn group(inputs: [u8; GROUP]) -> (Split, i32) {
        let inputs = inputs.map(|byte| byte as i8);
        let signs = inputs.map(|x| if x < 0 { 0xFF } else { 0 });
        let missing = inputs.map(|x| i32::from(x.min(0)).abs());
        ([inputs.map(i8::unsigned_abs), signs], missing.iter().sum())
    }

    #[inline(always)]
    fn prepare(vector: V, row: &[u8], prepared: &mut [Split]) -> i32 {
        vector.split(row, prepared)
    }

    #[inline(always)]
    fn broadcast(vector: V, &[magnitudes, signs]: &Split) -> (V::Int, V::Int) {
        (vector.int(i32::from_le_bytes(magnitudes)), vector.int(i32::from_le_bytes(signs)))
    }
}
