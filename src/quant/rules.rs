//! How an `i32` sum becomes an 8-bit value: one rule for each engine whose results are to be met.
//!
//! All take the bounds of the result as they are before the zero point is added.

use super::{QuantParams, round_clamped, select_max, select_min};

/// How an `i32` sum becomes an 8-bit output, and how two 8-bit values become one. The rule is named
/// in the model file; nothing guesses it. More rules may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rounding {
    /// Sum to `f32` (round to even), times the channel's multiplier, clamp, round half to even,
    /// add the zero point. What the CPU back ends of ONNX Runtime (MLAS) and TensorFlow Lite
    /// (XNNPACK) compute.
    #[default]
    Nearest,
    /// Sum times multiplier plus zero point, in `f64`, then round half to even. What the reference
    /// evaluator of the ONNX standard computes.
    OnnxReference,
    /// A [`FixedPoint`] multiplier, rounded twice. What TensorFlow Lite for Microcontrollers
    /// computes, the reference kernels of TensorFlow Lite up to 2.14, and their sums and products of
    /// tensors to this day.
    TfLite,
    /// A [`FixedPoint`] multiplier, rounded once. What TensorFlow Lite computes when it is built to
    /// (`TFLITE_SINGLE_ROUNDING`).
    TfLiteSingleRounding,
    /// Sum times multiplier in `f64`, rounded half away from zero. What the reference kernel of
    /// LiteRT computes for dense layers.
    TfLiteReference,
}

impl Rounding {
    /// All rules.
    pub const ALL: [Rounding; 5] = [
        Rounding::Nearest,
        Rounding::OnnxReference,
        Rounding::TfLite,
        Rounding::TfLiteSingleRounding,
        Rounding::TfLiteReference,
    ];

    /// As messages and listings name it.
    pub const fn name(self) -> &'static str {
        match self {
            Rounding::Nearest => "nearest",
            Rounding::OnnxReference => "onnx-reference",
            Rounding::TfLite => "tf-lite",
            Rounding::TfLiteSingleRounding => "tf-lite-single-rounding",
            Rounding::TfLiteReference => "tf-lite-reference",
        }
    }

    /// As the file numbers it.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Rounding::Nearest => 1,
            Rounding::OnnxReference => 2,
            Rounding::TfLite => 3,
            Rounding::TfLiteSingleRounding => 4,
            Rounding::TfLiteReference => 5,
        }
    }

    /// The bounds of a result that real numbers set, before its zero point is added: these numbers,
    /// quantized. TensorFlow Lite rounds them half away from zero, the others half to even.
    pub fn bounds(self, output: &QuantParams, (min, max): (f32, f32)) -> (i32, i32) {
        let zero_point = output.zero_point();
        let bound = |real: f32| match self {
            Rounding::Nearest | Rounding::OnnxReference => output.quantize(real) - zero_point,
            _ => {
                let kind = output.kind();
                let (min, max) =
                    ((kind.min() - zero_point) as f32, (kind.max() - zero_point) as f32);
                let clamped = select_min(select_max(real / output.scale(), min), max);
                round_half_away(f64::from(clamped))
            }
        };
        (bound(min), bound(max))
    }
}

/// A rule, with the multiplier of one output of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Requantizer {
    /// See [`Rounding::Nearest`].
    Nearest(f32),
    /// See [`Rounding::OnnxReference`].
    OnnxReference(f32),
    /// See [`Rounding::TfLite`].
    TfLite(FixedPoint),
    /// See [`Rounding::TfLiteSingleRounding`].
    TfLiteSingleRounding(FixedPoint),
    /// See [`Rounding::TfLiteReference`].
    TfLiteReference(f64),
}

impl Requantizer {
    /// The rule for an output with these scales. `per_output`: whether the layer has a weight scale
    /// for each output, as TensorFlow Lite then multiplies in `f64` what it else multiplies in `f32`.
    pub fn new(rule: Rounding, input: f32, weight: f32, output: f32, per_output: bool) -> Self {
        let each = f64::from(input) * f64::from(weight) / f64::from(output);
        let fixed = || match per_output {
            true => FixedPoint::new(each),
            false => FixedPoint::new(f64::from(input * weight) / f64::from(output)),
        };
        match rule {
            Rounding::Nearest => Requantizer::Nearest(multiplier(input, weight, output)),
            Rounding::OnnxReference => {
                Requantizer::OnnxReference(multiplier(input, weight, output))
            }
            Rounding::TfLite => Requantizer::TfLite(fixed()),
            Rounding::TfLiteSingleRounding => Requantizer::TfLiteSingleRounding(fixed()),
            Rounding::TfLiteReference => Requantizer::TfLiteReference(each),
        }
    }

    /// The 8-bit value of a sum: at least `min` and at most `max`, plus `zero_point`.
    pub fn apply(&self, sum: i32, min: i32, max: i32, zero_point: i32) -> i32 {
        match *self {
            Requantizer::Nearest(by) => requantize_nearest(sum, by, min, max, zero_point),
            Requantizer::OnnxReference(by) => requantize_onnx(sum, by, min, max, zero_point),
            Requantizer::TfLite(by) => by.rounded_twice(sum).clamp(min, max) + zero_point,
            Requantizer::TfLiteSingleRounding(by) => {
                by.rounded_once(sum).clamp(min, max) + zero_point
            }
            Requantizer::TfLiteReference(by) => requantize_away(sum, by, min, max) + zero_point,
        }
    }
}

/// The multiplier of an output channel under [`Rounding::Nearest`] and [`Rounding::OnnxReference`]:
/// `input * weight / output` scales, multiplied first, both operations rounded to `f32`.
pub fn multiplier(input_scale: f32, weight_scale: f32, output_scale: f32) -> f32 {
    input_scale * weight_scale / output_scale
}

/// [`Rounding::Nearest`]: `min..=max` bound the result before the zero point is added.
pub fn requantize_nearest(sum: i32, multiplier: f32, min: i32, max: i32, zero_point: i32) -> i32 {
    round_clamped(sum as f32 * multiplier, min, max) + zero_point
}

/// [`Rounding::OnnxReference`]: the zero point is added before rounding, so that ties go to even
/// results.
fn requantize_onnx(sum: i32, multiplier: f32, min: i32, max: i32, zero_point: i32) -> i32 {
    // What is added and taken away leaves a whole number, rounded by the addition.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let real = f64::from(sum) * f64::from(multiplier) + f64::from(zero_point);
    let clamped = real.max(f64::from(min + zero_point)).min(f64::from(max + zero_point));
    (clamped + MAGIC - MAGIC) as i32
}

/// [`Rounding::TfLiteReference`], without a zero point.
fn requantize_away(sum: i32, multiplier: f64, min: i32, max: i32) -> i32 {
    let real = f64::from(sum) * multiplier;
    round_half_away(real.max(f64::from(min)).min(f64::from(max)))
}

/// The nearest integer, of two the one farther from zero; of numbers that fit `i32`.
pub fn round_half_away(real: f64) -> i32 {
    let whole = real as i32;
    let rest = real - f64::from(whole);
    whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)
}

/// A positive factor as TensorFlow Lite has it: `multiplier * 2^(exponent - 31)`, where multiplier
/// lies in `2^30..2^31`, or is 0 for factors less than 2^-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPoint {
    /// The leading bits.
    pub(crate) multiplier: i32,
    /// -31..=30
    pub(crate) exponent: i32,
}

impl FixedPoint {
    /// The nearest to a positive normal number, of two the greater; at most 2^30. Source:
    /// `QuantizeMultiplier` of TensorFlow Lite.
    pub fn new(real: f64) -> Self {
        let bits = real.to_bits();
        let exponent = ((bits >> 52) & 0x7FF) as i32 - 1022;
        let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
        // 53 bits to 31.
        let (multiplier, exponent) = match (mantissa + (1 << 21)) >> 22 {
            0x8000_0000 => (1 << 30, exponent + 1),
            rounded => (rounded as i32, exponent),
        };
        match exponent {
            ..-31 => Self { multiplier: 0, exponent: 0 },
            -31..=30 => Self { multiplier, exponent },
            _ => Self { multiplier: i32::MAX, exponent: 30 },
        }
    }

    /// `x` times the factor: rounded to the nearest multiple of a power of two, of two the greater,
    /// then to an integer, of two the one farther from zero. Where the power of two is greater than
    /// 1, `x` times it should fit `i32`; if not, the largest or smallest `i32` takes its place.
    /// Source: `MultiplyByQuantizedMultiplier` of TensorFlow Lite, whose two steps are those of
    /// gemmlowp.
    pub fn rounded_twice(self, x: i32) -> i32 {
        let (left, right) = (self.exponent.max(0), (-self.exponent).max(0));
        let shifted = (i64::from(x) << left).clamp(i32::MIN.into(), i32::MAX.into());
        let high = (shifted * i64::from(self.multiplier) + (1 << 30)) >> 31;
        // Half of a step is added; to what is negative one less, as a shift rounds down.
        let half = (1 << right) >> 1;
        let less = i64::from(high < 0 && right > 0);
        ((high + half - less) >> right) as i32
    }

    /// `x` times the factor, rounded to the nearest integer, of two the greater; the largest or
    /// smallest `i32` beyond those. Source: as [`FixedPoint::rounded_twice`], built with
    /// `TFLITE_SINGLE_ROUNDING`.
    pub fn rounded_once(self, x: i32) -> i32 {
        let shift = 31 - self.exponent;
        let rounded = (i64::from(x) * i64::from(self.multiplier) + (1 << (shift - 1))) >> shift;
        rounded.clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }

    /// The most that [`FixedPoint::rounded_twice`] takes.
    pub(crate) fn most(self) -> i64 {
        i64::from(i32::MAX) >> self.exponent.max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::Int8;

    fn fixed(multiplier: i32, exponent: i32) -> FixedPoint {
        FixedPoint { multiplier, exponent }
    }

    #[test]
    fn fixed_point_factors() {
        let (half, all) = (1 << 30, i32::MAX);
        let power = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
        for (real, wanted) in [
            (0.5, fixed(half, 0)),
            (1.0, fixed(half, 1)),
            (0.75, fixed(3 << 29, 0)),
            (5.0, fixed(5 << 28, 3)),
            // Ties go up.
            (0.5 + power(-32), fixed(half + 1, 0)),
            (0.5 + 3.0 * power(-32), fixed(half + 2, 0)),
            (0.5 + power(-33), fixed(half, 0)),
            // Rounded to the next power of two.
            (1.0 - power(-33), fixed(half, 1)),
            (power(-32), fixed(half, -31)),
            // Too small, too large.
            (power(-33), fixed(0, 0)),
            (power(29), fixed(half, 30)),
            (power(30), fixed(all, 30)),
            (power(200), fixed(all, 30)),
        ] {
            assert_eq!(FixedPoint::new(real), wanted, "{real:e}");
        }
    }

    #[test]
    fn fixed_point_products() {
        for (real, x, twice, once) in [
            (0.5, 1, 1, 1),
            (0.5, -1, 0, 0),
            (0.5, 3, 2, 2),
            (0.5, -3, -1, -1),
            // Rounded to 1/2, then away from zero.
            (0.25, 1, 1, 0),
            (0.25, 2, 1, 1),
            (0.25, -2, -1, 0),
            (0.25, -6, -2, -1),
            (0.125, -12, -2, -1),
            (3.0, 7, 21, 21),
            (1.0, i32::MAX >> 1, i32::MAX >> 1, i32::MAX >> 1),
            (1.0, i32::MIN >> 1, i32::MIN >> 1, i32::MIN >> 1),
            (1e-3, i32::MAX, 2_147_484, 2_147_484),
            (1e-12, i32::MAX, 0, 0),
            (1.0 / f64::from(1_u32 << 31), i32::MAX, 1, 1),
            (1.0 / f64::from(1_u32 << 31), i32::MIN, -1, -1),
            // Beyond what TensorFlow Lite defines.
            (4.0, i32::MAX, 1 << 30, i32::MAX),
            (4.0, i32::MIN, -1 << 30, i32::MIN),
        ] {
            let by = FixedPoint::new(real);
            assert_eq!(by.rounded_twice(x), twice, "{x} times {real}, rounded twice");
            assert_eq!(by.rounded_once(x), once, "{x} times {real}, rounded once");
        }
    }

    #[test]
    fn whole_numbers_half_away_from_zero() {
        for (real, whole) in [
            (0.5, 1),
            (-0.5, -1),
            (1.5, 2),
            (2.5, 3),
            (-2.5, -3),
            (0.499_999_999_999_999_94, 0),
            (-0.499_999_999_999_999_94, 0),
            (2_147_483_646.5, i32::MAX),
            (-2_147_483_647.5, i32::MIN),
        ] {
            assert_eq!(round_half_away(real), whole, "{real}");
        }
    }

    /// One sum under all rules: ties of either sign, with a zero point that is odd.
    #[test]
    fn ties() {
        let results = |sum: i32, zero_point: i32| {
            Rounding::ALL.map(|rule| {
                // 1/4
                let by = Requantizer::new(rule, 0.5, 1.0, 2.0, true);
                by.apply(sum, -128 - zero_point, 127 - zero_point, zero_point)
            })
        };
        assert_eq!(results(2, 0), [0, 0, 1, 1, 1]);
        assert_eq!(results(-2, 0), [0, 0, -1, 0, -1]);
        assert_eq!(results(6, 0), [2, 2, 2, 2, 2]);
        assert_eq!(results(10, 0), [2, 2, 3, 3, 3]);
        assert_eq!(results(2, 1), [1, 2, 2, 2, 2]);
        assert_eq!(results(-2, 1), [1, 0, 0, 1, 0]);
        assert_eq!(results(1, 0), [0, 0, 1, 0, 0]);
        assert_eq!(results(10_000, 5), [127; 5]);
        assert_eq!(results(-10_000, 5), [-128; 5]);
    }

    /// How a multiplier's parts are rounded: `0.1 * 0.3` is another number in `f32`.
    #[test]
    fn multipliers() {
        let (x, w, y) = (0.1_f32, 0.3_f32, 0.7_f32);
        let one = FixedPoint::new(f64::from(x * w) / f64::from(y));
        let each = FixedPoint::new(f64::from(x) * f64::from(w) / f64::from(y));
        assert_ne!(one, each);
        let new = |rule, per_output| Requantizer::new(rule, x, w, y, per_output);
        assert_eq!(new(Rounding::TfLite, false), Requantizer::TfLite(one));
        assert_eq!(new(Rounding::TfLite, true), Requantizer::TfLite(each));
        for per_output in [false, true] {
            let real = f64::from(x) * f64::from(w) / f64::from(y);
            let reference = Requantizer::TfLiteReference(real);
            assert_eq!(new(Rounding::TfLiteReference, per_output), reference);
            let onnx = Requantizer::OnnxReference(x * w / y);
            assert_eq!(new(Rounding::OnnxReference, per_output), onnx);
        }
    }

    #[test]
    fn bounds_round_as_the_rule_does() {
        let output = QuantParams::new(Int8::U8, 12.0, 3).expect("valid parameters");
        for (rule, wanted) in [
            (Rounding::Nearest, (-2, 0)),
            (Rounding::OnnxReference, (-2, 0)),
            (Rounding::TfLite, (-3, 1)),
            (Rounding::TfLiteSingleRounding, (-3, 1)),
            (Rounding::TfLiteReference, (-3, 1)),
        ] {
            assert_eq!(rule.bounds(&output, (-30.0, 6.0)), wanted, "{rule:?}");
            assert_eq!(rule.bounds(&output, (f32::NEG_INFINITY, f32::INFINITY)), (-3, 252));
        }
    }
}
