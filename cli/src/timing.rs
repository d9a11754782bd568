//! Fair times: warmed up, many calls, medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use signfold::kernels::Kernel;

/// Times that are kept at most, so that a long budget does not fill the memory.
const MAX_SAMPLES: usize = 1 << 20;

/// Reading the clock takes some 30 ns: blocks of calls as long as this do not notice.
const BLOCK: Duration = Duration::from_micros(100);

/// Seconds that each call takes, sorted. Calls until the budget is spent, 3 times at least.
pub fn calls(budget: Duration, mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    let start = Instant::now();
    while seconds.len() < 3 || (start.elapsed() < budget && seconds.len() < MAX_SAMPLES) {
        let start = Instant::now();
        call()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// The median of some values.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// Seconds per call: the median over blocks of calls, after a warm-up.
pub fn median(budget: Duration, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut warm) = (Instant::now(), 0_u32);
    let enough = (budget / 4).min(Duration::from_secs(1));
    while warm == 0 || start.elapsed() < enough {
        call()?;
        warm += 1;
    }
    let each = start.elapsed() / warm;
    let block = (BLOCK.as_nanos() / each.as_nanos().max(1)).clamp(1, 100_000) as u32;
    let blocks = calls(budget, || (0..block).try_for_each(|_| call()))?;
    Ok(quantile(&blocks, 0.5) / f64::from(block))
}

/// The value that the share `q` of the sorted values does not exceed.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Multiply-accumulates per second that a kernel's instructions can do at best, on one core.
pub fn peak(kernel: &Kernel, budget: Duration) -> Result<f64> {
    const ROUNDS: usize = 1 << 14;
    let products = kernel.peak(ROUNDS) as f64;
    let seconds = median(budget, || {
        black_box(kernel.peak(black_box(ROUNDS)));
        Ok(())
    })?;
    Ok(products / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.99), 9.0);
        assert_eq!(quantile(&[4.0], 0.99), 4.0);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(middle(vec![9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn every_call_is_timed_and_failures_stop() {
        let seconds = calls(Duration::ZERO, || Ok(())).unwrap();
        assert_eq!(seconds.len(), 3);
        assert!(median(Duration::ZERO, || anyhow::bail!("no")).is_err());
    }
}
