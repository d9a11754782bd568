//! Dense: sums of products with a weight matrix, plus a bias, clamped.
//!
//! With x and its zero point zx, w and its zero point zw, all exact integers:
//! ```text
//! sum_k (x - zx)(w - zw) = sum x*w - zx * (sum w - K*zw) - zw * sum x
//! ```
//! The kernel computes `sum x*w`. What does not depend on the batch joins the bias; the rest are
//! products of a number per row and a number per output.

mod compile;

use std::borrow::Cow;

use super::edges::{expect_f32, expect_int8, refuse_nan};
use super::{Activation, Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::reference;
use crate::pack::WeightLayout;
use crate::quant::{
    QuantParams, Rounding, check_scale, dynamic_params, multiplier, requantize_nearest,
    round_clamped, select_max, select_min,
};
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// A dense layer: `output[n] = activation(sum_k input[k] * weight[n][k] + bias[n])`.
///
/// ```
/// use signfold::layers::{Activation, Bias, Dense, DenseOutput};
/// use signfold::WeightLayout;
///
/// // 3 inputs, 2 outputs; one weight scale per output.
/// let dense = Dense::new(vec![1, -2, 3, 4, 5, -6], WeightLayout::OutIn, 2, 3)?
///     .weight_scales(vec![0.5, 0.25])
///     .bias(Bias::I32(vec![10, -20].into()))
///     .activation(Activation::Relu)
///     .output(DenseOutput::F32);
/// assert_eq!((dense.inputs(), dense.outputs()), (3, 2));
/// # Ok::<(), signfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dense<'a> {
    inputs: usize,
    outputs: usize,
    weights: Cow<'a, [i8]>,
    weight_scales: Cow<'a, [f32]>,
    weight_zero_points: Cow<'a, [i8]>,
    bias: Bias<'a>,
    activation: Activation,
    input: DenseInput,
    output: DenseOutput,
}

/// What is added to each output's sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// Integers on the scale of the sums, input scale times weight scale: for 8-bit inputs.
    I32(Cow<'a, [i32]>),
    /// Real numbers, added after the sum has been scaled: for `f32` outputs.
    F32(Cow<'a, [f32]>),
}

/// What a dense layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenseInput {
    /// 8-bit rows, whose quantization is fixed (static).
    #[default]
    Int8,
    /// Real rows, quantized when they arrive: one scale for the whole batch, as ONNX
    /// `DynamicQuantizeLinear` finds it. A row's result depends on the rows it comes with.
    PerTensor,
    /// Real rows, quantized when they arrive: a scale for each row.
    PerRow,
}

/// What a dense layer gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum DenseOutput {
    /// Real rows: `sum * (input scale * weight scale) + bias`.
    #[default]
    F32,
    /// 8-bit rows, requantized by the rule.
    Int8(QuantParams, Rounding),
}

impl<'a> Dense<'a> {
    /// A layer of `outputs x inputs` weights that lie as `layout` says, with scale 1, zero point
    /// 0, no bias, no activation, 8-bit inputs and `f32` outputs.
    ///
    /// # Errors
    /// There must be `outputs * inputs` weights, at least one.
    pub fn new(
        weights: impl Into<Cow<'a, [i8]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let weights = layout.to_out_in(weights, outputs, inputs)?;
        if weights.is_empty() {
            return Err(Error::model("a dense layer without weights"));
        }
        Ok(Self {
            inputs,
            outputs,
            weights,
            weight_scales: vec![1.0].into(),
            weight_zero_points: Cow::Borrowed(&[]),
            bias: Bias::None,
            activation: Activation::Identity,
            input: DenseInput::Int8,
            output: DenseOutput::F32,
        })
    }

    /// Sets the weights' scales: one for all (per tensor), or one per output (per channel).
    #[must_use]
    pub fn weight_scales(mut self, scales: impl Into<Cow<'a, [f32]>>) -> Self {
        self.weight_scales = scales.into();
        self
    }

    /// Sets the weights' zero points: none (all 0), one for all, or one per output.
    #[must_use]
    pub fn weight_zero_points(mut self, zero_points: impl Into<Cow<'a, [i8]>>) -> Self {
        self.weight_zero_points = zero_points.into();
        self
    }

    /// Sets the bias.
    #[must_use]
    pub fn bias(mut self, bias: Bias<'a>) -> Self {
        self.bias = bias;
        self
    }

    /// Sets the activation: one that only clamps. Others are a [`Pointwise`](super::Pointwise)
    /// layer of their own.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets what the layer takes.
    #[must_use]
    pub fn input(mut self, input: DenseInput) -> Self {
        self.input = input;
        self
    }

    /// Sets what the layer gives.
    #[must_use]
    pub fn output(mut self, output: DenseOutput) -> Self {
        self.output = output;
        self
    }

    /// K: elements of an input row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// N: elements of an output row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights, `[out][in]`.
    pub fn weights(&self) -> &[i8] {
        &self.weights
    }

    /// The weights' scales: 1, or one per output.
    pub fn scales(&self) -> &[f32] {
        &self.weight_scales
    }

    /// The weights' zero points: 0, 1, or one per output.
    pub fn zero_points(&self) -> &[i8] {
        &self.weight_zero_points
    }

    /// The bias.
    pub fn bias_values(&self) -> &Bias<'a> {
        &self.bias
    }

    /// The fused activation.
    pub fn fused_activation(&self) -> Activation {
        self.activation
    }

    /// What the layer takes.
    pub fn input_kind(&self) -> DenseInput {
        self.input
    }

    /// What the layer gives.
    pub fn output_kind(&self) -> DenseOutput {
        self.output
    }

    /// The largest magnitude that the sum of any output can reach, bias included, for inputs of
    /// this type: 8-bit ones with their zero point, or `f32` ones, quantized on arrival.
    pub fn worst_sum(&self, input: &TensorType) -> i64 {
        (0..self.outputs).map(|n| self.worst_sum_of(n, input)).max().unwrap_or(0)
    }

    fn worst_sum_of(&self, output: usize, input: &TensorType) -> i64 {
        let farthest = match expect_int8(input) {
            Ok(params) => (127 - params.zero_point_i8()).max(params.zero_point_i8() + 128),
            Err(_) => 255,
        };
        let zero_point = i64::from(self.weight_zero_point(output));
        let weights = self.row(output).iter().map(|&w| (i64::from(w) - zero_point).abs());
        let bias = match &self.bias {
            Bias::I32(bias) => i64::from(bias[output]).abs(),
            _ => 0,
        };
        weights.sum::<i64>() * i64::from(farthest) + bias
    }

    pub(crate) fn into_owned(self) -> Dense<'static> {
        Dense {
            weights: self.weights.into_owned().into(),
            weight_scales: self.weight_scales.into_owned().into(),
            weight_zero_points: self.weight_zero_points.into_owned().into(),
            bias: match self.bias {
                Bias::None => Bias::None,
                Bias::I32(bias) => Bias::I32(bias.into_owned().into()),
                Bias::F32(bias) => Bias::F32(bias.into_owned().into()),
            },
            ..self
        }
    }

    fn row(&self, output: usize) -> &[i8] {
        &self.weights[output * self.inputs..][..self.inputs]
    }

    fn weight_scale(&self, output: usize) -> f32 {
        *self.weight_scales.get(output).unwrap_or(&self.weight_scales[0])
    }

    fn weight_zero_point(&self, output: usize) -> i8 {
        match &*self.weight_zero_points {
            [] => 0,
            [one] => *one,
            each => each[output],
        }
    }

    /// The bounds that activation and type set to an 8-bit output, before its zero point is added.
    fn bounds(&self, output: &QuantParams) -> (i32, i32) {
        let (min, max) = self.activation.clamp().expect("validated: the activation is a clamp");
        let zero_point = output.zero_point();
        (output.quantize(min) - zero_point, output.quantize(max) - zero_point)
    }

    fn check_lengths(&self) -> Result<()> {
        let n = self.outputs;
        let check = |what: &str, len: usize, allowed: &[usize]| match allowed.contains(&len) {
            true => Ok(()),
            false => Err(Error::model(format!("{len} {what} for {n} outputs"))),
        };
        check("weight scales", self.weight_scales.len(), &[1, n])?;
        check("weight zero points", self.weight_zero_points.len(), &[0, 1, n])?;
        match &self.bias {
            Bias::None => Ok(()),
            Bias::I32(bias) => check("biases", bias.len(), &[n]),
            Bias::F32(bias) => check("biases", bias.len(), &[n]),
        }
    }

    /// What must hold for each output: sums that fit `i32`, scales whose products are numbers.
    fn check_channel(&self, n: usize, input: &TensorType) -> Result<()> {
        let worst = self.worst_sum_of(n, input);
        if worst > i64::from(i32::MAX) {
            return Err(Error::model(format!(
                "its sum can reach {worst}, more than the {} an i32 holds",
                i32::MAX
            )));
        }
        check_scale(self.weight_scale(n))?;
        if let Bias::F32(bias) = &self.bias
            && !bias[n].is_finite()
        {
            return Err(Error::model(format!("bias {} is not finite", bias[n])));
        }
        if let Ok(params) = expect_int8(input) {
            let product = match self.output {
                DenseOutput::F32 => params.scale() * self.weight_scale(n),
                DenseOutput::Int8(output, _) => {
                    multiplier(params.scale(), self.weight_scale(n), output.scale())
                }
            };
            check_scale(product).map_err(|e| e.at("input, weight and output scales together"))?;
        }
        Ok(())
    }

    /// `f32` rows to `i8` ones, by naive loops; with the scale and the zero point of each row.
    fn reference_quantize(&self, rows: &[f32]) -> Result<(Vec<i8>, Vec<RowParams>)> {
        let each = || rows.chunks_exact(self.inputs).enumerate();
        let params: Vec<RowParams> = if self.input == DenseInput::PerRow {
            let find = |(row, values)| {
                refuse_nan(row, values)?;
                row_params(row, range(values))
            };
            each().map(find).collect::<Result<_>>()?
        } else {
            each().try_for_each(|(row, values)| refuse_nan(row, values))?;
            let params = batch_params(range(rows))?;
            each().map(|_| params).collect()
        };
        let quantized = rows.chunks_exact(self.inputs).zip(&params).flat_map(|(row, params)| {
            let (scale, zero_point) = *params;
            let bounds = (-128 - zero_point, 127 - zero_point);
            let quantize = move |&x: &f32| round_clamped(x / scale, bounds.0, bounds.1);
            row.iter().map(move |x| (quantize(x) + zero_point) as i8)
        });
        Ok((quantized.collect(), params))
    }
}

/// Splits weights whose last input column is the bias, `[out][in + 1]`, as networks have them that
/// append a constant 1 to each row: into `[out][in]` and the bias.
///
/// # Errors
/// `weights` must hold `outputs * (inputs + 1)` elements.
pub fn split_bias_column<T: Copy>(
    weights: &[T],
    outputs: usize,
    inputs: usize,
) -> Result<(Vec<T>, Vec<T>)> {
    let columns = inputs.saturating_add(1);
    if outputs.checked_mul(columns) != Some(weights.len()) {
        return Err(Error::model(format!(
            "{} weights do not make {outputs} outputs of {inputs} inputs and a bias",
            weights.len()
        )));
    }
    let rows = weights.chunks_exact(columns);
    let bias = rows.clone().map(|row| row[inputs]).collect();
    Ok((rows.flat_map(|row| row[..inputs].iter().copied()).collect(), bias))
}

impl<'a> Kind<'a> for Dense<'a> {
    fn output(&self, input: &TensorType) -> Result<TensorType> {
        match self.input {
            DenseInput::Int8 => expect_int8(input).map(|_| ())?,
            DenseInput::PerTensor | DenseInput::PerRow => expect_f32(input)?,
        }
        if input.width != self.inputs {
            return Err(Error::model(format!(
                "its input is {} wide, but its weights are for {} inputs",
                input.width, self.inputs
            )));
        }
        self.check_lengths()?;
        self.activation.validate()?;
        if self.activation.clamp().is_none() {
            return Err(Error::model(format!(
                "{} is not a clamp: it needs a pointwise layer of its own",
                self.activation
            )));
        }
        match (&self.bias, self.input, self.output) {
            (Bias::I32(_), DenseInput::PerTensor | DenseInput::PerRow, _) => {
                return Err(Error::model("an i32 bias needs an input scale that is known: 8-bit"));
            }
            (Bias::F32(_), _, DenseOutput::Int8(..)) => {
                return Err(Error::model("an f32 bias needs f32 outputs"));
            }
            (_, DenseInput::PerTensor | DenseInput::PerRow, DenseOutput::Int8(..)) => {
                return Err(Error::model("inputs quantized on arrival need f32 outputs"));
            }
            _ => {}
        }
        for n in 0..self.outputs {
            self.check_channel(n, input).map_err(|e| e.at(format!("channel {n}")))?;
        }
        Ok(match self.output {
            DenseOutput::F32 => TensorType::f32(self.outputs),
            DenseOutput::Int8(params, _) => TensorType::int8(self.outputs, params),
        })
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.inputs);
        record.length(self.outputs);
        record.length(self.weight_scales.len());
        record.length(self.weight_zero_points.len());
        record.word(match self.bias {
            Bias::None => 0,
            Bias::I32(_) => 1,
            Bias::F32(_) => 2,
        });
        record.word(match self.input {
            DenseInput::Int8 => 0,
            DenseInput::PerTensor => 1,
            DenseInput::PerRow => 2,
        });
        self.activation.encode(record);
        match self.output {
            DenseOutput::F32 => {
                record.params(None);
                record.word(0);
            }
            DenseOutput::Int8(params, rounding) => {
                record.params(Some(&params));
                record.word(match rounding {
                    Rounding::Nearest => 1,
                });
            }
        }
        record.tensor_i8(&self.weights);
        record.tensor_f32(&self.weight_scales);
        record.tensor_i8(&self.weight_zero_points);
        match &self.bias {
            Bias::None => {}
            Bias::I32(bias) => record.tensor_i32(bias),
            Bias::F32(bias) => record.tensor_f32(bias),
        }
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (inputs, outputs) = (record.length()?, record.length()?);
        let (scales, zero_points) = (record.length()?, record.length()?);
        let bias = record.choice("kind of bias", &[(0, 0), (1, 1), (2, 2)])?;
        let input = record.choice(
            "kind of dense input",
            &[(0, DenseInput::Int8), (1, DenseInput::PerTensor), (2, DenseInput::PerRow)],
        )?;
        let activation = Activation::decode(record)?;
        let params = record.params()?;
        let rounding =
            record.choice("requantize rule", &[(0, None), (1, Some(Rounding::Nearest))])?;
        let output = match (params, rounding) {
            (None, None) => DenseOutput::F32,
            (Some(params), Some(rounding)) => DenseOutput::Int8(params, rounding),
            _ => return Err(Error::format("output parameters and requantize rule go together")),
        };
        let Some(weights) = inputs.checked_mul(outputs).filter(|&n| n > 0) else {
            return Err(Error::format(format!("a matrix of {outputs} x {inputs} weights")));
        };
        Ok(Self {
            inputs,
            outputs,
            weights: record.tensor_i8(weights)?,
            weight_scales: record.tensor_f32(scales)?,
            weight_zero_points: record.tensor_i8(zero_points)?,
            bias: match bias {
                0 => Bias::None,
                1 => Bias::I32(record.tensor_i32(outputs)?),
                _ => Bias::F32(record.tensor_f32(outputs)?),
            },
            activation,
            input,
            output,
        })
    }

    fn reference(&self, input: &TensorType, values: &Values<'_>) -> Result<Values<'static>> {
        let rows = values.len() / self.inputs;
        let (x, params) = match expect_int8(input) {
            Ok(params) => (values.to_i8(), vec![(params.scale(), params.zero_point_i8()); rows]),
            Err(_) => self.reference_quantize(values.as_f32())?,
        };
        let zero_points: Vec<i32> =
            (0..self.outputs).map(|n| i32::from(self.weight_zero_point(n))).collect();
        let (mut floats, mut bytes) = (Vec::new(), Vec::new());
        for (x, (scale, zero_point)) in x.chunks_exact(self.inputs).zip(params) {
            let sums = reference::sums(x, &self.weights, self.inputs, zero_point, &zero_points);
            for (n, mut sum) in sums.into_iter().enumerate() {
                if let Bias::I32(bias) = &self.bias {
                    sum += i64::from(bias[n]);
                }
                let sum = i32::try_from(sum).expect("validated: sums fit i32");
                match self.output {
                    DenseOutput::Int8(output, Rounding::Nearest) => {
                        let by = multiplier(scale, self.weight_scale(n), output.scale());
                        let (min, max) = self.bounds(&output);
                        let zero_point = output.zero_point_i8();
                        bytes.push(requantize_nearest(sum, by, min, max, zero_point) as i8);
                    }
                    DenseOutput::F32 => {
                        let mut real = sum as f32 * (scale * self.weight_scale(n));
                        if let Bias::F32(bias) = &self.bias {
                            real += bias[n];
                        }
                        let (min, max) = self.activation.clamp().expect("validated: a clamp");
                        floats.push(select_min(select_max(real, min), max));
                    }
                }
            }
        }
        Ok(match self.output {
            DenseOutput::F32 => floats.into(),
            DenseOutput::Int8(output, _) => Values::from_i8(bytes, &output),
        })
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        self.add_steps(place, steps)
    }
}

/// Smallest and largest value.
fn range(values: &[f32]) -> (f32, f32) {
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    values.iter().fold(start, |(min, max), &x| (select_min(x, min), select_max(x, max)))
}

/// Scale and zero point (of the `i8` form).
type RowParams = (f32, i32);

/// What a row within this range is quantized with.
fn row_params(row: usize, range: (f32, f32)) -> Result<RowParams> {
    params_for(range).map_err(|error| error.at(format_args!("row {row}")))
}

/// What a batch within this range is quantized with: its range is that of no row.
fn batch_params(range: (f32, f32)) -> Result<RowParams> {
    params_for(range).map_err(|error| error.at("batch"))
}

fn params_for((min, max): (f32, f32)) -> Result<RowParams> {
    let (scale, zero_point) = dynamic_params(min, max)
        .ok_or_else(|| Error::input(format!("values from {min} to {max} have no finite range")))?;
    Ok((scale, zero_point - 128))
}
