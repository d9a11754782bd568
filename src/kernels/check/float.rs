//! Sums of products of real numbers.

use super::{Shape, bits, guarded_row, same, sample, thinned, up_to, wild_row};
use crate::kernels::float::{Packed, Rows};
use crate::kernels::{Kernel, available};
use crate::quant::one_nan;

/// Distances of rows beyond their width.
const GAPS: usize = 5;

/// What lies where nothing is to be written.
const GUARD: f32 = 1234.5;

/// One after the other, as the definition has it.
fn sum(row: &[f32], weights: &[f32], bias: Option<f32>) -> f32 {
    let mut sum = 0.0;
    for (x, w) in row.iter().zip(weights) {
        sum += x * w;
    }
    one_nan(bias.map_or(sum, |bias| sum + bias))
}

/// Any numbers, in panels computed all at once and one by one.
fn check(kernel: &Kernel, shape: &Shape) {
    let g = &mut shape.random();
    let Shape { rows, outputs, inputs, .. } = *shape;
    let (gap_in, gap_out) = (up_to(g, GAPS), up_to(g, GAPS));
    let (stride_in, stride_out) = (inputs + gap_in, outputs + gap_out);
    let x = wild_row(g, rows * stride_in);
    let weights = wild_row(g, outputs * inputs);
    let bias = (up_to(g, 2) > 0).then(|| wild_row(g, outputs));
    let packed = Packed::new(&weights, inputs, bias.as_deref(), kernel.lanes());
    let panels = outputs.div_ceil(packed.panel());
    let split = up_to(g, panels);
    let mut wanted = vec![GUARD; rows * stride_out];
    for (row, out) in x.chunks_exact(stride_in).zip(wanted.chunks_exact_mut(stride_out)) {
        for (n, (weights, out)) in weights.chunks_exact(inputs).zip(out).enumerate() {
            *out = sum(&row[..inputs], weights, bias.as_ref().map(|bias| bias[n]));
        }
    }
    let rows = Rows { values: &x, stride: stride_in, count: rows };
    let got = guarded_row(kernel, shape, [3, wanted.len()], GUARD, |out| {
        (kernel.float_sums)(&packed, 0..split, rows, out, stride_out);
        let start = (split * packed.panel()).min(outputs).min(out.len());
        let rest = &mut out[start..];
        (kernel.float_sums)(&packed, split..panels, rows, rest, stride_out);
    });
    same(kernel, shape, stride_out, bits(&got), bits(&wanted));
}

#[test]
fn sums_of_random_shapes() {
    sample(|shape: Shape| available().for_each(|kernel| check(kernel, &shape)));
}

/// The borders of vectors, panels and tiles.
#[test]
fn sums_around_borders() {
    for outputs in thinned((1..=140).chain([191, 192, 193])) {
        for rows in 0..=7 {
            for inputs in [1, 2, 9] {
                let shape = Shape::new(rows, outputs, inputs);
                available().for_each(|kernel| check(kernel, &shape));
            }
        }
    }
}

/// A sum in another order would be the other one.
#[test]
fn the_order_is_that_of_inputs() {
    let (large, outputs) = (1e8_f32, 77);
    for (row, wanted) in [([large, -large, 1.0], 1.0), ([large, 1.0, -large], 0.0)] {
        for kernel in available() {
            let packed = Packed::new(&vec![1.0; 3 * outputs], 3, None, kernel.lanes());
            let mut out = vec![GUARD; outputs];
            let rows = Rows { values: &row, stride: 3, count: 1 };
            (kernel.float_sums)(&packed, 0..outputs, rows, &mut out, outputs);
            same(kernel, &row, outputs, out, vec![wanted; outputs]);
        }
    }
}
