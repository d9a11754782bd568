//! Products that meet by a maximum.
//!
//! ```text
//! for each panel of up to 64 outputs            (its weights stay in the cache)
//!   for each tile of rows
//!     outputs = bias
//!     for each block of inputs
//!       extremes of the products                (all inputs, or the largest first: extremes.rs)
//!       outputs += what they give               (join.rs; soft.rs)
//!     scale, clamp, round, store                (the epilogue of sums)
//! ```
//! Products of x - zx and w fit 16 bits, so lanes have 16 bits and are outputs. Weights are packed
//! `[panel][input][output]`, a byte each: a panel's weights for one input are a line of the cache.
//! The smallest product is the largest one of inputs with the other sign.

mod extremes;
mod join;
mod pack;
mod peak;
mod prepare;
mod pruned;
pub(crate) mod soft;

pub(crate) use pack::Packed;
pub(crate) use peak::peak;
pub(crate) use prepare::{Preparation, SAMPLE, prepare};
pub(crate) use pruned::{Bytes, Connections, pruned};

use core::ops::Range;

use self::extremes::{Exit, ROWS, Sorted, Tile};
use self::join::{Join, Products};
use self::prepare::Order;
pub(super) use self::prepare::Row;
use self::soft::Soft;
use super::proven;
use super::sum::{Epilogue, apply};
use super::vector::{Op, Shorts};

/// Outputs of a panel, but for the last one.
pub(crate) const PANEL: usize = 64;

/// How the products of an output meet.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Aggregate {
    /// The largest product.
    Max,
    /// The smallest product.
    Min,
    /// The product of the largest magnitude, with its sign. Of equal magnitudes the one of the lowest
    /// input counts.
    AbsMax,
    /// `(m + ln(sum over k of exp(alpha * (|p[k]| - m))) / alpha) * sign(winner)`, where m is the
    /// largest magnitude of the real products p, and the winner that of [`Aggregate::AbsMax`].
    SoftAbsMax {
        /// How sharply the largest magnitude stands out; positive, in one over the unit of the
        /// products.
        alpha: f32,
    },
    /// The sum of the products, divided by their number.
    Mean,
    /// The largest product plus the smallest: the multiply-and-max/min neuron of Prono, Bich,
    /// Mangia, Pareschi, Rovatti and Setti (<https://doi.org/10.36227/techrxiv.22561567>).
    Mam,
}

impl Aggregate {
    /// As messages and listings name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Aggregate::Max => "max",
            Aggregate::Min => "min",
            Aggregate::AbsMax => "abs_max",
            Aggregate::SoftAbsMax { .. } => "soft_abs_max",
            Aggregate::Mean => "mean",
            Aggregate::Mam => "mam",
        }
    }

    /// How many inputs win, in each block: the largest product and the smallest, or one of both; of a
    /// mean none.
    pub const fn winners(&self) -> usize {
        match self {
            Aggregate::Mean => 0,
            Aggregate::Mam => 2,
            _ => 1,
        }
    }

    /// Whether only the largest product counts, or only the smallest.
    const fn is_one_sided(&self) -> bool {
        matches!(self, Aggregate::Max | Aggregate::Min)
    }

    /// Whether logarithms are added.
    pub(crate) const fn is_soft(&self) -> bool {
        matches!(self, Aggregate::SoftAbsMax { .. })
    }

    /// Its parameter; 0 if it has none.
    pub(crate) const fn alpha(&self) -> f32 {
        match self {
            Aggregate::SoftAbsMax { alpha } => *alpha,
            _ => 0.0,
        }
    }

    /// As the file numbers it.
    pub(crate) const fn code(&self) -> u32 {
        match self {
            Aggregate::Max => 0,
            Aggregate::Min => 1,
            Aggregate::AbsMax => 2,
            Aggregate::SoftAbsMax { .. } => 3,
            Aggregate::Mean => 4,
            Aggregate::Mam => 5,
        }
    }

    pub(crate) const fn from_code(code: u32, alpha: f32) -> Option<Self> {
        Some(match code {
            0 => Aggregate::Max,
            1 => Aggregate::Min,
            2 => Aggregate::AbsMax,
            3 => Aggregate::SoftAbsMax { alpha },
            4 => Aggregate::Mean,
            5 => Aggregate::Mam,
            _ => return None,
        })
    }
}

/// What a layer does with its products; arrays are per output.
#[derive(Clone, Copy)]
pub(crate) struct Joins<'a> {
    pub aggregate: Aggregate,
    /// What each integer starts from, padded.
    pub constants: &'a [i32],
    /// The scales of the weights, padded: for soft maxima.
    pub scales: &'a [f32],
    /// What a soft maximum's logarithm is multiplied with.
    pub log_scale: f32,
}

/// A batch of prepared rows.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub words: &'a [i32],
    pub prepared: &'a Preparation,
    /// Words from one row to the next.
    pub stride: usize,
    pub rows: usize,
    /// The scale of the inputs: for all rows, or for each.
    pub scales: &'a [f32],
}

impl<'a> Batch<'a> {
    fn row(&self, row: usize) -> Row<'a> {
        Row::of(&self.words[row * self.stride..], self.prepared)
    }
}

/// The largest and the smallest products of a panel, for one row.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Extremes {
    high: [i16; PANEL],
    low: [i16; PANEL],
}

/// What becomes the outputs of a panel, for one row.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Outputs {
    integers: [i32; PANEL],
    /// Of soft maxima, the logarithms with the winners' signs.
    logs: [f32; PANEL],
}

/// Memory for the rows of a tile.
struct Room {
    extremes: [Extremes; ROWS],
    outputs: [Outputs; ROWS],
}

impl Default for Room {
    fn default() -> Self {
        Self {
            extremes: [Extremes { high: [0; PANEL], low: [0; PANEL] }; ROWS],
            outputs: [Outputs { integers: [0; PANEL], logs: [0.0; PANEL] }; ROWS],
        }
    }
}

/// Computes the outputs of some panels of all rows. The epilogue's arrays, and the output rows, begin
/// with the first panel's. Answers how many products were looked at.
pub(crate) fn products<V: Shorts>(
    packed: &Packed,
    joins: &Joins<'_>,
    batch: &Batch<'_>,
    panels: Range<usize>,
    mut epilogue: Epilogue<'_>,
) -> u64 {
    let vector = proven::<V>();
    let first = panels.start;
    let mut used = 0;
    let mut room = Room::default();
    for panel in panels {
        let panel = Panel { packed, joins, number: panel, at: (panel - first) * PANEL };
        // Rows with all inputs go in tiles, also where there are others between them.
        let (mut tile, mut count) = ([0; ROWS], 0);
        for row in 0..batch.rows {
            if batch.row(row).is_sorted() {
                used += panel.tile(vector, batch, &[row], &mut room, &mut epilogue);
                continue;
            }
            tile[count] = row;
            count += 1;
            if count == ROWS {
                used += panel.tile(vector, batch, &tile, &mut room, &mut epilogue);
                count = 0;
            }
        }
        if count > 0 {
            used += panel.tile(vector, batch, &tile[..count], &mut room, &mut epilogue);
        }
    }
    used
}

/// One panel.
struct Panel<'a> {
    packed: &'a Packed,
    joins: &'a Joins<'a>,
    number: usize,
    /// Where its outputs lie in the output rows.
    at: usize,
}

impl Panel<'_> {
    /// Computes one row, or some that have no order; answers how many products were looked at.
    fn tile<V: Shorts>(
        &self,
        vector: V,
        batch: &Batch<'_>,
        rows: &[usize],
        Room { extremes, outputs }: &mut Room,
        epilogue: &mut Epilogue<'_>,
    ) -> u64 {
        let (packed, Joins { aggregate, constants, .. }) = (self.packed, *self.joins);
        let count = rows.len();
        let row = |r: usize| batch.row(rows[r.min(count - 1)]);
        let prepared: [Row<'_>; ROWS] = core::array::from_fn(row);
        let constants = &constants[self.number * PANEL..];
        let width = packed.width(self.number);
        for outputs in &mut outputs[..count] {
            outputs.integers[..width].copy_from_slice(&constants[..width]);
            if aggregate.is_soft() {
                outputs.logs = [0.0; PANEL];
            }
        }
        let width_here = (packed.outputs() - self.number * PANEL).min(PANEL);
        let mut used = 0;
        for block in 0..packed.blocks() {
            let (weights, inputs) = packed.block(self.number, block);
            let widest = packed.widest(self.number, block);
            let pairs = |r: usize| &prepared[r].pairs[inputs.clone()];
            let of = |r: usize| Products { weights, width, pairs: pairs(r) };
            let order =
                |r: usize| prepared[r].is_sorted().then(|| prepared[r].order(block, inputs.start));
            used += if let Some(order) = order(0) {
                self.sorted(vector, of(0), order, widest, &mut extremes[0])
            } else {
                match count {
                    1 => self.whole(vector, [of(0)], extremes),
                    2 => self.whole(vector, [of(0), of(1)], extremes),
                    _ => self.whole(vector, [of(0), of(1), of(2)], extremes),
                }
                count * inputs.len()
            };
            for r in 0..count {
                let (extremes, outputs) = (&mut extremes[r], &mut outputs[r]);
                let products = of(r);
                vector.vectorize(Join { aggregate, products, extremes, outputs });
                if let Aggregate::SoftAbsMax { alpha } = aggregate {
                    vector.vectorize(Soft {
                        products,
                        order: order(r),
                        widest,
                        won: &extremes.high,
                        unit: *batch.scales.get(rows[r]).unwrap_or(&batch.scales[0]),
                        scales: &self.joins.scales[self.number * PANEL..],
                        alpha,
                        bits: soft::bits(packed.block_inputs()),
                        logs: &mut outputs.logs,
                    });
                }
            }
        }
        for (r, outputs) in outputs[..count].iter_mut().enumerate() {
            let (at, width) = ((rows[r], self.at), width_here);
            vector.vectorize(Finish { joins: self.joins, at, width, outputs, epilogue });
        }
        (used * width_here) as u64
    }

    /// Some rows with all inputs.
    fn whole<V: Shorts, const R: usize>(
        &self,
        vector: V,
        products: [Products<'_>; R],
        extremes: &mut [Extremes; ROWS],
    ) {
        let Products { weights, width, .. } = products[0];
        let rows = products.map(|products| products.pairs);
        match self.joins.aggregate.is_one_sided() {
            true => vector.vectorize(Tile::<R, false> { weights, width, rows, extremes }),
            false => vector.vectorize(Tile::<R, true> { weights, width, rows, extremes }),
        }
    }

    /// One row, the largest inputs first. Answers how many were looked at.
    fn sorted<V: Shorts>(
        &self,
        vector: V,
        products: Products<'_>,
        order: Order<'_>,
        widest: &[i16],
        extremes: &mut Extremes,
    ) -> usize {
        let exit = Exit::of(self.joins.aggregate);
        match self.joins.aggregate.is_one_sided() {
            true => vector.vectorize(Sorted::<false> { products, order, widest, exit, extremes }),
            false => vector.vectorize(Sorted::<true> { products, order, widest, exit, extremes }),
        }
    }
}

/// Hands a row's outputs of a panel to the epilogue.
struct Finish<'a, 'e> {
    joins: &'a Joins<'a>,
    at: (usize, usize),
    /// Outputs of the panel, without padding.
    width: usize,
    outputs: &'a mut Outputs,
    epilogue: &'a mut Epilogue<'e>,
}

impl<V: Shorts> Op<V> for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { joins, at: (row, first), width, outputs, epilogue } = self;
        let soft = joins.aggregate.is_soft();
        if soft {
            for log in &mut outputs.logs {
                *log *= joins.log_scale;
            }
        }
        let mut at = 0;
        // The last vector, and only that, may have fewer outputs than lanes.
        while at < width.min(PANEL) {
            let integers = &outputs.integers[at..];
            let (place, extras) = ((row, first + at), soft.then_some(&outputs.logs[at..]));
            let left = (width - at).div_ceil(V::LANES);
            if left >= 4 {
                let mut four = [vector.int(0); 4];
                for (i, values) in four.iter_mut().enumerate() {
                    *values = vector.load_int(&integers[i * V::LANES..]);
                }
                apply(vector, place, extras, epilogue, [four]);
                at += 4 * V::LANES;
            } else if left >= 2 {
                let two = [vector.load_int(integers), vector.load_int(&integers[V::LANES..])];
                apply(vector, place, extras, epilogue, [two]);
                at += 2 * V::LANES;
            } else {
                apply(vector, place, extras, epilogue, [[vector.load_int(integers)]]);
                at += V::LANES;
            }
        }
    }
}
