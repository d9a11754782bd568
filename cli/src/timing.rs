//! Fair times: warmed up, many calls, medians.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Times that are kept at most, so that a long budget does not fill the memory.
const MAX_SAMPLES: usize = 1 << 20;

/// Reading the clock takes some 30 ns: blocks of calls as long as this do not notice.
const BLOCK: Duration = Duration::from_micros(100);

/// Turns of [`paced`] take at least this long.
const TURN: Duration = Duration::from_millis(2);

/// Something to time, and the units of work that it does.
pub struct Call<'a> {
    /// Products, bytes, or whatever is to be counted.
    pub units: f64,
    /// Does the work.
    pub run: Box<dyn FnMut() -> Result<()> + 'a>,
}

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

/// Calls for so long at least, once at least; answers how many calls make a block.
pub fn warm_up(length: Duration, mut call: impl FnMut() -> Result<()>) -> Result<u32> {
    let (start, mut calls) = (Instant::now(), 0_u32);
    while calls == 0 || start.elapsed() < length {
        call()?;
        calls += 1;
    }
    let each = start.elapsed() / calls;
    Ok((BLOCK.as_nanos() / each.as_nanos().max(1)).clamp(1, 100_000) as u32)
}

/// Seconds per call: the quantile `q` over blocks of calls, after a warm-up.
pub fn per_call(budget: Duration, q: f64, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let block = warm_up((budget / 4).min(Duration::from_secs(1)), &mut call)?;
    let blocks = calls(budget, || (0..block).try_for_each(|_| call()))?;
    Ok(quantile(&blocks, q) / f64::from(block))
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
/// slows both alike, and compares each turn of the work with the turns of the limit beside it.
pub fn paced(budget: Duration, mut limit: Call<'_>, mut work: Call<'_>) -> Result<Paced> {
    // Units per second: the median over as many blocks of calls as take a while. A block in which
    // another program had the core counts for no more than any other; the time of the whole turn
    // would not, and the system's slices of time can fall in step with the turns.
    fn turn(call: &mut Call<'_>, block: u32, length: Duration) -> Result<(f64, Duration)> {
        let (start, mut blocks) = (Instant::now(), Vec::new());
        while blocks.is_empty() || start.elapsed() < length {
            let start = Instant::now();
            (0..block).try_for_each(|_| (call.run)())?;
            blocks.push(start.elapsed().as_secs_f64());
        }
        Ok((call.units * f64::from(block) / middle(blocks), start.elapsed()))
    }
    let limit_block = warm_up(TURN, &mut limit.run)?;
    let work_block = warm_up(TURN, &mut work.run)?;
    let (_, length) = turn(&mut work, work_block, TURN)?;
    let (mut limits, mut rates, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let (mut before, _) = turn(&mut limit, limit_block, length)?;
    let start = Instant::now();
    while rates.len() < 3 || start.elapsed() < budget {
        let (rate, length) = turn(&mut work, work_block, TURN)?;
        let (after, _) = turn(&mut limit, limit_block, length)?;
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
        fn call<'a>(units: f64, run: impl FnMut() -> Result<()> + 'a) -> Call<'a> {
            Call { units, run: Box::new(run) }
        }
        let limit = call(2.0, || count(&limits));
        let paced = paced(Duration::ZERO, limit, call(1.0, || count(&works))).unwrap();
        assert!(limits.get() >= 4 && works.get() >= 4);
        assert!(paced.share > 0.0 && paced.rate > 0.0 && paced.limit > 0.0);
        let fails = call(1.0, || anyhow::bail!("no"));
        assert!(super::paced(Duration::ZERO, call(1.0, || Ok(())), fails).is_err());
    }

    #[test]
    fn every_call_is_timed_and_failures_stop() {
        let seconds = calls(Duration::ZERO, || Ok(())).unwrap();
        assert_eq!(seconds.len(), 3);
        assert!(per_call(Duration::ZERO, 0.5, || anyhow::bail!("no")).is_err());
    }
}
