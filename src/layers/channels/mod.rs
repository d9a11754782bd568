//! What layers with weights have in common beside the weights: a scale and a bias for each output,
//! an activation that clamps, and the types of their rows.

pub(super) mod steps;

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Activation;
use super::edges::{expect_f32, expect_int8, refuse_nan};
use crate::error::{Error, Result};
use crate::quant::{
    QuantParams, Requantizer, Rounding, check_scale, dynamic_params, multiplier, round_clamped,
    select_max, select_min,
};
use crate::record::{RecordReader, RecordWriter};
use crate::tensor::{TensorType, Values};

/// What is added to each output.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// Integers on the scale of the products, input scale times weight scale: for 8-bit inputs.
    I32(Cow<'a, [i32]>),
    /// Real numbers, added after the output has been scaled: for `f32` outputs.
    F32(Cow<'a, [f32]>),
}

/// What a layer with weights takes.
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

/// What a layer with weights gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum DenseOutput {
    /// Real rows: `integer * (input scale * weight scale) + bias`.
    #[default]
    F32,
    /// 8-bit rows, requantized by the rule.
    Int8(QuantParams, Rounding),
}

/// See the top.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channels<'a> {
    pub outputs: usize,
    pub weight_scales: Cow<'a, [f32]>,
    pub bias: Bias<'a>,
    pub activation: Activation,
    pub input: DenseInput,
    pub output: DenseOutput,
}

/// Scale and zero point (of the `i8` form).
pub(super) type RowParams = (f32, i32);

impl<'a> Channels<'a> {
    pub fn new(outputs: usize) -> Self {
        Self {
            outputs,
            weight_scales: vec![1.0].into(),
            bias: Bias::None,
            activation: Activation::Identity,
            input: DenseInput::Int8,
            output: DenseOutput::F32,
        }
    }

    pub fn into_owned(self) -> Channels<'static> {
        Channels {
            weight_scales: self.weight_scales.into_owned().into(),
            bias: match self.bias {
                Bias::None => Bias::None,
                Bias::I32(bias) => Bias::I32(bias.into_owned().into()),
                Bias::F32(bias) => Bias::F32(bias.into_owned().into()),
            },
            ..self
        }
    }

    pub fn weight_scale(&self, output: usize) -> f32 {
        *self.weight_scales.get(output).unwrap_or(&self.weight_scales[0])
    }

    /// The integer that is added to an output.
    pub fn integer_bias(&self, output: usize) -> i32 {
        match &self.bias {
            Bias::I32(bias) => bias[output],
            _ => 0,
        }
    }

    /// The activation's bounds.
    fn clamp(&self) -> (f32, f32) {
        self.activation.clamp().expect("validated: the activation is a clamp")
    }

    /// The bounds that activation and type set to an 8-bit output, before its zero point is added.
    fn bounds(&self, output: &QuantParams, rule: Rounding) -> (i32, i32) {
        rule.bounds(output, self.clamp())
    }

    /// What an output's integer becomes under a rule, where inputs and outputs have these scales.
    fn requantizer(&self, n: usize, rule: Rounding, input: f32, output: f32) -> Requantizer {
        let per_output = self.weight_scales.len() > 1;
        Requantizer::new(rule, input, self.weight_scale(n), output, per_output)
    }

    /// How far an input can be from its zero point: 8-bit ones, or real ones quantized on arrival.
    pub fn reach(input: &TensorType) -> i64 {
        let of = |params: QuantParams| {
            (127 - params.zero_point_i8()).max(params.zero_point_i8() + 128).into()
        };
        expect_int8(input).map_or(255, of)
    }

    /// Checks all but the weights, for rows of `input` that should be `inputs` wide; `worst` is the
    /// largest magnitude that the integer of an output can reach. Answers the type of output rows.
    pub fn check(
        &self,
        inputs: usize,
        input: &TensorType,
        worst: impl Fn(usize) -> i64,
    ) -> Result<TensorType> {
        match self.input {
            DenseInput::Int8 => expect_int8(input).map(|_| ())?,
            DenseInput::PerTensor | DenseInput::PerRow => expect_f32(input)?,
        }
        if input.width != inputs {
            return Err(Error::model(format!(
                "its input is {} wide, but its weights are for {inputs} inputs",
                input.width
            )));
        }
        self.check_length("weight scales", self.weight_scales.len(), &[1, self.outputs])?;
        match &self.bias {
            Bias::None => {}
            Bias::I32(bias) => self.check_length("biases", bias.len(), &[self.outputs])?,
            Bias::F32(bias) => self.check_length("biases", bias.len(), &[self.outputs])?,
        }
        self.activation.check_clamp()?;
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
            self.check_channel(n, input, worst(n)).map_err(|e| e.at(format!("channel {n}")))?;
        }
        Ok(match self.output {
            DenseOutput::F32 => TensorType::f32(self.outputs),
            DenseOutput::Int8(params, _) => TensorType::int8(self.outputs, params),
        })
    }

    pub fn check_length(&self, what: &str, len: usize, allowed: &[usize]) -> Result<()> {
        match allowed.contains(&len) {
            true => Ok(()),
            false => Err(Error::model(format!("{len} {what} for {} outputs", self.outputs))),
        }
    }

    /// What must hold for each output: integers that fit `i32`, scales whose products are numbers.
    fn check_channel(&self, n: usize, input: &TensorType, worst: i64) -> Result<()> {
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
                DenseOutput::Int8(output, rule) => {
                    let by = self.requantizer(n, rule, params.scale(), output.scale());
                    if let Requantizer::TfLite(by) = by
                        && worst > by.most()
                    {
                        return Err(Error::model(format!(
                            "its sum can reach {worst}, but with its multiplier only {} fits an i32",
                            by.most()
                        )));
                    }
                    multiplier(params.scale(), self.weight_scale(n), output.scale())
                }
            };
            check_scale(product).map_err(|e| e.at("input, weight and output scales together"))?;
        }
        Ok(())
    }

    /// Rows as `i8`, by naive loops, and what each was quantized with.
    pub fn reference_rows(
        &self,
        inputs: usize,
        input: &TensorType,
        values: &Values<'_>,
    ) -> Result<(Vec<i8>, Vec<RowParams>)> {
        if let Ok(params) = expect_int8(input) {
            let rows = values.len() / inputs;
            return Ok((values.to_i8(), vec![(params.scale(), params.zero_point_i8()); rows]));
        }
        let rows = values.as_f32();
        let each = || rows.chunks_exact(inputs).enumerate();
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
        let quantized = rows.chunks_exact(inputs).zip(&params).flat_map(|(row, params)| {
            let (scale, zero_point) = *params;
            let bounds = (-128 - zero_point, 127 - zero_point);
            let quantize = move |&x: &f32| round_clamped(x / scale, bounds.0, bounds.1);
            row.iter().map(move |x| (quantize(x) + zero_point) as i8)
        });
        Ok((quantized.collect(), params))
    }

    /// What becomes of the integers of all rows, bias included, by naive loops. `extras`, if there
    /// are any, are added once an integer is scaled; `params` are those of the input rows.
    pub fn reference_finish(
        &self,
        integers: &[i32],
        extras: &[f32],
        params: &[RowParams],
    ) -> Values<'static> {
        let each = integers.iter().enumerate().map(|(i, &integer)| {
            let (row, n) = (i / self.outputs, i % self.outputs);
            let scaled = move |by: f32| match extras.get(i) {
                Some(extra) => integer as f32 * by + extra,
                None => integer as f32 * by,
            };
            (n, integer, params[row].0, scaled)
        });
        match self.output {
            DenseOutput::Int8(output, Rounding::Nearest) => {
                let (min, max) = self.bounds(&output, Rounding::Nearest);
                let bytes = each.map(|(n, _, scale, scaled)| {
                    let by = multiplier(scale, self.weight_scale(n), output.scale());
                    (round_clamped(scaled(by), min, max) + output.zero_point_i8()) as i8
                });
                Values::from_i8(bytes.collect(), &output)
            }
            DenseOutput::Int8(output, rule) => {
                let (min, max) = self.bounds(&output, rule);
                let bytes = each.map(|(n, integer, scale, _)| {
                    let by = self.requantizer(n, rule, scale, output.scale());
                    let value = by.apply(integer, min, max, output.zero_point());
                    (value - output.kind().shift()) as i8
                });
                Values::from_i8(bytes.collect(), &output)
            }
            DenseOutput::F32 => {
                let (min, max) = self.clamp();
                let reals = each.map(|(n, _, scale, scaled)| {
                    let mut real = scaled(scale * self.weight_scale(n));
                    if let Bias::F32(bias) = &self.bias {
                        real += bias[n];
                    }
                    select_min(select_max(real, min), max)
                });
                reals.collect::<Vec<f32>>().into()
            }
        }
    }

    /// Writes the words from the kind of bias to the rule.
    pub fn encode(&self, record: &mut RecordWriter) {
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
        record.rounded(match self.output {
            DenseOutput::F32 => None,
            DenseOutput::Int8(params, rule) => Some((params, rule)),
        });
    }

    /// Writes the tensor of the bias, which follows those of the weights.
    pub fn encode_bias(&self, record: &mut RecordWriter) {
        match &self.bias {
            Bias::None => {}
            Bias::I32(bias) => record.tensor_i32(bias),
            Bias::F32(bias) => record.tensor_f32(bias),
        }
    }

    /// Reads what [`Channels::encode`] writes; answers also which bias there is.
    pub fn decode(outputs: usize, record: &mut RecordReader<'a>) -> Result<(Self, BiasKind)> {
        let kinds = [(0, BiasKind::None), (1, BiasKind::I32), (2, BiasKind::F32)];
        let bias = record.choice("kind of bias", &kinds)?;
        let input = record.choice(
            "kind of input",
            &[(0, DenseInput::Int8), (1, DenseInput::PerTensor), (2, DenseInput::PerRow)],
        )?;
        let activation = Activation::decode(record)?;
        let output = match record.rounded()? {
            None => DenseOutput::F32,
            Some((params, rule)) => DenseOutput::Int8(params, rule),
        };
        Ok((Self { activation, input, output, ..Self::new(outputs) }, bias))
    }

    /// Reads what [`Channels::encode_bias`] writes.
    pub fn decode_bias(&mut self, kind: BiasKind, record: &mut RecordReader<'a>) -> Result<()> {
        self.bias = match kind {
            BiasKind::None => Bias::None,
            BiasKind::I32 => Bias::I32(record.tensor_i32(self.outputs)?),
            BiasKind::F32 => Bias::F32(record.tensor_f32(self.outputs)?),
        };
        Ok(())
    }
}

/// Which bias a file holds.
#[derive(Clone, Copy)]
pub(super) enum BiasKind {
    None,
    I32,
    F32,
}

/// The public methods of a layer that holds [`Channels`] beside its weights.
macro_rules! channels_of {
    ($layer:ident) => {
        impl<'a> $layer<'a> {
            /// Sets the weights' scales: one for all (per tensor), or one per output (per channel).
            #[must_use]
            pub fn weight_scales(mut self, scales: impl Into<Cow<'a, [f32]>>) -> Self {
                self.channels.weight_scales = scales.into();
                self
            }

            /// Sets the bias.
            #[must_use]
            pub fn bias(mut self, bias: Bias<'a>) -> Self {
                self.channels.bias = bias;
                self
            }

            /// Sets the activation: one that only clamps. Others are a
            /// [`Pointwise`](crate::layers::Pointwise) layer of their own.
            #[must_use]
            pub fn activation(mut self, activation: Activation) -> Self {
                self.channels.activation = activation;
                self
            }

            /// Sets what the layer takes.
            #[must_use]
            pub fn input(mut self, input: DenseInput) -> Self {
                self.channels.input = input;
                self
            }

            /// Sets what the layer gives.
            #[must_use]
            pub fn output(mut self, output: DenseOutput) -> Self {
                self.channels.output = output;
                self
            }

            /// K: elements of an input row.
            pub fn inputs(&self) -> usize {
                self.inputs
            }

            /// N: elements of an output row.
            pub fn outputs(&self) -> usize {
                self.channels.outputs
            }

            /// The weights' scales: 1, or one per output.
            pub fn scales(&self) -> &[f32] {
                &self.channels.weight_scales
            }

            /// The bias.
            pub fn bias_values(&self) -> &Bias<'a> {
                &self.channels.bias
            }

            /// The fused activation.
            pub fn fused_activation(&self) -> Activation {
                self.channels.activation
            }

            /// What the layer takes.
            pub fn input_kind(&self) -> DenseInput {
                self.channels.input
            }

            /// What the layer gives.
            pub fn output_kind(&self) -> DenseOutput {
                self.channels.output
            }
        }
    };
}
pub(super) use channels_of;

/// Smallest and largest value.
fn range(values: &[f32]) -> (f32, f32) {
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    values.iter().fold(start, |(min, max), &x| (select_min(x, min), select_max(x, max)))
}

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
