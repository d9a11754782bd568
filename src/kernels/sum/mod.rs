//! The sum of products: GEMM and GEMV, with the epilogue on the sums while they are in registers.
//!
//! What the lanes of a vector are depends on the shape. [`by_outputs`] gives each output a lane
//! and broadcasts the inputs; [`by_inputs`] serves layers of so few outputs that most lanes would
//! be idle: there the lanes share the inputs of one output and are added up at last.

#[allow(dead_code, reason = "few architectures have a matrix unit")]
pub(super) mod by_blocks;
mod by_inputs;
mod by_outputs;
mod finish;

pub(super) use by_inputs::{by_inputs, chunk_start};
pub(super) use by_outputs::by_outputs;
pub(super) use finish::apply;

use super::vector::{Narrow, Vector};

/// The most outputs that lanes share the inputs for.
pub(crate) const BY_INPUTS_MOST: usize = 16;

/// Packed weights, and what belongs to each output.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// In the order of the loops that read them.
    pub packed: &'a [u8],
    /// K: inputs of each output.
    pub inputs: usize,
    /// N, without padding.
    pub outputs: usize,
    /// What each sum starts from; a multiple of LANES long.
    pub constants: &'a [i32],
}

/// The batch.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// Rows in the form that the loops read: prepared, if they ask for it.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub rows: usize,
    /// What preparing a row found is missing in all its sums.
    pub row_constants: Option<&'a [i32]>,
    /// `sums[m][n] += row[m] * column[n]`: what zero points ask for that only a run knows.
    pub corrections: [Option<Correction<'a>>; 2],
}

/// A product of a row's number and an output's number.
#[derive(Clone, Copy)]
pub(crate) struct Correction<'a> {
    pub rows: &'a [i32],
    pub columns: &'a [i32],
}

/// How a single row may pass over its zeros: where all inputs of a group are the zero point, their
/// products with `w` are not needed for `sum (x - zx) * w`.
pub(crate) struct Skip<'a> {
    /// The byte, before preparing, that stands for zero.
    pub zero: u8,
    /// What the sums of `(x - zx) * w` start from. They need no correction by `zx`, which is
    /// [`Inputs::corrections`]' first.
    pub constants: &'a [i32],
    /// Room for as many numbers as there are groups.
    pub list: &'a mut [u32],
}

/// What becomes of the sums. Arrays per output are as long as [`Weights::constants`].
pub(crate) enum Epilogue<'a> {
    /// They are stored as they are, in rows of `stride` of which `width` may be written.
    Int { out: &'a mut [i32], stride: usize, width: usize },
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

/// Sums of `R` rows times `N` vectors of outputs, in registers.
type Sums<V, const R: usize, const N: usize> = [[<V as Vector>::Int; N]; R];

/// Splits `total` into parts of at most `most`, as equal as can be.
fn equal_parts(total: usize, most: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    let parts = total.div_ceil(most);
    // The first ones may be one longer.
    let (len, longer) = (total / parts.max(1), total % parts.max(1));
    let mut start = 0;
    (0..parts).map(move |i| {
        let end = start + len + usize::from(i < longer);
        core::mem::replace(&mut start, end)..end
    })
}
