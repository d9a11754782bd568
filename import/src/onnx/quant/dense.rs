//! Dense layers of integers: a product, what is added to it, and what follows.
//!
//! ```text
//! y = (sum_k (x - zx)(w - zw)) * (sx * sw)  + bias         perhaps clamped, perhaps quantized
//! ```
//! A bias of integers on the scale `sx * sw` is added to the sum, which is exact. Any other bias is
//! added to the real output, which is then quantized by a layer of its own, if it is to be.

use signfold::layers::{Activation, Bias, Dense, DenseInput, DenseOutput, Quantize};
use signfold::quant::{QuantParams, Rounding};
use signfold::{Element, Error, ErrorKind, Result, WeightLayout};

use super::Pending;
use super::grid::{quantize_grid, quantizes};
use super::weights::Weights;
use crate::onnx::lower::{Lowering, Rows, Value, unsupported};
use crate::onnx::ops::pointwise::activation;
use crate::onnx::tensor::{Data, Tensor};

/// A dense layer without what is added and what follows.
#[derive(Clone, Debug)]
pub(super) struct Product {
    rows: Rows,
    input: DenseInput,
    inputs: usize,
    outputs: usize,
    weights: Vec<i8>,
    layout: WeightLayout,
    /// One, or one for each output.
    pub scales: Vec<f32>,
    zero_points: Vec<i8>,
}

/// What is added to the sums of products.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Addend {
    None,
    /// Integers on the scale of the sum, one for each output.
    Integers(Vec<i32>),
    /// Real numbers, one for each output.
    Reals(Vec<f32>),
}

/// What comes after a layer, up to a QuantizeLinear if there is one.
pub(super) struct Tail {
    /// The last real tensor.
    pub name: String,
    pub activation: Activation,
    /// The tensor of integers that it becomes.
    pub output: Option<(String, QuantParams)>,
    /// The rule by which a sum does.
    pub rounding: Rounding,
    nodes: Vec<usize>,
}

impl Product {
    /// The product of rows and a constant matrix whose axis `out` is that of the outputs. `None` if its
    /// scales belong to the other axis: then no scale can be taken out of the sums.
    pub fn new(
        lowering: &mut Lowering<'_>,
        rows: Rows,
        weights: &Weights,
        out: usize,
        input: DenseInput,
    ) -> Result<Option<Self>> {
        let &[first, second] = weights.shape() else {
            let message = format!("weights of shape {:?}, expected a matrix", weights.shape());
            return Err(unsupported(message));
        };
        let (outputs, inputs, layout) = match out {
            0 => (first, second, WeightLayout::OutIn),
            _ => (second, first, WeightLayout::InOut),
        };
        rows.expect_whole_row(-1)?;
        if rows.width() != inputs {
            let message =
                format!("weights of shape {:?} for rows of {}", weights.shape(), rows.width());
            return Err(Error::new(ErrorKind::Model, message));
        }
        if !weights.along(out) {
            return Ok(None);
        }
        lowering.copy(weights.len())?;
        let (bytes, mut zero_points) = weights.bytes()?;
        if zero_points.iter().all(|&z| z == 0) {
            zero_points.clear();
        }
        Ok(Some(Self {
            rows,
            input,
            inputs,
            outputs,
            weights: bytes,
            layout,
            zero_points,
            scales: weights.scales().to_vec(),
        }))
    }

    /// The same product once more.
    pub fn copy(&self, lowering: &mut Lowering<'_>) -> Result<Self> {
        lowering.copy(self.weights.len())?;
        Ok(self.clone())
    }

    /// Integers as what is added to the sums.
    pub fn integers(&self, bias: &Tensor) -> Result<Addend> {
        self.expect_bias(&bias.shape)?;
        match &bias.data {
            Data::I32(values) => Ok(Addend::Integers(self.spread(values).collect())),
            other => Err(unsupported(format!("a bias of {}, expected int32", other.name()))),
        }
    }

    /// Refuses a bias that is neither one number for all outputs nor one for each.
    fn expect_bias(&self, shape: &[usize]) -> Result<()> {
        let ones = |dims: &[usize]| dims.iter().all(|&d| d == 1);
        match shape {
            dims if ones(dims) => Ok(()),
            [dims @ .., last] if *last == self.outputs && ones(dims) => Ok(()),
            _ => {
                let message = format!("a bias of shape {shape:?} for {} outputs", self.outputs);
                Err(Error::new(ErrorKind::Model, message))
            }
        }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What an integer sum of output `n` is multiplied with, where the input's scale is known.
    fn unit(&self, lowering: &Lowering<'_>, n: usize) -> Option<f32> {
        match lowering.kind(&self.rows).element {
            Element::Int8(params) => {
                let scale = self.scales.get(n).unwrap_or(&self.scales[0]);
                Some(params.scale() * scale)
            }
            _ => None,
        }
    }

    /// A constant as what is added to the sums, times `factor`.
    pub fn addend(&self, lowering: &Lowering<'_>, bias: &Value, factor: f32) -> Result<Addend> {
        let real = |tensor: &Tensor| {
            self.expect_bias(&tensor.shape)?;
            Ok(Addend::Reals(self.spread(tensor.floats()?).map(|b| b * factor).collect()))
        };
        match bias {
            Value::Constant(tensor) => real(tensor),
            Value::Pending(Pending::Weights(weights)) => {
                let Some(integers) = weights.wide() else { return real(&weights.real()?) };
                self.expect_bias(weights.shape())?;
                let scales: Vec<f32> = self.spread(weights.scales()).collect();
                let fits = |n: usize| {
                    let unit = self.unit(lowering, n);
                    unit.is_some_and(|unit| same_scale(scales[n] * factor, unit))
                };
                match weights.zero_points().iter().all(|&z| z == 0) && (0..self.outputs).all(fits) {
                    true => Ok(Addend::Integers(self.spread(integers).collect())),
                    false => real(&weights.real()?),
                }
            }
            _ => Err(unsupported("a bias that is computed")),
        }
    }

    /// One value for each output, where there may be one for all.
    fn spread<'a, T: Copy>(&self, values: &'a [T]) -> impl Iterator<Item = T> + use<'a, T> {
        let one = values.len() == 1;
        (0..self.outputs).map(move |n| values[if one { 0 } else { n }])
    }

    /// Adds the layer.
    pub fn finish(self, lowering: &mut Lowering<'_>, addend: Addend, tail: Tail) -> Result<()> {
        lowering.take_over(&tail);
        let mut shape = self.rows.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs;
        }
        let integers = self.input == DenseInput::Int8 && !matches!(addend, Addend::Reals(_));
        let dense = Dense::new(self.weights, self.layout, self.outputs, self.inputs)?
            .weight_scales(self.scales)
            .weight_zero_points(self.zero_points)
            .input(self.input)
            .activation(tail.activation)
            .bias(match addend {
                Addend::None => Bias::None,
                Addend::Integers(values) => Bias::I32(values.into()),
                Addend::Reals(values) => Bias::F32(values.into()),
            });
        match tail.output {
            Some((output, params)) if integers => {
                let dense = dense.output(DenseOutput::Int8(params, tail.rounding));
                let rows = lowering.layer(&tail.name, dense, &[&self.rows], shape)?;
                lowering.define(&output, Value::Rows(rows));
            }
            output => {
                let rows = lowering.layer(&tail.name, dense, &[&self.rows], shape)?;
                if let Some((name, output)) = output {
                    let shape = rows.shape.clone();
                    lowering.layer(&name, Quantize { output }, &[&rows], shape)?;
                }
            }
        }
        Ok(())
    }
}

impl Tail {
    /// Nothing follows.
    pub fn real(name: &str) -> Self {
        // QuantizeLinear rounds, then adds the zero point: the rule is always this one.
        let (activation, rounding) = (Activation::Identity, Rounding::Nearest);
        Self { name: name.to_owned(), activation, output: None, rounding, nodes: Vec::new() }
    }

    /// Integers `output`, which the layer itself gives by this rule; it is called `name`.
    pub fn integers(name: &str, output: &str, params: QuantParams, rounding: Rounding) -> Self {
        Self { output: Some((output.to_owned(), params)), rounding, ..Self::real(name) }
    }
}

/// Whether a bias is on a scale, but for how its product was rounded.
fn same_scale(a: f32, b: f32) -> bool {
    (a - b).abs() <= b * (2.0 * f32::EPSILON)
}

impl<'g> Lowering<'g> {
    /// What comes after the value `name`.
    pub(super) fn tail(&self, name: &str) -> Result<Tail> {
        let mut tail = Tail::real(name);
        while let Some((i, node)) = self.only_taker(&tail.name) {
            if node.optional(0) != Some(&tail.name) {
                break;
            }
            if quantizes(node) {
                let params = quantize_grid(self, node).and_then(|(grid, kind)| grid.params(kind));
                let params = params.map_err(|e| e.at(node.place()))?;
                tail.output = Some((node.output()?.to_owned(), params));
                tail.nodes.push(i);
                break;
            }
            let function = activation(self, node).map_err(|e| e.at(node.place()))?;
            let (Some((min, max)), Some((first_min, first_max))) =
                (function.and_then(|f| f.clamp()), tail.activation.clamp())
            else {
                break;
            };
            tail.activation = match (tail.activation, function) {
                (Activation::Identity, Some(function)) => function,
                // Two clamps are one: bounds of the first, clamped by the second.
                _ => Activation::Clip {
                    min: first_min.max(min).min(max),
                    max: first_max.max(min).min(max),
                },
            };
            tail.name = node.output()?.to_owned();
            tail.nodes.push(i);
        }
        Ok(tail)
    }

    /// Takes over the nodes of a tail: its layer computes them.
    pub(super) fn take_over(&mut self, tail: &Tail) {
        tail.nodes.iter().for_each(|&node| self.absorb(node));
    }

    /// A constant that is added to the value `name` and to nothing else: the sum's name, and the
    /// constant.
    pub(super) fn added(&mut self, name: &str, outputs: usize) -> Result<Option<(String, Value)>> {
        let Some((i, node)) = self.only_taker(name) else { return Ok(None) };
        if !node.is("Add") {
            return Ok(None);
        }
        let other = node.input(usize::from(node.input(0)? == name))?;
        let value = self.value(other).cloned();
        let Ok(value) = value else { return Ok(None) };
        let shape = match &value {
            Value::Constant(tensor) => &tensor.shape,
            Value::Pending(Pending::Weights(weights)) => weights.shape(),
            _ => return Ok(None),
        };
        if shape.iter().product::<usize>() != 1 && shape.last() != Some(&outputs) {
            return Ok(None);
        }
        let output = node.output()?.to_owned();
        self.absorb(i);
        Ok(Some((output, value)))
    }
}

/// Whether an output's type lets everything through that an activation does: then the activation is
/// there for nothing.
pub(super) fn redundant(activation: Activation, output: &QuantParams) -> bool {
    let Some((min, max)) = activation.clamp() else { return false };
    let kind = output.kind();
    output.quantize(min) == kind.min() && output.quantize(max) == kind.max()
}
