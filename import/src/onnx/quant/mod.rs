//! Quantized graphs.
//!
//! ONNX has three ways to say that a network is quantized. All of them become the same layers:
//!
//! ```text
//! qdq        real operators between DequantizeLinear and QuantizeLinear
//! operators  QLinearMatMul, QGemm, ...: integers in, integers out, all scales are inputs
//! dynamic    DynamicQuantizeLinear, MatMulInteger, Cast, Mul
//! ```
//!
//! A node alone does not tell which layer it becomes a part of: a DequantizeLinear before a Gemm costs
//! nothing, before an operator on real numbers it is a layer. So a value may be [`Pending`]: known,
//! but computed by no layer until one has to. Nodes that take pending values are tried here first.

mod dense;
mod dynamic;
mod grid;
mod operators;
mod qdq;
mod weights;

use std::rc::Rc;

use signfold::layers::{Dequantize, Lookup};
use signfold::quant::QuantParams;
use signfold::{Element, Error, ErrorKind, Result};

use super::lower::{Lowering, Rows, Value, unsupported};
use super::node::Node;
use super::tensor::Tensor;
use dynamic::Sums;
pub(super) use grid::input_params;
use weights::Weights;

pub(super) use dynamic::{
    dynamic_quantize, dynamic_quantize_matmul, matmul_integer, matmul_to_float,
};
pub(super) use operators::{
    qgemm, qlinear_add, qlinear_concat, qlinear_leaky_relu, qlinear_matmul, qlinear_mul,
    qlinear_sigmoid, qlinear_softmax,
};
pub(super) use qdq::{dequantize, quantize};

/// What no layer computes yet.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Real numbers: a constant of integers, with its scales.
    Weights(Rc<Weights>),
    /// Real numbers: these 8-bit rows, dequantized; and the rows of the layer that does it, once there
    /// is one.
    Real { bytes: Rows, real: Option<Rows> },
    /// 8-bit rows, quantized from these real ones with the scale of the batch.
    Arriving(Rows),
    /// That scale, perhaps times a constant.
    ArrivingScale { of: Rows, factor: Option<Rc<Tensor>> },
    /// The zero point that belongs to it.
    ArrivingZero(Rows),
    /// Sums of products of integers, without their scale.
    Sums(Rc<Sums>),
}

impl Pending {
    /// The value as a constant, if it is one.
    pub fn constant(&self) -> Result<Option<Rc<Tensor>>> {
        match self {
            Pending::Weights(weights) => Ok(Some(Rc::new(weights.real()?))),
            _ => Ok(None),
        }
    }

    /// Whether the value is a constant.
    pub fn is_constant(&self) -> bool {
        matches!(self, Pending::Weights(_))
    }

    /// The value as rows: adds the layer that computes it.
    pub fn rows(self, lowering: &mut Lowering<'_>, name: &str) -> Result<Rows> {
        match self {
            Pending::Real { real: Some(rows), .. } => Ok(rows),
            Pending::Real { bytes, real: None } => {
                let real = lowering.layer(name, Dequantize, &[&bytes], bytes.shape.clone())?;
                let pending = Pending::Real { bytes, real: Some(real.clone()) };
                lowering.define(name, Value::Pending(pending));
                Ok(real)
            }
            Pending::Sums(sums) => sums.unscaled(lowering, name),
            Pending::Weights(_) => Err(unsupported("it is constant, expected rows")),
            Pending::Arriving(_) | Pending::ArrivingScale { .. } | Pending::ArrivingZero(_) => {
                Err(unsupported(format!(
                    "{name:?} is quantized at run time, which only MatMulInteger can take, and a \
                     Mul of its sums with the scale"
                )))
            }
        }
    }
}

impl<'g> Lowering<'g> {
    /// Makes layers of a node that takes pending values, where they make a difference; answers whether
    /// it did.
    pub fn quantized(&mut self, node: &Node) -> Result<bool> {
        Ok(node.inputs.iter().any(|name| self.pending(name).is_some())
            && (self.reshaped(node)? || self.dynamic(node)? || self.qdq(node)?))
    }

    /// Whether a node quantizes a constant, or takes one that is quantized, and nothing else.
    pub fn is_constant_quantized(&self, node: &Node) -> bool {
        let given = || node.inputs.iter().filter(|name| !name.is_empty());
        given().all(|name| self.is_constant(name))
            && (matches!(&node.op[..], "QuantizeLinear" | "DequantizeLinear")
                || given().any(|name| self.pending(name).is_some()))
    }

    /// A quantized constant with its axes moved stays one; answers whether that is what a node does.
    pub fn quantized_constant(&mut self, node: &Node) -> Result<bool> {
        let Some(weights) = self.weights_of(node, 0) else { return Ok(false) };
        let moved = match &node.op[..] {
            "Transpose" if node.is("Transpose") => {
                self.copy(weights.len())?;
                Rc::new(weights.transpose(node.ints("perm")?)?)
            }
            "Identity" if node.is("Identity") => weights,
            _ => return Ok(false),
        };
        self.define(node.output()?, Value::Pending(Pending::Weights(moved)));
        Ok(true)
    }

    /// A pending value by its name.
    pub(super) fn pending(&self, name: &str) -> Option<&Pending> {
        match self.value(name) {
            Ok(Value::Pending(pending)) => Some(pending),
            _ => None,
        }
    }

    /// The integers of which an input is the dequantization.
    fn bytes_of(&self, node: &Node, i: usize) -> Option<Rows> {
        match self.pending(node.optional(i)?)? {
            Pending::Real { bytes, .. } => Some(bytes.clone()),
            _ => None,
        }
    }

    /// The integer constant of which an input is the dequantization.
    fn weights_of(&self, node: &Node, i: usize) -> Option<Rc<Weights>> {
        match self.pending(node.optional(i)?)? {
            Pending::Weights(weights) => Some(weights.clone()),
            _ => None,
        }
    }

    /// Another shape of a dequantized value is dequantized, too; answers whether that is what a node
    /// gives.
    fn reshaped(&mut self, node: &Node) -> Result<bool> {
        const VIEWS: [&str; 7] =
            ["Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"];
        let Some(bytes) = self.bytes_of(node, 0) else { return Ok(false) };
        if !VIEWS.iter().any(|op| node.is(op)) {
            return Ok(false);
        }
        // The operator sees the integers, which have the same shape.
        let name = node.input(0)?;
        let pending = self.value(name)?.clone();
        self.define(name, Value::Rows(bytes));
        let result = super::ops::find(node).and_then(|lower| lower(self, node));
        self.define(name, pending);
        result?;
        if let Value::Rows(bytes) = self.value(node.output()?)?.clone() {
            let pending = Pending::Real { bytes, real: None };
            self.define(node.output()?, Value::Pending(pending));
        }
        Ok(true)
    }

    /// 8-bit rows as ones that are quantized like that: ONNX says it anew wherever integers are taken.
    fn read_as(&mut self, rows: Rows, params: QuantParams) -> Result<Rows> {
        let element = self.kind(&rows).element;
        let Element::Int8(found) = element else {
            return Err(Error::new(
                ErrorKind::Model,
                format!("its input has elements of type {}, expected 8-bit ones", element.name()),
            ));
        };
        if found == params {
            return Ok(rows);
        }
        if found.kind() != params.kind() {
            return Err(Error::new(
                ErrorKind::Model,
                format!(
                    "its zero point is of {:?}, its input of {:?}",
                    params.kind(),
                    found.kind()
                ),
            ));
        }
        self.hidden(reading(params)?, &rows)
    }
}

/// The same integers, which stand for other numbers.
fn reading(output: QuantParams) -> Result<Lookup<'static>> {
    Lookup::new((i8::MIN..=i8::MAX).collect::<Vec<_>>(), output)
}
