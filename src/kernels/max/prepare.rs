//! Rows as the loops of maxima read them: less their zero point, in 16 bits, and perhaps an order
//! in which the largest inputs come first.
//!
//! ```text
//! row: pairs[inputs] | order[inputs], 16 more | parts[blocks] | sorted | room
//! ```
//! in words of 32 bits. A pair is x - zx twice, so that a single load fills all lanes. The order has
//! the inputs of each block that are not zero, counted from the block's first: about half of them by
//! falling magnitude, then the others, which are seldom needed, by rising place.

use super::extremes::ROWS;
use super::{PANEL, Shorts};
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
    /// Whether the largest product stands for the smallest: inputs change their sign.
    pub negate: bool,
    /// Whether there is room for an order.
    pub order: bool,
}

/// Words of a [`Parts`].
const PARTS_WORDS: usize = size_of::<Parts>() / 4;

/// Numbers that are written behind a list's end, at most.
const BEHIND: usize = 16;

impl Preparation {
    /// How many of [`SAMPLE`] inputs may be large for an order to pay, for a batch of so many rows
    /// with so many outputs. Costs are in cycles, for each input of a row; measured on Zen 3.
    pub fn large(&self, rows: usize, outputs: usize) -> usize {
        let panels = outputs as f32 / PANEL as f32;
        // All inputs, by tiles or row by row; an input that is looked at in order; to find the order.
        let (whole, ordered, order) = (if rows < ROWS { 5.0 } else { 3.6 }, 7.0, 6.0);
        let share = (whole - order / panels) / ordered;
        (share.max(0.0) * SAMPLE as f32) as usize
    }

    /// Words of a prepared row.
    pub fn words(&self) -> usize {
        match self.sorts() {
            true => 2 * self.inputs + BEHIND + self.parts_words() + 1 + self.room(),
            false => self.inputs,
        }
    }

    fn parts_words(&self) -> usize {
        PARTS_WORDS * self.blocks
    }

    /// Words for a list of a block's inputs, and for their magnitudes with zeros up to a whole
    /// vector.
    fn room(&self) -> usize {
        self.block + BEHIND + (self.block + 64).div_ceil(4)
    }

    pub fn sorts(&self) -> bool {
        self.order && self.block >= SHORTEST
    }
}

/// The parts of a block's order.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Parts {
    /// How many are sorted.
    sorted: u32,
    /// How many are listed.
    listed: u32,
    /// The largest magnitude that one of the others can have.
    largest_rest: u32,
}

/// A prepared row.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Row<'a> {
    pub pairs: &'a [i32],
    order: &'a [u32],
    parts: &'a [Parts],
}

impl<'a> Row<'a> {
    pub fn of(words: &'a [i32], by: &Preparation) -> Self {
        let (pairs, rest) = words.split_at(by.inputs);
        if !by.sorts() {
            return Self { pairs, order: &[], parts: &[] };
        }
        let (order, rest) = rest.split_at(by.inputs + BEHIND);
        let (parts, rest) = rest.split_at(by.parts_words());
        let parts = if rest[0] != 0 { bytemuck::cast_slice(parts) } else { &[] };
        Self { pairs, order: bytemuck::cast_slice(order), parts }
    }

    /// Whether there is an order.
    pub fn is_sorted(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The order of a block that begins with input `first`.
    pub fn order(&self, block: usize, first: usize) -> Order<'a> {
        let Parts { sorted, listed, largest_rest } = self.parts[block];
        let (sorted, rest) = self.order[first..][..listed as usize].split_at(sorted as usize);
        Order { sorted, rest, largest_rest: largest_rest as i16 }
    }
}

/// A block's inputs that are not zero, the largest first.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Order<'a> {
    /// By falling magnitude, give or take one.
    pub sorted: &'a [u32],
    /// The others.
    pub rest: &'a [u32],
    /// The largest magnitude that one of the others can have.
    pub largest_rest: i16,
}

impl Order<'_> {
    /// How many inputs are listed.
    pub fn len(&self) -> usize {
        self.sorted.len() + self.rest.len()
    }

    /// The largest magnitude that can follow once so many inputs have been used.
    #[inline(always)]
    pub fn largest_after(&self, used: usize, pairs: &[i32]) -> i16 {
        match self.sorted.get(used) {
            Some(&k) => (magnitude(pairs[k as usize]) | 1) as i16,
            None => self.largest_rest,
        }
    }
}

/// The magnitude of an input.
#[inline(always)]
fn magnitude(pair: i32) -> u32 {
    (pair >> 16).unsigned_abs()
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
        let (flip, sign) = (by.flip, if by.negate { -1 } else { 1 });
        for (pair, &byte) in pairs.iter_mut().zip(bytes) {
            let distance = (i32::from((byte ^ flip) as i8) - zero_point) * sign;
            *pair = (distance & 0xFFFF) | distance << 16;
        }
        if !by.sorts() {
            return;
        }
        let (order, rest) = rest.split_at_mut(by.inputs + BEHIND);
        let (parts, rest) = rest.split_at_mut(by.parts_words());
        let (sorted, room) = rest.split_at_mut(1);
        let (list, magnitudes) = room.split_at_mut(by.block + BEHIND);
        let (order, list): (&mut [u32], &mut [u32]) =
            (bytemuck::cast_slice_mut(order), bytemuck::cast_slice_mut(list));
        let parts: &mut [Parts] = bytemuck::cast_slice_mut(parts);
        let magnitudes: &mut [u8] = bytemuck::cast_slice_mut(magnitudes);
        // As `u8`, both greater by 128.
        let (flip, zero_point) = (flip ^ 0x80, (zero_point + 128) as u8);
        sorted[0] = 0;
        if large == 0 {
            return;
        }
        for (i, (bytes, parts)) in bytes.chunks(by.block).zip(parts).enumerate() {
            let (own, padding) = magnitudes.split_at_mut(bytes.len());
            for (magnitude, &byte) in own.iter_mut().zip(bytes) {
                *magnitude = (byte ^ flip).abs_diff(zero_point);
            }
            padding[..64].fill(0);
            let Some(cut) = cut(own, large) else { return };
            let order = &mut order[i * by.block..];
            let count = self::list(vector, magnitudes, bytes.len(), [cut, 255], list);
            sort(&list[..count], magnitudes, order);
            let rest =
                self::list(vector, magnitudes, bytes.len(), [1, cut - 1], &mut order[count..]);
            *parts = Parts {
                sorted: count as u32,
                listed: (count + rest) as u32,
                largest_rest: u32::from(cut - 1),
            };
        }
        sorted[0] = 1;
    }
}

/// Magnitudes that are looked at to guess how many are large.
pub(crate) const SAMPLE: usize = 64;

/// The least magnitude of about half of those that are not zero; none if more than `large` of the
/// sample are so large that an early exit is likely to need them.
#[inline(always)]
fn cut(magnitudes: &[u8], large: usize) -> Option<u8> {
    let mut counts = [0_u8; 32];
    let sample = magnitudes.iter().step_by(magnitudes.len().div_ceil(SAMPLE));
    let (mut left, mut most) = (0, 0);
    for &magnitude in sample.clone() {
        counts[usize::from(magnitude >> 3)] += 1;
        left += u32::from(magnitude > 0);
        most = magnitude.max(most);
    }
    // With weights and inputs of many kinds the exit came at about a third of the largest magnitude.
    let needed = sample.filter(|&&magnitude| magnitude > most / 3).count();
    if needed > large {
        return None;
    }
    let mut found = 0;
    for (step, &count) in counts.iter().enumerate().rev() {
        found += u32::from(count);
        if 2 * found >= left {
            return Some((step as u8 * 8).max(1));
        }
    }
    Some(1)
}

/// Lists the inputs with magnitudes from `least` to `most`, by rising place; answers how many.
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

/// Sorts inputs by falling magnitude, of which the lowest bit does not count.
#[inline(always)]
fn sort(list: &[u32], magnitudes: &[u8], order: &mut [u32]) {
    let mut counts = [0_u32; 128];
    for &k in list {
        counts[usize::from(magnitudes[k as usize] >> 1)] += 1;
    }
    // The counts become the places where each magnitude begins.
    let mut start = 0;
    for count in counts.iter_mut().rev() {
        start += core::mem::replace(count, start);
    }
    for &k in list {
        let place = &mut counts[usize::from(magnitudes[k as usize] >> 1)];
        order[*place as usize] = k;
        *place += 1;
    }
}
