//! A trial of kernels whose CPUs the project has never had: before one is used it must compute some
//! products as the plain loops do, once a process.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use super::sum::{Epilogue, Inputs};
use super::{GROUP, Kernel, reference};
use crate::pack::PackedMatrix;

/// How the trial of a kernel went.
#[derive(Debug)]
pub(crate) struct Trial(AtomicU8);

const UNTRIED: u8 = 0;
const PASSED: u8 = 1;
const FAILED: u8 = 2;

impl Trial {
    #[allow(dead_code, reason = "few architectures need it")]
    pub const fn new() -> Self {
        Self(AtomicU8::new(UNTRIED))
    }

    /// Whether the kernel passes. Two threads may both try it; they find the same.
    pub fn passed(&self, kernel: &'static Kernel) -> bool {
        let known = match self.0.load(Ordering::Relaxed) {
            UNTRIED => {
                let found = if computes_sums(kernel) { PASSED } else { FAILED };
                self.0.store(found, Ordering::Relaxed);
                found
            }
            known => known,
        };
        known == PASSED
    }
}

/// Rows, outputs and inputs: single ones, whole tiles and panels, and more than these.
const SHAPES: [[usize; 3]; 6] =
    [[1, 1, 1], [1, 37, 67], [7, 16, 130], [16, 32, 64], [33, 49, 197], [40, 70, 320]];

/// Whether the sums of products of all kinds of bytes are those of the reference.
fn computes_sums(kernel: &'static Kernel) -> bool {
    // Marsaglia's xorshift, and the extremes more often than not.
    let mut state = 0x9E37_79B9_u32;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match state >> 29 {
            0 | 1 => -128,
            2 => 127,
            3 => 0,
            _ => (state >> 8) as i8,
        }
    };
    SHAPES.into_iter().all(|[rows, outputs, inputs]| {
        let x: Vec<i8> = (0..rows * inputs).map(|_| byte()).collect();
        let w: Vec<i8> = (0..outputs * inputs).map(|_| byte()).collect();
        let wanted = reference::sums(&x, &w, inputs, 0, &vec![0; outputs]);

        let Ok(matrix) = PackedMatrix::new(kernel, &w, outputs, inputs) else { return false };
        let flip = kernel.technique().flip();
        let stride = inputs.next_multiple_of(GROUP);
        let mut bytes = vec![0; rows * stride];
        for (row, x) in bytes.chunks_exact_mut(stride).zip(x.chunks_exact(inputs)) {
            for (byte, &x) in row.iter_mut().zip(x) {
                *byte = x as u8 ^ flip;
            }
        }
        assert!(matrix.prepare().is_none(), "kernels that are tried read rows as they are");
        let bytes = &bytes;
        let inputs = Inputs { bytes, stride, rows, row_constants: None, corrections: [None, None] };
        let constants = matrix.constants(core::iter::repeat_n(0, outputs));
        let mut sums = vec![0; rows * outputs];
        let epilogue = Epilogue::Int { out: &mut sums, stride: outputs, width: outputs };
        matrix.run(&constants, &inputs, None, epilogue);
        sums.iter().zip(&wanted).all(|(&sum, &wanted)| i64::from(sum) == wanted)
    })
}
