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

use core::ops::Range;

use super::extremes::{Exit, open};
use super::join::{joined, magnitude_tie};
use super::soft::{Sums, decay};
use super::{Aggregate, Epilogue, Finish, Joins, Outputs, PANEL, Shorts};
use crate::kernels::proven;
use crate::kernels::vector::Op;

/// The connections of a layer, output by output, block by block, the largest weights first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    inputs: usize,
    outputs: usize,
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
        let mut new = Self { inputs, outputs, ..Self::default() };
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

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn panels(&self) -> usize {
        self.panels.len()
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
        self.inputs * shorts / 2
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
    let inputs = &mut bytemuck::cast_slice_mut(room)[..connections.inputs * V::SHORTS];
    let mut looked = 0;
    for first in (0..batch.rows).step_by(V::SHORTS) {
        let rows = first..batch.rows.min(first + V::SHORTS);
        let reach = vector.vectorize(Transpose { connections, batch, rows: rows.clone(), inputs });
        for panel in panels.clone() {
            let at = (panel - panels.start) * PANEL;
            let (inputs, rows, epilogue) = (&*inputs, rows.clone(), &mut epilogue);
            let group =
                Group { connections, joins, batch, inputs, reach, rows, panel, at, epilogue };
            looked += vector.vectorize(group);
        }
    }
    looked
}

/// Brings the inputs of some rows side by side; answers the largest magnitude of each row's.
struct Transpose<'a> {
    connections: &'a Connections,
    batch: &'a Bytes<'a>,
    rows: Range<usize>,
    /// `[input][row]`, with zeros for rows that are not there.
    inputs: &'a mut [i16],
}

/// Lanes at most.
const LANES: usize = 64;

impl<V: Shorts> Op<V> for Transpose<'_> {
    type Output = [i16; LANES];

    #[inline(always)]
    fn run(self, _: V) -> [i16; LANES] {
        let Self { connections, batch, rows, inputs } = self;
        if rows.len() < V::SHORTS {
            inputs.fill(0);
        }
        let mut reach = [0; LANES];
        for (lane, row) in rows.enumerate() {
            let zero_point = of_row(batch.zero_points, row) as i16;
            let bytes = &batch.bytes[row * batch.stride..][..connections.inputs];
            for (inputs, &byte) in inputs.chunks_exact_mut(V::SHORTS).zip(bytes) {
                let x = i16::from((byte ^ batch.flip) as i8) - zero_point;
                inputs[lane] = x;
                reach[lane] = x.abs().max(reach[lane]);
            }
        }
        reach
    }
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

/// A panel of a group of rows.
struct Group<'a, 'e> {
    connections: &'a Connections,
    joins: &'a Joins<'a>,
    batch: &'a Bytes<'a>,
    /// `[input][row]`
    inputs: &'a [i16],
    reach: [i16; LANES],
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
        let Self { connections, joins, panel, at, .. } = self;
        let rows = self.rows.clone();
        let mut integers = [[0_i32; LANES]; PANEL];
        let mut logs = [[0.0_f32; LANES]; PANEL];
        let mut looked = 0;
        for (output, segment) in connections.panel(panel) {
            let n = output % PANEL;
            let (won, used) = match joins.aggregate.is_one_sided() {
                true => self.segment::<V, false>(vector, segment, &mut integers[n]),
                false => self.segment::<V, true>(vector, segment, &mut integers[n]),
            };
            looked += used as u64;
            if let Aggregate::SoftAbsMax { alpha } = joins.aggregate {
                let mut decays = [0.0; LANES];
                for (decay, row) in decays.iter_mut().zip(rows.clone()) {
                    let unit = of_row(self.batch.scales, row) * joins.scales[output];
                    *decay = self::decay(unit, alpha);
                }
                let mut sums = Sums::new(vector, won, &decays[..V::SHORTS]);
                for connection in segment {
                    sums.add(vector, self.product(vector, connection));
                }
                sums.add_logs(vector, 0, won, &mut logs[n]);
            }
        }
        let width = PANEL.min(connections.outputs - panel * PANEL);
        let constants = &joins.constants[panel * PANEL..];
        for (lane, row) in rows.clone().enumerate() {
            let mut outputs = Outputs { integers: [0; PANEL], logs: [0.0; PANEL] };
            for n in 0..width {
                outputs.integers[n] = constants[n] + integers[n][lane];
                outputs.logs[n] = logs[n][lane];
            }
            let (outputs, epilogue) = (&mut outputs, &mut *self.epilogue);
            Finish { joins, at: (row, at), width, outputs, epilogue }.run(vector);
        }
        looked * rows.len() as u64
    }
}

impl Group<'_, '_> {
    #[inline(always)]
    fn product<V: Shorts>(&self, vector: V, connection: &Connection) -> V::Short {
        let inputs = &self.inputs[connection.input as usize * V::SHORTS..][..V::SHORTS];
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
        let negate = aggregate == Aggregate::Min;
        let zero = vector.short(0);
        let exit = Exit::of(aggregate);
        let mut high = [vector.short(i16::MIN)];
        let mut low = [vector.short(i16::MAX)];
        let mut used = 0;
        for step in segment.chunks(STEP) {
            if used > 0 {
                let next = vector.short(step[0].weight().abs());
                if !open::<V, 1>(vector, exit, [&high, &low], &self.reach, next) {
                    break;
                }
            }
            for connection in step {
                let mut product = self.product(vector, connection);
                if negate {
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
            won = self.first_of(vector, segment, won, tied);
        }
        for values in [Some(won), other].into_iter().flatten() {
            for (i, values) in vector.widen(values).into_iter().enumerate() {
                let integers = &mut integers[i * V::LANES..][..V::LANES];
                vector.store_int(vector.add(vector.load_int(integers), values), integers);
            }
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
        for (lane, value) in values[..V::SHORTS].iter_mut().enumerate() {
            if ties[lane] == 0 {
                continue;
            }
            let product = |c: &Connection| {
                self.inputs[c.input as usize * V::SHORTS + lane].wrapping_mul(c.weight())
            };
            let equal = segment.iter().filter(|c| product(c).abs() == value.abs());
            if let Some(first) = equal.min_by_key(|c| c.input) {
                *value = product(first);
            }
        }
        vector.load_short(&values)
    }
}
