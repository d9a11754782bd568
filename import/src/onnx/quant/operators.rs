//! Operators of integers: scales and zero points are inputs of their own.

use std::rc::Rc;

use signfold::layers::{
    Activation, Affine, Combine, CombineOp, DenseInput, Dequantize, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Error, Result};

use super::dense::{Addend, Product, Tail};
use super::grid::Grid;
use super::reading;
use super::weights::Weights;
use crate::onnx::lower::{Lowering, Rows, Value, unsupported};
use crate::onnx::node::Node;
use crate::onnx::ops::linear::per_element;

/// QLinearMatMul.
pub(in crate::onnx) fn qlinear_matmul(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let (rows, weights) = (lowering.bytes(node, 0, 1, 2)?, lowering.weights(node, 3, 4, 5, 1)?);
    let product = product(lowering, rows, &weights, 1)?;
    let tail = lowering.integers(node, 6, 7)?;
    product.finish(lowering, Addend::None, tail)
}

/// QGemm, of ONNX Runtime: integers or, without a scale for them, real numbers.
pub(in crate::onnx) fn qgemm(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    if node.flag("transA")? {
        return Err(unsupported("transA, which exchanges the batch and the inputs"));
    }
    let out = if node.flag("transB")? { 0 } else { 1 };
    let (rows, weights) =
        (lowering.bytes(node, 0, 1, 2)?, lowering.weights(node, 3, 4, 5, out as i64)?);
    let mut product = product(lowering, rows, &weights, out)?;
    let alpha = node.float("alpha", 1.0)?;
    product.scales.iter_mut().for_each(|scale| *scale *= alpha);
    let bias = lowering.optional_constant(node, 6)?;
    let addend = bias.map_or(Ok(Addend::None), |bias| product.integers(&bias))?;
    let tail = match node.optional(7) {
        Some(_) => lowering.integers(node, 7, 8)?,
        None => lowering.tail(node.output()?)?,
    };
    product.finish(lowering, addend, tail)
}

fn product(
    lowering: &mut Lowering<'_>,
    rows: Rows,
    weights: &Weights,
    out: usize,
) -> Result<Product> {
    Product::new(lowering, rows, weights, out, DenseInput::Int8)?
        .ok_or_else(|| unsupported("weights with one scale for each input"))
}

/// QLinearAdd, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_add(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combination(lowering, node, CombineOp::Add)
}

/// QLinearMul, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_mul(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combination(lowering, node, CombineOp::Mul)
}

fn combination(lowering: &mut Lowering<'_>, node: &Node, op: CombineOp) -> Result<()> {
    let tail = lowering.integers(node, 6, 7)?;
    let Some((output, params)) = tail.output else { return Ok(()) };
    let rows = match [0, 3].map(|i| node.optional(i).is_some_and(|x| lowering.is_constant(x))) {
        [false, false] => {
            let (a, b) = (lowering.bytes(node, 0, 1, 2)?, lowering.bytes(node, 3, 4, 5)?);
            if a.shape != b.shape || a.batch != b.batch {
                let (a, b) = (a.shown(), b.shown());
                return Err(unsupported(format!("shapes {a} and {b}: only equal ones are joined")));
            }
            let activation = Activation::Identity;
            let combine = Combine { op, activation, output: Some((params, tail.rounding)) };
            lowering.layer(&tail.name, combine, &[&a, &b], a.shape.clone())?
        }
        [first, _] => {
            let (rows, other) = if first { (3, 0) } else { (0, 3) };
            let rows = lowering.bytes(node, rows, rows + 1, rows + 2)?;
            let constant = lowering.weights(node, other, other + 1, other + 2, 0)?;
            with_constant(lowering, &tail.name, &rows, &constant, op, params)?
        }
    };
    lowering.define(&output, Value::Rows(rows));
    Ok(())
}

/// Rows plus or times a constant: on real numbers, one for each place of a row.
fn with_constant(
    lowering: &mut Lowering<'_>,
    name: &str,
    rows: &Rows,
    constant: &Weights,
    op: CombineOp,
    output: QuantParams,
) -> Result<Rows> {
    let values = per_element(&constant.real()?, rows)?;
    let affine = match op {
        CombineOp::Mul => Affine::new(rows.width(), values, vec![0.0])?,
        _ => Affine::new(rows.width(), vec![1.0], values)?,
    };
    let real = lowering.hidden(Dequantize, rows)?;
    let real = lowering.hidden(affine, &real)?;
    lowering.layer(name, Quantize { output }, &[&real], rows.shape.clone())
}

/// QLinearSigmoid, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_sigmoid(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    pointwise(lowering, node, Activation::Sigmoid)
}

/// QLinearLeakyRelu, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_leaky_relu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    pointwise(lowering, node, Activation::LeakyRelu { alpha: node.float("alpha", 0.01)? })
}

fn pointwise(lowering: &mut Lowering<'_>, node: &Node, activation: Activation) -> Result<()> {
    let rows = lowering.bytes(node, 0, 1, 2)?;
    let Tail { name, output: Some((output, params)), .. } = lowering.integers(node, 3, 4)? else {
        return Ok(());
    };
    let pointwise = Pointwise { activation, output: Some(params) };
    let rows = lowering.layer(&name, pointwise, &[&rows], rows.shape.clone())?;
    lowering.define(&output, Value::Rows(rows));
    Ok(())
}

/// QLinearSoftmax, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_softmax(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.bytes(node, 0, 1, 2)?;
    let tail = lowering.integers(node, 3, 4)?;
    lowering.softmax(node, &rows, node.int("opset", 13)?, &tail)
}

/// QLinearConcat, of ONNX Runtime.
pub(in crate::onnx) fn qlinear_concat(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let inputs = (2..node.inputs.len()).step_by(3);
    let inputs =
        inputs.map(|i| lowering.bytes(node, i, i + 1, i + 2)).collect::<Result<Vec<_>>>()?;
    let Tail { name, output: Some((output, params)), .. } = lowering.integers(node, 0, 1)? else {
        return Ok(());
    };
    lowering.concat(node, &name, &inputs, params)?;
    let rows = lowering.value(&name)?.clone();
    lowering.define(&output, rows);
    Ok(())
}

impl<'g> Lowering<'g> {
    /// Input `i` as 8-bit rows, quantized as inputs `scale` and `zero` say.
    pub(super) fn bytes(
        &mut self,
        node: &Node,
        i: usize,
        scale: usize,
        zero: usize,
    ) -> Result<Rows> {
        let place = |e: Error| e.at(format!("input {i}"));
        let rows = self.rows(node, i)?;
        let kind = self.byte_kind(&rows).map_err(place)?;
        let params = Grid::of(self, node, scale, zero).and_then(|grid| grid.params(kind));
        self.read_as(rows, params.map_err(place)?).map_err(place)
    }

    /// Input `i` as a constant of integers, with the scales that inputs `scale` and `zero` say.
    pub(super) fn weights(
        &self,
        node: &Node,
        i: usize,
        scale: usize,
        zero: usize,
        axis: i64,
    ) -> Result<Rc<Weights>> {
        let grid = Grid::of(self, node, scale, zero)?;
        let weights = Weights::new(self.constant(node, i)?, grid, axis);
        weights.map(Rc::new).map_err(|e| e.at(format!("input {i}")))
    }

    /// Integers to a softmax as integers. ONNX Runtime multiplies by `1 / scale`, made a whole number,
    /// instead of dividing by the scale.
    pub(super) fn softmax(
        &mut self,
        node: &Node,
        bytes: &Rows,
        opset: i64,
        tail: &Tail,
    ) -> Result<()> {
        bytes.expect_whole_row(node.int("axis", if opset < 13 { 1 } else { -1 })?)?;
        let Some((output, params)) = &tail.output else { return Ok(()) };
        let real = self.hidden(Dequantize, bytes)?;
        let real = self.layer(&tail.name, Softmax, &[&real], bytes.shape.clone())?;
        let scale = match self.rounding {
            Rounding::Nearest => 1.0 / (1.0 / params.scale()).floor(),
            _ => params.scale(),
        };
        let whole = QuantParams::new(params.kind(), scale, params.zero_point())?;
        let mut rows = self.hidden(Quantize { output: whole }, &real)?;
        if whole != *params {
            rows = self.hidden(reading(*params)?, &rows)?;
        }
        self.define(output, Value::Rows(rows));
        Ok(())
    }

    /// The node's output as integers, quantized as its inputs say: nothing comes between.
    pub(super) fn integers(&self, node: &Node, scale: usize, zero: usize) -> Result<Tail> {
        let output = node.output()?;
        let params = Grid::of(self, node, scale, zero)?.params(Int8::U8)?;
        // ONNX Runtime calls the integers of `y` `y_quantized`. A layer has the name of what it computes.
        let real = output.strip_suffix("_quantized").filter(|real| self.uses.giver(real).is_none());
        Ok(Tail::integers(real.unwrap_or(output), output, params, self.rounding))
    }
}
