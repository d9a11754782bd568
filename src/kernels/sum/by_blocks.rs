//! Where a matrix unit multiplies whole blocks, and lanes that are outputs do the rest.
//!
//! ```text
//! for each panel of NR outputs
//!   for each block of rows
//!     begun[rows][NR] = products of as many groups as suit the unit
//!     for each tile of MR rows                  (by_outputs.rs)
//!       sums = constants + begun, and the groups that are left
//! ```
//! Both read the same packed weights and the same rows.

use super::by_outputs::{by_outputs, with_unit};
use super::{Epilogue, Inputs, Skip, Weights};
use crate::kernels::has_all;
use crate::kernels::vector::{Broadcast, Vector};

/// Rows of a block at most.
pub(crate) const BLOCK_ROWS: usize = 32;

/// Outputs of a panel at most.
pub(crate) const BLOCK_OUTPUTS: usize = 32;

/// The sums of a block, by rows. Those beyond its rows and outputs mean nothing.
pub(crate) type Block = [[i32; BLOCK_OUTPUTS]; BLOCK_ROWS];

/// A unit that multiplies blocks of rows with the panels of `P`.
pub(crate) trait MatrixUnit<P: Broadcast> {
    /// The CPU features it takes, those of the vectors among them, for listings.
    const NEEDS: &'static [&'static str];
    /// Rows that it takes at once, at most [`BLOCK_ROWS`].
    const ROWS: usize;
    /// Fewer rows are quicker without it.
    const FEWEST_ROWS: usize;
    /// Inputs that it takes at once.
    const INPUTS: usize;

    /// Adds up the products of the first groups of some rows with `vectors` vectors of outputs;
    /// answers how many groups these were. `weights` are `[group][vector][WEIGHT_BYTES]`.
    fn multiply(weights: &[u8], vectors: usize, rows: &Rows<'_>, block: &mut Block) -> usize;

    /// Runs only its products, `rounds` times, on `ROWS` rows, a whole panel and `INPUTS` inputs.
    fn peak(rounds: usize);
}

/// The rows of a block.
pub(crate) struct Rows<'a> {
    /// From the first byte of the first row on.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub count: usize,
    /// Groups of each row.
    pub groups: usize,
}

/// A [`MatrixUnit`] for those who need not know which.
pub(super) struct Unit<'a> {
    pub rows: usize,
    pub multiply: fn(&[u8], usize, &Rows<'_>, &mut Block) -> usize,
    /// Where it puts its sums, anew for each block of rows and panel.
    pub block: &'a mut Block,
}

/// Sums that a unit has begun.
#[derive(Clone, Copy)]
pub(super) struct Begun<'a> {
    pub block: &'a Block,
    /// The row that the block begins with.
    pub first: usize,
    /// How many groups are done.
    pub groups: usize,
}

/// Computes all outputs of all rows.
pub(crate) fn by_blocks<P: Broadcast, M: MatrixUnit<P>>(
    weights: &Weights<'_>,
    inputs: &Inputs<'_>,
    skip: Option<Skip<'_>>,
    epilogue: Epilogue<'_>,
) {
    const { assert!(M::ROWS <= BLOCK_ROWS && P::VECTORS * P::Vector::LANES <= BLOCK_OUTPUTS) };
    if inputs.rows < M::FEWEST_ROWS {
        return by_outputs::<P>(weights, inputs, skip, epilogue);
    }
    assert!(has_all(M::NEEDS), "kernels are only handed out on CPUs that can run them");
    let mut block = [[0; BLOCK_OUTPUTS]; BLOCK_ROWS];
    let unit = Unit { rows: M::ROWS, multiply: M::multiply, block: &mut block };
    with_unit::<P>(weights, inputs, unit, epilogue);
}

/// What `Kernel::peak` answers: how many multiply-accumulates so many rounds are.
pub(crate) fn unit_peak<P: Broadcast, M: MatrixUnit<P>>(rounds: usize) -> usize {
    assert!(has_all(M::NEEDS), "kernels are only handed out on CPUs that can run them");
    M::peak(rounds);
    rounds * M::ROWS * P::VECTORS * P::Vector::LANES * M::INPUTS
}
