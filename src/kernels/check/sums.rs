//! The sums themselves.

use super::{Given, Matrices, Shape, same, sample, thinned};
use crate::kernels::sum::Epilogue;
use crate::kernels::{Kernel, available};

/// The sums that [`PackedMatrix::matmul`] gives.
fn check_matmul(kernel: &'static Kernel, shape: &Shape, matrices: &Matrices) {
    let mut out = vec![0x5A5A_5A5A; shape.rows * shape.outputs];
    matrices.pack(kernel, shape).matmul(&matrices.x, &mut out).expect("lengths fit");
    let wanted = matrices.sums(shape).into_iter().map(|sum| sum as i32); // wraps around
    same(kernel, shape, shape.outputs, out, wanted);
}

#[test]
fn sums_of_random_shapes() {
    sample(|shape: Shape| {
        let matrices = Matrices::random(&shape, &mut shape.random());
        available().for_each(|kernel| check_matmul(kernel, &shape, &matrices));
    });
}

/// All three lengths around the borders of the kernel's tiles.
#[test]
fn sums_around_tile_borders() {
    for kernel in available() {
        let (mr, nr, _) = kernel.tile();
        let around = |borders: &[usize]| {
            let near = borders.iter().flat_map(|&border| [border - 1, border, border + 1]);
            let mut near: Vec<usize> = near.chain([1]).filter(|&length| length > 0).collect();
            near.sort_unstable();
            near.dedup();
            near
        };
        let inputs = around(&[4, 8, 16, 32, 64]);
        let rows = around(&[mr, 2 * mr]);
        let outputs = around(&[kernel.lanes(), nr, nr + kernel.lanes(), 2 * nr]);
        let lengths = outputs.iter().flat_map(|&n| inputs.iter().map(move |&k| (n, k)));
        let shapes = lengths.flat_map(|(n, k)| rows.iter().map(move |&m| Shape::new(m, n, k)));
        for shape in thinned(shapes) {
            let matrices = Matrices::random(&shape, &mut shape.random());
            check_matmul(kernel, &shape, &matrices);
        }
    }
}

/// So few outputs that lanes share the inputs, for each number of them: around the borders of a
/// chunk of inputs, with rows that end where memory ends.
#[test]
fn sums_of_few_outputs() {
    for kernel in available() {
        let chunk = 4 * kernel.lanes();
        let around = [1, 2, 3].map(|chunks| chunks * chunk);
        let inputs = around.into_iter().flat_map(|inputs| [inputs - 1, inputs, inputs + 1]);
        let inputs = inputs.chain([chunk / 2, chunk / 2 + 3, 10 * chunk + 5]);
        let shapes = inputs.flat_map(|k| (1..=17).map(move |n| (n, k)));
        let shapes = shapes.flat_map(|(n, k)| [1, 2, 3, 4, 5, 9].map(|m| Shape::new(m, n, k)));
        for shape in thinned(shapes) {
            let matrices = Matrices::random(&shape, &mut shape.random());
            check_matmul(kernel, &shape, &matrices);
        }
    }
}

/// Each number of rows, for the code of each tile.
#[test]
fn sums_of_any_number_of_rows() {
    for kernel in available() {
        let (mr, nr, _) = kernel.tile();
        for rows in 0..=3 * mr + 1 {
            for outputs in [1, nr + kernel.lanes() + 1] {
                let shape = Shape::new(rows, outputs, 67);
                let matrices = Matrices::random(&shape, &mut shape.random());
                check_matmul(kernel, &shape, &matrices);
            }
        }
    }
}

/// Weights beyond the second-level cache, which tiles fetch ahead; the last panel is narrower.
#[test]
fn sums_with_large_weights() {
    for kernel in available() {
        let (mr, _, _) = kernel.tile();
        let shape = Shape::new(2 * mr + 1, 603, 4099);
        let matrices = Matrices::random(&shape, &mut shape.random());
        check_matmul(kernel, &shape, &matrices);
    }
}

#[test]
fn sums_of_extremes() {
    let pairs = [[-128; 2], [127; 2], [-1; 2], [-128, 127], [127, -128], [-128, 0], [0, -128]];
    for kernel in available() {
        for rows in [1, 13] {
            let shape = Shape::new(rows, 17, 67);
            for x in pairs {
                for w in pairs {
                    check_matmul(kernel, &shape, &Matrices::alternating(&shape, x, w));
                }
            }
        }
    }
}

/// Sums up to the last `i32`, which the products reach with less than one product to spare.
#[test]
fn sums_at_the_limit_of_i32() {
    let cases = [
        (131_071, -128, -128, i32::MAX - 131_071 * 16_384, 0, i32::MAX),
        (132_103, 127, -128, i32::MIN + 132_103 * 16_256, 0, i32::MIN),
        // The zero point -128 as a correction: factors of 255, which only u8 inputs have.
        (65_793, 127, -128, i32::MIN + 65_793 * 32_640, 128, i32::MIN),
        (66_311, 127, 127, i32::MAX - 66_311 * 32_385, 128, i32::MAX),
    ];
    for kernel in available() {
        for (inputs, x, w, bias, correction, wanted) in cases {
            let shape = Shape::new(2, 3, inputs);
            let matrices = Matrices::alternating(&shape, [x; 2], [w; 2]);
            let matrix = matrices.pack(kernel, &shape);
            let mut given = Given::new(kernel, &shape, &matrices, [0, 0], 0);
            given.bias.fill(bias);
            let column = vec![inputs as i32 * i32::from(w); matrix.padded_outputs()];
            given.corrections.push((vec![correction; 2], column));
            let mut out = [0; 6];
            given.run(&shape, &matrix, Epilogue::Int { out: &mut out, stride: 3, width: 3 });
            same(kernel, &shape, 3, out, [wanted; 6]);
        }
    }
}
