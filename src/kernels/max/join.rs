//! From the extremes of a block to what it gives its outputs.

use super::{Aggregate, Extremes, Outputs, PANEL, Shorts};
use crate::kernels::vector::Op;

/// Adds a block's results to the outputs of a row; answers in `extremes.high` the product that won,
/// for what else depends on it.
pub(super) struct Join<'a> {
    pub aggregate: Aggregate,
    pub products: Products<'a>,
    pub extremes: &'a mut Extremes,
    pub outputs: &'a mut Outputs,
}

/// The products of a block, of one row.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    /// `[input][width]`
    pub weights: &'a [u8],
    pub width: usize,
    pub pairs: &'a [i32],
}

impl Products<'_> {
    /// Those of an input with a vector of outputs.
    #[inline(always)]
    pub fn of<V: Shorts>(&self, vector: V, input: usize, at: usize) -> V::Short {
        let weights = &self.weights[input * self.width + at..];
        vector.mul_short(vector.load_signed(weights), vector.short_pairs(&self.pairs[input]))
    }
}

impl<V: Shorts> Op<V> for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { aggregate, products, extremes, outputs } = self;
        for at in (0..products.width.min(PANEL)).step_by(V::SHORTS) {
            let high = vector.load_short(&extremes.high[at..]);
            let low = vector.load_short(&extremes.low[at..]);
            let (mut won, other) = joined(vector, aggregate, high, low);
            if let Some(tied) = magnitude_tie(vector, aggregate, high, low) {
                let first = first_of(vector, &products, at, [high, low], tied);
                won = select(vector, tied, first, won);
            }
            for values in [Some(won), other].into_iter().flatten() {
                add(vector, values, &mut outputs.integers[at..]);
            }
            vector.store_short(won, &mut extremes.high[at..]);
        }
    }
}

/// What extremes give: the product that won, and perhaps another one to be added. Of two with the
/// largest magnitude the smaller one wins here; see [`magnitude_tie`].
#[inline(always)]
pub(super) fn joined<V: Shorts>(
    vector: V,
    aggregate: Aggregate,
    high: V::Short,
    low: V::Short,
) -> (V::Short, Option<V::Short>) {
    let zero = vector.short(0);
    match aggregate {
        Aggregate::Max => (high, None),
        Aggregate::Min => (vector.sub_short(zero, high), None),
        Aggregate::Mam => (high, Some(low)),
        _ => {
            let larger = vector.greater_short(high, vector.sub_short(zero, low));
            (select(vector, larger, high, low), None)
        }
    }
}

/// The lanes in which magnitudes decide, and two products of opposite signs have the largest one; if
/// there are any.
#[inline(always)]
pub(super) fn magnitude_tie<V: Shorts>(
    vector: V,
    aggregate: Aggregate,
    high: V::Short,
    low: V::Short,
) -> Option<V::Short> {
    if !matches!(aggregate, Aggregate::AbsMax | Aggregate::SoftAbsMax { .. }) {
        return None;
    }
    let zero = vector.short(0);
    let tied = vector.equal_short(high, vector.sub_short(zero, low));
    let tied = vector.and_short(tied, vector.greater_short(high, zero));
    vector.any_short(tied).then_some(tied)
}

/// `mask ? a : b`
#[inline(always)]
fn select<V: Shorts>(vector: V, mask: V::Short, a: V::Short, b: V::Short) -> V::Short {
    vector.add_short(b, vector.and_short(mask, vector.sub_short(a, b)))
}

/// In the lanes of `open`: that of two values which is the product of the lower input.
#[inline(always)]
fn first_of<V: Shorts>(
    vector: V,
    products: &Products<'_>,
    at: usize,
    values: [V::Short; 2],
    mut open: V::Short,
) -> V::Short {
    let mut first = vector.short(0);
    for k in 0..products.pairs.len() {
        let product = products.of(vector, k, at);
        let equal = vector.or_short(
            vector.equal_short(product, values[0]),
            vector.equal_short(product, values[1]),
        );
        let found = vector.and_short(open, equal);
        first = vector.or_short(first, vector.and_short(found, product));
        open = vector.sub_short(open, found); // -1 less -1
        if !vector.any_short(open) {
            break;
        }
    }
    first
}

/// Adds a vector to the first integers.
#[inline(always)]
pub(super) fn add<V: Shorts>(vector: V, values: V::Short, integers: &mut [i32]) {
    for (i, values) in vector.widen(values).into_iter().enumerate() {
        let integers = &mut integers[i * V::LANES..][..V::LANES];
        vector.store_int(vector.add(vector.load_int(integers), values), integers);
    }
}
