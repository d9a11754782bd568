//! Rows as the loops of maxima read them: less their zero point, in 16 bits, and perhaps the
//! order of falling magnitude that allows to leave early.
//!
//! ```text
//! row: pairs[inputs] | order[inputs] | listed[blocks] | sorted
//! ```
//! in words of 32 bits. A pair is x - zx twice, so that a single load fills all lanes. The order has
//! the inputs of each block that are not zero, counted from the block's first; `listed` says how
//! many there are.

use super::Vector;
use crate::kernels::proven;
use crate::kernels::vector::Op;

/// Blocks of fewer inputs are gone through whole: to sort them takes longer.
const SHORTEST: usize = 32;

/// How rows are prepared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    pub inputs: usize,
    /// Inputs of a block, but for the last.
    pub block: usize,
    /// What is xor-ed onto the bytes to get `i8`.
    pub flip: u8,
    /// Whether the largest product stands for the smallest: inputs change their sign.
    pub negate: bool,
    /// Whether there are enough outputs to sort inputs for.
    pub sort: bool,
}

impl Preparation {
    /// Words of a prepared row.
    pub fn words(&self) -> usize {
        2 * self.inputs + self.inputs.div_ceil(self.block) + 1
    }
}

/// A prepared row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub pairs: &'a [i32],
    pub order: &'a [u32],
    pub listed: &'a [u32],
    pub sorted: bool,
}

impl<'a> Row<'a> {
    pub fn of(words: &'a [i32], inputs: usize, blocks: usize) -> Self {
        let (pairs, rest) = words.split_at(inputs);
        let (order, rest) = rest.split_at(inputs);
        let (order, listed) = (bytemuck::cast_slice(order), &rest[..blocks]);
        Self { pairs, order, listed: bytemuck::cast_slice(listed), sorted: rest[blocks] != 0 }
    }
}

/// Prepares one row.
pub(crate) fn prepare<V: Vector>(
    bytes: &[u8],
    zero_point: i32,
    by: &Preparation,
    words: &mut [i32],
) {
    proven::<V>().vectorize(Prepare { bytes, zero_point, by, words });
}

struct Prepare<'a> {
    bytes: &'a [u8],
    zero_point: i32,
    by: &'a Preparation,
    words: &'a mut [i32],
}

impl<V: Vector> Op<V> for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: V) {
        let Self { bytes, zero_point, by, words } = self;
        let (pairs, rest) = words.split_at_mut(by.inputs);
        let (order, rest) = rest.split_at_mut(by.inputs);
        let order: &mut [u32] = bytemuck::cast_slice_mut(order);
        let (listed, rest) = rest.split_at_mut(by.inputs.div_ceil(by.block));
        let (flip, sign) = (by.flip, if by.negate { -1 } else { 1 });
        for (pair, &byte) in pairs.iter_mut().zip(bytes) {
            let distance = (i32::from((byte ^ flip) as i8) - zero_point) * sign;
            *pair = (distance & 0xFFFF) | distance << 16;
        }
        rest[0] = 0;
        if !by.sort || by.block < SHORTEST {
            return;
        }
        let blocks = pairs.chunks(by.block).zip(order.chunks_mut(by.block)).zip(listed);
        for ((pairs, order), listed) in blocks {
            let Some(count) = sort(pairs, order) else { return };
            *listed = count as i32;
        }
        rest[0] = 1;
    }
}

/// The magnitude of an input.
#[inline(always)]
pub(super) fn magnitude(pair: i32) -> usize {
    (pair >> 16).unsigned_abs() as usize
}

/// Lists the inputs that are not zero by falling magnitude; answers how many there are, or nothing
/// if too many are among the largest for an early exit to be likely.
#[inline(always)]
fn sort(pairs: &[i32], order: &mut [u32]) -> Option<usize> {
    let mut counts = [0_u32; 256];
    for &pair in pairs {
        counts[magnitude(pair) & 255] += 1;
    }
    // The counts become the places where each magnitude begins.
    let mut start = 0;
    for count in counts[1..].iter_mut().rev() {
        start += core::mem::replace(count, start);
    }
    let listed = start as usize;
    for (k, &pair) in (0..).zip(pairs) {
        let magnitude = magnitude(pair) & 255;
        if magnitude > 0 {
            let place = &mut counts[magnitude];
            order[*place as usize] = k;
            *place += 1;
        }
    }
    Some(listed)
}
