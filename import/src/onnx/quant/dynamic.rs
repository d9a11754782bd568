//! Integers that are made of real rows when they arrive, and sums whose scale comes after them.
//!
//! ```text
//! x -> DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul -> Add
//!                          \--- scale --------> Mul --/
//! ```
//! becomes one dense layer that quantizes its input. All of it is pending until the Mul.

use std::rc::Rc;

use signfold::layers::DenseInput;
use signfold::quant::QuantParams;
use signfold::{Error, ErrorKind, Result};

use super::Pending;
use super::dense::{Addend, Product, Tail};
use super::grid::{Grid, Kind};
use super::weights::Weights;
use crate::onnx::lower::{Lowering, Rows, Value, unsupported};
use crate::onnx::node::Node;
use crate::onnx::tensor::{Tensor, types};

/// Sums of products of integers.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Sums {
    product: Rc<Product>,
    /// The real rows that are quantized, if the integers come from such.
    of: Option<Rows>,
    /// Whether they are real numbers by now.
    real: bool,
}

/// DynamicQuantizeLinear.
pub(in crate::onnx) fn dynamic_quantize(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let of = lowering.rows(node, 0)?;
    let outputs = [
        Pending::Arriving(of.clone()),
        Pending::ArrivingScale { of: of.clone(), factor: None },
        Pending::ArrivingZero(of),
    ];
    for (name, pending) in node.outputs.iter().zip(outputs).filter(|(name, _)| !name.is_empty()) {
        lowering.define(name, Value::Pending(pending));
    }
    Ok(())
}

/// MatMulInteger.
pub(in crate::onnx) fn matmul_integer(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let one = Tensor::scalar(1.0);
    let zeros = lowering.optional_constant(node, 3)?;
    let weights = unscaled(lowering.constant(node, 1)?, zeros, one).map_err(|e| e.at("input 1"))?;
    let of = lowering.arriving(node, 0, 2)?;
    let (rows, input) = match &of {
        Some(real) => (real.clone(), DenseInput::PerTensor),
        None => {
            let rows = lowering.rows(node, 0)?;
            let kind = lowering.byte_kind(&rows)?;
            let zero = lowering.optional_constant(node, 2)?.map_or(Ok(0), |zero| zero.int())?;
            let params = QuantParams::new(kind, 1.0, zero as i32)?;
            (lowering.read_as(rows, params)?, DenseInput::Int8)
        }
    };
    let Some(product) = Product::new(lowering, rows, &weights, 1, input)? else {
        return Err(unsupported("weights with one zero point for each input"));
    };
    let sums = Pending::Sums(Rc::new(Sums { product: Rc::new(product), of, real: false }));
    lowering.define(node.output()?, Value::Pending(sums));
    Ok(())
}

/// Integers with their zero points, and a scale of 1.
fn unscaled(tensor: Rc<Tensor>, zeros: Option<Rc<Tensor>>, one: Tensor) -> Result<Weights> {
    let mut grid = Grid { scales: one.floats()?.to_vec(), zero_points: vec![0], kind: None };
    if let Some(zeros) = zeros {
        grid.kind = Some(Kind::of(&zeros)?);
        grid.zero_points = zeros.ints()?.into_iter().map(|z| z as i32).collect();
        grid.scales.resize(grid.zero_points.len(), 1.0);
    }
    Weights::new(tensor, grid, -1)
}

/// DynamicQuantizeMatMul, of ONNX Runtime.
pub(in crate::onnx) fn dynamic_quantize_matmul(
    lowering: &mut Lowering<'_>,
    node: &Node,
) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let weights = lowering.weights(node, 1, 2, 3, -1)?;
    lowering.scaled(node, rows, &weights, DenseInput::PerTensor, 4)
}

/// MatMulIntegerToFloat, of ONNX Runtime.
pub(in crate::onnx) fn matmul_to_float(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let weights = lowering.weights(node, 1, 3, 5, -1)?;
    match lowering.arriving(node, 0, 4)? {
        Some(rows) => lowering.scaled(node, rows, &weights, DenseInput::PerTensor, 6),
        None => {
            let rows = lowering.bytes(node, 0, 2, 4)?;
            lowering.scaled(node, rows, &weights, DenseInput::Int8, 6)
        }
    }
}

impl Sums {
    /// The sums as real numbers.
    pub fn unscaled(&self, lowering: &mut Lowering<'_>, name: &str) -> Result<Rows> {
        if !self.real {
            return Err(unsupported(format!(
                "{name:?}, sums of 32 bits, is taken without a Cast to real numbers"
            )));
        }
        if self.of.is_some() {
            return Err(unsupported(format!(
                "{name:?}, sums of integers quantized at run time, is taken without its scale"
            )));
        }
        let tail = Tail::real(name);
        let product = self.product.copy(lowering)?;
        product.finish(lowering, Addend::None, tail)?;
        match lowering.value(name)? {
            Value::Rows(rows) => Ok(rows.clone()),
            _ => Err(unsupported("sums without rows")),
        }
    }
}

impl<'g> Lowering<'g> {
    /// The real rows that input `i` is quantized from when they arrive, if it is; input `zero` must be
    /// the zero point that was found with it.
    fn arriving(&self, node: &Node, i: usize, zero: usize) -> Result<Option<Rows>> {
        let Some(Pending::Arriving(rows)) = self.pending(node.input(i)?) else { return Ok(None) };
        match node.optional(zero).and_then(|name| self.pending(name)) {
            Some(Pending::ArrivingZero(of)) if of.id == rows.id => Ok(Some(rows.clone())),
            _ => Err(unsupported(format!(
                "input {zero} is not the zero point of input {i}, which is quantized at run time"
            ))),
        }
    }

    /// Nodes between sums and their scale.
    pub(super) fn dynamic(&mut self, node: &Node) -> Result<bool> {
        let pending = |i: usize| self.pending(node.optional(i)?).cloned();
        match (pending(0), pending(1)) {
            (Some(Pending::Sums(sums)), None) if node.is("Cast") => {
                if !types::is_float(node.int("to", types::FLOAT)?) {
                    return Ok(false);
                }
                let sums = Rc::new(Sums { real: true, ..(*sums).clone() });
                self.define(node.output()?, Value::Pending(Pending::Sums(sums)));
            }
            (Some(Pending::ArrivingScale { of, factor: None }), None) if node.is("Mul") => {
                self.scale(node, of, 1)?;
            }
            (None, Some(Pending::ArrivingScale { of, factor: None })) if node.is("Mul") => {
                self.scale(node, of, 0)?;
            }
            (Some(Pending::Sums(sums)), other) if node.is("Mul") => {
                return self.scale_sums(node, &sums, other, 1);
            }
            (other, Some(Pending::Sums(sums))) if node.is("Mul") => {
                return self.scale_sums(node, &sums, other, 0);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The scale found at run time times constant input `i`.
    fn scale(&mut self, node: &Node, of: Rows, i: usize) -> Result<()> {
        let factor = Some(self.constant(node, i)?);
        let scale = Pending::ArrivingScale { of, factor };
        self.define(node.output()?, Value::Pending(scale));
        Ok(())
    }

    /// Sums times input `i`: what `other` is, or a constant.
    fn scale_sums(
        &mut self,
        node: &Node,
        sums: &Sums,
        other: Option<Pending>,
        i: usize,
    ) -> Result<bool> {
        let scales = match (&sums.of, other) {
            (Some(rows), Some(Pending::ArrivingScale { of, factor })) if of.id == rows.id => {
                factor.unwrap_or_else(|| Rc::new(Tensor::scalar(1.0)))
            }
            (None, None) if matches!(self.value(node.input(i)?)?, Value::Constant(_)) => {
                self.constant(node, i)?
            }
            _ => return Ok(false),
        };
        let mut product = sums.product.copy(self)?;
        product.scales = scales.floats()?.to_vec();
        let outputs = product.outputs();
        if ![1, outputs].contains(&product.scales.len()) {
            let message = format!("scales of shape {:?} for {outputs} outputs", scales.shape);
            return Err(Error::new(ErrorKind::Model, message));
        }
        self.with_bias(product, node.output()?, None)?;
        Ok(true)
    }

    /// A product with its scales, plus input `bias` if it is there.
    fn scaled(
        &mut self,
        node: &Node,
        rows: Rows,
        weights: &Weights,
        input: DenseInput,
        bias: usize,
    ) -> Result<()> {
        let Some(product) = Product::new(self, rows, weights, 1, input)? else {
            return Err(unsupported("weights with one scale for each input"));
        };
        let bias = node.optional(bias).map(|name| self.value(name).cloned()).transpose()?;
        self.with_bias(product, node.output()?, bias)
    }

    /// The layer of a product, a bias, and what follows `name`.
    fn with_bias(&mut self, product: Product, name: &str, bias: Option<Value>) -> Result<()> {
        let (name, bias) = match bias {
            Some(bias) => (name.to_owned(), Some(bias)),
            None => match self.added(name, product.outputs())? {
                Some((sum, bias)) => (sum, Some(bias)),
                None => (name.to_owned(), None),
            },
        };
        let addend = match bias {
            Some(bias) => product.addend(self, &bias, 1.0)?,
            None => Addend::None,
        };
        let tail = self.tail(&name)?;
        product.finish(self, addend, tail)
    }
}
