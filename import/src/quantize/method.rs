//! How a range for 8 bits is chosen from the values that a tensor was seen to take.
//!
//! A narrower range has finer steps, and clips what is beyond it. Where the two meet, each method
//! says in its own way:
//!
//! ```text
//! min-max       no clipping
//! percentile    the range that leaves a fixed share of the values out
//! MSE           the least  sum over clipped (x - end)^2  +  count of the others * step^2 / 12
//! entropy       the least  sum P ln(P / Q), with P the clipped values' distribution, and Q what is
//!               left of it when each step's values are one
//! ```
//! The last two look at ends that shrink by 2^(-1/16), down to 2^-10 of the range: first the upper one,
//! then the lower one, and again, until neither moves.

use std::ops::Range;

use signfold::{Error, ErrorKind, Result};

use super::histogram::{BINS, Histogram};
use super::range::{ActivationRange, Range as Interval};

/// How the range of an activation follows from its values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum CalibrationMethod {
    /// From the smallest to the largest value.
    #[default]
    MinMax,
    /// The range that this percentage of the values lies in, above 50 and up to 100. One half of the
    /// others is left out on each side of an asymmetric range.
    Percentile(f64),
    /// The range with the least relative entropy (Kullback-Leibler divergence) between the values'
    /// distribution and that of their 8-bit form.
    Entropy,
    /// The range with the least mean squared error.
    Mse,
}

impl CalibrationMethod {
    /// Refuses a percentage that is none.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            CalibrationMethod::Percentile(share) if !(share > 50.0 && share <= 100.0) => {
                let message = format!("percentile {share}: expected more than 50, at most 100");
                Err(Error::new(ErrorKind::Input, message))
            }
            _ => Ok(()),
        }
    }

    /// The range for values that were seen in the range `seen`, and are spread as `values` says; of
    /// a symmetric range, their magnitudes.
    pub(crate) fn choose(
        self,
        seen: Interval,
        values: &Histogram,
        how: ActivationRange,
    ) -> Interval {
        if values.is_empty() {
            return seen;
        }
        let steps = match how {
            ActivationRange::Asymmetric => 255.0,
            ActivationRange::Symmetric => 127.0,
        };
        let (low, high) = match self {
            CalibrationMethod::MinMax => return seen,
            CalibrationMethod::Percentile(share) => percentile(values, share / 100.0, how),
            CalibrationMethod::Entropy => {
                let sums = Sums::of(values.counts());
                let bins = |low, high| values.nearest_edge(low)..values.nearest_edge(high);
                search(values, |low, high| sums.divergence(bins(low, high), steps as usize))
            }
            CalibrationMethod::Mse => {
                search(values, |low, high| Some(squared_error(values, low, high, steps)))
            }
        };
        let low = if how == ActivationRange::Symmetric { -high } else { low };
        Interval { min: seen.min.max(low as f32), max: seen.max.min(high as f32) }
    }
}

/// The range that leaves out less than a share of all values.
fn percentile(values: &Histogram, share: f64, how: ActivationRange) -> (f64, f64) {
    let sides = if how == ActivationRange::Symmetric { 1.0 } else { 2.0 };
    let allowed = values.total() as f64 * (1.0 - share) / sides;
    // How many bins from one end can go.
    let cut = |counts: &mut dyn Iterator<Item = &u64>| {
        let mut sum = 0.0;
        counts
            .take_while(|count| {
                sum += **count as f64;
                sum <= allowed
            })
            .count()
    };
    let counts = values.counts();
    let (first, last) = (cut(&mut counts.iter()), cut(&mut counts.iter().rev()));
    let (low, high) = (values.edge(first), values.edge(BINS - last.min(BINS)));
    // Zero always belongs to the range.
    (low.min(0.0), high.max(0.0))
}

/// The candidate of least cost; a narrower one only where it is better.
fn search(values: &Histogram, cost: impl Fn(f64, f64) -> Option<f64>) -> (f64, f64) {
    /// 2^(-1/16)
    const SHRINK: f64 = 0.957_603_280_698_573_6;
    const CANDIDATES: usize = 160;
    const ROUNDS: usize = 4;
    let ends = |end: f64| {
        std::iter::successors(Some(end), |end| Some(end * SHRINK)).take(match end {
            0.0 => 1,
            _ => CANDIDATES,
        })
    };
    let (mut low, mut high) = (values.low(), values.high());
    for _ in 0..ROUNDS {
        let before = (low, high);
        let best = |candidates: &mut dyn Iterator<Item = (f64, f64)>| {
            let mut best = (f64::INFINITY, before);
            for (low, high) in candidates {
                if let Some(cost) = cost(low, high)
                    && cost < best.0
                {
                    best = (cost, (low, high));
                }
            }
            best.1
        };
        (_, high) = best(&mut ends(values.high()).map(|high| (low, high)));
        (low, high) = best(&mut ends(values.low()).map(|low| (low, high)));
        if (low, high) == before {
            break;
        }
    }
    (low, high)
}

/// The squared error of 8-bit values in this range, summed.
fn squared_error(values: &Histogram, low: f64, high: f64, steps: f64) -> f64 {
    let step = (high - low) / steps;
    let inside = step * step / 12.0;
    let error = |(at, count): (f64, f64)| {
        let beyond = (low - at).max(at - high);
        count * if beyond > 0.0 { beyond * beyond } else { inside }
    };
    values.filled().map(error).fold(0.0, |sum, error| sum + error)
}

/// Sums over the bins before each edge, with which those over any range are differences.
struct Sums<'h> {
    counts: &'h [u64],
    held: Vec<u64>,
    filled: Vec<u32>,
    /// Of `n ln n`.
    logs: Vec<f64>,
}

impl<'h> Sums<'h> {
    fn of(counts: &'h [u64]) -> Self {
        let (mut held, mut filled, mut logs) = (vec![0], vec![0], vec![0.0]);
        for (bin, &count) in counts.iter().enumerate() {
            held.push(held[bin] + count);
            filled.push(filled[bin] + u32::from(count > 0));
            logs.push(logs[bin] + times_log(count));
        }
        Self { counts, held, filled, logs }
    }

    /// The relative entropy of the 8-bit form of all values, of which those in these bins are in
    /// range. `None` for fewer bins than steps, which say nothing, or for bins that hold nothing.
    ///
    /// With P = n / total in a bin, clipped values counted where they arrive, and Q the same for all
    /// bins of a step that hold something:
    /// ```text
    /// sum P ln(P / Q)  =  (sum n ln n  -  sum over steps of (sum n) * ln Q) / total  -  ln total
    /// ```
    fn divergence(&self, inside: Range<usize>, steps: usize) -> Option<f64> {
        let (first, end) = (inside.start, inside.end);
        let bins = end.saturating_sub(first);
        let total = self.held[self.counts.len()];
        let kept = self.held.get(end)? - self.held[first];
        if bins < steps || kept == 0 {
            return None;
        }
        // What arrives at the first and at the last bin.
        let clipped = [(first, self.held[first]), (end - 1, total - self.held[end])];
        let mut sum = self.logs[end] - self.logs[first];
        for (bin, more) in clipped {
            sum += times_log(self.counts[bin] + more) - times_log(self.counts[bin]);
        }
        for step in 0..steps {
            let (from, to) = (first + step * bins / steps, first + (step + 1) * bins / steps);
            let held = self.held[to] - self.held[from];
            let (mut all, mut filled) = (held, self.filled[to] - self.filled[from]);
            for (bin, more) in clipped.into_iter().filter(|(bin, _)| (from..to).contains(bin)) {
                all += more;
                filled += u32::from(more > 0 && self.counts[bin] == 0);
            }
            if all > 0 {
                // An end that held nothing before would make it infinite.
                let q = held as f64 / kept as f64 / f64::from(filled);
                sum -= all as f64 * libm::log(q.max(1e-9));
            }
        }
        Some(sum / total as f64 - libm::log(total as f64))
    }
}

/// n ln n
fn times_log(count: u64) -> f64 {
    match count {
        0 => 0.0,
        count => count as f64 * libm::log(count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> (Interval, Histogram) {
        let mut seen = Interval::EMPTY;
        seen.include(values);
        let mut histogram = Histogram::new(seen);
        histogram.add(values.iter().copied());
        (seen, histogram)
    }

    /// The sum of the definition, bin by bin.
    fn by_definition(counts: &[u64], inside: Range<usize>, steps: usize) -> f64 {
        let mut clipped = counts[inside.clone()].to_vec();
        let bins = clipped.len();
        clipped[0] += counts[..inside.start].iter().sum::<u64>();
        clipped[bins - 1] += counts[inside.end..].iter().sum::<u64>();
        let (total, kept) =
            (counts.iter().sum::<u64>() as f64, counts[inside.clone()].iter().sum::<u64>() as f64);
        let mut sum = 0.0;
        for step in 0..steps {
            let of = step * bins / steps..(step + 1) * bins / steps;
            let held: u64 = counts[inside.clone()][of.clone()].iter().sum();
            let filled = clipped[of.clone()].iter().filter(|&&n| n > 0).count() as f64;
            let q = (held as f64 / kept / filled).max(1e-9);
            for &n in clipped[of].iter().filter(|&&n| n > 0) {
                let p = n as f64 / total;
                sum += p * (p / q).ln();
            }
        }
        sum
    }

    #[test]
    fn divergence_is_that_of_its_definition() {
        let counts: Vec<u64> = (0..BINS as u64).map(|i| (i * i * 31 + 7) % 23 * (i % 3)).collect();
        let sums = Sums::of(&counts);
        for inside in [0..BINS, 1..BINS, 0..300, 500..4000, 4096 - 255..4096] {
            let expected = by_definition(&counts, inside.clone(), 255);
            let found = sums.divergence(inside.clone(), 255).unwrap();
            assert!((found - expected).abs() < 1e-9, "{inside:?}: {found}, {expected}");
        }
        assert_eq!(sums.divergence(0..254, 255), None);
    }

    #[test]
    fn percentiles_by_hand() {
        // 1000 values 0.1, 0.2, .. 100.0, and as many on the other side.
        let values: Vec<f32> =
            (1..=1000).flat_map(|i| [i as f32 / 10.0, i as f32 / -10.0]).collect();
        let (seen, histogram) = histogram(&values);
        let choose =
            |share, how| CalibrationMethod::Percentile(share).choose(seen, &histogram, how);
        let near = |found: Interval, expected: f32| {
            let width = 200.0 / BINS as f32;
            assert!((found.max - expected).abs() <= 2.0 * width + 0.1, "{found}, {expected}");
            assert!((found.min + expected).abs() <= 2.0 * width + 0.1, "{found}, {expected}");
        };
        assert_eq!(choose(100.0, ActivationRange::Asymmetric), seen);
        near(choose(99.0, ActivationRange::Asymmetric), 99.0);
        near(choose(80.0, ActivationRange::Asymmetric), 80.0);
    }

    #[test]
    fn ends_where_values_are_many_stay() {
        let mut values = vec![1.0_f32; 500];
        values.extend((0..500).map(|i| i as f32 / 500.0));
        let (seen, histogram) = histogram(&values);
        for method in [CalibrationMethod::Mse, CalibrationMethod::Percentile(99.9)] {
            assert_eq!(method.choose(seen, &histogram, ActivationRange::Asymmetric), seen);
        }
    }

    #[test]
    fn one_outlier_is_cut_off() {
        // So many values that finer steps for all of them weigh more than the loss of one.
        let body =
            (0..400_000_i64).map(|i| (i * 7919 % 2001 + i * 6733 % 1999) as f32 / 2000.0 - 1.0);
        let mut values: Vec<f32> = body.collect();
        values.push(3.0);
        let (seen, histogram) = histogram(&values);
        for method in [
            CalibrationMethod::Mse,
            CalibrationMethod::Entropy,
            CalibrationMethod::Percentile(99.9),
        ] {
            let found = method.choose(seen, &histogram, ActivationRange::Asymmetric);
            assert!((0.9..2.0).contains(&found.max) && found.min < -0.9, "{method:?}: {found}");
        }
        let minmax =
            CalibrationMethod::MinMax.choose(seen, &histogram, ActivationRange::Asymmetric);
        assert_eq!(minmax, seen);
    }
}
