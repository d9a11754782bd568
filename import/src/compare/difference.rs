//! How far one tensor is from another, value by value.

use signfold::quant::QuantParams;

use crate::Range;

/// How far the values of a tensor are from those it should have, over all rows.
///
/// Sums run in `f64`, in the order of the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Values compared.
    pub values: u64,
    /// The sum of the squares of what should be there.
    pub signal: f64,
    /// The sum of the squares of the distances.
    pub noise: f64,
    /// The largest distance.
    pub max_abs_error: f64,
    /// The sum of the distances.
    pub abs_errors: f64,
    /// How many 8-bit values are at an end of their type's range although what should be there lies
    /// beyond it, by more than half a step; `None` for real values.
    pub clipped: Option<u64>,
    /// The range of what should be there.
    pub expected: Range,
    /// The range of what is there.
    pub found: Range,
}

impl Difference {
    /// Of no values so far, the found ones quantized so, or real.
    pub fn new(found: Option<QuantParams>) -> Self {
        Self {
            values: 0,
            signal: 0.0,
            noise: 0.0,
            max_abs_error: 0.0,
            abs_errors: 0.0,
            clipped: found.map(|_| 0),
            expected: Range::EMPTY,
            found: Range::EMPTY,
        }
    }

    /// Adds values, as many of both; `params` are those of [`Difference::new`].
    ///
    /// Where both are the same number, or no number, nothing is lost; else what is not finite is
    /// infinitely far away.
    pub fn add(&mut self, expected: &[f32], found: &[f32], params: Option<QuantParams>) {
        self.expected.include(expected);
        self.found.include(found);
        let ends = params.map(|params| {
            let (end, half) =
                (|q| f64::from(params.dequantize(q)), f64::from(params.scale()) / 2.0);
            (end(params.kind().min()), end(params.kind().max()), half)
        });
        for (&expected, &found) in expected.iter().zip(found) {
            let same = expected == found || (expected.is_nan() && found.is_nan());
            let (expected, found) = (f64::from(expected), f64::from(found));
            let error = match (expected - found).abs() {
                _ if same => 0.0,
                error if error.is_finite() => error,
                _ => f64::INFINITY,
            };
            self.values += 1;
            self.signal += if expected.is_finite() { expected * expected } else { 0.0 };
            self.noise += error * error;
            self.max_abs_error = self.max_abs_error.max(error);
            self.abs_errors += error;
            if let (Some((low, high, half)), Some(clipped)) = (ends, &mut self.clipped) {
                let beyond = (found == low && expected < low - half)
                    || (found == high && expected > high + half);
                *clipped += u64::from(beyond);
            }
        }
    }

    /// Signal to quantization noise, `10 log10(signal / noise)`, in dB; infinite without any error.
    pub fn sqnr_db(&self) -> f64 {
        decibels(self.noise_share())
    }

    /// The mean distance; 0 of no values.
    pub fn mean_abs_error(&self) -> f64 {
        self.abs_errors / self.values.max(1) as f64
    }

    /// The share of values that are clipped, 0 to 1; `None` for real values.
    pub fn clipped_share(&self) -> Option<f64> {
        self.clipped.map(|clipped| clipped as f64 / self.values.max(1) as f64)
    }

    /// `noise / signal`; 0 without any error, infinite where nothing should be there but is.
    pub(crate) fn noise_share(&self) -> f64 {
        if self.noise == 0.0 { 0.0 } else { self.noise / self.signal }
    }
}

/// The ratio of signal to noise in dB.
pub(crate) fn decibels(noise_share: f64) -> f64 {
    match noise_share {
        0.0 => f64::INFINITY,
        share => -10.0 * share.log10(),
    }
}

#[cfg(test)]
mod tests {
    use signfold::quant::Int8;

    use super::*;

    fn of(expected: &[f32], found: &[f32], params: Option<QuantParams>) -> Difference {
        let mut difference = Difference::new(params);
        let middle = expected.len() / 2;
        difference.add(&expected[..middle], &found[..middle], params);
        difference.add(&expected[middle..], &found[middle..], params);
        difference
    }

    #[test]
    fn errors_of_a_few_values() {
        let found = of(&[3.0, -4.0, 0.0, 0.0], &[3.0, -3.0, 0.5, 0.0], None);
        assert_eq!((found.values, found.signal, found.noise), (4, 25.0, 1.25));
        assert_eq!((found.max_abs_error, found.mean_abs_error()), (1.0, 0.375));
        assert!((found.sqnr_db() - 10.0 * 20_f64.log10()).abs() < 1e-12);
        assert_eq!(found.clipped_share(), None);
        assert_eq!(found.expected, Range { min: -4.0, max: 3.0 });
        assert_eq!(found.found, Range { min: -3.0, max: 3.0 });
    }

    #[test]
    fn what_lies_beyond_the_ends_is_clipped() {
        // -64..=63.5
        let params = QuantParams::new(Int8::I8, 0.5, 0).unwrap();
        let expected = [63.75, 63.8, 70.0, -64.25, -64.3, 1.0, 63.5, 70.0];
        let reals = [63.5, 63.5, 63.5, -64.0, -64.0, 1.0, 63.5, 63.0];
        let found = of(&expected, &reals, Some(params));
        assert_eq!(found.clipped, Some(3), "half a step is rounding, and 63.0 is not the end");
        assert_eq!(found.clipped_share(), Some(0.375));
    }

    #[test]
    fn what_is_not_finite_is_far_from_all_else() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let found = of(&[inf, -inf, nan, 1.0], &[inf, -inf, nan, 1.0], None);
        assert_eq!((found.noise, found.sqnr_db()), (0.0, f64::INFINITY));
        for (expected, wrong) in [(inf, 1.0), (1.0, nan), (nan, 1.0), (inf, -inf)] {
            let found = of(&[expected, 2.0], &[wrong, 2.0], None);
            assert_eq!(found.max_abs_error, f64::INFINITY);
            assert_eq!(found.sqnr_db(), f64::NEG_INFINITY);
        }
        let found = of(&[0.0, 0.0], &[0.0, 1.0], None);
        assert_eq!(found.sqnr_db(), f64::NEG_INFINITY);
        assert_eq!(of(&[], &[], None).mean_abs_error(), 0.0);
    }
}
