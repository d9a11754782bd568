//! Dense: sums of products with a weight matrix, plus a bias, clamped.
//!
//! With x and its zero point zx, w and its zero point zw, all exact integers:
//! ```text
//! sum_k (x - zx)(w - zw) = sum x*w - zx * (sum w - K*zw) - zw * sum x
//! ```
//! The kernel computes `sum x*w`. What does not depend on the batch joins the bias; the rest are
//! products of a number per row and a number per output.

mod compile;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::channels::{Channels, channels_of};
use super::{Activation, Bias, DenseInput, DenseOutput, Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::reference;
use crate::pack::WeightLayout;
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
    weights: Cow<'a, [i8]>,
    weight_zero_points: Cow<'a, [i8]>,
    channels: Channels<'a>,
}

channels_of!(Dense);

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
        let (weight_zero_points, channels) = (Cow::Borrowed(&[][..]), Channels::new(outputs));
        Ok(Self { inputs, weights, weight_zero_points, channels })
    }

    /// The same from parts that fit each other.
    pub(super) fn of_channels(inputs: usize, weights: &'a [i8], channels: Channels<'a>) -> Self {
        Self { inputs, weights: weights.into(), weight_zero_points: Cow::Borrowed(&[]), channels }
    }

    /// Sets the weights' zero points: none (all 0), one for all, or one per output.
    #[must_use]
    pub fn weight_zero_points(mut self, zero_points: impl Into<Cow<'a, [i8]>>) -> Self {
        self.weight_zero_points = zero_points.into();
        self
    }

    /// The weights, `[out][in]`.
    pub fn weights(&self) -> &[i8] {
        &self.weights
    }

    /// The weights' zero points: 0, 1, or one per output.
    pub fn zero_points(&self) -> &[i8] {
        &self.weight_zero_points
    }

    /// The largest magnitude that the sum of any output can reach, bias included, for inputs of
    /// this type: 8-bit ones with their zero point, or `f32` ones, quantized on arrival.
    pub fn worst_sum(&self, input: &TensorType) -> i64 {
        (0..self.outputs()).map(|n| self.worst_sum_of(n, input)).max().unwrap_or(0)
    }

    fn worst_sum_of(&self, output: usize, input: &TensorType) -> i64 {
        let zero_point = i64::from(self.weight_zero_point(output));
        let weights = self.row(output).iter().map(|&w| (i64::from(w) - zero_point).abs());
        let bias = i64::from(self.channels.integer_bias(output)).abs();
        weights.sum::<i64>() * Channels::reach(input) + bias
    }

    pub(crate) fn into_owned(self) -> Dense<'static> {
        Dense {
            weights: self.weights.into_owned().into(),
            weight_zero_points: self.weight_zero_points.into_owned().into(),
            channels: self.channels.into_owned(),
            ..self
        }
    }

    fn row(&self, output: usize) -> &[i8] {
        &self.weights[output * self.inputs..][..self.inputs]
    }

    fn weight_zero_point(&self, output: usize) -> i8 {
        match &*self.weight_zero_points {
            [] => 0,
            [one] => *one,
            each => each[output],
        }
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
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        let zero_points = self.weight_zero_points.len();
        self.channels.check_length("weight zero points", zero_points, &[0, 1, self.outputs()])?;
        self.channels.check(self.inputs, input, |n| self.worst_sum_of(n, input))
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.inputs);
        record.length(self.outputs());
        record.length(self.scales().len());
        record.length(self.weight_zero_points.len());
        self.channels.encode(record);
        record.tensor_i8(&self.weights);
        record.tensor_f32(self.scales());
        record.tensor_i8(&self.weight_zero_points);
        self.channels.encode_bias(record);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (inputs, outputs) = (record.length()?, record.length()?);
        let (scales, zero_points) = (record.length()?, record.length()?);
        let (mut channels, bias) = Channels::decode(outputs, record)?;
        let weights = record.matrix_i8(outputs, inputs)?;
        channels.weight_scales = record.tensor_f32(scales)?;
        let weight_zero_points = record.tensor_i8(zero_points)?;
        channels.decode_bias(bias, record)?;
        Ok(Self { inputs, weights, weight_zero_points, channels })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        let (x, params) = self.channels.reference_rows(self.inputs, input, values)?;
        let zero_points: Vec<i32> =
            (0..self.outputs()).map(|n| i32::from(self.weight_zero_point(n))).collect();
        let mut sums = Vec::new();
        for (x, &(_, zero_point)) in x.chunks_exact(self.inputs).zip(&params) {
            let row = reference::sums(x, &self.weights, self.inputs, zero_point, &zero_points);
            sums.extend(row.into_iter().enumerate().map(|(n, sum)| {
                let sum = sum + i64::from(self.channels.integer_bias(n));
                i32::try_from(sum).expect("validated: sums fit i32")
            }));
        }
        Ok(self.channels.reference_finish(&sums, &[], &params))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        self.add_steps(place, steps)
    }
}
