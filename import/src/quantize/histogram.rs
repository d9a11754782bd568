//! How the values of a tensor are spread over its range.

use super::range::Range;

/// Bins of a histogram: 16 for each of the 256 integers, or more where the range is clipped.
pub(crate) const BINS: usize = 4096;

/// Counts of values in bins of equal width, over a range that holds 0. Values that are exactly 0 are
/// counted by themselves: every 8-bit scale represents them without an error, and after a ReLU they
/// may be most of all.
#[derive(Clone)]
pub(crate) struct Histogram {
    low: f64,
    width: f64,
    counts: Vec<u64>,
    zeros: u64,
}

impl Histogram {
    /// An empty one for values in this range.
    pub fn new(range: Range) -> Self {
        let (low, high) = (f64::from(range.min).min(0.0), f64::from(range.max).max(0.0));
        Self { low, width: (high - low) / BINS as f64, counts: vec![0; BINS], zeros: 0 }
    }

    /// Counts some values.
    pub fn add(&mut self, values: impl IntoIterator<Item = f32>) {
        for value in values {
            match value == 0.0 {
                true => self.zeros += 1,
                // Float to integer saturates, and the largest value is in the last bin.
                false => {
                    let bin = ((f64::from(value) - self.low) / self.width) as usize;
                    self.counts[bin.min(BINS - 1)] += 1;
                }
            }
        }
    }

    /// Where the first bin begins.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Where the last bin ends.
    pub fn high(&self) -> f64 {
        self.edge(BINS)
    }

    /// Where a bin begins.
    pub fn edge(&self, bin: usize) -> f64 {
        self.low + bin as f64 * self.width
    }

    /// The bin whose edge is nearest.
    pub fn nearest_edge(&self, at: f64) -> usize {
        (((at - self.low) / self.width).round() as usize).min(BINS)
    }

    /// What each bin holds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The bins that hold something: where their middle is, and how much they hold.
    pub fn filled(&self) -> impl Iterator<Item = (f64, f64)> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bin, &count)| (self.low + (bin as f64 + 0.5) * self.width, count as f64))
    }

    /// All values, zeros included.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Whether there is nothing but zeros.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }
}
