//! One operator, one layer, or a few.

use signfold::layers::{
    Activation, Affine, Bias, Combine, CombineOp, Concat, Dense, DenseOutput, Dequantize,
    FixedSoftmax, FloatDense, Lookup, Pointwise, Quantize, Softmax,
};
use signfold::quant::{QuantParams, Rounding};
use signfold::{Element, Result, TensorId, WeightLayout};

use super::lower::{Lowering, model, unsupported};
use super::schema::{self, Operator};
use super::tables::{self, Entries};

const SUPPORTED: &str = "ADD, CONCATENATION, DEQUANTIZE, EXPAND_DIMS, FULLY_CONNECTED, LEAKY_RELU, \
                         LOGISTIC, MUL, QUANTIZE, RELU, RELU6, RELU_N1_TO_1, RESHAPE, SOFTMAX, SQUEEZE, \
                         SUB, TANH";

/// Whether an operator only sees its first input in another shape.
pub(super) fn is_view(operator: &Operator<'_>) -> bool {
    matches!(operator.name.as_str(), "EXPAND_DIMS" | "RESHAPE" | "SQUEEZE")
}

pub(super) fn lower<'a>(to: &mut Lowering<'_, 'a>, operator: &Operator<'a>) -> Result<()> {
    let [output] = operator.outputs[..] else {
        return Err(unsupported(format!("{} outputs, one is supported", operator.outputs.len())));
    };
    let mut at = At { to, operator, output };
    match operator.name.as_str() {
        "FULLY_CONNECTED" => at.fully_connected(),
        "QUANTIZE" => at.quantize(),
        "DEQUANTIZE" => at.dequantize(),
        "RELU" => at.clamp(Activation::Relu),
        "RELU6" => at.clamp(Activation::Relu6),
        "RELU_N1_TO_1" => at.clamp(Activation::Clip { min: -1.0, max: 1.0 }),
        "LEAKY_RELU" => at.leaky_relu(),
        "LOGISTIC" => at.function(Activation::Sigmoid),
        "TANH" => at.function(Activation::Tanh),
        "SOFTMAX" => at.softmax(),
        "ADD" => at.combine(CombineOp::Add, 11),
        "SUB" => at.combine(CombineOp::Sub, 28),
        "MUL" => at.combine(CombineOp::Mul, 21),
        "CONCATENATION" => at.concatenation(),
        _ if is_view(operator) => at.view(),
        _ => Err(unsupported(format!("not supported; what is: {SUPPORTED}"))),
    }
}

/// An operator, and where it goes.
struct At<'l, 'f, 'a> {
    to: &'l mut Lowering<'f, 'a>,
    operator: &'l Operator<'a>,
    output: usize,
}

impl At<'_, '_, '_> {
    /// The position of an input.
    fn input(&self, number: usize) -> Result<usize> {
        let input = self.operator.inputs.get(number).copied().flatten();
        input.ok_or_else(|| model(format!("input {number} is left out")))
    }

    /// The first input, which is computed, and its quantization, if it has one.
    fn first(&self) -> Result<(TensorId, Option<QuantParams>)> {
        let id = self.to.id(self.input(0)?)?;
        Ok((id, self.quantization(id)))
    }

    fn quantization(&self, id: TensorId) -> Option<QuantParams> {
        match self.to.type_of(id).element {
            Element::Int8(params) => Some(params),
            _ => None,
        }
    }

    /// The quantization that the file gives the output.
    fn output_params(&self) -> Result<QuantParams> {
        match self.to.file_type(self.output)?.element {
            Element::Int8(params) => Ok(params),
            _ => Err(model("its output is of real numbers, its input is quantized")),
        }
    }

    /// The rule for everything but dense layers. LiteRT's reference kernels have another one for dense
    /// layers, and XNNPACK one for each operator.
    fn rounding(&self) -> Rounding {
        match self.to.options.rounding {
            Rounding::TfLiteReference | Rounding::Nearest => Rounding::TfLite,
            rule => rule,
        }
    }

    /// An activation that is part of the operator, by its number in the schema.
    fn fused(&self, code: u8) -> Result<Activation> {
        match code {
            0 => Ok(Activation::Identity),
            1 => Ok(Activation::Relu),
            2 => Ok(Activation::Clip { min: -1.0, max: 1.0 }),
            3 => Ok(Activation::Relu6),
            4 => Err(unsupported("a fused TANH is not supported")),
            _ => {
                Err(unsupported(format!("a fused activation with number {code} is not supported")))
            }
        }
    }

    fn lookup(&mut self, entries: Entries, input: TensorId, output: QuantParams) -> Result<()> {
        let layer = Lookup::new(entries.to_vec(), output)?;
        self.to.layer(layer, &[input], self.output)
    }

    /// A function of real numbers, after a layer if it is none itself.
    fn activate(&mut self, layer: Option<TensorId>, activation: Activation) -> Result<()> {
        let id = match layer {
            Some(id) => id,
            None => self.first()?.0,
        };
        self.to.layer(Pointwise { activation, output: None }, &[id], self.output)
    }

    fn fully_connected(&mut self) -> Result<()> {
        let options = self.operator.options(8)?;
        let option = |field| options.map_or(Ok(0), |options| options.u8(field));
        let activation = self.fused(option(0)?)?;
        if option(1)? != 0 {
            return Err(unsupported("weights in another order than rows are not supported"));
        }
        let (input, quantization) = self.first()?;
        let weights = self.input(1)?;
        let [outputs, inputs] = self.to.file.tensors[weights].shape[..] else {
            let message = format!("weights of shape {:?}", self.to.file.tensors[weights].shape);
            return Err(unsupported(message));
        };
        let width = self.to.type_of(input).width;
        if width != inputs {
            let message = format!("its rows have {width} elements, its weights {inputs} for each");
            return Err(unsupported(message));
        }
        let bias = self.operator.inputs.get(2).copied().flatten();
        if quantization.is_none() {
            return self.float_dense(input, weights, bias, (outputs, inputs), activation);
        }
        let channels = self.to.channels(weights)?;
        if channels.scales.len() > 1 && channels.zero_points.iter().any(|&zero| zero != 0) {
            return Err(unsupported("a zero point for each output is not supported, other than 0"));
        }
        let mut zero_points = channels.zero_points;
        zero_points.truncate(1);
        zero_points.retain(|&zero| zero != 0);
        let bias = match bias {
            None => Bias::None,
            Some(bias) => {
                let bias = self.to.bytes(bias, &[schema::Element::I32])?;
                Bias::I32(bias.iter().map(|&b| i32::from_le_bytes(b)).collect())
            }
        };
        let integers = self.to.integers(weights)?;
        let dense = Dense::new(integers, WeightLayout::OutIn, outputs, inputs)?
            .weight_scales(channels.scales)
            .weight_zero_points(zero_points)
            .bias(bias)
            .activation(activation)
            .output(DenseOutput::Int8(self.output_params()?, self.to.options.rounding));
        self.to.layer(dense, &[input], self.output)
    }

    fn float_dense(
        &mut self,
        input: TensorId,
        weights: usize,
        bias: Option<usize>,
        (outputs, inputs): (usize, usize),
        activation: Activation,
    ) -> Result<()> {
        if self.to.is_hybrid(weights) {
            let name = self.to.file.place(weights);
            self.to.notes.push(format!(
                "{name}: 8-bit weights meet real inputs. The interpreter quantizes these on arrival; \
                 here the weights are made real, which is more precise."
            ));
        }
        let weights = self.to.reals(weights)?;
        let mut dense = FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs)?;
        if let Some(bias) = bias {
            dense = dense.bias(self.to.reals(bias)?);
        }
        if activation == Activation::Identity {
            return self.to.layer(dense, &[input], self.output);
        }
        let id = self.to.inner(dense, input)?;
        self.activate(Some(id), activation)
    }

    fn quantize(&mut self) -> Result<()> {
        let (input, from) = self.first()?;
        let output = self.output_params()?;
        match from {
            None => self.to.layer(Quantize { output }, &[input], self.output),
            Some(from) => {
                self.lookup(tables::requantize(&from, &output, self.rounding()), input, output)
            }
        }
    }

    fn dequantize(&mut self) -> Result<()> {
        let input = self.input(0)?;
        if self.to.is_constant(input) {
            self.to.dequantize_constant(input, self.output);
            return Ok(());
        }
        let id = self.to.id(input)?;
        self.to.layer(Dequantize, &[id], self.output)
    }

    fn clamp(&mut self, activation: Activation) -> Result<()> {
        let (input, Some(from)) = self.first()? else { return self.activate(None, activation) };
        let output = self.output_params()?;
        let bounds = activation.clamp().expect("it is a clamp");
        self.lookup(tables::clamp(&from, &output, bounds, self.rounding()), input, output)
    }

    fn leaky_relu(&mut self) -> Result<()> {
        let alpha = self.operator.options(75)?.map_or(Ok(0.0), |options| options.f32(0))?;
        let (input, Some(from)) = self.first()? else {
            return self.activate(None, Activation::LeakyRelu { alpha });
        };
        Activation::LeakyRelu { alpha }.validate()?;
        let output = self.output_params()?;
        self.lookup(tables::leaky_relu(&from, &output, alpha, self.rounding()), input, output)
    }

    fn function(&mut self, activation: Activation) -> Result<()> {
        let (input, Some(from)) = self.first()? else { return self.activate(None, activation) };
        let output = self.output_params()?;
        self.lookup(tables::function(&from, &output, |x| activation.apply(x)), input, output)
    }

    fn softmax(&mut self) -> Result<()> {
        let beta = self.operator.options(9)?.map_or(Ok(0.0), |options| options.f32(0))?;
        let (input, from) = self.first()?;
        let position = self.input(0)?;
        let last = self.to.file.tensors[position].shape.len().saturating_sub(1);
        self.to.expect_row_from(position, last)?;
        if from.is_some() {
            return self.to.layer(FixedSoftmax { beta }, &[input], self.output);
        }
        let mut id = input;
        if beta != 1.0 {
            let width = self.to.type_of(input).width;
            id = self.to.inner(Affine::new(width, vec![beta], vec![0.0])?, input)?;
        }
        self.to.layer(Softmax, &[id], self.output)
    }

    fn combine(&mut self, op: CombineOp, options: u8) -> Result<()> {
        let options = self.operator.options(options)?;
        let activation = self.fused(options.map_or(Ok(0), |options| options.u8(0))?)?;
        let inputs = [self.input(0)?, self.input(1)?];
        let constant = inputs.map(|input| self.to.is_constant(input));
        match constant {
            [false, false] => {
                let ids = [self.to.id(inputs[0])?, self.to.id(inputs[1])?];
                let output = match self.quantization(ids[0]) {
                    None => None,
                    Some(_) => Some((self.output_params()?, self.rounding())),
                };
                self.to.layer(Combine { op, activation, output }, &ids, self.output)
            }
            [true, true] => Err(unsupported("both inputs are constants")),
            [left, _] => {
                let (constant, input) =
                    if left { (inputs[0], inputs[1]) } else { (inputs[1], inputs[0]) };
                let id = self.to.id(input)?;
                if self.quantization(id).is_some() {
                    return Err(unsupported("a constant and 8-bit numbers are not supported"));
                }
                self.affine(op, left, constant, id, activation)
            }
        }
    }

    /// Real numbers and a constant: a scale and a shift, in one operation that rounds each.
    fn affine(
        &mut self,
        op: CombineOp,
        left: bool,
        constant: usize,
        id: TensorId,
        activation: Activation,
    ) -> Result<()> {
        let values = self.to.reals(constant)?;
        let width = self.to.type_of(id).width;
        if values.len() != 1 && values.len() != width {
            let message = format!("{} numbers for rows of {width}", values.len());
            return Err(unsupported(message).at(self.to.file.place(constant)));
        }
        let (scale, shift) = match (op, left) {
            (CombineOp::Mul, _) => (values, vec![0.0]),
            (CombineOp::Sub, false) => (vec![1.0], values.iter().map(|x| -x).collect()),
            (CombineOp::Sub, true) => (vec![-1.0], values),
            _ => (vec![1.0], values),
        };
        let layer = Affine::new(width, scale, shift)?;
        if activation == Activation::Identity {
            return self.to.layer(layer, &[id], self.output);
        }
        let id = self.to.inner(layer, id)?;
        self.activate(Some(id), activation)
    }

    fn concatenation(&mut self) -> Result<()> {
        let options = self.operator.options(10)?;
        let axis = options.map_or(Ok(0), |options| options.i32(0))?;
        if self.fused(options.map_or(Ok(0), |options| options.u8(1))?)? != Activation::Identity {
            return Err(unsupported("a fused activation is not supported"));
        }
        let output = self.to.file_type(self.output)?;
        let params = match output.element {
            Element::Int8(params) => Some(params),
            _ => None,
        };
        let mut ids = Vec::new();
        for number in 0..self.operator.inputs.len() {
            let input = self.input(number)?;
            let rank = self.to.file.tensors[input].shape.len();
            let axis = if axis < 0 { i64::from(axis) + rank as i64 } else { i64::from(axis) };
            self.to.expect_row_from(input, usize::try_from(axis).unwrap_or(rank))?;
            let id = self.to.id(input)?;
            if self.quantization(id) != params {
                let message = "its quantization is not the output's";
                return Err(unsupported(message).at(self.to.file.place(input)));
            }
            ids.push(id);
        }
        self.to.layer(Concat { inputs: ids.len(), output: params }, &ids, self.output)
    }

    fn view(&mut self) -> Result<()> {
        let id = self.first()?.0;
        self.to.give(self.output, id)
    }
}
