//! Fair times: warmed up, many calls, medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use signfold::kernels::Kernel;

/// Times that are kept at most, so that a long budget does not fill the memory.
const MAX_SAMPLES: usize = 1 << 20;

/// Reading the clock takes some 30 ns: blocks of calls as long as this do not notice.
const BLOCK: Duration = Duration::from_micros(100);

/// Rounds of a call of [`Kernel::peak`]: some tens of microseconds.
pub const ROUNDS: usize = 1 << 14;

/// Turns of [`paced`] take at least this long.
const TURN: Duration = Duration::from_millis(2);

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

/// How fast something is, beside its limit.
pub struct Paced {
    /// Units per second of the limit: the median.
    pub limit: f64,
    /// Units per second of the work: the median.
    pub rate: f64,
    /// The median of the ratio of neighbouring times.
    pub share: f64,
}

/// Times work and its limit in turns of the same length, so that a machine that is busy for a while
/// slows both alike, and compares each turn of the work with the turns of the limit beside it. Both
/// come with the units that one call does.
pub fn paced(
    budget: Duration,
    limit: (f64, impl FnMut() -> Result<()>),
    work: (f64, impl FnMut() -> Result<()>),
) -> Result<Paced> {
    let (limit_units, mut limit) = limit;
    let (work_units, mut work) = work;
    // Units per second, over as many calls as take a while.
    let turn = |units: f64, call: &mut dyn FnMut() -> Result<()>, length: Duration| {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while calls == 0 || start.elapsed() < length {
            call()?;
            calls += 1;
        }
        let elapsed = start.elapsed();
        anyhow::Ok((units * f64::from(calls) / elapsed.as_secs_f64(), elapsed))
    };
    let (_, length) = turn(work_units, &mut work, TURN)?; // a warm-up, too
    let (mut limits, mut rates, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let (mut before, _) = turn(limit_units, &mut limit, length)?;
    let start = Instant::now();
    while rates.len() < 3 || start.elapsed() < budget {
        let (rate, length) = turn(work_units, &mut work, TURN)?;
        let (after, _) = turn(limit_units, &mut limit, length)?;
        shares.push(rate / ((before + after) / 2.0));
        limits.push(after);
        rates.push(rate);
        before = after;
    }
    Ok(Paced { limit: middle(limits), rate: middle(rates), share: middle(shares) })
}

/// The value that the share `q` of the sorted values does not exceed.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Multiply-accumulates per second that a kernel's instructions can do at best, on one core.
pub fn peak(kernel: &Kernel, budget: Duration) -> Result<f64> {
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
    fn both_take_turns_and_failures_stop() {
        let (limits, works) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let count = |of: &std::cell::Cell<u32>| {
            of.set(of.get() + 1);
            std::thread::sleep(Duration::from_micros(100));
            Ok(())
        };
        let paced =
            paced(Duration::ZERO, (2.0, || count(&limits)), (1.0, || count(&works))).unwrap();
        assert!(limits.get() >= 4 && works.get() >= 4);
        assert!(paced.share > 0.0 && paced.rate > 0.0 && paced.limit > 0.0);
        let fails = || anyhow::bail!("no");
        assert!(super::paced(Duration::ZERO, (1.0, || Ok(())), (1.0, fails)).is_err());
    }

    #[test]
    fn every_call_is_timed_and_failures_stop() {
        let seconds = calls(Duration::ZERO, || Ok(())).unwrap();
        assert_eq!(seconds.len(), 3);
        assert!(median(Duration::ZERO, || anyhow::bail!("no")).is_err());
    }
}
