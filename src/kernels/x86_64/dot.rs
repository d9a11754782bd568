//! Products of a single instruction, which takes weights and inputs as they are stored; on vectors of any
//! width.

use core::marker::PhantomData;

use crate::kernels::vector::{Broadcast, Direct, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// Vectors with such an instruction, and what suits them.
pub(super) trait DotBytes: Vector {
    const TECHNIQUE: Technique;
    /// Rows of the largest tile, for lanes that are outputs.
    const ROWS: usize;
    /// Rows of a tile for lanes that are inputs.
    const DIRECT_ROWS: usize;

    /// `sums + weights * inputs`, the products of each 4 bytes added up.
    fn dot(self, sums: Self::Int, weights: Self::Int, inputs: Self::Int) -> Self::Int;
}

/// The instruction is the product.
#[derive(Clone, Copy)]
pub(super) struct Dot<V>(PhantomData<V>);

impl<V: DotBytes> Product for Dot<V> {
    type Vector = V;

    const TECHNIQUE: Technique = V::TECHNIQUE;
    const OPERATIONS: usize = 1;
    const WEIGHT_BYTES: usize = GROUP * V::LANES;

    type Weights = V::Int;
    type Inputs = V::Int;

    #[inline(always)]
    fn weights(vector: V, packed: &[u8]) -> V::Int {
        vector.load_groups(packed)
    }

    #[inline(always)]
    fn dot(vector: V, sums: V::Int, weights: V::Int, inputs: V::Int) -> V::Int {
        vector.dot(sums, weights, inputs)
    }
}

impl<V: DotBytes> AsStored for Dot<V> {
    const ROWS: usize = V::ROWS;
    const IN_FLIGHT: usize = 10;
    const DIRECT_ROWS: usize = V::DIRECT_ROWS;
}

/// A product that takes inputs as they are stored, and its tiles.
pub(super) trait AsStored:
    Product<Inputs = <<Self as Product>::Vector as Vector>::Int>
{
    /// [`Broadcast::ROWS`]
    const ROWS: usize;
    /// [`Broadcast::IN_FLIGHT`]
    const IN_FLIGHT: usize;
    /// [`Direct::ROWS`]
    const DIRECT_ROWS: usize;
}

impl<P: AsStored> Broadcast for P {
    const VECTORS: usize = 2;
    const ROWS: usize = <P as AsStored>::ROWS;
    const IN_FLIGHT: usize = <P as AsStored>::IN_FLIGHT;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    #[inline(always)]
    fn broadcast(vector: P::Vector, &group: &[u8; GROUP]) -> P::Inputs {
        vector.int(i32::from_le_bytes(group))
    }
}

impl<P: AsStored> Direct for P {
    const ROWS: usize = P::DIRECT_ROWS;

    #[inline(always)]
    fn inputs(_: P::Vector, groups: P::Inputs) -> P::Inputs {
        groups
    }
}
