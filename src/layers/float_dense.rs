//! Dense layers of real numbers.
//!
//! A sum of real numbers depends on its order, so the order is part of the definition: one input after
//! the other.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::by_row::{self, check_finite, check_width};
use super::edges::expect_f32;
use super::{Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::Kernel;
use crate::kernels::float::{self, Packed};
use crate::pack::WeightLayout;
use crate::quant::one_nan;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Own, PerRow, ProductKind, Rows, RowsMut, SplitStep, Step};
use crate::tensor::{TensorType, Values};

/// A dense layer of real numbers: `output[n] = sum over k of input[k] * weight[n][k], + bias[n]`.
///
/// In `f32`, each operation rounded: products are added to 0 one after the other, by rising k, and the
/// bias, if there is one, last. An activation is a [`Pointwise`](super::Pointwise) layer of its own.
///
/// ```
/// use signfold::layers::FloatDense;
/// use signfold::{Engine, Model, TensorType, WeightLayout};
///
/// // 3 inputs, 2 outputs.
/// let weights = vec![1.0, -2.0, 0.5, 4.0, 0.0, 1.5];
/// let layer = FloatDense::new(weights, WeightLayout::OutIn, 2, 3)?.bias(vec![0.25, 0.0]);
/// let engine = Engine::new(&Model::builder("example", TensorType::f32(3)).layer(layer).build()?)?;
/// let mut output = [0.0; 2];
/// engine.run(&[1.0, 2.0, 3.0], &mut output, &mut engine.scratch())?;
/// assert_eq!(output, [-1.25, 8.5]);
/// # Ok::<(), signfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FloatDense<'a> {
    inputs: usize,
    outputs: usize,
    weights: Cow<'a, [f32]>,
    bias: Option<Cow<'a, [f32]>>,
}

impl<'a> FloatDense<'a> {
    /// A layer of `outputs x inputs` weights that lie as `layout` says, without a bias. All must be
    /// finite for a model to take the layer.
    ///
    /// # Errors
    /// There must be `outputs * inputs` weights, at least one.
    pub fn new(
        weights: impl Into<Cow<'a, [f32]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let weights = layout.to_out_in(weights, outputs, inputs)?;
        if weights.is_empty() {
            return Err(Error::model("a layer without weights"));
        }
        Ok(Self { inputs, outputs, weights, bias: None })
    }

    /// Sets the bias: one number per output.
    #[must_use]
    pub fn bias(mut self, bias: impl Into<Cow<'a, [f32]>>) -> Self {
        self.bias = Some(bias.into());
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
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The bias, if there is one.
    pub fn bias_values(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    pub(crate) fn into_owned(self) -> FloatDense<'static> {
        FloatDense {
            weights: self.weights.into_owned().into(),
            bias: self.bias.map(|bias| bias.into_owned().into()),
            ..self
        }
    }

    /// The weights of an output.
    pub(super) fn row(&self, output: usize) -> &[f32] {
        &self.weights[output * self.inputs..][..self.inputs]
    }

    /// An output, once the bias is added.
    pub(super) fn finish(&self, output: usize, sum: f32) -> f32 {
        one_nan(self.bias.as_ref().map_or(sum, |bias| sum + bias[output]))
    }
}

impl<'a> Kind<'a> for FloatDense<'a> {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        expect_f32(&inputs[0])?;
        check_width(inputs[0].width, self.inputs)?;
        if let Some(bias) = &self.bias {
            if bias.len() != self.outputs {
                let (found, outputs) = (bias.len(), self.outputs);
                return Err(Error::model(format!("{found} biases for {outputs} outputs")));
            }
            check_finite("bias", bias)?;
        }
        for n in 0..self.outputs {
            check_finite("the weight for input", self.row(n))
                .map_err(|e| e.at(format!("channel {n}")))?;
        }
        Ok(TensorType::f32(self.outputs))
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.inputs);
        record.length(self.outputs);
        record.word(self.bias.is_some().into());
        record.tensor_f32(&self.weights);
        if let Some(bias) = &self.bias {
            record.tensor_f32(bias);
        }
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (inputs, outputs) = (record.length()?, record.length()?);
        let biased = record.choice("kind of bias", &[(0, false), (1, true)])?;
        let weights = record.matrix_f32(outputs, inputs)?;
        let bias = if biased { Some(record.tensor_f32(outputs)?) } else { None };
        Ok(Self { inputs, outputs, weights, bias })
    }

    fn reference(&self, _: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let of = |row: &[f32], out: &mut [f32]| {
            for (n, out) in out.iter_mut().enumerate() {
                let products = row.iter().zip(self.row(n)).map(|(x, w)| x * w);
                *out = self.finish(n, products.fold(0.0, |sum, product| sum + product));
            }
        };
        Ok(by_row::reference(values[0], (self.inputs, self.outputs), of))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let kernel = place.kernel;
        let packed = Packed::new(&self.weights, self.inputs, self.bias.as_deref(), kernel.lanes());
        steps.push(Box::new(FloatDenseStep { kernel, packed }));
        Ok(())
    }
}

#[derive(Debug)]
struct FloatDenseStep {
    kernel: &'static Kernel,
    packed: Packed,
}

impl Step for FloatDenseStep {
    fn name(&self) -> String {
        format!("float dense {}x{}", self.packed.inputs(), self.packed.outputs())
    }

    fn row_bytes(&self) -> usize {
        4 * self.packed.outputs()
    }

    fn products(&self) -> usize {
        self.packed.inputs() * self.packed.outputs()
    }

    fn product_kind(&self) -> ProductKind {
        ProductKind::Float
    }

    fn cost(&self) -> usize {
        // A multiplication and an addition.
        2 * (self.packed.bytes() / 4 / self.kernel.lanes())
    }

    fn weight_bytes(&self) -> usize {
        self.packed.bytes()
    }

    fn split(&self) -> Option<&dyn SplitStep> {
        (self.panels() > 1).then_some(self)
    }

    fn run(&self, inputs: &[Rows<'_>], output: RowsMut<'_>, per_row: &mut PerRow) -> Result<()> {
        self.run_all(inputs[0], output, per_row);
        Ok(())
    }
}

impl SplitStep for FloatDenseStep {
    fn panels(&self) -> usize {
        self.packed.outputs().div_ceil(self.packed.panel())
    }

    fn bytes_of(&self, panels: Range<usize>) -> Range<usize> {
        let output = |panel: usize| (panel * self.packed.panel()).min(self.packed.outputs());
        4 * output(panels.start)..4 * output(panels.end)
    }

    fn run_panels(
        &self,
        input: Rows<'_>,
        output: RowsMut<'_>,
        _: &PerRow,
        _: &mut Own,
        panels: Range<usize>,
    ) {
        let Rows { bytes, stride, count } = input;
        let rows = float::Rows { values: bytemuck::cast_slice(bytes), stride: stride / 4, count };
        let out = bytemuck::cast_slice_mut(output.bytes);
        (self.kernel.float_sums)(&self.packed, panels, rows, out, output.stride / 4);
    }
}
