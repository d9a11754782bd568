//! Layers of which few connections are left: lanes are rows.
//!
//! ```text
//! for each group of rows                        (a lane for each)
//!   inputs[input][row]
//!   for each output
//!     for each connection                       (the largest weights first)
//!       high = max(high, inputs[its input] * its weight)
//! ```
//! The indices are the same for all rows, so there is nothing to gather. An output is left as soon as
//! no smaller weight can change it, whatever input it meets.

use alloc::vec::Vec;
use core::ops::Range;

use super::extremes::{Exit, open};
use super::join::{add, joined, magnitude_tie};
use super::soft::{self, Sums, decay};
use super::{Aggregate, Epilogue, Joins, PANEL, Shorts, apply};
use crate::kernels::proven;
use crate::kernels::vector::Op;

/// The connections of a layer, output by output, block by block, the largest weights first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    inputs: usize,
    outputs: usize,
    /// Inputs of a block, but for the last.
    block: usize,
    connections: Vec<Connection>,
    segments: Vec<Segment>,
    /// Where the segments of each panel end.
    panels: Vec<u32>,
}

/// A weight, and the input it meets.
#[derive(Clone, Copy, Debug)]
struct Connection {
    input: u32,
    /// The weight, twice, so that a single load fills all lanes.
    pair: i32,
}

impl Connection {
    fn weight(self) -> i16 {
        (self.pair >> 16) as i16
    }
}

/// What is joined: the connections of an output to the inputs of a block.
#[derive(Clone, Copy, Debug)]
struct Segment {
    output: u32,
    /// Where its connections end.
    end: u32,
}

impl Connections {
    /// Takes in the connections of each output, by rising input.
    pub fn new<C: Iterator<Item = (usize, i8)>>(
        inputs: usize,
        outputs: usize,
        block: usize,
        of: impl Fn(usize) -> C,
    ) -> Self {
        let mut new = Self { inputs, outputs, block, ..Self::default() };
        for n in 0..outputs {
            let (mut start, mut before) = (new.connections.len(), None);
            for (k, w) in of(n) {
                if before.is_some_and(|before| before != k / block) {
                    new.close(n, start);
                    start = new.connections.len();
                }
                before = Some(k / block);
                let w = i32::from(w);
                new.connections.push(Connection { input: k as u32, pair: (w & 0xFFFF) | w << 16 });
            }
            new.close(n, start);
            if (n + 1).is_multiple_of(PANEL) || n + 1 == outputs {
                new.panels.push(new.segments.len() as u32);
            }
        }
        new
    }

    /// Ends a segment, if there is anything in it.
    fn close(&mut self, output: usize, start: usize) {
        let connections = &mut self.connections[start..];
        if !connections.is_empty() {
            connections.sort_by_key(|connection| -connection.weight().abs());
            let end = self.connections.len() as u32;
            self.segments.push(Segment { output: output as u32, end });
        }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Bytes of all connections.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.connections)
    }

    /// Words of memory that a run needs, for vectors of `shorts` lanes.
    pub fn room(&self, shorts: usize) -> usize {
        // Bytes, and twice as many for 16 bits; each up to a whole vector, and one behind.
        (3 * (self.inputs + 1) * shorts + 2 * shorts).div_ceil(4)
    }

    /// The segments of a panel, each with its connections.
    fn panel(&self, panel: usize) -> impl Iterator<Item = (usize, &[Connection])> {
        let end = |i: usize| if i == 0 { 0 } else { self.panels[i - 1] as usize };
        let segments = end(panel)..end(panel + 1);
        let start = segments.start.checked_sub(1).map_or(0, |i| self.segments[i].end);
        let starts =
            [start].into_iter().chain(self.segments[segments.clone()].iter().map(|s| s.end));
        starts.zip(&self.segments[segments.clone()]).map(|(start, segment)| {
            (segment.output as usize, &self.connections[start as usize..segment.end as usize])
        })
    }
}

/// A batch of rows as bytes.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub rows: usize,
    /// What is xor-ed onto the bytes to get `i8`.
    pub flip: u8,
    /// For all rows, or for each.
    pub zero_points: &'a [i32],
    pub scales: &'a [f32],
}

/// Computes the outputs of some panels of all rows; see [`super::products`]. `room` has as many words
/// as [`Connections::room`] says.
pub(crate) fn pruned<V: Shorts>(
    connections: &Connections,
    joins: &Joins<'_>,
    batch: &Bytes<'_>,
    room: &mut [u32],
    panels: Range<usize>,
    mut epilogue: Epilogue<'_>,
) -> u64 {
    let vector = proven::<V>();
    let mut looked = 0;
    for first in (0..batch.rows).step_by(V::SHORTS) {
        let rows = first..batch.rows.min(first + V::SHORTS);
        let inputs = connections.inputs;
        let room = &mut *room;
        let inputs = &vector.vectorize(SideBySide { inputs, batch, rows: rows.clone(), room });
        for panel in panels.clone() {
            let at = (panel - panels.start) * PANEL;
            let (rows, epilogue) = (rows.clone(), &mut epilogue);
            let group = Group { connections, joins, batch, inputs, rows, panel, at, epilogue };
            looked += vector.vectorize(group);
        }
    }
    looked
}

/// Lanes at most.
const LANES: usize = 32;

/// Inputs of some rows, `[input][lane]`: as many lanes as there are rows, and more up to a power of
/// two. A vector begins at any input and goes on with lanes of the next ones, which mean nothing.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    values: &'a [i16],
    lanes: usize,
    /// The largest magnitude in each row's lane, else 0.
    reach: [i16; LANES],
    /// All bits in each row's lane.
    valid: [i16; LANES],
}

/// Brings rows side by side, `[input][row]`: eight inputs of each at a time.
#[inline(always)]
fn by_side<const R: usize>(rows: [&[u8]; R], to: &mut [u8]) {
    let to = to.as_chunks_mut::<R>().0;
    for (first, to) in to.chunks_mut(8).enumerate() {
        let mut eights = [0; R];
        for (eight, row) in eights.iter_mut().zip(rows) {
            let row = &row[8 * first..];
            *eight = match row.first_chunk() {
                Some(row) => u64::from_le_bytes(*row),
                None => row.iter().rev().fold(0, |eight, &byte| eight << 8 | u64::from(byte)),
            };
        }
        for (i, to) in to.iter_mut().enumerate() {
            for (to, eight) in to.iter_mut().zip(eights) {
                *to = (eight >> (8 * i)) as u8;
            }
        }
    }
}

/// Brings the inputs of some rows side by side.
struct SideBySide<'a, 'r> {
    inputs: usize,
    batch: &'a Bytes<'a>,
    rows: Range<usize>,
    room: &'r mut [u32],
}

impl<'r, V: Shorts> Op<V> for SideBySide<'_, 'r> {
    type Output = Inputs<'r>;

    #[inline(always)]
    fn run(self, vector: V) -> Inputs<'r> {
        let Self { inputs, batch, rows, room } = self;
        let lanes = rows.len().next_power_of_two();
        let count = (inputs * lanes).next_multiple_of(V::SHORTS);
        let room: &mut [i16] = bytemuck::cast_slice_mut(room);
        let (values, rest) = room.split_at_mut(count + V::SHORTS);
        let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(rest)[..count];
        if inputs * rows.len() < count {
            bytes.fill(0);
        }
        let (mut zero_points, mut valid) = ([0; LANES], [0; LANES]);
        for (lane, row) in rows.clone().enumerate() {
            valid[lane] = -1;
            for zero_point in zero_points[lane..].iter_mut().step_by(lanes) {
                *zero_point = of_row(batch.zero_points, row) as i16;
            }
        }
        let row = |row: usize| &batch.bytes[row * batch.stride..][..inputs];
        match rows.len() {
            16 => by_side(core::array::from_fn::<_, 16, _>(|i| row(rows.start + i)), bytes),
            32 => by_side(core::array::from_fn::<_, 32, _>(|i| row(rows.start + i)), bytes),
            _ => {
                for (lane, row) in rows.clone().map(row).enumerate() {
                    for (to, &from) in bytes[lane..].iter_mut().step_by(lanes).zip(row) {
                        *to = from;
                    }
                }
            }
        }
        for byte in bytes.iter_mut() {
            *byte ^= batch.flip;
        }
        let zero_points = vector.load_short(&zero_points);
        let mut most = vector.short(0);
        let to = values.chunks_exact_mut(V::SHORTS);
        for (bytes, to) in bytes.chunks_exact(V::SHORTS).zip(to) {
            let value = vector.sub_short(vector.load_signed(bytes), zero_points);
            let negative = vector.sub_short(vector.short(0), value);
            most = vector.max_short(most, vector.max_short(value, negative));
            vector.store_short(value, to);
        }
        let (mut all, mut reach) = ([0; LANES], [0; LANES]);
        vector.store_short(most, &mut all);
        for (i, &most) in all.iter().enumerate() {
            if i % lanes < rows.len() {
                reach[i % lanes] = most.max(reach[i % lanes]);
            }
        }
        Inputs { values, lanes, reach, valid }
    }
}

/// The logarithms of a lane, scaled. Not compiled for any instruction set: what one has to gather
/// numbers from memory takes longer than to load them.
#[inline(never)]
fn of_lane(logs: &[[f32; LANES]], lane: usize, scale: f32) -> [f32; 16] {
    let mut of_lane = [0.0; 16];
    for (of_lane, logs) in of_lane.iter_mut().zip(logs) {
        *of_lane = logs[lane] * scale;
    }
    of_lane
}

/// What belongs to a row, or to all.
fn of_row<T: Copy>(values: &[T], row: usize) -> T {
    match values {
        [one] => *one,
        each => each[row],
    }
}

/// Connections between two looks at whether the others can change anything.
const STEP: usize = 8;

/// So few rows are looked at: of many one would always need all connections.
const LOOK_ROWS: usize = 2;

/// A panel of a group of rows.
struct Group<'a, 'e> {
    connections: &'a Connections,
    joins: &'a Joins<'a>,
    batch: &'a Bytes<'a>,
    inputs: &'a Inputs<'a>,
    rows: Range<usize>,
    panel: usize,
    /// Where its outputs lie in the output rows.
    at: usize,
    epilogue: &'a mut Epilogue<'e>,
}

impl<V: Shorts> Op<V> for Group<'_, '_> {
    type Output = u64;

    #[inline(always)]
    fn run(self, vector: V) -> u64 {
        let Self { connections, joins, panel, .. } = self;
        let first = panel * PANEL;
        let width = PANEL.min(connections.outputs - first);
        let mut integers = [[0_i32; LANES]; PANEL];
        for (n, integers) in integers[..width].iter_mut().enumerate() {
            integers[..V::SHORTS].fill(joins.constants[first + n]);
        }
        let mut logs = [[0.0_f32; LANES]; PANEL];
        let mut looked = 0;
        for (output, segment) in connections.panel(panel) {
            let n = output - first;
            let (won, used) = match joins.aggregate.is_one_sided() {
                true => self.segment::<V, false>(vector, segment, &mut integers[n]),
                false => self.segment::<V, true>(vector, segment, &mut integers[n]),
            };
            looked += used as u64;
            if let Aggregate::SoftAbsMax { alpha } = joins.aggregate {
                let mut decays = [0.0; LANES];
                for (decay, row) in decays.iter_mut().zip(self.rows.clone()) {
                    let unit = of_row(self.batch.scales, row) * joins.scales[output];
                    *decay = self::decay(unit, alpha);
                }
                let bits = soft::bits(connections.block);
                let mut sums = Sums::new(vector, won, &decays[..V::SHORTS], bits);
                for connection in segment {
                    sums.add(vector, self.product(vector, connection));
                }
                sums.add_logs(vector, 0, won, &mut logs[n]);
            }
        }
        let rows = self.rows.len() as u64;
        self.finish(vector, &integers, &logs, width);
        looked * rows
    }
}

impl Group<'_, '_> {
    #[inline(always)]
    fn product<V: Shorts>(&self, vector: V, connection: &Connection) -> V::Short {
        let inputs = &self.inputs.values[connection.input as usize * self.inputs.lanes..];
        vector.mul_short(vector.load_short(inputs), vector.short_pairs(&connection.pair))
    }

    /// Joins the products of a segment, and adds what they give; answers the products that won, and
    /// how many were looked at.
    #[inline(always)]
    fn segment<V: Shorts, const BOTH: bool>(
        &self,
        vector: V,
        segment: &[Connection],
        integers: &mut [i32; LANES],
    ) -> (V::Short, usize) {
        let aggregate = self.joins.aggregate;
        let exit = Exit::of(aggregate);
        let zero = vector.short(0);
        let mut high = [vector.short(i16::MIN)];
        let mut low = [vector.short(i16::MAX)];
        let looks = self.rows.len() <= LOOK_ROWS;
        let mut used = 0;
        for step in segment.chunks(if looks { STEP } else { segment.len() }) {
            if used > 0 {
                let next = vector.short(step[0].weight().abs());
                if !open::<V, 1>(vector, exit, [&high, &low], &self.inputs.reach, next) {
                    break;
                }
            }
            for connection in step {
                let mut product = self.product(vector, connection);
                if !BOTH && aggregate == Aggregate::Min {
                    product = vector.sub_short(zero, product);
                }
                high[0] = vector.max_short(high[0], product);
                if BOTH {
                    low[0] = vector.min_short(low[0], product);
                }
            }
            used += step.len();
        }
        let (mut won, other) = joined(vector, aggregate, high[0], low[0]);
        if let Some(tied) = magnitude_tie(vector, aggregate, high[0], low[0]) {
            let tied = vector.and_short(tied, vector.load_short(&self.inputs.valid));
            won = self.first_of(vector, segment, won, tied);
        }
        for values in [Some(won), other].into_iter().flatten() {
            add(vector, values, integers);
        }
        (won, used)
    }

    /// In the lanes of `tied`, where two products have the magnitude that won: that of the lower
    /// input.
    #[cold]
    fn first_of<V: Shorts>(
        &self,
        vector: V,
        segment: &[Connection],
        won: V::Short,
        tied: V::Short,
    ) -> V::Short {
        let (mut values, mut ties) = ([0; LANES], [0; LANES]);
        vector.store_short(won, &mut values);
        vector.store_short(tied, &mut ties);
        let Inputs { values: inputs, lanes, .. } = *self.inputs;
        for (lane, value) in values[..V::SHORTS].iter_mut().enumerate() {
            if ties[lane] == 0 {
                continue;
            }
            let product =
                |c: &Connection| inputs[c.input as usize * lanes + lane].wrapping_mul(c.weight());
            let equal = segment.iter().filter(|c| product(c).abs() == value.abs());
            if let Some(first) = equal.min_by_key(|c| c.input) {
                *value = product(first);
            }
        }
        vector.load_short(&values)
    }

    /// Hands the outputs to the epilogue, row by row.
    #[inline(always)]
    fn finish<V: Shorts>(
        self,
        vector: V,
        integers: &[[i32; LANES]; PANEL],
        logs: &[[f32; LANES]; PANEL],
        width: usize,
    ) {
        let Self { joins, rows, at, epilogue, .. } = self;
        let soft = joins.aggregate.is_soft();
        for first in (0..width).step_by(V::LANES) {
            for lanes in (0..rows.len()).step_by(V::LANES) {
                let mut square = [vector.int(0); 16];
                for (values, integers) in square.iter_mut().zip(&integers[first..]).take(V::LANES) {
                    *values = vector.load_int(&integers[lanes..]);
                }
                vector.transpose(&mut square);
                for (lane, row) in (lanes..rows.len()).zip(rows.start + lanes..).take(V::LANES) {
                    let values = square[lane - lanes];
                    let extras = soft.then(|| of_lane(&logs[first..], lane, joins.log_scale));
                    let extras = extras.as_ref().map(|extras| &extras[..]);
                    apply(vector, (row, at + first), extras, epilogue, [[values]]);
                }
            }
        }
    }
}
