//! Rows as the loops of maxima read them: less their zero point, in 16 bits, and perhaps an order
//! in which the largest inputs come first.
//!
//! ```text
//! row: pairs[inputs] | order[inputs], 16 more | levels[blocks] | sorted | magnitudes
//! ```
//! in words of 32 bits. A pair is x - zx twice, so that a single load fills all lanes. The order has
//! the inputs of each block that are not zero, counted from the block's first, in levels of falling
//! magnitude; within a level by rising place, as memory likes it. To sort them entirely took twice as
//! long, and what it saved in products it lost in waiting for their weights.

use super::extremes::ROWS;
use super::{Aggregate, PANEL, Shorts};
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
    pub blocks: usize,
    /// What is xor-ed onto the bytes to get `i8`.
    pub flip: u8,
    /// Where the largest product stands for the smallest, inputs change their sign.
    pub aggregate: Aggregate,
    /// Whether there is room for an order.
    pub order: bool,
}

/// Levels of a block's order.
const LEVELS: usize = 8;

/// How many sixteenths of the inputs that are not zero each level but the last ends with.
const SIXTEENTHS: [u32; LEVELS - 1] = [2, 3, 4, 5, 6, 7, 9];

/// Words of a block's levels.
const LEVELS_WORDS: usize = LEVELS * size_of::<Level>() / 4;

/// Numbers that are written behind a list's end, at most.
const BEHIND: usize = 16;

impl Preparation {
    /// How many of [`SAMPLE`] inputs may be large for an order to pay, for a batch of so many rows
    /// with so many outputs. By costs in cycles that were fitted to what was measured on a Zen 3 core.
    pub fn large(&self, rows: usize, outputs: usize) -> usize {
        let (panels, block) = (outputs as f32 / PANEL as f32, self.block as f32);
        // Per input and panel: all of them, in tiles or for a single row; those in order.
        let (tiles, single, ordered) = match self.aggregate.is_one_sided() {
            true => (2.8, 4.5, 5.0),
            false => (3.5, 6.0, 6.0),
        };
        let whole = if rows < ROWS { single } else { tiles };
        // To find the order; and to leave, which no branch predictor foresees.
        let order = (3.3 + 900.0 / block) / panels + 300.0 / block;
        // One side needs more inputs than either.
        let needed = match self.aggregate {
            Aggregate::AbsMax | Aggregate::SoftAbsMax { .. } => 1.05,
            _ => 1.35,
        };
        let share = (whole - order) / (ordered * needed);
        (share.clamp(0.0, 1.0) * SAMPLE as f32) as usize
    }

    /// Words of a prepared row.
    pub fn words(&self) -> usize {
        match self.sorts() {
            true => 2 * self.inputs + BEHIND + self.levels_words() + 1 + self.room(),
            false => self.inputs,
        }
    }

    fn levels_words(&self) -> usize {
        LEVELS_WORDS * self.blocks
    }

    /// Words for the magnitudes of a block, with zeros up to a whole vector.
    fn room(&self) -> usize {
        (self.block + 64).div_ceil(4)
    }

    pub fn sorts(&self) -> bool {
        self.order && self.block >= SHORTEST
    }
}

/// A part of a block's order.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Level {
    /// Where it ends in the block's order.
    end: u32,
    /// The largest magnitude that an input of this level, or of those that follow, can have.
    largest: u32,
}

/// A prepared row.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Row<'a> {
    pub pairs: &'a [i32],
    order: &'a [u32],
    levels: &'a [[Level; LEVELS]],
}

impl<'a> Row<'a> {
    pub fn of(words: &'a [i32], by: &Preparation) -> Self {
        let (pairs, rest) = words.split_at(by.inputs);
        if !by.sorts() {
            return Self { pairs, order: &[], levels: &[] };
        }
        let (order, rest) = rest.split_at(by.inputs + BEHIND);
        let (levels, rest) = rest.split_at(by.levels_words());
        let levels = if rest[0] != 0 { bytemuck::cast_slice(levels) } else { &[] };
        Self { pairs, order: bytemuck::cast_slice(order), levels }
    }

    /// Whether there is an order.
    pub fn is_sorted(&self) -> bool {
        !self.levels.is_empty()
    }

    /// The order of a block that begins with input `first`.
    pub fn order(&self, block: usize, first: usize) -> Order<'a> {
        let levels = &self.levels[block];
        Order { listed: &self.order[first..][..levels[LEVELS - 1].end as usize], levels }
    }
}

/// A block's inputs that are not zero, the largest first.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Order<'a> {
    pub listed: &'a [u32],
    levels: &'a [Level; LEVELS],
}

impl<'a> Order<'a> {
    /// The levels, each with the largest magnitude that is in it or follows.
    #[inline(always)]
    pub fn levels(&self) -> impl Iterator<Item = (&'a [u32], i16)> {
        let Self { listed, levels } = *self;
        let starts = [0].into_iter().chain(levels.iter().map(|level| level.end as usize));
        starts
            .zip(levels)
            .map(move |(start, level)| (&listed[start..level.end as usize], level.largest as i16))
    }
}

/// Prepares one row. It is put in order if at most `large` of [`SAMPLE`] inputs are large.
pub(crate) fn prepare<V: Shorts>(
    bytes: &[u8],
    zero_point: i32,
    by: &Preparation,
    large: usize,
    words: &mut [i32],
) {
    proven::<V>().vectorize(Prepare { bytes, zero_point, by, large, words });
}

struct Prepare<'a> {
    bytes: &'a [u8],
    zero_point: i32,
    by: &'a Preparation,
    large: usize,
    words: &'a mut [i32],
}

impl<V: Shorts> Op<V> for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { bytes, zero_point, by, large, words } = self;
        let (pairs, rest) = words.split_at_mut(by.inputs);
        let sign = if by.aggregate == Aggregate::Min { -1 } else { 1 };
        let flip = by.flip;
        for (pair, &byte) in pairs.iter_mut().zip(bytes) {
            let distance = (i32::from((byte ^ flip) as i8) - zero_point) * sign;
            *pair = (distance & 0xFFFF) | distance << 16;
        }
        if !by.sorts() {
            return;
        }
        let (order, rest) = rest.split_at_mut(by.inputs + BEHIND);
        let (levels, rest) = rest.split_at_mut(by.levels_words());
        let (sorted, magnitudes) = rest.split_at_mut(1);
        let order: &mut [u32] = bytemuck::cast_slice_mut(order);
        let levels: &mut [[Level; LEVELS]] = bytemuck::cast_slice_mut(levels);
        let magnitudes: &mut [u8] = bytemuck::cast_slice_mut(magnitudes);
        // As `u8`, both greater by 128.
        let (flip, zero_point) = (flip ^ 0x80, (zero_point + 128) as u8);
        sorted[0] = 0;
        if large == 0 {
            return;
        }
        for (i, (bytes, levels)) in bytes.chunks(by.block).zip(levels).enumerate() {
            let (own, padding) = magnitudes.split_at_mut(bytes.len());
            let mut largest = 0;
            for (magnitude, &byte) in own.iter_mut().zip(bytes) {
                *magnitude = (byte ^ flip).abs_diff(zero_point);
                largest = largest.max(*magnitude);
            }
            padding[..64].fill(0);
            let Some(cuts) = cuts(own, largest, large) else { return };
            let order = &mut order[i * by.block..];
            let mut end = 0;
            for (level, cut) in levels.iter_mut().zip(cuts) {
                level.largest = largest.into();
                if cut <= largest {
                    let between = [cut, largest];
                    end += list(vector, magnitudes, bytes.len(), between, &mut order[end..]);
                    largest = cut - 1;
                }
                level.end = end as u32;
            }
        }
        sorted[0] = 1;
    }
}

/// Magnitudes that are looked at to guess how many are large.
pub(crate) const SAMPLE: usize = 64;

/// The least magnitudes of the levels, the last one 1; none if more than `large` of [`SAMPLE`] are so
/// large that an early exit is likely to need them.
#[inline(always)]
fn cuts(magnitudes: &[u8], largest: u8, large: usize) -> Option<[u8; LEVELS]> {
    let mut counts = [0_u8; 64];
    let sample = magnitudes.iter().step_by(magnitudes.len().div_ceil(SAMPLE));
    let mut left = 0;
    for &magnitude in sample.clone() {
        counts[usize::from(magnitude >> 2)] += 1;
        left += u32::from(magnitude > 0);
    }
    // With weights and inputs of many kinds the exit came at about a third of the largest magnitude.
    let needed = sample.clone().filter(|&&magnitude| magnitude > largest / 3).count();
    if needed * SAMPLE > large * sample.len() {
        return None;
    }
    let mut cuts = [1; LEVELS];
    let (mut found, mut level) = (0, 0);
    for (step, &count) in counts.iter().enumerate().rev() {
        found += u32::from(count);
        while level < LEVELS - 1 && 16 * found >= SIXTEENTHS[level] * left {
            cuts[level] = (4 * step as u8).max(1);
            level += 1;
        }
        if level == LEVELS - 1 {
            break;
        }
    }
    Some(cuts)
}

/// Lists the inputs with magnitudes from `least` to `most`, by rising place; answers how many there are.
#[inline(always)]
fn list<V: Shorts>(
    vector: V,
    magnitudes: &[u8],
    inputs: usize,
    [least, most]: [u8; 2],
    to: &mut [u32],
) -> usize {
    let lanes = 4 * V::LANES;
    let mut count = 0;
    let (low, high) = (vector.bytes(least), vector.bytes(most.saturating_add(1)));
    for first in (0..inputs).step_by(lanes) {
        let part = vector.load_quarters(&magnitudes[first..]);
        let mut bits = vector.equal_bytes(vector.max_bytes(part, low), part);
        if most < 255 {
            bits &= !vector.equal_bytes(vector.max_bytes(part, high), part);
        }
        for at in (0..lanes).step_by(V::LANES) {
            let first = (first + at) as u32;
            count += vector.list_bits((bits >> at) as u32, first, &mut to[count..]);
        }
    }
    count
}
