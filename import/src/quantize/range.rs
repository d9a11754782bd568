//! Ranges of values, and the 8-bit integers that stand for them.

use signfold::Result;
use signfold::quant::{Int8, QuantParams};

/// The smallest and the largest value that a tensor was seen to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

/// How the range of an activation becomes a scale and a zero point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivationRange {
    /// All 256 integers for the range seen, widened to hold 0.
    #[default]
    Asymmetric,
    /// 255 integers, as many below 0 as above, for the largest magnitude seen.
    Symmetric,
}

impl Range {
    /// The range of no values.
    pub(crate) const EMPTY: Range = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// Widens the range to hold some values.
    pub(crate) fn include(&mut self, values: &[f32]) {
        for &x in values {
            self.min = self.min.min(x);
            self.max = self.max.max(x);
        }
    }

    /// From 0 to the largest magnitude.
    pub(crate) fn magnitude(&self) -> Range {
        Range { min: 0.0, max: self.max.abs().max(self.min.abs()) }
    }

    /// The finest quantization that holds the whole range and 0, which is exact.
    ///
    /// `(max - min) / 255` would be finer, but its zero point is a fraction. Rounding that shifts
    /// both ends by up to half a step, and an activation that saturates is at its ends most of the
    /// time. So the scale grows until the ends fit around a whole zero point: -1..1 becomes 1/127,
    /// with both ends exact.
    pub(crate) fn params(&self, kind: Int8, how: ActivationRange) -> Result<QuantParams> {
        let (below, above) = (f64::from(-self.min).max(0.0), f64::from(self.max).max(0.0));
        let (scale, zero_point) = match how {
            ActivationRange::Symmetric => (below.max(above) / 127.0, 128),
            ActivationRange::Asymmetric => {
                let fraction = if below > 0.0 { 255.0 * (below / (below + above)) } else { 0.0 };
                let low = fraction.floor().min(254.0);
                let [low, high] = [low, low + 1.0].map(|zero_point| {
                    let steps = |distance: f64, count: f64| match distance {
                        0.0 => 0.0,
                        _ => distance / count,
                    };
                    let scale = steps(below, zero_point).max(steps(above, 255.0 - zero_point));
                    (scale, zero_point as i32)
                });
                if high.0 < low.0 { high } else { low }
            }
        };
        let scale = if scale == 0.0 { 1.0 } else { (scale as f32).max(f32::MIN_POSITIVE) };
        QuantParams::new(kind, scale, zero_point + kind.min())
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4}..{:.4}", self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(min: f32, max: f32) -> QuantParams {
        Range { min, max }.params(Int8::I8, ActivationRange::Asymmetric).unwrap()
    }

    #[test]
    fn whole_range_and_zero_are_held() {
        let ends = [0.0, 1e-38, 1e-9, 0.003, 0.3, 1.0, 1.4, 255.0, 1e9, f32::MAX];
        for min in ends.map(|x| -x) {
            for max in ends {
                let params = params(min, max);
                assert_eq!(params.dequantize(params.quantize(0.0)), 0.0);
                for end in [min, max] {
                    // In f64, where the largest f32 plus a rounding error is no infinity.
                    let steps = f64::from(params.quantize(end) - params.zero_point());
                    let error = steps * f64::from(params.scale()) - f64::from(end);
                    let step = f64::from(params.scale());
                    assert!(error.abs() <= 0.5001 * step, "{min}..{max}: {params:?}");
                }
                let finest = (f64::from(max) - f64::from(min)) / 255.0;
                let limit = (1.005 * finest).max(1.0001 * f64::from(f32::MIN_POSITIVE));
                let found = f64::from(params.scale());
                assert!(found <= limit || finest == 0.0, "{min}..{max}: {params:?}");
            }
        }
    }

    #[test]
    fn symmetric_ends_are_exact() {
        let params = params(-1.0, 1.0);
        assert_eq!(params.scale(), 1.0 / 127.0);
        assert_eq!(params.quantize(1.0) - params.zero_point(), 127);
        assert_eq!(params.quantize(-1.0) - params.zero_point(), -127);
    }

    #[test]
    fn one_sided_and_empty_ranges() {
        assert_eq!(params(0.0, 255.0), QuantParams::new(Int8::I8, 1.0, -128).unwrap());
        assert_eq!(params(10.0, 255.0), params(0.0, 255.0));
        assert_eq!(params(-255.0, -3.0), QuantParams::new(Int8::I8, 1.0, 127).unwrap());
        assert_eq!(params(0.0, 0.0), QuantParams::new(Int8::I8, 1.0, -128).unwrap());
    }
}
