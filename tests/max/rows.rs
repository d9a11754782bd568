//! Rows made to mislead what does not look at all products.

use signfold::Values;
use signfold::quant::{Int8, QuantParams};

use crate::common::Rng;

/// A kind of row. A value's distance is that from the zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row {
    Any,
    /// All are the zero point.
    Zero,
    /// All bytes are 0, whatever the zero point.
    ZeroBytes,
    /// All are at one end of the type, or at either.
    Saturated,
    /// All distances are the same, of any sign.
    EqualMagnitudes,
    Rising,
    Falling,
    /// One is far, the others near.
    Outlier,
    HalfZeros,
    /// Distances of -1, 0 and 1.
    Small,
    /// The first and the last are equally far to either side, the others nearer.
    EndsTie,
    /// The last is the farthest by one.
    LastWins,
    /// Distances that differ by one at most.
    NearlyEqual,
}

impl Row {
    pub const ALL: [Row; 13] = [
        Row::Any,
        Row::Zero,
        Row::ZeroBytes,
        Row::Saturated,
        Row::EqualMagnitudes,
        Row::Rising,
        Row::Falling,
        Row::Outlier,
        Row::HalfZeros,
        Row::Small,
        Row::EndsTie,
        Row::LastWins,
        Row::NearlyEqual,
    ];

    /// Values of the type of `params`.
    pub fn values(self, rng: &mut Rng, params: &QuantParams, inputs: usize) -> Vec<i32> {
        let (min, max) = (params.kind().min(), params.kind().max());
        let zero = params.zero_point();
        let any = |rng: &mut Rng| rng.i8() as u8 as i32 + min;
        // How far values may be: to both sides, if the zero point leaves room there.
        let (down, up) = (zero - min, max - zero);
        let far = if down.min(up) > 0 { down.min(up) } else { down.max(up) };
        let sided = |rng: &mut Rng, distance: i32| match (distance <= down, distance <= up) {
            (true, true) => zero + rng.pick(&[distance, -distance]),
            (true, false) => zero - distance,
            _ => zero + distance,
        };
        let distance = 1 + rng.below(far as usize) as i32;
        let last = inputs - 1;
        let mut row = match self {
            Row::Any | Row::Rising | Row::Falling => rng.vec(inputs, any),
            Row::Zero => vec![zero; inputs],
            Row::ZeroBytes => vec![0; inputs],
            Row::Saturated => match rng.below(3) {
                0 => vec![min; inputs],
                1 => vec![max; inputs],
                _ => rng.vec(inputs, |rng| rng.pick(&[min, max])),
            },
            Row::EqualMagnitudes => rng.vec(inputs, |rng| sided(rng, distance)),
            Row::HalfZeros => rng.vec(inputs, |rng| if rng.one_in(2) { zero } else { any(rng) }),
            Row::Outlier | Row::Small => {
                rng.vec(inputs, |rng| (zero + rng.below(3) as i32 - 1).clamp(min, max))
            }
            Row::EndsTie | Row::LastWins => rng.vec(inputs, |rng| {
                let any = rng.below(distance as usize) as i32;
                let nearer = rng.pick(&[distance - 1, any]);
                sided(rng, nearer)
            }),
            Row::NearlyEqual => rng.vec(inputs, |rng| {
                let distance = distance - rng.below(2) as i32;
                sided(rng, distance)
            }),
        };
        match self {
            Row::Rising => row.sort_by_key(|x| (x - zero).abs()),
            Row::Falling => row.sort_by_key(|x| -(x - zero).abs()),
            Row::Outlier => row[rng.below(inputs)] = rng.pick(&[min, max]),
            Row::EndsTie => {
                let first = sided(rng, distance);
                let opposite = 2 * zero - first;
                row[0] = first;
                row[last] = if (min..=max).contains(&opposite) { opposite } else { first };
            }
            Row::LastWins => row[last] = sided(rng, distance),
            _ => {}
        }
        row
    }
}

/// Values of the type of `params` as a batch.
pub fn batch(params: &QuantParams, values: &[i32]) -> Values<'static> {
    match params.kind() {
        Int8::I8 => values.iter().map(|&x| x as i8).collect::<Vec<_>>().into(),
        Int8::U8 => values.iter().map(|&x| x as u8).collect::<Vec<_>>().into(),
    }
}

/// Rows of all kinds.
pub fn mixed_batch(
    rng: &mut Rng,
    params: &QuantParams,
    inputs: usize,
    rows: usize,
) -> Values<'static> {
    let rows = rng.vec(rows, |rng| rng.pick(&Row::ALL).values(rng, params, inputs));
    batch(params, &rows.concat())
}

/// The integers of 8-bit rows.
pub fn integers(rows: &Values<'_>) -> Vec<i32> {
    match rows {
        Values::I8(rows) => rows.iter().map(|&q| q.into()).collect(),
        Values::U8(rows) => rows.iter().map(|&q| q.into()).collect(),
        _ => unreachable!("8-bit rows"),
    }
}

/// What the integers stand for.
pub fn reals(params: &QuantParams, rows: &Values<'_>) -> Values<'static> {
    integers(rows).into_iter().map(|q| params.dequantize(q)).collect::<Vec<_>>().into()
}

/// Real outputs.
pub fn floats(values: &Values<'_>) -> Vec<f32> {
    match values {
        Values::F32(values) => values.to_vec(),
        _ => unreachable!("the output is f32"),
    }
}
