//! The reference against the formulas of the aggregates, in 64-bit floats, written without a look
//! at how it computes them.

use signfold::layers::{Aggregate, Bias, MaxProduct};
use signfold::quant::{Int8, QuantParams};
use signfold::{TensorType, WeightLayout};

use super::rows::{Row, batch, floats, integers, mixed_batch};
use super::{model_of, zero_points};
use crate::common::{AGGREGATES, Rng, cases};

/// How real products of a block are joined.
fn formula(aggregate: Aggregate, products: &[f64]) -> f64 {
    let max = products.iter().copied().reduce(f64::max);
    let min = products.iter().copied().reduce(f64::min);
    let Some((max, min)) = max.zip(min) else { return 0.0 };
    let magnitude = max.max(-min);
    let farthest = || *products.iter().find(|p| p.abs() == magnitude).expect("one is");
    match aggregate {
        Aggregate::Max => max,
        Aggregate::Min => min,
        Aggregate::AbsMax => farthest(),
        Aggregate::SoftAbsMax { alpha } => {
            let alpha = f64::from(alpha);
            // What is 1 is added last: terms may be far less.
            let others: f64 = products
                .iter()
                .map(|p| (alpha * (p.abs() - magnitude)).exp())
                .filter(|&term| term < 1.0)
                .sum();
            let equal = products.iter().filter(|p| p.abs() == magnitude).count() as f64;
            let log = (equal - 1.0 + others).ln_1p();
            let sign = if magnitude == 0.0 { 0.0 } else { farthest().signum() };
            sign * (magnitude + log / alpha)
        }
        Aggregate::Mean => products.iter().sum::<f64>() / products.len() as f64,
        Aggregate::Mam => max + min,
        _ => unreachable!("no other aggregates"),
    }
}

/// The real products of an output, in blocks of this many inputs.
fn output(
    aggregate: Aggregate,
    row: &[i32],
    zero_point: i32,
    connections: impl Iterator<Item = (usize, i8)>,
    block: usize,
    unit: f64,
) -> f64 {
    let mut blocks = vec![Vec::new(); row.len().div_ceil(block)];
    for (k, w) in connections {
        blocks[k / block].push(f64::from((row[k] - zero_point) * i32::from(w)) * unit);
    }
    blocks.iter().map(|products| formula(aggregate, products)).sum()
}

/// Integers have no error but that of the last rounding to 24 bits.
#[test]
fn integer_aggregates_are_exact() {
    let rng = &mut Rng::new(6);
    for case in 0..3 * cases() {
        let (inputs, outputs) = (1 + rng.below(90), 1 + rng.below(9));
        let params = {
            let of = rng.pick(&zero_points());
            QuantParams::new(of.kind(), 1.0, of.zero_point()).expect("valid")
        };
        let rows = mixed_batch(rng, &params, inputs, 7);
        let block = 1 + rng.below(inputs);
        let splits = inputs.div_ceil(block);
        // What `splits` says about the size of blocks.
        let block = inputs.div_ceil(splits);
        let bias = rng.vec(outputs, |rng| rng.next() as i32 >> 16);
        for aggregate in AGGREGATES {
            let weights = rng.vec(outputs * inputs, Rng::i8);
            let layer = match (aggregate, rng.one_in(2)) {
                (Aggregate::SoftAbsMax { .. }, _) => continue,
                (Aggregate::Mean, _) | (_, true) => {
                    MaxProduct::new(aggregate, weights, WeightLayout::OutIn, outputs, inputs)
                }
                (_, false) => {
                    MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, outputs, inputs)
                }
            };
            let mean = aggregate == Aggregate::Mean;
            let (splits, block) = if mean { (1, inputs) } else { (splits, block) };
            let layer = layer.expect("as many as needed").splits(splits);
            let layer = layer.bias(Bias::I32(bias.clone().into()));
            let input = TensorType::int8(inputs, params);
            let found = model_of(input, layer.clone()).reference(&rows).expect("8-bit rows");
            let mut found = floats(&found).into_iter();
            for row in integers(&rows).chunks(inputs) {
                for (n, &bias) in bias.iter().enumerate() {
                    let zero_point = params.zero_point();
                    let each = layer.connections(n);
                    let joined = output(aggregate, row, zero_point, each, block, 1.0);
                    let found = f64::from(found.next().expect("one per output"));
                    // A bias is a product more for a mean: it is on the scale of the products'.
                    let bias = f64::from(bias) / if mean { inputs as f64 } else { 1.0 };
                    let tolerance = if mean { 3e-7 * (joined.abs() + bias.abs()) } else { 0.0 };
                    let wanted = joined + bias;
                    assert!(
                        (found - wanted).abs() <= tolerance,
                        "case {case}: {found}, not {wanted}: {layer:?}"
                    );
                }
            }
        }
    }
}

/// The largest relative error of a soft maximum over rows of all kinds.
fn soft_error(rng: &mut Rng, inputs: usize, outputs: usize, sharpness: f64) -> f64 {
    let of = rng.pick(&zero_points());
    let params = QuantParams::new(of.kind(), rng.float(1e-3, 0.5), of.zero_point()).expect("valid");
    let scale = rng.float(1e-4, 0.1);
    // At 1, a typical product weighs e times less than one twice as large.
    let alpha = (sharpness / (8_000.0 * f64::from(params.scale() * scale))) as f32;
    let aggregate = Aggregate::SoftAbsMax { alpha };
    let small = rng.one_in(3);
    let weights = rng.vec(outputs * inputs, |rng| if small { rng.i8() >> 5 } else { rng.i8() });
    let layer = MaxProduct::new(aggregate, weights, WeightLayout::OutIn, outputs, inputs);
    let layer = layer.expect("as many as needed").weight_scales(vec![scale]);
    let input = TensorType::int8(inputs, params);
    let mut worst = 0.0_f64;
    for kind in Row::ALL {
        let row = kind.values(rng, &params, inputs);
        let model = model_of(input, layer.clone());
        let found = floats(&model.reference(&batch(&params, &row)).expect("8-bit rows"));
        for (n, &found) in found.iter().enumerate() {
            let unit = f64::from(params.scale()) * f64::from(scale);
            let zero = params.zero_point();
            let wanted = output(aggregate, &row, zero, layer.connections(n), inputs, unit);
            let error = match wanted {
                0.0 => f64::from(found).abs(),
                _ => ((f64::from(found) - wanted) / wanted).abs(),
            };
            assert!(
                error < 1e-5,
                "{found}, not {wanted}: {kind:?}, {inputs} inputs, alpha {alpha}, {params:?}"
            );
            worst = worst.max(error);
        }
    }
    worst
}

/// From one with which all terms are nearly 1 to one with which all but the winner vanish.
#[test]
fn soft_maxima_are_within_a_hundred_thousandth() {
    let rng = &mut Rng::new(7);
    let mut worst = 0.0_f64;
    for _ in 0..cases().div_ceil(4) {
        for exponent in -6..=3 {
            let sharpness = 10_f64.powi(exponent) * f64::from(rng.float(1.0, 10.0));
            let inputs = rng.pick(&[1, 2, 3, 10, 100, 700]);
            worst = worst.max(soft_error(rng, inputs, 2, sharpness));
        }
    }
    println!("the largest relative error is {worst:e}");
}

#[test]
fn soft_maxima_of_many_inputs() {
    let rng = &mut Rng::new(8);
    let mut worst = 0.0_f64;
    let step = if cases() < 200 { 3 } else { 1 };
    for exponent in (-6..=3).step_by(step) {
        worst = worst.max(soft_error(rng, 10_000, 1, 10_f64.powi(exponent)));
    }
    println!("the largest relative error is {worst:e}");
}

/// Without terms beside the winner's, it is the largest magnitude itself.
#[test]
fn a_sharp_soft_maximum_is_hard() {
    let rng = &mut Rng::new(9);
    let params = QuantParams::new(Int8::I8, 1.0, 3).expect("valid");
    let input = TensorType::int8(31, params);
    let rows = mixed_batch(rng, &params, 31, 40);
    let weights = rng.vec(31 * 7, Rng::i8);
    let layer = |aggregate| {
        let layer = MaxProduct::new(aggregate, weights.clone(), WeightLayout::OutIn, 7, 31);
        model_of(input, layer.expect("as many as needed")).reference(&rows).expect("8-bit rows")
    };
    // ln(31) / alpha is less than half of what 24 bits of the smallest product resolve.
    let soft = layer(Aggregate::SoftAbsMax { alpha: 1e9 });
    assert_eq!(floats(&soft), floats(&layer(Aggregate::AbsMax)));
}
