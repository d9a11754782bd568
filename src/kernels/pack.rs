//! Brings weights `[output][input]` into the order in which the loops of `sum/` read them.

use core::marker::PhantomData;

use super::sum::chunk_start;
use super::vector::{Op, Product, Vector};
use super::{GROUP, proven};

/// A weight matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// `[output][input]`
    pub weights: &'a [i8],
    pub inputs: usize,
}

impl<'a> Matrix<'a> {
    /// The weights of an output, from one input on; none if there is no such output.
    #[inline(always)]
    fn row(&self, output: usize, start: usize) -> &'a [i8] {
        let row = self.weights.chunks_exact(self.inputs).nth(output).unwrap_or_default();
        row.get(start..).unwrap_or_default()
    }
}

/// Packs a panel for lanes that are outputs, `[group][vector][WEIGHT_BYTES]`, and finds the sum of
/// the weights of each of its outputs, from `first` on. There are as many as `sums` has room for.
pub(crate) fn pack_by_outputs<P: Product>(
    matrix: Matrix<'_>,
    first: usize,
    packed: &mut [u8],
    sums: &mut [i32],
) {
    let product = PhantomData;
    proven::<P::Vector>().vectorize(ByOutputs::<P> { product, matrix, first, packed, sums });
}

struct ByOutputs<'a, P> {
    product: PhantomData<P>,
    matrix: Matrix<'a>,
    first: usize,
    packed: &'a mut [u8],
    sums: &'a mut [i32],
}

/// Groups that are moved together: a cache line of each row.
const LINE: usize = 64 / GROUP;

impl<P: Product> Op<P::Vector> for ByOutputs<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: P::Vector) {
        const { assert!(P::Vector::LANES <= 16) };
        let per_group = self.sums.len() / P::Vector::LANES * P::WEIGHT_BYTES;
        for (i, packed) in self.packed.chunks_mut(LINE * per_group).enumerate() {
            let vectors = self.sums.chunks_exact_mut(P::Vector::LANES);
            for (v, sums) in vectors.enumerate() {
                let output = self.first + v * P::Vector::LANES;
                let mut block = [[[0_i8; GROUP]; 16]; LINE];
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let row = self.matrix.row(output + lane, i * LINE * GROUP);
                    let mut padded = [0; LINE * GROUP];
                    let line = row.first_chunk().unwrap_or_else(|| {
                        padded[..row.len()].copy_from_slice(row);
                        &padded
                    });
                    *sum = sum.wrapping_add(sum_of(line));
                    for (block, &group) in block.iter_mut().zip(line.as_chunks().0) {
                        block[lane] = group;
                    }
                }
                for (block, packed) in block.iter().zip(packed.chunks_exact_mut(per_group)) {
                    let packed = &mut packed[v * P::WEIGHT_BYTES..][..P::WEIGHT_BYTES];
                    P::pack(&block[..P::Vector::LANES], packed);
                }
            }
        }
    }
}

/// Adds up in 16 bits, which hold 64 bytes' sum, so that vectors do more at a time.
#[inline(always)]
fn sum_of(line: &[i8; LINE * GROUP]) -> i32 {
    line.iter().map(|&w| i16::from(w)).sum::<i16>().into()
}

/// Packs for lanes that are inputs, `[chunk][output][WEIGHT_BYTES]`.
pub(crate) fn pack_by_inputs<P: Product>(matrix: Matrix<'_>, packed: &mut [u8]) {
    let outputs = matrix.weights.len() / matrix.inputs;
    let len = P::Vector::LANES * GROUP;
    for (i, packed) in packed.chunks_exact_mut(P::WEIGHT_BYTES).enumerate() {
        let (chunk, output) = (i / outputs, i % outputs);
        let start = chunk_start(chunk, len, matrix.inputs);
        let row = matrix.row(output, start);
        let mut weights = [0_i8; 16 * GROUP];
        // What the chunk before has done is left out.
        let done = chunk * len - start;
        let end = row.len().min(len);
        weights[done..end].copy_from_slice(&row[done..end]);
        P::pack(weights[..len].as_chunks().0, packed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_of_the_smallest_fit_sixteen_bits() {
        assert_eq!(sum_of(&[-128; 64]), -8192);
        assert_eq!(sum_of(&[127; 64]), 8128);
    }
}
