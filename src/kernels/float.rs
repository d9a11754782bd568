//! Sums of products of real numbers.
//!
//! Such a sum depends on its order. So each adds its products one after the other, and is as slow as
//! that; but many are under way at once, for lanes are outputs:
//! ```text
//! for each panel of up to 4 vectors of outputs  (its weights stay in the cache)
//!   for each tile of up to 3 rows
//!     sums[rows][outputs] = 0                   (in registers)
//!     for each input
//!       sums += inputs[rows] * weights[outputs] (rounded twice)
//!     add the bias, store
//! ```
//! Weights are packed `[panel][input][output]` and read in that order.

#![expect(clippy::needless_range_loop, reason = "r and v say which row and vector")]

use alloc::vec::Vec;
use core::hint::black_box;
use core::ops::Range;

use super::map::one_nan;
use super::proven;
use super::vector::{Op, Vector};
use crate::pack::{Line, aligned};

/// Rows of a tile at most.
const ROWS: usize = 3;

/// Vectors of a panel, but for what the last outputs need: then 4, 2 and 1, as far as they are there.
const VECTORS: usize = 4;

/// Weights and biases for vectors of so many lanes.
#[derive(Debug)]
pub(crate) struct Packed {
    lines: Vec<Line>,
    /// Padded.
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
    lanes: usize,
}

impl Packed {
    /// Packs `weights`, `[out][in]`, with a bias of each output.
    pub fn new(weights: &[f32], inputs: usize, bias: Option<&[f32]>, lanes: usize) -> Self {
        let outputs = weights.len() / inputs;
        let padded = outputs.next_multiple_of(lanes);
        let bias = bias.map(|bias| {
            let mut bias = bias.to_vec();
            bias.resize(padded, 0.0);
            bias
        });
        let mut packed = Self { lines: Vec::new(), bias, inputs, outputs, lanes };
        let mut lines = aligned(4 * padded * inputs);
        let to: &mut [f32] = bytemuck::cast_slice_mut(&mut lines);
        let mut first = 0;
        while first < outputs {
            let width = packed.vectors(first) * lanes;
            let rows = weights[first * inputs..].chunks_exact(inputs).take(width);
            for (n, row) in rows.enumerate() {
                for (k, w) in row.iter().enumerate() {
                    to[first * inputs + k * width + n] = *w;
                }
            }
            first += width;
        }
        packed.lines = lines;
        packed
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Outputs of a panel.
    pub fn panel(&self) -> usize {
        VECTORS * self.lanes
    }

    pub fn bytes(&self) -> usize {
        4 * self.outputs.next_multiple_of(self.lanes) * self.inputs
    }

    /// How many vectors of outputs are computed together from this one on.
    fn vectors(&self, first: usize) -> usize {
        match (self.outputs - first).div_ceil(self.lanes) {
            VECTORS.. => VECTORS,
            2.. => 2,
            _ => 1,
        }
    }
}

/// Rows of real numbers.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    /// Values from one row to the next.
    pub stride: usize,
    pub count: usize,
}

/// Computes the outputs of some panels of all rows; those of row r begin at `out[r * stride]`.
pub(crate) fn sums<V: Vector>(
    packed: &Packed,
    panels: Range<usize>,
    rows: Rows<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let (vector, start) = (proven::<V>(), panels.start * packed.panel());
    let end = packed.outputs.min(panels.end * packed.panel());
    let weights: &[f32] = bytemuck::cast_slice(&packed.lines);
    let mut first = start;
    while first < end {
        let vectors = packed.vectors(first);
        let width = vectors * packed.lanes;
        let part = Part {
            weights: &weights[first * packed.inputs..][..width * packed.inputs],
            bias: packed.bias.as_ref().map(|bias| &bias[first..]),
            at: first - start,
            width: width.min(end - first),
            rows,
            stride,
        };
        match vectors {
            VECTORS => part.tiles::<V, VECTORS>(vector, out),
            2 => part.tiles::<V, 2>(vector, out),
            _ => part.tiles::<V, 1>(vector, out),
        }
        first += width;
    }
}

/// Outputs that are computed together.
struct Part<'a> {
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    /// Where the first one lies in an output row.
    at: usize,
    /// How many there are, without padding.
    width: usize,
    rows: Rows<'a>,
    /// Values from one output row to the next.
    stride: usize,
}

impl Part<'_> {
    fn tiles<V: Vector, const N: usize>(&self, vector: V, out: &mut [f32]) {
        let mut row = 0;
        while row < self.rows.count {
            let out = &mut out[row * self.stride + self.at..];
            row += match self.rows.count - row {
                1 => vector.vectorize(Tile::<1, N> { part: self, row, out }),
                2 => vector.vectorize(Tile::<2, N> { part: self, row, out }),
                _ => vector.vectorize(Tile::<ROWS, N> { part: self, row, out }),
            };
        }
    }
}

/// `R` rows times `N` vectors of outputs; answers how many rows it has done.
struct Tile<'t, 'a, const R: usize, const N: usize> {
    part: &'t Part<'a>,
    row: usize,
    out: &'t mut [f32],
}

impl<V: Vector, const R: usize, const N: usize> Op<V> for Tile<'_, '_, R, N> {
    type Output = usize;

    #[inline(always)]
    fn run(self, vector: V) -> usize {
        let Self { part: Part { weights, bias, width, rows, stride, .. }, row, out } = self;
        let inputs = weights.len() / (N * V::LANES);
        let x: [&[f32]; R] =
            core::array::from_fn(|r| &rows.values[(row + r) * rows.stride..][..inputs]);
        let mut sums = [[vector.float(0.0); N]; R];
        for (k, weights) in weights.chunks_exact(N * V::LANES).enumerate() {
            multiply(vector, &mut sums, weights, |r| x[r][k]);
        }
        for r in 0..R {
            let out = &mut out[r * stride..][..*width];
            for v in 0..N {
                let at = v * V::LANES;
                let mut sum = sums[r][v];
                if let Some(bias) = bias {
                    sum = vector.add_float(sum, vector.load_float(&bias[at..]));
                }
                vector.store_float(one_nan(vector, sum), &mut out[at..]);
            }
        }
        R
    }
}

/// One input of `R` rows, times its weights, onto the sums.
#[inline(always)]
fn multiply<V: Vector, const R: usize, const N: usize>(
    vector: V,
    sums: &mut [[V::Float; N]; R],
    weights: &[f32],
    x: impl Fn(usize) -> f32,
) {
    let x: [V::Float; R] = core::array::from_fn(|r| vector.float(x(r)));
    for v in 0..N {
        let w = vector.load_float(&weights[v * V::LANES..]);
        for r in 0..R {
            sums[r][v] = vector.add_float(sums[r][v], vector.mul_float(x[r], w));
        }
    }
}

/// Runs `rounds` rounds of a whole tile, always with the same weights; answers how many products
/// they are.
pub(crate) fn peak<V: Vector>(rounds: usize) -> usize {
    proven::<V>().vectorize(Peak { rounds });
    rounds * ROWS * VECTORS * V::LANES
}

struct Peak {
    rounds: usize,
}

impl<V: Vector> Op<V> for Peak {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let (weights, x) = ([1.0_f32; 16 * VECTORS], [0.5_f32; ROWS]);
        let mut sums = [[vector.float(0.0); VECTORS]; ROWS];
        for _ in 0..self.rounds {
            // Both are read anew each time, as a kernel must; loads have ports of their own.
            let (weights, x) = black_box((&weights, &x));
            multiply(vector, &mut sums, weights, |r| x[r]);
        }
        let mut out = [0.0; 16];
        for sum in sums.into_iter().flatten() {
            vector.store_float(sum, &mut out);
            black_box(out);
        }
    }
}
