//! Scales and zero points, as nodes tell them.

use signfold::quant::{Int8, QuantParams};
use signfold::{Error, ErrorKind, Result};

use crate::onnx::lower::{Lowering, unsupported};
use crate::onnx::node::Node;
use crate::onnx::tensor::{Data, Tensor, type_name, types};

/// How integers stand for real numbers: `real = (q - zero point) * scale`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    /// One, or one for each place of an axis.
    pub scales: Vec<f32>,
    /// As many, in the element type's own range.
    pub zero_points: Vec<i32>,
    /// The type of the zero points, if they are there.
    pub kind: Option<Kind>,
}

/// The integers that can stand for real numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Byte(Int8),
    I32,
}

impl Kind {
    /// The type of a constant's elements.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        match &tensor.data {
            Data::I8(_) => Ok(Kind::Byte(Int8::I8)),
            Data::U8(_) => Ok(Kind::Byte(Int8::U8)),
            Data::I32(_) => Ok(Kind::I32),
            other => Err(wrong_type(other.name())),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Byte(Int8::I8) => "int8",
            Kind::Byte(Int8::U8) => "uint8",
            Kind::I32 => "int32",
        }
    }
}

/// Refuses integers of another width.
pub(super) fn wrong_type(name: &str) -> Error {
    unsupported(format!("quantization to {name}; the integers supported are int8 and uint8"))
}

impl Grid {
    /// What inputs `scale` and `zero` of a node say; without the latter all zero points are 0.
    pub fn of(lowering: &Lowering<'_>, node: &Node, scale: usize, zero: usize) -> Result<Self> {
        let scales = lowering.constant(node, scale).map_err(|e| e.at("scale"))?;
        let scales = scales.floats().map_err(|e| e.at("scale"))?.to_vec();
        if scales.is_empty() {
            return Err(Error::new(ErrorKind::Model, "no scale"));
        }
        let Some(zeros) = lowering.optional_constant(node, zero)? else {
            let zero_points = vec![0; scales.len()];
            return Ok(Self { scales, zero_points, kind: None });
        };
        let kind = Kind::of(&zeros).map_err(|e| e.at("zero point"))?;
        let values = zeros.ints()?.into_iter().map(|z| z as i32);
        let mut zero_points: Vec<i32> = values.collect();
        if zero_points.len() == 1 {
            zero_points.resize(scales.len(), zero_points[0]);
        }
        if zero_points.len() != scales.len() {
            let message = format!("{} scales, {} zero points", scales.len(), zero_points.len());
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(Self { scales, zero_points, kind: Some(kind) })
    }

    /// The quantization of rows, which have one scale. `default` is their type where no zero point
    /// tells it.
    pub fn params(&self, default: Int8) -> Result<QuantParams> {
        let (&[scale], &[zero_point]) = (&self.scales[..], &self.zero_points[..]) else {
            let message = format!(
                "{} scales for rows; only constants can have one for each place of an axis",
                self.scales.len()
            );
            return Err(unsupported(message));
        };
        QuantParams::new(self.bytes(default)?, scale, zero_point)
    }

    /// The type of the integers: that of the zero points, or `default` where there are none.
    pub fn bytes(&self, default: Int8) -> Result<Int8> {
        match self.kind {
            None => Ok(default),
            Some(Kind::Byte(kind)) => Ok(kind),
            Some(Kind::I32) => Err(wrong_type("int32")),
        }
    }
}

/// Whether a node is a QuantizeLinear: of the standard, or of ONNX Runtime.
pub(super) fn quantizes(node: &Node) -> bool {
    node.op == "QuantizeLinear" && matches!(&node.domain[..], "" | "com.microsoft")
}

/// How the integers are quantized that a QuantizeLinear gives.
pub(super) fn quantize_grid(lowering: &Lowering<'_>, node: &Node) -> Result<(Grid, Int8)> {
    refuse_blocks(node)?;
    if node.int("precision", 0)? > 1 {
        return Err(unsupported(format!(
            "division in {}; f32 is supported",
            type_name(node.int("precision", 0)?)
        )));
    }
    let default = match node.int("output_dtype", 0)? {
        0 | types::UINT8 => Int8::U8,
        types::INT8 => Int8::I8,
        other => return Err(wrong_type(type_name(other))),
    };
    Ok((Grid::of(lowering, node, 1, 2)?, default))
}

/// Refuses scales of blocks of elements.
pub(super) fn refuse_blocks(node: &Node) -> Result<()> {
    match node.int("block_size", 0)? {
        0 => Ok(()),
        size => Err(unsupported(format!(
            "scales of blocks of {size} elements; supported are one scale, or one for each output"
        ))),
    }
}

/// How the integers that a caller gives are quantized: as the first node says that takes them.
pub(in crate::onnx) fn input_params(
    lowering: &Lowering<'_>,
    name: &str,
    element: i64,
) -> Result<QuantParams> {
    let kind = if element == types::INT8 { Int8::I8 } else { Int8::U8 };
    let mut name = name;
    // A graph has no cycles, so this ends.
    while let Some(&taker) = lowering.uses.takers(name).first() {
        let node = &lowering.nodes[taker];
        let at = node.inputs.iter().position(|input| input == name).unwrap_or(0);
        let params =
            |scale, zero| Grid::of(lowering, node, scale, zero).and_then(|grid| grid.params(kind));
        let params = match (&node.op[..], at) {
            ("DequantizeLinear", 0) => params(1, 2),
            ("QLinearMatMul" | "QGemm", 0) => params(1, 2),
            ("QLinearSigmoid" | "QLinearLeakyRelu" | "QLinearSoftmax", 0) => params(1, 2),
            ("QLinearAdd" | "QLinearMul", 0 | 3) => params(at + 1, at + 2),
            ("QLinearConcat", _) => params(at + 1, at + 2),
            ("MatMulIntegerToFloat", 0) => params(2, 4),
            ("MatMulInteger", 0) => {
                let zero = lowering.optional_constant(node, 2)?;
                let zero = zero.map_or(Ok(0), |zero| zero.int())?;
                QuantParams::new(kind, 1.0, zero as i32)
            }
            ("Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity", 0) => {
                name = node.output()?;
                continue;
            }
            _ => break,
        };
        return params.map_err(|e| e.at(node.place()));
    }
    Err(unsupported("integers whose scale no node tells"))
}
