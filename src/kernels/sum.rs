//! The sum of products: GEMM and GEMV, with the epilogue on the tile.
//!
//! ```text
//! for each panel of NR outputs                  (its weights stay in the cache)
//!   for each tile of MR rows
//!     sums[MR][NR] = constants[NR]              (in registers)
//!     for each group of 4 inputs
//!       sums += weights[NR][4] * inputs[MR][4]
//!     correct, scale, clamp, round, store
//! ```
//! Weights are read in the order they were packed, inputs row by row as they lie in memory.
//! A single row splits its inputs over several sets of sums instead, to hide the latency of the
//! additions; sums of integers do not depend on the order.

#![expect(clippy::needless_range_loop, reason = "r and v say which row and vector")]

use core::marker::PhantomData;
use core::ops::Range;

use super::vector::{Narrow, Op, Product, Vector};
use super::{GROUP, proven};

/// Packed weights, and what belongs to each output.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// Panels of `vectors` vectors, the last one of fewer: `[panel][group][vector][WEIGHT_BYTES]`.
    pub packed: &'a [u8],
    /// Groups of 4 inputs.
    pub groups: usize,
    /// What each sum starts from; a multiple of LANES long, so it also tells the outputs.
    pub constants: &'a [i32],
}

/// The batch.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// Rows of bytes in the kernel's own form, each readable for `4 * groups` bytes.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub rows: usize,
    /// `sums[m][n] += row[m] * column[n]`: what zero points ask for that only a run knows.
    pub corrections: [Option<Correction<'a>>; 2],
}

/// A product of a row's number and an output's number.
#[derive(Clone, Copy)]
pub(crate) struct Correction<'a> {
    pub rows: &'a [i32],
    pub columns: &'a [i32],
}

/// What becomes of the sums. Arrays per output are as long as [`Panels::constants`].
pub(crate) enum Epilogue<'a> {
    /// They are stored as they are, in rows of `width`.
    Int { out: &'a mut [i32], width: usize },
    /// `narrow(round(sum * multiplier))`, in rows of `stride` of which `width` may be written.
    Bytes { out: &'a mut [u8], stride: usize, width: usize, multipliers: &'a [f32], narrow: Narrow },
    /// `sum * (row scale * scale) + bias`, clamped, in rows of `stride` of which `width` may be
    /// written. Without row scales they are 1.
    Float {
        out: &'a mut [f32],
        stride: usize,
        width: usize,
        scales: &'a [f32],
        row_scales: Option<&'a [f32]>,
        bias: Option<&'a [f32]>,
        min: f32,
        max: f32,
    },
}

/// Computes all outputs of all rows.
pub(crate) fn sum<P: Product>(
    panels: &Panels<'_>,
    inputs: &Inputs<'_>,
    mut epilogue: Epilogue<'_>,
) {
    let vector = proven::<P::Vector>();
    let lanes = P::Vector::LANES;
    let mut packed = panels.packed;
    let mut first = 0;
    while first < panels.constants.len() {
        let vectors = P::VECTORS.min((panels.constants.len() - first) / lanes);
        let (weights, rest) = packed.split_at(panels.groups * vectors * P::WEIGHT_BYTES);
        packed = rest;
        let panel = Panel {
            weights,
            next: if panels.packed.len() > CACHE_BYTES { rest } else { &[] },
            groups: panels.groups,
            constants: panels.constants,
            first,
        };
        match vectors {
            2 => rows::<P, 2>(vector, &panel, inputs, &mut epilogue),
            _ => rows::<P, 1>(vector, &panel, inputs, &mut epilogue),
        }
        first += vectors * lanes;
    }
}

/// One panel: the weights of a few vectors of outputs, from output `first` on.
struct Panel<'a> {
    weights: &'a [u8],
    /// What follows and should be fetched in the meantime; nothing if it is in the cache anyway.
    next: &'a [u8],
    groups: usize,
    constants: &'a [i32],
    first: usize,
}

/// Weights of more bytes than this are not in the second-level cache when their turn comes.
const CACHE_BYTES: usize = 2 << 20;

/// All rows of one panel, in tiles as equal as can be.
fn rows<P: Product, const V: usize>(
    vector: P::Vector,
    panel: &Panel<'_>,
    inputs: &Inputs<'_>,
    epilogue: &mut Epilogue<'_>,
) {
    const { assert!(P::VECTORS <= 2 && P::ROWS <= 12, "sum() and tile() know no larger tiles") };
    let tiles = inputs.rows.div_ceil(P::ROWS);
    let share = panel.next.len().min(panel.weights.len()) / tiles.max(1);
    let mut shares = panel.next.chunks(share.max(1));
    for i in 0..tiles {
        let rows = i * inputs.rows / tiles..(i + 1) * inputs.rows / tiles;
        // Tiles that fetch have code of their own, for the others would be slower for it; only the
        // largest two, as those are what many rows are split into.
        match shares.next() {
            Some(next) if rows.len() + 1 >= P::ROWS => {
                tile::<P, V, true>(vector, panel, inputs, Part { rows, next }, epilogue);
            }
            _ => {
                let part = Part { rows, next: &[] };
                tile::<P, V, false>(vector, panel, inputs, part, epilogue);
            }
        }
    }
}

/// What one tile is to do.
struct Part<'a> {
    rows: Range<usize>,
    /// What is to be fetched meanwhile, bit by bit: a burst would get in the way of the products.
    next: &'a [u8],
}

/// One tile, by the code made for just so many rows.
fn tile<P: Product, const V: usize, const FETCH: bool>(
    vector: P::Vector,
    panel: &Panel<'_>,
    inputs: &Inputs<'_>,
    part: Part<'_>,
    epilogue: &mut Epilogue<'_>,
) {
    macro_rules! by_rows {
        ($($r:literal)*) => {
            match part.rows.len() {
                $($r if const { P::ROWS >= $r && (!FETCH || P::ROWS <= $r + 1) } => {
                    let product = PhantomData::<P>;
                    let tile = Tile::<P, $r, V, FETCH> { product, panel, inputs, part, epilogue };
                    vector.vectorize(tile);
                })*
                rows => unreachable!("no tile has {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
}

type Int<P> = <<P as Product>::Vector as Vector>::Int;

/// The sums of a tile, in registers.
type Sums<P, const R: usize, const V: usize> = [[Int<P>; V]; R];

/// `R` rows times `V` vectors of outputs.
struct Tile<'t, 'e, P, const R: usize, const V: usize, const FETCH: bool> {
    product: PhantomData<P>,
    panel: &'t Panel<'t>,
    inputs: &'t Inputs<'t>,
    part: Part<'t>,
    epilogue: &'t mut Epilogue<'e>,
}

impl<P: Product, const R: usize, const V: usize, const FETCH: bool> Op<P::Vector>
    for Tile<'_, '_, P, R, V, FETCH>
{
    type Output = ();

    #[inline(always)]
    fn run(self, vector: P::Vector) {
        if let Epilogue::Bytes { out, stride, .. } = &self.epilogue {
            // The lines that are to be written are fetched while the products are under way.
            for r in 0..R {
                let at = (self.part.rows.start + r) * stride + self.panel.first;
                vector.prefetch(out[at..].as_ptr());
            }
        }
        // As many sets of sums as keep the multiplier busy while additions are under way.
        let sums = if const { R * V >= P::IN_FLIGHT } {
            self.products::<1>(vector)
        } else if const { R * V * 2 >= P::IN_FLIGHT } {
            self.products::<2>(vector)
        } else if const { R * V * 4 >= P::IN_FLIGHT } {
            self.products::<4>(vector)
        } else {
            self.products::<8>(vector)
        };
        self.finish(vector, sums);
    }
}

impl<P: Product, const R: usize, const V: usize, const FETCH: bool> Tile<'_, '_, P, R, V, FETCH> {
    const LANES: usize = P::Vector::LANES;

    /// The sums of products, with `S` sets of sums that take the groups in turn.
    #[inline(always)]
    fn products<const S: usize>(&self, vector: P::Vector) -> Sums<P, R, V> {
        let Panel { weights, groups, constants, first, .. } = *self.panel;
        let mut rows: [&[[u8; GROUP]]; R] = [&[]; R];
        for (r, of) in rows.iter_mut().enumerate() {
            let bytes = &self.inputs.bytes[(self.part.rows.start + r) * self.inputs.stride..];
            *of = &bytes[..groups * GROUP].as_chunks().0[..groups];
        }
        let mut sets = [[[vector.int(0); V]; R]; S];
        for v in 0..V {
            let constant = vector.load_int(&constants[first + v * Self::LANES..][..Self::LANES]);
            for r in 0..R {
                sets[0][r][v] = constant;
            }
        }
        let (next, step) = (self.part.next.as_ptr(), self.part.next.len() / groups);
        let bytes = V * P::WEIGHT_BYTES;
        let turns = groups / S;
        let in_turns = rows.map(|row| &row.as_chunks::<S>().0[..turns]);
        for (turn, weights) in weights.chunks_exact(S * bytes).enumerate() {
            for (s, set) in sets.iter_mut().enumerate() {
                if FETCH {
                    vector.prefetch(next.wrapping_add((turn * S + s) * step));
                }
                multiply::<P, R, V>(vector, set, &weights[s * bytes..][..bytes], |r| {
                    in_turns[r][turn][s]
                });
            }
        }
        for group in turns * S..groups {
            let weights = &weights[group * bytes..][..bytes];
            multiply::<P, R, V>(vector, &mut sets[0], weights, |r| rows[r][group]);
        }
        let mut sums = sets[0];
        for set in &sets[1..] {
            for r in 0..R {
                for v in 0..V {
                    sums[r][v] = vector.add(sums[r][v], set[r][v]);
                }
            }
        }
        sums
    }

    /// Corrects, scales, clamps, rounds and stores the tile's sums.
    #[inline(always)]
    fn finish(self, vector: P::Vector, mut sums: Sums<P, R, V>) {
        let (first, row) = (self.panel.first, self.part.rows.start);
        for Correction { rows, columns } in self.inputs.corrections.iter().flatten() {
            for v in 0..V {
                let column = vector.load_int(&columns[first + v * Self::LANES..][..Self::LANES]);
                for r in 0..R {
                    let product = vector.mul(column, vector.int(rows[row + r]));
                    sums[r][v] = vector.add(sums[r][v], product);
                }
            }
        }
        match self.epilogue {
            Epilogue::Int { out, width } => {
                for (r, v) in each::<R, V>() {
                    let output = first + v * Self::LANES;
                    let out = &mut out[(row + r) * *width + output..];
                    let lanes = Self::LANES.min(*width - output);
                    vector.store_int(sums[r][v], &mut out[..lanes]);
                }
            }
            Epilogue::Bytes { out, stride, width, multipliers, narrow } => {
                let mut rounded = sums;
                for v in 0..V {
                    let by = &multipliers[first + v * Self::LANES..][..Self::LANES];
                    let by = vector.load_float(by);
                    for r in 0..R {
                        let real = vector.mul_float(vector.to_float(sums[r][v]), by);
                        rounded[r][v] = vector.round(real);
                    }
                }
                let out = &mut out[row * *stride..];
                Self::store_bytes(vector, &rounded, narrow, out, first, *stride, *width);
            }
            Epilogue::Float { out, stride, width, scales, row_scales, bias, min, max } => {
                let (min, max) = (vector.float(*min), vector.float(*max));
                for v in 0..V {
                    let output = first + v * Self::LANES;
                    let lanes = Self::LANES.min(*width - output);
                    let scales = vector.load_float(&scales[output..][..Self::LANES]);
                    let bias = bias.map(|bias| vector.load_float(&bias[output..][..Self::LANES]));
                    for r in 0..R {
                        let scale = match row_scales {
                            Some(rows) => vector.mul_float(vector.float(rows[row + r]), scales),
                            None => scales,
                        };
                        let mut real = vector.mul_float(vector.to_float(sums[r][v]), scale);
                        if let Some(bias) = bias {
                            real = vector.add_float(real, bias);
                        }
                        let clamped = vector.min_float(vector.max_float(real, min), max);
                        let start = (row + r) * *stride + output;
                        vector.store_float(clamped, &mut out[start..start + lanes]);
                    }
                }
            }
        }
    }

    /// Narrows and stores four vectors at a time: of two rows, or of four if the panel is narrow.
    #[inline(always)]
    fn store_bytes(
        vector: P::Vector,
        values: &Sums<P, R, V>,
        narrow: &Narrow,
        out: &mut [u8],
        first: usize,
        stride: usize,
        width: usize,
    ) {
        let whole = first + V * Self::LANES <= width;
        for r in (0..R).step_by(4 / V) {
            // Rows that are not there repeat the last one and are not stored.
            let value = |i: usize| values[(r + i / V).min(R - 1)][i % V];
            let bytes = vector.narrow([value(0), value(1), value(2), value(3)], narrow);
            for i in 0..(4 / V).min(R - r) {
                let out = &mut out[(r + i) * stride + first..];
                if V == 2 && whole {
                    vector.store_half(bytes, i, &mut out[..2 * Self::LANES]);
                    continue;
                }
                for v in 0..V {
                    let lanes = Self::LANES.min(width - first - v * Self::LANES);
                    let out = &mut out[v * Self::LANES..][..lanes];
                    vector.store_quarter(bytes, i * V + v, out);
                }
            }
        }
    }
}

/// The places of a tile's vectors.
fn each<const R: usize, const V: usize>() -> impl Iterator<Item = (usize, usize)> {
    (0..R).flat_map(|r| (0..V).map(move |v| (r, v)))
}

/// One group of inputs of `R` rows, times its weights, onto the sums.
#[inline(always)]
fn multiply<P: Product, const R: usize, const V: usize>(
    vector: P::Vector,
    sums: &mut Sums<P, R, V>,
    weights: &[u8],
    inputs: impl Fn(usize) -> [u8; GROUP],
) {
    let mut vectors = [P::weights(vector, &weights[..P::WEIGHT_BYTES]); V];
    for v in 1..V {
        vectors[v] = P::weights(vector, &weights[v * P::WEIGHT_BYTES..][..P::WEIGHT_BYTES]);
    }
    for r in 0..R {
        let inputs = P::inputs(vector, inputs(r));
        for v in 0..V {
            sums[r][v] = P::dot(vector, sums[r][v], vectors[v], inputs);
        }
    }
}
