//! Quantization: how an 8-bit integer stands for a real number, and the rules for rounding.
//!
//! `real = (q - zero_point) * scale`. Every float operation here is a single IEEE-754 binary32
//! operation, rounded to nearest even, in the order written (some rules use binary64): no fused
//! multiply-add, no reciprocal in place of a division. That is what makes the result the same on every machine.

mod rules;

pub use rules::{
    FixedPoint, Requantizer, Rounding, multiplier, requantize_nearest, round_half_away,
};

use alloc::format;

use crate::error::{Error, Result};

/// The two 8-bit element types. Inside the engine all data is `i8`; a `u8` is an `i8` plus 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int8 {
    /// -128..=127
    I8,
    /// 0..=255
    U8,
}

impl Int8 {
    /// The smallest value of the type.
    pub const fn min(self) -> i32 {
        match self {
            Int8::I8 => -128,
            Int8::U8 => 0,
        }
    }

    /// The largest value of the type.
    pub const fn max(self) -> i32 {
        self.min() + 255
    }

    /// How far values of the type lie above their `i8` form.
    pub(crate) const fn shift(self) -> i32 {
        self.min() + 128
    }
}

/// The quantization of an activation tensor: element type, scale and zero point, all valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantParams {
    kind: Int8,
    scale: f32,
    zero_point: i32,
}

impl QuantParams {
    /// Checks and joins the parts of a quantization.
    ///
    /// # Errors
    /// `scale` must be a positive normal number, `zero_point` a value of `kind`.
    pub fn new(kind: Int8, scale: f32, zero_point: i32) -> Result<Self> {
        check_scale(scale)?;
        if zero_point < kind.min() || zero_point > kind.max() {
            return Err(Error::model(format!(
                "zero point {zero_point} is outside {}..={} of {kind:?}",
                kind.min(),
                kind.max()
            )));
        }
        Ok(Self { kind, scale, zero_point })
    }

    /// The element type.
    pub const fn kind(&self) -> Int8 {
        self.kind
    }

    /// The real distance between two neighbouring integers.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The integer that stands for 0.0.
    pub fn zero_point(&self) -> i32 {
        self.zero_point
    }

    /// The same quantization as the engine sees it: with the zero point of the `i8` form.
    pub(crate) fn zero_point_i8(&self) -> i32 {
        self.zero_point - self.kind.shift()
    }

    /// Real to integer: divide by the scale, clamp, round half to even, add the zero point.
    /// Infinities clamp; a NaN gives the smallest value.
    pub fn quantize(&self, real: f32) -> i32 {
        let (min, max) = (self.kind.min() - self.zero_point, self.kind.max() - self.zero_point);
        round_clamped(real / self.scale, min, max) + self.zero_point
    }

    /// Integer to real: `(q - zero_point) * scale`.
    pub fn dequantize(&self, q: i32) -> f32 {
        (q - self.zero_point) as f32 * self.scale
    }
}

/// Scale and zero point (of `u8`) that ONNX `DynamicQuantizeLinear` computes for data between
/// `min` and `max`. Data that are all zero get scale 1. `None` where the range is not finite.
///
/// Source: the operator's definition in the ONNX standard, with the zero range as ONNX Runtime
/// treats it.
pub fn dynamic_params(min: f32, max: f32) -> Option<(f32, i32)> {
    let (min, max) = (select_min(min, 0.0), select_max(max, 0.0));
    let range = max - min;
    if !range.is_finite() {
        return None;
    }
    let scale = if range / 255.0 == 0.0 { 1.0 } else { range / 255.0 };
    Some((scale, round_clamped(0.0 - min / scale, 0, 255)))
}

/// Refuses what cannot be a scale: zero, negative, subnormal, infinite, NaN.
pub(crate) fn check_scale(scale: f32) -> Result<()> {
    if scale.is_normal() && scale > 0.0 {
        Ok(())
    } else {
        Err(Error::model(format!("scale {scale:e} is not a positive normal number")))
    }
}

/// Clamps, then rounds half to even. The bounds are small integers, so that adding and taking
/// away 1.5 * 2^23 leaves a whole number rounded by the addition itself.
pub(crate) fn round_clamped(real: f32, min: i32, max: i32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    let clamped = select_min(select_max(real, min as f32), max as f32);
    (clamped + MAGIC - MAGIC) as i32
}

/// The same number, and for NaN always the same one: CPUs differ in the sign of those they make.
pub(crate) fn one_nan(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(0x7FC0_0000) } else { x }
}

/// `a` where it is greater, else `b`: fixed also for NaN and for zeros of two signs, which the
/// maximum instructions of different CPUs treat differently.
pub(crate) fn select_max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `a` where it is less, else `b`; see [`select_max`].
pub(crate) fn select_min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}
