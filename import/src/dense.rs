//! One dense layer to 8 bits: scales for its weights, then weights and bias as integers.
//!
//! ```text
//! s_w[n] = max_k |w[n][k]| / 127          w_q = round(w / s_w), in -127..=127
//! b_q    = round(b / (s_x * s_w))         on the scale of the sums
//! ```
//! The scale is made larger where a channel's bias would otherwise leave `i32`: weights that are
//! so small beside their bias do not need the finer steps.

use signfold::layers::{Bias, Dense};
use signfold::{Error, ErrorKind, Result, WeightLayout};

use crate::float::FloatDense;

/// How many scales the weights of a layer have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightScales {
    /// One for each output.
    #[default]
    PerChannel,
    /// One for all.
    PerTensor,
}

/// Magnitude that a quantized bias may have: a quarter of what the sums can hold.
const MAX_BIAS: f64 = (1 << 30) as f64;

/// Steps that the bias of a channel without weights is given: those of an `f32`.
const BIAS_STEPS: f64 = (1 << 24) as f64;

/// The scales of a layer's input and output; 1 where it takes or gives real numbers.
#[derive(Clone, Copy)]
pub(crate) struct Between {
    pub input: f32,
    pub output: f32,
}

/// The layer with 8-bit weights, their scales, and its bias: integers if the input's scale is
/// known, else real numbers. Activation and types are left to the caller.
pub(crate) fn quantize_dense(
    dense: &FloatDense,
    weights: WeightScales,
    scales: Option<Between>,
) -> Result<Dense<'static>> {
    let FloatDense { inputs, outputs, .. } = *dense;
    // Any scale will do for nothing but zeros: one that the layer has anyway, if it can be.
    let for_zeros = match magnitude(&dense.weights) {
        0.0 => 1.0,
        layer => layer / 127.0,
    };
    let scale_for = |n| weight_scale(dense, n, scales, for_zeros);
    let mut weight_scales = (0..outputs)
        .map(|n| scale_for(n).map_err(|e| e.at(format!("channel {n}"))))
        .collect::<Result<Vec<f32>>>()?;
    if weights == WeightScales::PerTensor {
        weight_scales = vec![weight_scales.into_iter().fold(0.0, f32::max)];
    }
    let scale_of = |n: usize| *weight_scales.get(n).unwrap_or(&weight_scales[0]);
    let rows = dense.weights.chunks_exact(inputs).enumerate();
    let integers: Vec<i8> = rows
        .flat_map(|(n, row)| {
            let scale = scale_of(n);
            row.iter().map(move |&w| (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8)
        })
        .collect();
    let bias = match (&dense.bias, scales) {
        (None, _) => Bias::None,
        (Some(bias), None) => Bias::F32(bias.clone().into()),
        (Some(bias), Some(between)) => {
            let integer = |(n, &b): (usize, &f32)| {
                let scale = between.input * scale_of(n);
                (f64::from(b) / f64::from(scale)).round_ties_even() as i32
            };
            Bias::I32(bias.iter().enumerate().map(integer).collect::<Vec<i32>>().into())
        }
    };
    Ok(Dense::new(integers, WeightLayout::OutIn, outputs, inputs)?
        .weight_scales(weight_scales)
        .bias(bias))
}

/// The largest magnitude among some weights.
fn magnitude(weights: &[f32]) -> f64 {
    f64::from(weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs())))
}

/// The scale for the weights of output `n`: positive, finite, and such that its products with the
/// other scales are normal numbers.
fn weight_scale(
    dense: &FloatDense,
    n: usize,
    scales: Option<Between>,
    for_zeros: f64,
) -> Result<f32> {
    let row = magnitude(&dense.weights[n * dense.inputs..][..dense.inputs]);
    let bias = dense.bias.as_ref().map_or(0.0, |bias| f64::from(bias[n].abs()));
    let between = scales.unwrap_or(Between { input: 1.0, output: 1.0 });
    let (input, output) = (f64::from(between.input), f64::from(between.output));
    let own = if row > 0.0 {
        row / 127.0
    } else if bias > 0.0 && scales.is_some() {
        bias / input / BIAS_STEPS
    } else {
        for_zeros
    };
    let for_bias = if scales.is_some() { bias / input / MAX_BIAS } else { 0.0 };
    let normal = 1.001 * f64::from(f32::MIN_POSITIVE) * (1.0 / input).max(output / input).max(1.0);
    let scale = own.max(for_bias).max(normal) as f32;
    match scale.is_finite() {
        true => Ok(scale),
        false => Err(Error::new(
            ErrorKind::Model,
            format!(
                "bias {:e} is too large beside inputs of scale {:e}",
                bias as f32, between.input
            ),
        )),
    }
}
