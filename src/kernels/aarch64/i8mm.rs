//! The matrix products of ARMv8.6: `smmla` multiplies 8 inputs of 2 rows with the weights of 2 outputs,
//! onto 2 x 2 sums: twice the products of `sdot`.
//!
//! ```text
//! sums = smmla(sums, x, w)
//! ```
//! 8 rows x 8 outputs: 16 of 32 registers hold sums, 4 weights, 1 inputs. Weights are those of
//! `dotprod.rs`, of which two groups are brought together here; that file's loops do what is left of a row.

use core::arch::aarch64::*;
use core::arch::asm;

use super::dotprod::ByElement;
use crate::kernels::sum::by_blocks::{BLOCK_OUTPUTS, BLOCK_ROWS, Block, MatrixUnit, Rows};

/// Inputs that an instruction takes: two groups.
const INPUTS: usize = 8;

/// Outputs of a vector of weights, and its bytes for a group of inputs.
const OUTPUTS: usize = 8;
const WEIGHT_BYTES: usize = 32;

/// The instructions for products of matrices.
#[derive(Clone, Copy)]
pub(crate) struct I8mm;

impl MatrixUnit<ByElement> for I8mm {
    const NEEDS: &'static [&'static str] = &["neon", "dotprod", "i8mm"];
    const ROWS: usize = 8;
    // Of 2 rows the products take half the operations of `sdot`, and to bring weights together as many.
    const FEWEST_ROWS: usize = 3;
    const INPUTS: usize = INPUTS;

    fn multiply(weights: &[u8], vectors: usize, rows: &Rows<'_>, block: &mut Block) -> usize {
        let steps = rows.groups / 2;
        if steps > 0 {
            // SAFETY: kernels are only handed out on CPUs that have the instructions.
            unsafe {
                match vectors {
                    1 => panel::<1>(weights, rows, steps, block),
                    2 => panel::<2>(weights, rows, steps, block),
                    _ => return 0,
                }
            }
        }
        2 * steps
    }

    fn peak(rounds: usize) {
        // As many steps at once as stay in the first-level cache.
        const STEPS: usize = 64;
        let bytes = core::hint::black_box([3; I8mm::ROWS * STEPS * INPUTS]);
        let weights = core::hint::black_box([1; STEPS * 2 * 2 * WEIGHT_BYTES]);
        let mut block = [[0; BLOCK_OUTPUTS]; BLOCK_ROWS];
        for first in (0..rounds).step_by(STEPS) {
            let groups = 2 * STEPS.min(rounds - first);
            let stride = STEPS * INPUTS;
            let rows = Rows { bytes: &bytes, stride, count: Self::ROWS, groups };
            Self::multiply(&weights, 2, &rows, &mut block);
            core::hint::black_box(&block);
        }
    }
}

/// All rows of a block, two by two, with `V` vectors of weights.
#[target_feature(enable = "neon,i8mm")]
fn panel<const V: usize>(weights: &[u8], rows: &Rows<'_>, steps: usize, block: &mut Block) {
    match rows.count.div_ceil(2) {
        1 => tile::<1, V>(weights, rows, steps, block),
        2 => tile::<2, V>(weights, rows, steps, block),
        3 => tile::<3, V>(weights, rows, steps, block),
        4 => tile::<4, V>(weights, rows, steps, block),
        pairs => unreachable!("no tile has {pairs} pairs of rows"),
    }
}

/// `P` pairs of rows. Of an odd number of rows the last one is taken twice.
#[target_feature(enable = "neon,i8mm")]
fn tile<const P: usize, const V: usize>(
    weights: &[u8],
    rows: &Rows<'_>,
    steps: usize,
    block: &mut Block,
) {
    let row = |r: usize| {
        let start = r.min(rows.count - 1) * rows.stride;
        &rows.bytes[start..][..steps * INPUTS].as_chunks::<INPUTS>().0[..steps]
    };
    let pairs: [[&[[u8; INPUTS]]; 2]; P] =
        core::array::from_fn(|pair| [row(2 * pair), row(2 * pair + 1)]);
    for v in 0..V {
        let mut sums = [[vdupq_n_s32(0); OUTPUTS / 2]; P];
        let per_step = weights.chunks_exact(2 * V * WEIGHT_BYTES);
        for (step, weights) in per_step.take(steps).enumerate() {
            let first = load(&weights[v * WEIGHT_BYTES..]);
            let second = load(&weights[(V + v) * WEIGHT_BYTES..]);
            // Both groups of one output, side by side, for two outputs.
            let weights = [
                vzip1q_s32(first[0], second[0]),
                vzip2q_s32(first[0], second[0]),
                vzip1q_s32(first[1], second[1]),
                vzip2q_s32(first[1], second[1]),
            ];
            for (sums, rows) in sums.iter_mut().zip(&pairs) {
                let inputs = inputs(&rows[0][step], &rows[1][step]);
                for (sums, &weights) in sums.iter_mut().zip(&weights) {
                    *sums = smmla(*sums, inputs, weights);
                }
            }
        }
        for (sums, rows) in sums.into_iter().zip(block.as_chunks_mut::<2>().0) {
            let [first, second] = rows;
            store([sums[0], sums[1]], [&mut first[v * OUTPUTS..], &mut second[v * OUTPUTS..]]);
            let at = v * OUTPUTS + OUTPUTS / 2;
            store([sums[2], sums[3]], [&mut first[at..], &mut second[at..]]);
        }
    }
}

/// A group of 8 outputs.
#[inline]
#[target_feature(enable = "neon")]
fn load(weights: &[u8]) -> [int32x4_t; 2] {
    let weights: &[u8; WEIGHT_BYTES] = weights.first_chunk().expect("the weights of a vector");
    // SAFETY: the array holds both.
    let [low, high] = unsafe { [vld1q_u8(weights.as_ptr()), vld1q_u8(weights[16..].as_ptr())] };
    [vreinterpretq_s32_u8(low), vreinterpretq_s32_u8(high)]
}

/// 8 inputs of two rows.
#[inline]
#[target_feature(enable = "neon")]
fn inputs(first: &[u8; INPUTS], second: &[u8; INPUTS]) -> int32x4_t {
    // SAFETY: the arrays hold what is loaded.
    let both = unsafe { vcombine_u8(vld1_u8(first.as_ptr()), vld1_u8(second.as_ptr())) };
    vreinterpretq_s32_u8(both)
}

/// Two times the sums of two rows and two outputs, as four outputs of each row.
#[inline]
#[target_feature(enable = "neon")]
fn store(sums: [int32x4_t; 2], [first, second]: [&mut [i32]; 2]) {
    let [low, high] = [vreinterpretq_s64_s32(sums[0]), vreinterpretq_s64_s32(sums[1])];
    let (first, second) = (&mut first[..4], &mut second[..4]);
    // SAFETY: both have room for four.
    unsafe {
        vst1q_s32(first.as_mut_ptr(), vreinterpretq_s32_s64(vzip1q_s64(low, high)));
        vst1q_s32(second.as_mut_ptr(), vreinterpretq_s32_s64(vzip2q_s64(low, high)));
    }
}

/// `sums + inputs * weights`, of 2 rows and 2 outputs.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn smmla(mut sums: int32x4_t, inputs: int32x4_t, weights: int32x4_t) -> int32x4_t {
    // SAFETY: reads and writes these registers and nothing else.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {inputs:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums,
            inputs = in(vreg) inputs,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
