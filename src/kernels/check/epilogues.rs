//! What becomes of the sums, and that it is put where it belongs and nowhere else.

use quickcheck::{Arbitrary, Gen};

use super::{Given, Matrices, Place, Shape, byte, same, sample, scale, sign, thinned, up_to};
use crate::kernels::sum::Epilogue;
use crate::kernels::{Kernel, Narrow, available};
use crate::quant::{requantize_nearest, select_max, select_min};

#[test]
fn integers_stay_in_their_rows() {
    sample(|shape: Shape| {
        for kernel in available() {
            let g = &mut shape.random();
            let matrices = Matrices::random(&shape, g);
            let matrix = matrices.pack(kernel, &shape);
            let given = Given::random(kernel, &shape, &matrices, g);
            let place = Place::random(kernel, &shape, g);
            let out = place.guarded(kernel, &shape, 0x5A5A_5A5A, |out| {
                given.run(
                    &shape,
                    &matrix,
                    Epilogue::Int { out, stride: place.stride, width: place.width },
                );
            });
            let wanted = given.sums(&shape, &matrices);
            same(kernel, &(shape, place), shape.outputs, out, wanted);
        }
    });
}

/// Numbers for [`Epilogue::Bytes`], the bounds of an activation among them.
fn check_bytes(kernel: &'static Kernel, shape: &Shape, zero_point: i32, g: &mut Gen) {
    let matrices = Matrices::random(shape, g);
    let matrix = matrices.pack(kernel, shape);
    let given = Given::random(kernel, shape, &matrices, g);
    let place = Place::random(kernel, shape, g);
    let mut multipliers: Vec<f32> = (0..shape.outputs).map(|_| scale(g)).collect();
    multipliers.resize(matrix.padded_outputs(), 0.0);
    let (mut min, mut max) = (-128 - zero_point, 127 - zero_point);
    if bool::arbitrary(g) {
        min += up_to(g, 255) as i32;
        max -= up_to(g, (max - min) as usize) as i32;
    }
    let form = *g.choose(&[0, 0x80]).expect("not empty");
    let out = place.guarded(kernel, shape, 0xA5, |out| {
        let epilogue = Epilogue::Bytes {
            out,
            stride: place.stride,
            width: place.width,
            multipliers: &multipliers,
            narrow: Narrow::new(zero_point, min, max, form),
        };
        given.run(shape, &matrix, epilogue);
    });
    let sums = given.sums(shape, &matrices);
    let wanted = sums.iter().enumerate().map(|(i, &sum)| {
        let by = multipliers[i % shape.outputs];
        requantize_nearest(sum, by, min, max, zero_point) as u8 ^ form
    });
    same(kernel, &(shape, place, zero_point), shape.outputs, out, wanted);
}

#[test]
fn requantized_bytes() {
    sample(|shape: Shape| {
        for kernel in available() {
            let g = &mut shape.random();
            let zero_point = i32::from(byte(g));
            check_bytes(kernel, &shape, zero_point, g);
        }
    });
}

#[test]
fn requantized_bytes_with_each_zero_point() {
    for kernel in available() {
        for zero_point in thinned(-128..=127) {
            let mut shape = Shape::new(3, kernel.lanes() + 1, 5);
            shape.seed = (zero_point + 128) as u64;
            check_bytes(kernel, &shape, zero_point, &mut shape.random());
        }
    }
}

/// Each byte times 1, scaled so that every second result is a tie, every fourth, every eighth.
#[test]
fn ties_round_to_even() {
    for kernel in available() {
        let shape = Shape::new(256, 3 * kernel.lanes() + 1, 1);
        let matrices =
            Matrices { x: (-128..=127).collect(), w: vec![1; shape.outputs * shape.inputs] };
        let matrix = matrices.pack(kernel, &shape);
        for (multiplier, divisor) in [(0.5, 2), (0.25, 4), (0.125, 8)] {
            let given = Given::new(kernel, &shape, &matrices, [0, 0], 0);
            let mut out = vec![0; shape.rows * shape.outputs];
            let epilogue = Epilogue::Bytes {
                out: &mut out,
                stride: shape.outputs,
                width: shape.outputs,
                multipliers: &vec![multiplier; matrix.padded_outputs()],
                narrow: Narrow::new(0, -128, 127, 0),
            };
            given.run(&shape, &matrix, epilogue);
            let rounded = |x: i32| {
                let (floor, rest) = (x.div_euclid(divisor), x.rem_euclid(divisor));
                let up = 2 * rest > divisor || (2 * rest == divisor && floor % 2 != 0);
                (floor + i32::from(up)) as u8
            };
            let wanted = (-128..=127).flat_map(|x| vec![rounded(x); shape.outputs]);
            same(kernel, &(shape, multiplier), shape.outputs, out, wanted);
        }
    }
}

#[test]
fn scaled_floats() {
    sample(|shape: Shape| {
        for kernel in available() {
            let g = &mut shape.random();
            let matrices = Matrices::random(&shape, g);
            let matrix = matrices.pack(kernel, &shape);
            let given = Given::random(kernel, &shape, &matrices, g);
            let place = Place::random(kernel, &shape, g);
            let padded = matrix.padded_outputs();
            let scales: Vec<f32> = (0..padded).map(|_| scale(g)).collect();
            let bias: Vec<f32> = (0..padded).map(|_| sign(g) * scale(g)).collect();
            let bias = bool::arbitrary(g).then_some(&bias[..]);
            let row_scales: Vec<f32> = (0..shape.rows).map(|_| scale(g)).collect();
            let row_scales = bool::arbitrary(g).then_some(&row_scales[..]);
            let bounds = [(f32::NEG_INFINITY, f32::INFINITY), (0.0, f32::INFINITY), (-1.0, 1.0)];
            let (min, max) = *g.choose(&bounds).expect("not empty");
            let out = place.guarded(kernel, &shape, -1234.5, |out| {
                let Place { stride, width, .. } = place;
                let scales = &scales;
                let epilogue =
                    Epilogue::Float { out, stride, width, scales, row_scales, bias, min, max };
                given.run(&shape, &matrix, epilogue);
            });
            let sums = given.sums(&shape, &matrices);
            let wanted = sums.iter().enumerate().map(|(i, &sum)| {
                let (row, n) = (i / shape.outputs, i % shape.outputs);
                let scale = row_scales.map_or(scales[n], |rows| rows[row] * scales[n]);
                let scaled = sum as f32 * scale;
                let real = bias.map_or(scaled, |bias| scaled + bias[n]);
                select_min(select_max(real, min), max).to_bits()
            });
            let out = out.into_iter().map(f32::to_bits);
            same(kernel, &(shape, place), shape.outputs, out, wanted);
        }
    });
}
