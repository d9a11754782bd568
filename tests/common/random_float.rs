//! Random layers of real numbers. They give numbers of moderate size for such, and never NaN.

use signfold::WeightLayout;
use signfold::layers::{
    Activation, Affine, Aggregate, FloatDense, FloatMax, Layer, LayerNorm, LogSoftmax,
};

use super::{AGGREGATES, Rng};

/// A layer for rows of this width, of any kind that has weights or parameters of real numbers.
pub fn random_float_layer(rng: &mut Rng, inputs: usize, outputs: usize) -> Layer<'static> {
    match rng.below(7) {
        0 => random_float_dense(rng, inputs, outputs).into(),
        1..=3 => {
            let aggregate = rng.pick(&AGGREGATES);
            random_float_max(rng, aggregate, inputs, outputs).into()
        }
        4 => random_affine(rng, inputs).into(),
        5 => random_layer_norm(rng, inputs).into(),
        _ => LogSoftmax.into(),
    }
}

/// A dense layer with or without a bias.
pub fn random_float_dense(rng: &mut Rng, inputs: usize, outputs: usize) -> FloatDense<'static> {
    let size = 2.0 / (inputs as f32).sqrt();
    let weights = random_weights(rng, inputs * outputs, size);
    let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
    let dense = FloatDense::new(weights, layout, outputs, inputs).expect("the lengths fit");
    if rng.one_in(3) { dense } else { dense.bias(random_weights(rng, outputs, 1.0)) }
}

/// A max-product layer, pruned or not, with blocks or not. An alpha is chosen anew.
pub fn random_float_max(
    rng: &mut Rng,
    aggregate: Aggregate,
    inputs: usize,
    outputs: usize,
) -> FloatMax<'static> {
    let aggregate = match aggregate {
        Aggregate::SoftAbsMax { .. } => {
            Aggregate::SoftAbsMax { alpha: rng.pick(&[0.01, 1.0, 30.0]) * rng.float(0.5, 2.0) }
        }
        other => other,
    };
    let splits = match rng.below(3) {
        _ if aggregate == Aggregate::Mean => 1,
        0 => inputs,
        1 => inputs.div_ceil(1 + rng.below(inputs)),
        _ => 1,
    };
    let pruned = rng.one_in(2);
    let mut weights = random_weights(rng, inputs * outputs, 2.0 / (splits as f32).sqrt());
    if pruned {
        for row in weights.chunks_exact_mut(inputs) {
            let percent = rng.pick(&[0, 3, 30, 100]);
            row.iter_mut().for_each(|w| *w *= f32::from(rng.below(100) < percent));
        }
    }
    let new = if pruned { FloatMax::pruned } else { FloatMax::new };
    let max = new(aggregate, weights, WeightLayout::OutIn, outputs, inputs);
    let max = max.expect("the lengths fit").splits(splits);
    if rng.one_in(3) { max } else { max.bias(random_weights(rng, outputs, 1.0)) }
}

/// One scale or one for each column, and shifts likewise.
pub fn random_affine(rng: &mut Rng, width: usize) -> Affine<'static> {
    let mut lengths = || rng.pick(&[1, width]);
    let (scales, shifts) = (lengths(), lengths());
    let (scale, shift) = (random_weights(rng, scales, 2.0), random_weights(rng, shifts, 1.0));
    Affine::new(width, scale, shift).expect("the lengths fit")
}

/// Rows whose elements are equal have no deviation, so epsilon is not 0.
pub fn random_layer_norm(rng: &mut Rng, width: usize) -> LayerNorm<'static> {
    let epsilon = rng.pick(&[1e-5, 1e-3, 1.0]);
    let (scale, shift) = (random_weights(rng, width, 1.0), random_weights(rng, width, 1.0));
    LayerNorm::new(epsilon, scale, shift).expect("the lengths fit")
}

/// One of the functions that only layers of their own have, with any parameters; but for `Exp`, whose
/// results can be infinite.
pub fn random_float_activation(rng: &mut Rng) -> Activation {
    match rng.below(8) {
        0 => Activation::Elu { alpha: rng.float(-0.5, 1.5) },
        1 => Activation::HardSigmoid { alpha: rng.float(-0.1, 0.3), beta: rng.float(0.0, 1.0) },
        2 => Activation::Silu,
        3 => Activation::HardSwish,
        4 => Activation::Selu { alpha: rng.float(0.5, 2.0), gamma: rng.float(0.5, 1.5) },
        5 => Activation::Softplus,
        6 => Activation::Softsign,
        _ => Activation::Mish,
    }
}

/// Numbers up to this size; some are zeros, very small, or equal in magnitude.
fn random_weights(rng: &mut Rng, len: usize, size: f32) -> Vec<f32> {
    let few = rng.one_in(4);
    rng.vec(len, |rng| match rng.below(12) {
        0 => rng.pick(&[0.0, -0.0, 1e-40, -1e-20]),
        _ if few => size * rng.pick(&[-1.0, -0.5, 0.5, 1.0]),
        _ => rng.float(-size, size),
    })
}
