//! The lanes share the inputs of one output: for layers of few outputs.
//!
//! ```text
//! for each tile of up to 4 rows
//!   for each block of 4 outputs
//!     sums[4][4] = 0                            (vectors, in registers)
//!     for each chunk of 4 * LANES inputs
//!       sums += weights[4][chunk] * inputs[4][chunk]
//!     totals[4][4] = lanes of sums added up
//!   totals + constants: correct, scale, clamp, round, store
//! ```
//! Weights are packed `[chunk][output][WEIGHT_BYTES]`. Inputs are read as they lie in memory. Where
//! the last chunk would go beyond them it begins earlier, and has weights of 0 for what the chunk
//! before it has done; [`chunk_start`] says where.

use core::marker::PhantomData;
use core::ops::Range;

use super::finish::finish;
use super::{BY_INPUTS_MOST, Epilogue, Inputs, Weights, equal_parts};
use crate::kernels::vector::{Direct, Op, Vector};
use crate::kernels::{GROUP, proven};

/// Outputs of a block.
const BLOCK: usize = 4;

/// The first input of a chunk of `len`.
pub(in crate::kernels) fn chunk_start(chunk: usize, len: usize, inputs: usize) -> usize {
    (chunk * len).min(inputs.saturating_sub(len))
}

/// Computes all outputs, at most [`BY_INPUTS_MOST`], of all rows.
pub(crate) fn by_inputs<P: Direct>(
    weights: &Weights<'_>,
    inputs: &Inputs<'_>,
    mut epilogue: Epilogue<'_>,
) {
    let vector = proven::<P::Vector>();
    let epilogue = &mut epilogue;
    for rows in equal_parts(inputs.rows, P::ROWS) {
        macro_rules! by_rows {
            ($($r:literal)*) => {
                match rows.len() {
                    $($r if const { P::ROWS >= $r } => {
                        let product = PhantomData::<P>;
                        let tile = Tile::<P, $r> { product, weights, inputs, rows, epilogue };
                        vector.vectorize(tile);
                    })*
                    rows => unreachable!("no tile has {rows} rows"),
                }
            };
        }
        by_rows!(1 2 3 4);
    }
}

/// `R` rows times all outputs.
struct Tile<'t, 'e, P, const R: usize> {
    product: PhantomData<P>,
    weights: &'t Weights<'t>,
    inputs: &'t Inputs<'t>,
    rows: Range<usize>,
    epilogue: &'t mut Epilogue<'e>,
}

impl<P: Direct, const R: usize> Op<P::Vector> for Tile<'_, '_, P, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: P::Vector) {
        const { assert!(BY_INPUTS_MOST.is_multiple_of(P::Vector::LANES)) };
        let mut totals = [[0; BY_INPUTS_MOST]; R];
        let outputs = self.weights.outputs;
        let mut output = 0;
        while output < outputs {
            output += match outputs - output {
                1 => self.block::<1>(vector, output, &mut totals),
                2 => self.block::<2>(vector, output, &mut totals),
                3 => self.block::<3>(vector, output, &mut totals),
                _ => self.block::<BLOCK>(vector, output, &mut totals),
            };
        }
        match outputs > P::Vector::LANES {
            true => self.finish::<2>(vector, totals),
            false => self.finish::<1>(vector, totals),
        }
    }
}

impl<P: Direct, const R: usize> Tile<'_, '_, P, R> {
    /// Bytes of a chunk of inputs.
    const CHUNK: usize = P::Vector::LANES * GROUP;

    /// Finishes `N` vectors of outputs of each row.
    #[inline(always)]
    fn finish<const N: usize>(self, vector: P::Vector, totals: [[i32; BY_INPUTS_MOST]; R]) {
        let lanes = P::Vector::LANES;
        let mut sums = [[vector.int(0); N]; R];
        for v in 0..N {
            let constants = vector.load_int(&self.weights.constants[v * lanes..]);
            for (sums, totals) in sums.iter_mut().zip(&totals) {
                sums[v] = vector.add(vector.load_int(&totals[v * lanes..]), constants);
            }
        }
        finish(vector, (self.rows.start, 0), self.inputs, self.epilogue, sums);
    }

    /// Finds the totals of `C` outputs, and answers how many these are.
    #[inline(always)]
    fn block<const C: usize>(
        &self,
        vector: P::Vector,
        output: usize,
        totals: &mut [[i32; BY_INPUTS_MOST]; R],
    ) -> usize {
        let Inputs { bytes, stride, .. } = *self.inputs;
        let rows: [&[u8]; R] = core::array::from_fn(|r| &bytes[(self.rows.start + r) * stride..]);
        let len = self.weights.inputs;
        let mut inputs = [P::inputs(vector, vector.int(0)); R];
        if len < Self::CHUNK {
            // The only chunk. What follows the row, if it may be read, has weights of 0.
            for (inputs, row) in inputs.iter_mut().zip(&rows) {
                let groups = match row.first_chunk::<64>() {
                    Some(row) => vector.load_groups(row),
                    None => vector.load_few_groups(&row[..len]),
                };
                *inputs = P::inputs(vector, groups);
            }
        }
        let mut sums = [[vector.int(0); C]; R];
        let per_chunk = self.weights.outputs * P::WEIGHT_BYTES;
        for (chunk, weights) in self.weights.packed.chunks_exact(per_chunk).enumerate() {
            if len >= Self::CHUNK {
                let start = chunk_start(chunk, Self::CHUNK, len);
                for (inputs, row) in inputs.iter_mut().zip(&rows) {
                    *inputs = P::inputs(vector, vector.load_groups(&row[start..][..Self::CHUNK]));
                }
            }
            let weights = &weights[output * P::WEIGHT_BYTES..][..C * P::WEIGHT_BYTES];
            for c in 0..C {
                let weights = &weights[c * P::WEIGHT_BYTES..][..P::WEIGHT_BYTES];
                let weights = P::weights(vector, weights);
                for (sums, &inputs) in sums.iter_mut().zip(&inputs) {
                    sums[c] = P::dot(vector, sums[c], weights, inputs);
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(sums) {
            let mut four = [vector.int(0); BLOCK];
            for (four, sum) in four.iter_mut().zip(sums) {
                *four = sum;
            }
            totals[output..output + C].copy_from_slice(&vector.totals(four)[..C]);
        }
        C
    }
}
