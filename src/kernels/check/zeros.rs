//! A single row may pass over groups of zeros, whatever stands for zero.

use super::{Given, Matrices, Shape, byte, same, sample, thinned, up_to};
use crate::kernels::sum::{Epilogue, Skip};
use crate::kernels::{Kernel, available, reference};

/// Rows in which most groups are zeros, some inputs of other groups, too.
fn with_zeros(shape: &Shape, zero: i8, density: usize, g: &mut quickcheck::Gen) -> Matrices {
    let mut matrices = Matrices::random(shape, g);
    for group in matrices.x.chunks_mut(4) {
        let nonzero = up_to(g, 99) < density;
        for x in group {
            if !nonzero || up_to(g, 3) == 0 {
                *x = zero;
            }
        }
    }
    matrices
}

/// The sums of `(x - zero) * w`, with corrections for the zero point where nothing is skipped.
fn check(kernel: &'static Kernel, shape: &Shape, zero: i8, matrices: &Matrices) -> bool {
    let matrix = matrices.pack(kernel, shape);
    let mut given = Given::new(kernel, shape, matrices, [3, 0], 0x33);
    let zero_point = i32::from(zero);
    let mut columns: Vec<i32> = matrix.weight_sums().iter().map(|sum| -sum).collect();
    columns.resize(given.bias.len(), 0);
    given.corrections = vec![(vec![zero_point], columns)];
    given.bias = (0..given.bias.len() as i32).map(|n| 1000 * n).collect();
    // What is never written shows that the list was not used.
    let mut list = vec![u32::MAX; matrix.skippable_groups()];
    let mut out = vec![0; shape.outputs];
    let skip = (!list.is_empty()).then_some(Skip {
        zero: zero as u8 ^ kernel.technique().flip(),
        constants: &given.bias,
        list: &mut list,
    });
    let epilogue = Epilogue::Int { out: &mut out, stride: shape.outputs, width: shape.outputs };
    given.run_skipping(shape, &matrix, skip, epilogue);
    let (x, w) = (&matrices.x, &matrices.w);
    let wanted = reference::sums(x, w, shape.inputs, zero_point, &vec![0; shape.outputs]);
    let wanted = wanted.into_iter().zip(&given.bias).map(|(sum, &bias)| (sum as i32) + bias);
    same(kernel, &(shape, zero), shape.outputs, out, wanted);
    list.first().is_some_and(|&first| first != u32::MAX)
}

#[test]
fn rows_with_zeros() {
    sample(|shape: Shape| {
        let shape = Shape { rows: 1, ..shape };
        let g = &mut shape.random();
        let zero = byte(g);
        let density = *g.choose(&[0, 10, 40, 80]).expect("not empty");
        let matrices = with_zeros(&shape, zero, density, g);
        for kernel in available() {
            check(kernel, &shape, zero, &matrices);
        }
    });
}

/// Every number of panels and of listed groups, and every byte as zero.
#[test]
fn zeros_of_each_byte_are_skipped() {
    for kernel in available() {
        let (_, nr, _) = kernel.tile();
        for zero in thinned(-128..=127) {
            let outputs = 1 + (zero + 128) as usize % (5 * nr);
            let shape = Shape::new(1, outputs.max(17), 133);
            let matrices = with_zeros(&shape, zero as i8, 20, &mut shape.random());
            let skipped = check(kernel, &shape, zero as i8, &matrices);
            assert!(skipped, "{}: 20 % of the groups are not zeros", kernel.name());
        }
    }
}

#[test]
fn rows_of_nothing_but_zeros_and_of_none() {
    for kernel in available() {
        for inputs in [1, 3, 4, 5, 64, 67] {
            for zero in [-128, -1, 0, 127] {
                let shape = Shape::new(1, 40, inputs);
                for density in [0, 100] {
                    let matrices = with_zeros(&shape, zero, density, &mut shape.random());
                    check(kernel, &shape, zero, &matrices);
                }
            }
        }
    }
}
