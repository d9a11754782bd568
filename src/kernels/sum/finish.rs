//! The epilogue: corrects, scales, clamps, rounds and stores sums.

#![expect(clippy::needless_range_loop, reason = "r and v say which row and vector")]

use super::{Correction, Epilogue, Inputs, Sums};
use crate::kernels::vector::{Narrow, Vector};

/// Finishes the sums of the rows from `row` on and of the outputs from `first` on.
#[inline(always)]
pub(super) fn finish<V: Vector, const R: usize, const N: usize>(
    vector: V,
    (row, first): (usize, usize),
    inputs: &Inputs<'_>,
    epilogue: &mut Epilogue<'_>,
    mut sums: Sums<V, R, N>,
) {
    if let Some(constants) = inputs.row_constants {
        for (sums, &constant) in sums.iter_mut().zip(&constants[row..][..R]) {
            let constant = vector.int(constant);
            for sum in sums {
                *sum = vector.add(*sum, constant);
            }
        }
    }
    for Correction { rows, columns } in inputs.corrections.iter().flatten() {
        for v in 0..N {
            let column = vector.load_int(&columns[first + v * V::LANES..][..V::LANES]);
            for r in 0..R {
                let product = vector.mul(column, vector.int(rows[row + r]));
                sums[r][v] = vector.add(sums[r][v], product);
            }
        }
    }
    apply(vector, (row, first), None, epilogue, sums);
}

/// What an epilogue does with the integers of the rows from `row` on and of the outputs from `first`
/// on. `extras`, one for each lane of a single row, are added once an integer is scaled.
#[inline(always)]
pub(crate) fn apply<V: Vector, const R: usize, const N: usize>(
    vector: V,
    (row, first): (usize, usize),
    extras: Option<&[f32]>,
    epilogue: &mut Epilogue<'_>,
    sums: Sums<V, R, N>,
) {
    match epilogue {
        Epilogue::Int { out, stride, width } => {
            for (r, v) in each::<R, N>() {
                let output = first + v * V::LANES;
                let out = &mut out[(row + r) * *stride + output..];
                let lanes = V::LANES.min(*width - output);
                vector.store_int(sums[r][v], &mut out[..lanes]);
            }
        }
        Epilogue::Bytes { out, stride, width, multipliers, narrow } => {
            let mut rounded = sums;
            for v in 0..N {
                let by = &multipliers[first + v * V::LANES..][..V::LANES];
                let by = vector.load_float(by);
                for r in 0..R {
                    let real = vector.mul_float(vector.to_float(sums[r][v]), by);
                    rounded[r][v] = vector.round(extra(vector, extras, v, real));
                }
            }
            let out = &mut out[row * *stride..];
            store_bytes(vector, &rounded, narrow, out, first, *stride, *width);
        }
        Epilogue::Float { out, stride, width, scales, row_scales, bias, min, max } => {
            let (min, max) = (vector.float(*min), vector.float(*max));
            for v in 0..N {
                let output = first + v * V::LANES;
                let lanes = V::LANES.min(*width - output);
                let scales = vector.load_float(&scales[output..][..V::LANES]);
                let bias = bias.map(|bias| vector.load_float(&bias[output..][..V::LANES]));
                for r in 0..R {
                    let scale = match row_scales {
                        Some(rows) => vector.mul_float(vector.float(rows[row + r]), scales),
                        None => scales,
                    };
                    let real = vector.mul_float(vector.to_float(sums[r][v]), scale);
                    let mut real = extra(vector, extras, v, real);
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

/// Adds what belongs to vector `v`.
#[inline(always)]
fn extra<V: Vector>(vector: V, extras: Option<&[f32]>, v: usize, real: V::Float) -> V::Float {
    match extras {
        Some(extras) => vector.add_float(real, vector.load_float(&extras[v * V::LANES..])),
        None => real,
    }
}

/// Narrows and stores four vectors at a time: of one row, of two, or of four if there is one vector
/// a row.
#[inline(always)]
fn store_bytes<V: Vector, const R: usize, const N: usize>(
    vector: V,
    values: &Sums<V, R, N>,
    narrow: &Narrow,
    out: &mut [u8],
    first: usize,
    stride: usize,
    width: usize,
) {
    const { assert!(N == 1 || N == 2 || N == 4) };
    let whole = first + N * V::LANES <= width;
    for r in (0..R).step_by(4 / N) {
        // Rows that are not there repeat the last one and are not stored.
        let value = |i: usize| values[(r + i / N).min(R - 1)][i % N];
        let bytes = vector.narrow([value(0), value(1), value(2), value(3)], narrow);
        for i in 0..(4 / N).min(R - r) {
            let out = &mut out[(r + i) * stride + first..];
            if N > 1 && whole {
                for half in 0..N / 2 {
                    let out = &mut out[half * 2 * V::LANES..][..2 * V::LANES];
                    vector.store_half(bytes, i * N / 2 + half, out);
                }
                continue;
            }
            for v in 0..N {
                let lanes = V::LANES.min(width - first - v * V::LANES);
                let out = &mut out[v * V::LANES..][..lanes];
                vector.store_quarter(bytes, i * N + v, out);
            }
        }
    }
}

/// The places of a tile's vectors.
fn each<const R: usize, const N: usize>() -> impl Iterator<Item = (usize, usize)> {
    (0..R).flat_map(|r| (0..N).map(move |v| (r, v)))
}
