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

impl<P: Product> Op<P::Vector> for ByOutputs<'_, P> {
    type Output = ();

    /// As many groups of as many rows as there are lanes are transposed together.
    #[inline(always)]
    fn run(self, vector: P::Vector) {
        const { assert!(P::Vector::LANES <= 16) };
        let lanes = P::Vector::LANES;
        let per_group = self.sums.len() / lanes * P::WEIGHT_BYTES;
        let mut groups = [0_i32; 16];
        for (i, packed) in self.packed.chunks_mut(lanes * per_group).enumerate() {
            for (v, sums) in self.sums.chunks_exact_mut(lanes).enumerate() {
                let mut square = [vector.int(0); 16];
                for (lane, line) in square[..lanes].iter_mut().enumerate() {
                    let row = self.matrix.row(self.first + v * lanes + lane, i * lanes * GROUP);
                    let row: &[u8] = bytemuck::cast_slice(row);
                    *line = match row.len() >= lanes * GROUP {
                        true => vector.load_groups(row),
                        false => vector.load_few_groups(row),
                    };
                }
                vector.transpose(&mut square);
                let mut sum = vector.load_int(sums);
                for (&line, packed) in square.iter().zip(packed.chunks_exact_mut(per_group)) {
                    sum = vector.add(sum, vector.sum_groups(line));
                    vector.store_int(line, &mut groups[..lanes]);
                    let packed = &mut packed[v * P::WEIGHT_BYTES..][..P::WEIGHT_BYTES];
                    P::pack(&bytemuck::cast_slice(&groups)[..lanes], packed);
                }
                vector.store_int(sum, sums);
            }
        }
    }
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

/// Packs one vector's weights in 16 bits: 0 and 2 of all groups, then 1 and 3 of all groups. With the
/// inputs in that order, pairs are multiplied and added.
pub(super) fn widened(weights: &[[i8; GROUP]], packed: &mut [u8]) {
    let pairs = |k: usize| weights.iter().flat_map(move |w| [w[k], w[k + 2]]);
    for (packed, w) in packed.chunks_exact_mut(2).zip(pairs(0).chain(pairs(1))) {
        packed.copy_from_slice(&i16::from(w).to_ne_bytes());
    }
}
