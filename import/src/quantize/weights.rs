//! One layer with weights to 8 bits: scales for its weights, then weights and bias as integers.
//!
//! ```text
//! s_w[n] = max_k |w[n][k]| / 127          w_q = round(w / s_w), in -127..=127
//! b_q    = round(b / (s_x * s_w))         on the scale of the sums
//! ```
//! The scale is made larger where a channel's bias would otherwise leave `i32`: weights that are
//! so small beside their bias do not need the finer steps.
//!
//! A mean is a sum on the scale s_x * s_w / K. The engine has no pruned ones, which divide by the
//! number of an output's connections: its weights are multiplied with K / count instead.

use std::borrow::Cow;

use signfold::layers::{
    Activation, Aggregate, Bias, Dense, DenseInput, DenseOutput, FloatDense, FloatMax, Layer,
    MaxProduct,
};
use signfold::quant::QuantParams;
use signfold::{Error, ErrorKind, Result, WeightLayout};

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

/// The rows that a layer takes and gives.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    /// 8-bit inputs, and outputs that may be.
    Static { input: QuantParams, output: DenseOutput },
    /// Real ones, quantized on arrival.
    Dynamic(DenseInput),
}

impl Rows {
    fn kinds(self) -> (DenseInput, DenseOutput) {
        match self {
            Rows::Static { output, .. } => (DenseInput::Int8, output),
            Rows::Dynamic(input) => (input, DenseOutput::F32),
        }
    }

    /// What scales of weights meet, in a layer that divides its sums.
    fn scales(self, divisor: f32) -> Scales {
        let (input, output, fixed) = match self {
            Rows::Static { input, output: DenseOutput::Int8(output, _) } => {
                (input.scale(), output.scale(), true)
            }
            Rows::Static { input, .. } => (input.scale(), 1.0, true),
            Rows::Dynamic(_) => (1.0, 1.0, false),
        };
        Scales { input: input / divisor, output, fixed }
    }
}

/// The scales that those of weights are multiplied with, and divided by.
#[derive(Clone, Copy)]
struct Scales {
    /// The input's, 1 if it is not known; already divided by what sums are.
    input: f32,
    /// The output's, 1 if it is real.
    output: f32,
    /// Whether the input's scale is known, so that a bias can be integers.
    fixed: bool,
}

/// A layer with 8-bit weights, its activation fused if it only clamps.
pub(crate) struct Weighted {
    pub layer: Layer<'static>,
    /// The smallest and the largest scale of the weights.
    pub scales: (f32, f32),
}

/// A layer with real weights to one with 8-bit weights, which clamps as `activation` does.
pub(crate) fn quantize_weighted(
    layer: &Layer<'_>,
    activation: Activation,
    weights: WeightScales,
    rows: Rows,
) -> Result<Weighted> {
    match layer {
        Layer::FloatDense(dense) => quantize_dense(dense, activation, weights, rows),
        Layer::FloatMax(max) => quantize_max(max, activation, weights, rows),
        other => {
            let message = format!("a layer of kind {} has no weights to quantize", other.name());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

fn quantize_dense(
    dense: &FloatDense<'_>,
    activation: Activation,
    weights: WeightScales,
    rows: Rows,
) -> Result<Weighted> {
    let (inputs, outputs) = (dense.inputs(), dense.outputs());
    let matrix =
        Matrix { inputs, outputs, weights: dense.weights().into(), bias: dense.bias_values() };
    let (integers, scales, bias) = quantize_weights(&matrix, weights, rows.scales(1.0))?;
    let extent = extent(&scales);
    let (input, output) = rows.kinds();
    let layer = Dense::new(integers, WeightLayout::OutIn, outputs, inputs)?
        .weight_scales(scales)
        .bias(bias)
        .activation(activation)
        .input(input)
        .output(output);
    Ok(Weighted { layer: layer.into(), scales: extent })
}

fn quantize_max(
    max: &FloatMax<'_>,
    activation: Activation,
    weights: WeightScales,
    rows: Rows,
) -> Result<Weighted> {
    let (inputs, outputs, aggregate) = (max.inputs(), max.outputs(), max.aggregate());
    let (input, output) = rows.kinds();
    check_soft(aggregate, output)?;
    let mean = aggregate == Aggregate::Mean;
    let mut matrix =
        Matrix { inputs, outputs, weights: max.weights().into(), bias: max.bias_values() };
    let mut divisor = 1.0;
    if mean {
        divisor = inputs as f32;
        if max.is_pruned() {
            matrix.make_mean_of_all()?;
        }
    }
    let (integers, scales, bias) = quantize_weights(&matrix, weights, rows.scales(divisor))?;
    let extent = extent(&scales);
    let new = if max.is_pruned() && !mean { MaxProduct::pruned } else { MaxProduct::new };
    let layer = new(aggregate, integers, WeightLayout::OutIn, outputs, inputs)?
        .splits(max.split_count())
        .weight_scales(scales)
        .bias(bias)
        .activation(activation)
        .input(input)
        .output(output);
    Ok(Weighted { layer: layer.into(), scales: extent })
}

/// The real weights of a layer, `[out][in]`, and its bias.
struct Matrix<'m> {
    inputs: usize,
    outputs: usize,
    weights: Cow<'m, [f32]>,
    bias: Option<&'m [f32]>,
}

impl Matrix<'_> {
    /// Makes of a mean over connections one that divides by the number of all inputs.
    fn make_mean_of_all(&mut self) -> Result<()> {
        for (n, weights) in self.weights.to_mut().chunks_exact_mut(self.inputs).enumerate() {
            let count = weights.iter().filter(|&&w| w != 0.0).count();
            let factor = weights.len() as f32 / count.max(1) as f32;
            weights.iter_mut().for_each(|w| *w *= factor);
            if let Some(k) = weights.iter().position(|w| !w.is_finite()) {
                let message = format!("the weight for input {k}, times {factor}, is beyond f32");
                return Err(Error::new(ErrorKind::Model, message).at(format!("channel {n}")));
            }
        }
        Ok(())
    }
}

/// What the engine multiplies logarithms with has to be a normal number.
fn check_soft(aggregate: Aggregate, output: DenseOutput) -> Result<()> {
    if let (Aggregate::SoftAbsMax { alpha }, DenseOutput::Int8(output, _)) = (aggregate, output)
        && !(1.0 / (alpha * output.scale())).is_normal()
    {
        let scale = output.scale();
        let message = format!("alpha {alpha:e} is too large beside outputs of scale {scale:e}");
        return Err(Error::new(ErrorKind::Model, message));
    }
    Ok(())
}

/// The weights as integers, `[out][in]`; their scales; and the bias: integers if the input's scale
/// is known, else real numbers.
fn quantize_weights(
    dense: &Matrix<'_>,
    weights: WeightScales,
    beside: Scales,
) -> Result<(Vec<i8>, Vec<f32>, Bias<'static>)> {
    let (inputs, outputs) = (dense.inputs, dense.outputs);
    // Any scale will do for nothing but zeros: one that the layer has anyway, if it can be.
    let for_zeros = match magnitude(&dense.weights) {
        0.0 => 1.0,
        layer => layer / 127.0,
    };
    let scale_for = |n| weight_scale(dense, n, beside, for_zeros);
    let mut scales = (0..outputs)
        .map(|n| scale_for(n).map_err(|e| e.at(format!("channel {n}"))))
        .collect::<Result<Vec<f32>>>()?;
    if weights == WeightScales::PerTensor {
        scales = vec![scales.into_iter().fold(0.0, f32::max)];
    }
    let scale_of = |n: usize| *scales.get(n).unwrap_or(&scales[0]);
    let rows = dense.weights.chunks_exact(inputs).enumerate();
    let integers: Vec<i8> = rows
        .flat_map(|(n, row)| {
            let scale = scale_of(n);
            row.iter().map(move |&w| (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8)
        })
        .collect();
    let bias = match dense.bias {
        None => Bias::None,
        Some(bias) if !beside.fixed => Bias::F32(bias.to_vec().into()),
        Some(bias) => {
            let integer = |(n, &b): (usize, &f32)| {
                let scale = beside.input * scale_of(n);
                (f64::from(b) / f64::from(scale)).round_ties_even() as i32
            };
            Bias::I32(bias.iter().enumerate().map(integer).collect::<Vec<i32>>().into())
        }
    };
    Ok((integers, scales, bias))
}

/// The largest magnitude among some weights.
fn magnitude(weights: &[f32]) -> f64 {
    f64::from(weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs())))
}

/// The scale for the weights of output `n`: positive, finite, and such that its products with the
/// other scales are normal numbers.
fn weight_scale(dense: &Matrix<'_>, n: usize, beside: Scales, for_zeros: f64) -> Result<f32> {
    let row = magnitude(&dense.weights[n * dense.inputs..][..dense.inputs]);
    let bias = dense.bias.map_or(0.0, |bias| f64::from(bias[n].abs()));
    let (input, output) = (f64::from(beside.input), f64::from(beside.output));
    let own = if row > 0.0 {
        row / 127.0
    } else if bias > 0.0 && beside.fixed {
        bias / input / BIAS_STEPS
    } else {
        for_zeros
    };
    let for_bias = if beside.fixed { bias / input / MAX_BIAS } else { 0.0 };
    let normal = 1.001 * f64::from(f32::MIN_POSITIVE) * (1.0 / input).max(output / input).max(1.0);
    let scale = own.max(for_bias).max(normal) as f32;
    match scale.is_finite() {
        true => Ok(scale),
        false => Err(Error::new(
            ErrorKind::Model,
            format!(
                "bias {:e} is too large beside inputs of scale {:e}",
                bias as f32, beside.input
            ),
        )),
    }
}

/// The smallest and the largest of some scales.
fn extent(scales: &[f32]) -> (f32, f32) {
    let max = scales.iter().copied().fold(0.0, f32::max);
    (scales.iter().copied().fold(max, f32::min), max)
}
