//! Real operators between DequantizeLinear and QuantizeLinear, as one layer of integers.

use std::rc::Rc;

use signfold::layers::{
    Activation, Combine, CombineOp, Concat, DenseInput, Lookup, Pointwise, Quantize,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Error, Result};

use super::Pending;
use super::dense::{Addend, Product, redundant};
use super::grid::{Grid, quantize_grid, quantizes, refuse_blocks, wrong_type};
use super::weights::Weights;
use crate::onnx::lower::{Lowering, Rows, Value, unsupported};
use crate::onnx::node::Node;
use crate::onnx::ops::combine::joined_shape;
use crate::onnx::ops::pointwise::activation;
use crate::onnx::tensor::{Data, Tensor};

/// DequantizeLinear: nothing is computed yet.
pub(in crate::onnx) fn dequantize(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    refuse_blocks(node)?;
    let grid = Grid::of(lowering, node, 1, 2)?;
    let pending = match lowering.value(node.input(0)?)?.clone() {
        Value::Constant(tensor) => {
            let weights = Weights::new(tensor, grid, node.int("axis", 1)?)?;
            Pending::Weights(Rc::new(weights))
        }
        _ => {
            let rows = lowering.rows(node, 0)?;
            let kind = lowering.byte_kind(&rows)?;
            let bytes = lowering.read_as(rows, grid.params(kind)?)?;
            Pending::Real { bytes, real: None }
        }
    };
    lowering.define(node.output()?, Value::Pending(pending));
    Ok(())
}

/// QuantizeLinear that is part of no layer before it.
pub(in crate::onnx) fn quantize(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let (grid, kind) = quantize_grid(lowering, node)?;
    if lowering.is_constant(node.input(0)?) {
        let tensor = lowering.constant(node, 0)?;
        lowering.copy(tensor.len())?;
        let integers = quantized(&tensor, &grid, grid.bytes(kind)?, node.int("axis", 1)?)?;
        lowering.define(node.output()?, Value::Constant(Rc::new(integers)));
        return Ok(());
    }
    let output = grid.params(kind)?;
    let rows = lowering.rows(node, 0)?;
    lowering.same_shape(node, Quantize { output }, &rows)
}

/// The integers of a constant.
fn quantized(tensor: &Tensor, grid: &Grid, kind: Int8, axis: i64) -> Result<Tensor> {
    // As weights of which only the grid counts: it finds the axis, and checks it.
    let integers = |values: Vec<i32>| match kind {
        Int8::I8 => Data::I8(values.into_iter().map(|q| q as i8).collect()),
        Int8::U8 => Data::U8(values.into_iter().map(|q| q as u8).collect()),
    };
    let zeros = Tensor::new(tensor.shape.clone(), integers(vec![0; tensor.len()]))?;
    let weights = Weights::new(Rc::new(zeros), grid.clone(), axis)?;
    let params = weights.params(kind)?;
    let quantize = |(i, &x): (usize, &f32)| params[weights.place(i)].quantize(x);
    let values = tensor.floats()?.iter().enumerate().map(quantize).collect();
    Tensor::new(tensor.shape.clone(), integers(values))
}

impl<'g> Lowering<'g> {
    /// Whether rows are `i8` or `u8`.
    pub(super) fn byte_kind(&self, rows: &Rows) -> Result<Int8> {
        match self.kind(rows).element {
            Element::Int8(params) => Ok(params.kind()),
            other => Err(wrong_type(other.name())),
        }
    }

    /// Makes a layer of integers of a node that takes dequantized values, if there is one.
    pub(super) fn qdq(&mut self, node: &Node) -> Result<bool> {
        if quantizes(node) {
            return self.requantize(node);
        }
        match &node.op[..] {
            _ if !node.domain.is_empty() => Ok(false),
            "Gemm" | "MatMul" => self.product(node),
            "Add" => self.combination(node, CombineOp::Add),
            "Sub" => self.combination(node, CombineOp::Sub),
            "Mul" => self.combination(node, CombineOp::Mul),
            "Concat" => self.concatenation(node),
            "Softmax" => self.probabilities(node),
            _ => self.table(node),
        }
    }

    /// Integers to other integers.
    fn requantize(&mut self, node: &Node) -> Result<bool> {
        let Some(bytes) = self.bytes_of(node, 0) else { return Ok(false) };
        let (grid, kind) = quantize_grid(self, node)?;
        let output = grid.params(kind)?;
        if self.kind(&bytes).element == Element::Int8(output) {
            self.view(node, bytes)?;
        } else {
            self.look_up(node.output()?, &bytes, output, |x| x)?;
        }
        Ok(true)
    }

    /// Gemm, MatMul.
    fn product(&mut self, node: &Node) -> Result<bool> {
        let (Some(rows), Some(weights)) = (self.bytes_of(node, 0), self.weights_of(node, 1)) else {
            return Ok(false);
        };
        if node.flag("transA")? {
            return Err(unsupported("transA, which exchanges the batch and the inputs"));
        }
        let out = if node.flag("transB")? { 0 } else { 1 };
        let Some(mut product) = Product::new(self, rows, &weights, out, DenseInput::Int8)? else {
            self.notes.push(format!(
                "{}: its weights have one scale for each input, so it is computed with real numbers",
                node.place()
            ));
            return Ok(false);
        };
        let alpha = node.float("alpha", 1.0)?;
        product.scales.iter_mut().for_each(|scale| *scale *= alpha);
        let mut name = node.output()?.to_owned();
        let mut addend = Addend::None;
        if let Some(bias) = node.optional(2) {
            addend = product.addend(self, &self.value(bias)?.clone(), node.float("beta", 1.0)?)?;
        } else if let Some((sum, bias)) = self.added(&name, product.outputs())? {
            addend = product.addend(self, &bias, 1.0)?;
            name = sum;
        }
        let tail = self.tail(&name)?;
        product.finish(self, addend, tail)?;
        Ok(true)
    }

    /// Two tensors, element by element.
    fn combination(&mut self, node: &Node, op: CombineOp) -> Result<bool> {
        let (Some(a), Some(b)) = (self.bytes_of(node, 0), self.bytes_of(node, 1)) else {
            return Ok(false);
        };
        let tail = self.tail(node.output()?)?;
        let Some((output, params)) = &tail.output else { return Ok(false) };
        if a.shape != b.shape || a.batch != b.batch {
            return Ok(false);
        }
        let kinds = [self.byte_kind(&a)?, self.byte_kind(&b)?];
        // ONNX Runtime has a rule of its own for sums and products of one type. It computes anything
        // else with real numbers, as the standard says.
        let own = matches!(op, CombineOp::Add | CombineOp::Mul)
            && kinds == [params.kind(); 2]
            && redundant(tail.activation, params);
        let rounding = if own { self.rounding } else { Rounding::OnnxReference };
        let combine =
            Combine { op, activation: tail.activation, output: Some((*params, rounding)) };
        let rows = self.layer(&tail.name, combine, &[&a, &b], a.shape.clone())?;
        self.define(output, Value::Rows(rows));
        self.take_over(&tail);
        Ok(true)
    }

    /// Rows behind rows.
    fn concatenation(&mut self, node: &Node) -> Result<bool> {
        let inputs: Option<Vec<_>> =
            (0..node.inputs.len()).map(|i| self.bytes_of(node, i)).collect();
        let Some(inputs) = inputs else { return Ok(false) };
        let tail = self.tail(node.output()?)?;
        let Some((output, params)) = tail.output.clone() else { return Ok(false) };
        if tail.activation != Activation::Identity || inputs.len() == 1 {
            return Ok(false);
        }
        self.concat(node, &tail.name, &inputs, params)?;
        let rows = self.value(&tail.name)?.clone();
        self.define(&output, rows);
        self.take_over(&tail);
        Ok(true)
    }

    /// Softmax.
    fn probabilities(&mut self, node: &Node) -> Result<bool> {
        let Some(bytes) = self.bytes_of(node, 0) else { return Ok(false) };
        let tail = self.tail(node.output()?)?;
        let same =
            |params: &QuantParams| self.byte_kind(&bytes).is_ok_and(|kind| kind == params.kind());
        match &tail.output {
            Some((_, params)) if same(params) && tail.activation == Activation::Identity => {
                self.softmax(node, &bytes, node.opset, &tail)?;
                self.take_over(&tail);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The layer that puts integers behind each other.
    pub(super) fn concat(
        &mut self,
        node: &Node,
        name: &str,
        inputs: &[Rows],
        params: QuantParams,
    ) -> Result<()> {
        let shape = joined_shape(node, inputs)?;
        let concat = Concat { inputs: inputs.len(), output: Some(params) };
        self.layer(name, concat, &inputs.iter().collect::<Vec<_>>(), shape)?;
        Ok(())
    }

    /// Functions of each element: one, or several in a row, as a table.
    fn table(&mut self, node: &Node) -> Result<bool> {
        let Some(bytes) = self.bytes_of(node, 0) else { return Ok(false) };
        let Some(first) = activation(self, node)? else { return Ok(false) };
        let (mut functions, mut nodes) = (vec![first], Vec::new());
        let mut name = node.output()?.to_owned();
        let (output, params) = loop {
            let Some((i, next)) = self.only_taker(&name) else { return Ok(false) };
            if next.optional(0) != Some(&name) {
                return Ok(false);
            }
            nodes.push(i);
            let place = |e: Error| e.at(next.place());
            if quantizes(next) {
                let (grid, kind) = quantize_grid(self, next).map_err(place)?;
                break (next.output()?.to_owned(), grid.params(kind).map_err(place)?);
            }
            let Some(function) = activation(self, next).map_err(place)? else { return Ok(false) };
            functions.push(function);
            name = next.output()?.to_owned();
        };
        match functions[..] {
            [activation] => {
                let pointwise = Pointwise { activation, output: Some(params) };
                self.layer(&name, pointwise, &[&bytes], bytes.shape.clone())?;
            }
            _ => self
                .look_up(&name, &bytes, params, |x| functions.iter().fold(x, |x, f| f.apply(x)))?,
        }
        let rows = self.value(&name)?.clone();
        self.define(&output, rows);
        nodes.into_iter().for_each(|i| self.absorb(i));
        Ok(true)
    }

    /// A table of `quantize(f(dequantize(q)))`.
    fn look_up(
        &mut self,
        name: &str,
        bytes: &Rows,
        output: QuantParams,
        f: impl Fn(f32) -> f32,
    ) -> Result<()> {
        let Element::Int8(input) = self.kind(bytes).element else {
            return Err(wrong_type(self.kind(bytes).element.name()));
        };
        let entry = |i: i32| {
            let real = f(input.dequantize(i + input.kind().min()));
            (output.quantize(real) - output.kind().min() - 128) as i8
        };
        let table: Vec<i8> = (0..256).map(entry).collect();
        self.layer(name, Lookup::new(table, output)?, &[bytes], bytes.shape.clone())?;
        Ok(())
    }
}
