//! Functions of one 8-bit number as tables, with the interpreter's own arithmetic.
//!
//! ```text
//! rescaled:   mul(q - zero point in) + zero point out, clamped
//! tanh, ...:  round(f(scale in * (q - zero point in)) * (1 / scale out)) + zero point out, clamped
//! ```
//! `mul` is the product with a fixed-point multiplier that dense layers have; floats are `f32`, `round`
//! takes halves away from zero.

use signfold::quant::{FixedPoint, Int8, QuantParams, Rounding, round_half_away};

/// A table's entries, in the `i8` form and order.
pub(super) type Entries = [i8; 256];

/// Of each value in `i8` form, the one that a function gives, clamped.
fn entries(function: impl Fn(i32) -> i32) -> Entries {
    std::array::from_fn(|i| function(i as i32 - 128).clamp(-128, 127) as i8)
}

/// The zero point of the `i8` form.
fn zero(params: &QuantParams) -> i32 {
    params.zero_point() - (params.kind().min() - Int8::I8.min())
}

/// `x` less a zero point, times a factor that may be negative.
fn scaled(by: f64, rounding: Rounding) -> impl Fn(i32) -> i32 {
    let (factor, negative) = (FixedPoint::new(by.abs()), by < 0.0);
    move |x| {
        let x = if negative { -x } else { x };
        match rounding {
            Rounding::TfLiteSingleRounding => factor.rounded_once(x),
            _ => factor.rounded_twice(x),
        }
    }
}

/// From one quantization to another, as QUANTIZE does it.
pub(super) fn requantize(from: &QuantParams, to: &QuantParams, rounding: Rounding) -> Entries {
    let scaled = scaled(f64::from(from.scale()) / f64::from(to.scale()), rounding);
    entries(|q| scaled(q - zero(from)).saturating_add(zero(to)))
}

/// RELU and its like as operators of their own: rescaled, then clamped.
pub(super) fn clamp(
    from: &QuantParams,
    to: &QuantParams,
    bounds: (f32, f32),
    rounding: Rounding,
) -> Entries {
    let scaled = scaled(f64::from(from.scale() / to.scale()), rounding);
    let (min, max) = Rounding::TfLite.bounds(to, bounds);
    entries(|q| scaled(q - zero(from)).clamp(min, max) + zero(to))
}

pub(super) fn leaky_relu(
    from: &QuantParams,
    to: &QuantParams,
    alpha: f32,
    rounding: Rounding,
) -> Entries {
    let positive = scaled(f64::from(from.scale() / to.scale()), rounding);
    let negative = scaled(f64::from(from.scale() * alpha / to.scale()), rounding);
    entries(|q| {
        let x = q - zero(from);
        let y = if x >= 0 { positive(x) } else { negative(x) };
        y.saturating_add(zero(to))
    })
}

/// A function of real numbers.
pub(super) fn function(from: &QuantParams, to: &QuantParams, f: impl Fn(f32) -> f32) -> Entries {
    let inverse = 1.0 / to.scale();
    entries(|q| {
        let y = f(from.scale() * (q - zero(from)) as f32);
        // Far beyond the 8 bits already.
        let rescaled = (y * inverse).clamp(-1024.0, 1024.0);
        round_half_away(f64::from(rescaled)) + zero(to)
    })
}
