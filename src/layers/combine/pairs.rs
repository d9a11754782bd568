//! How two 8-bit values become one, under each rule.
//!
//! Values and zero points are those of the tensors' own types here, not of the `i8` form: where a
//! zero point takes part in float operations, a shift by 128 would change how they round.

use alloc::format;

use super::{Combine, CombineOp};
use crate::error::{Error, Result};
use crate::quant::{FixedPoint, QuantParams, Rounding, check_scale, round_clamped};

/// What does not depend on the values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    by: By,
    inputs: [QuantParams; 2],
    output: QuantParams,
    /// The smallest and the largest value.
    bounds: (i32, i32),
}

#[derive(Clone, Copy, Debug)]
enum By {
    /// Real numbers of both, one operation, and quantized.
    Real(CombineOp),
    /// `a * scales[0] + (b * scales[1] + offset)`, where each product and the addition to it are
    /// rounded once, together.
    Sum { scales: [f32; 2], offset: f32 },
    /// `(a - za) * (b - zb) * scale + zy`
    Product { scale: f32 },
    /// `((a - za) * 2^20 * factors[0] + (b - zb) * 2^20 * factors[1]) * result`; or their difference.
    FixedSum { times: Times, subtract: bool, factors: [FixedPoint; 2], result: FixedPoint },
    /// `(a - za) * (b - zb) * factor`
    FixedProduct { times: Times, factor: FixedPoint },
}

/// How a fixed-point product is rounded.
type Times = fn(FixedPoint, i32) -> i32;

/// Bits that TensorFlow Lite gives the terms of a sum below the point.
const SUM_BITS: i32 = 20;

/// The largest magnitude of a product of two values less their zero points.
const MAX_PRODUCT: i64 = 255 * 255;

impl Pairs {
    /// # Errors
    /// An operation that the rule has not, scales whose ratios are beyond the rule.
    pub fn new(
        layer: &Combine,
        inputs: [QuantParams; 2],
        (output, rule): (QuantParams, Rounding),
    ) -> Result<Self> {
        let real = layer.activation.clamp().expect("checked: the activation is a clamp");
        let (min, max) = rule.bounds(&output, real);
        let bounds = (min + output.zero_point(), max + output.zero_point());
        let by = match (rule, layer.op) {
            (_, CombineOp::Div) => return Err(Error::model("8-bit values have no division")),
            (Rounding::Nearest, CombineOp::Add) => nearest_sum(&inputs, &output)?,
            (Rounding::Nearest, CombineOp::Mul) => {
                let scale = inputs[0].scale() * inputs[1].scale() / output.scale();
                check_scale(scale).map_err(|e| e.at("input and output scales together"))?;
                By::Product { scale }
            }
            (Rounding::Nearest | Rounding::OnnxReference, op) => By::Real(op),
            (Rounding::TfLite, op) => fixed(op, &inputs, &output, FixedPoint::rounded_twice)?,
            (Rounding::TfLiteSingleRounding, op) => {
                fixed(op, &inputs, &output, FixedPoint::rounded_once)?
            }
            (Rounding::TfLiteReference, _) => {
                let message = format!("requantize rule {} is one of dense layers", rule.name());
                return Err(Error::model(message));
            }
        };
        Ok(Self { by, inputs, output, bounds })
    }

    /// The value for two values, all in their `i8` form.
    pub fn apply(&self, a: i8, b: i8) -> i8 {
        let [p, q] = &self.inputs;
        let a = i32::from(a) + p.kind().shift();
        let b = i32::from(b) + q.kind().shift();
        let (min, max) = self.bounds;
        let zero_point = self.output.zero_point();
        let [da, db] = [a - p.zero_point(), b - q.zero_point()];
        let value = match self.by {
            By::Real(op) => self.output.quantize(op.apply(p.dequantize(a), q.dequantize(b))),
            By::Sum { scales, offset } => {
                let rest = libm::fmaf(b as f32, scales[1], offset);
                round_clamped(libm::fmaf(a as f32, scales[0], rest), min, max)
            }
            By::Product { scale } => {
                round_clamped((da * db) as f32 * scale + zero_point as f32, min, max)
            }
            By::FixedSum { times, subtract, factors, result } => {
                let a = times(factors[0], da << SUM_BITS);
                let b = times(factors[1], db << SUM_BITS);
                times(result, if subtract { a - b } else { a + b }) + zero_point
            }
            By::FixedProduct { times, factor } => times(factor, da * db).saturating_add(zero_point),
        };
        (value.clamp(min, max) - self.output.kind().shift()) as i8
    }
}

/// A sum as ONNX Runtime adds 8-bit tensors up: all that does not depend on the values first.
fn nearest_sum(inputs: &[QuantParams; 2], output: &QuantParams) -> Result<By> {
    let [a, b] = inputs.map(|input| input.scale() / output.scale());
    for scale in [a, b] {
        check_scale(scale).map_err(|e| e.at("input and output scales together"))?;
        if scale > (1 << 20) as f32 {
            return Err(Error::model(format!("an input scale is {scale} times the output's")));
        }
    }
    let [za, zb] = inputs.map(|input| input.zero_point() as f32);
    let offset = output.zero_point() as f32 - libm::fmaf(a, za, b * zb);
    Ok(By::Sum { scales: [a, b], offset })
}

/// What TensorFlow Lite does with integers alone.
fn fixed(
    op: CombineOp,
    inputs: &[QuantParams; 2],
    output: &QuantParams,
    times: Times,
) -> Result<By> {
    let [a, b] = inputs.map(|input| input.scale());
    if op == CombineOp::Mul {
        let factor = a * b / output.scale();
        check_scale(factor).map_err(|e| e.at("input and output scales together"))?;
        let factor = FixedPoint::new(factor.into());
        if MAX_PRODUCT > factor.most() {
            let message = "the scales of the inputs, multiplied, are too large for the output's";
            return Err(Error::model(message));
        }
        return Ok(By::FixedProduct { times, factor });
    }
    let subtract = match op {
        CombineOp::Add => false,
        CombineOp::Sub => true,
        _ => {
            let name = op.name();
            return Err(Error::model(format!("no {name} under this requantize rule")));
        }
    };
    let twice = 2.0 * f64::from(if a > b { a } else { b });
    let factors = [a, b].map(|scale| FixedPoint::new(f64::from(scale) / twice));
    let result = twice / (f64::from(1 << SUM_BITS) * f64::from(output.scale()));
    if result >= 1.0 {
        return Err(Error::model("the scales of the inputs are too large for the output's"));
    }
    Ok(By::FixedSum { times, subtract, factors, result: FixedPoint::new(result) })
}
