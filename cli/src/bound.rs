//! How long a network takes at least, and how close a measured time comes.
//!
//! Each step of an engine has three things to do, and can overlap them at best:
//!
//! ```text
//! products          at the rate of the kernel's instructions
//! packed weights    read once per chunk of rows, from the level of memory that all weights of the
//!                   network fit in together
//! rows              in and out, from the level that fits them: all rows where they are the
//!                   caller's, else one chunk
//! ```
//! A step takes as long as the slowest of the three; a network, as long as its steps together. The
//! limit that most of this time belongs to is the one that binds. Threads share the rows evenly, and
//! each has a core, with caches and bandwidth, to itself.
//!
//! The model is simple, and so not exact: weights that do not fit a level are partly found there, and
//! writing is taken to be as fast as reading. Where memory binds, a share can exceed 1 a little.

use std::time::Duration;

use anyhow::Result;
use signfold::{Engine, ProductKind, StepInfo};

use crate::limits::{Limit, Limits};
use crate::timing::{self, Call};

/// The least time of something, and what asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// In all.
    pub seconds: f64,
    /// What binds.
    pub limit: Limit,
    /// Of these seconds, those that belong to this limit.
    binding: f64,
    /// What is done in those seconds, in the limit's unit.
    units: f64,
}

/// The bound of each step of an engine, for a batch of `rows` rows; `whole` if it is never cut.
pub fn steps(engine: &Engine, rows: usize, whole: bool, limits: &mut Limits) -> Result<Vec<Bound>> {
    let threads = if whole { 1 } else { engine.threads() };
    let rows_of_thread = rows.div_ceil(threads);
    let chunks = if whole { 1 } else { rows_of_thread.div_ceil(engine.chunk_rows()) };
    let chunk = rows_of_thread.div_ceil(chunks);
    let all: Vec<StepInfo> = engine.steps().collect();
    let weights = limits.holding(all.iter().map(|step| step.weight_bytes).sum());
    let mut bounds = Vec::new();
    for (i, step) in all.iter().enumerate() {
        let input = if i == 0 { rows_of_thread } else { chunk };
        let output = if i + 1 == all.len() { rows_of_thread } else { chunk };
        let input = limits.holding(input * step.input_bytes);
        let output = limits.holding(output * step.output_bytes);
        let instructions = match step.product_kind {
            ProductKind::Maximum => Limit::Maxima,
            ProductKind::Float => Limit::Floats,
            _ => Limit::Instructions,
        };
        let mut work = vec![
            (instructions, rows_of_thread * step.products),
            (weights, chunks * step.weight_bytes),
        ];
        // Reading and writing take turns.
        if input == output {
            work.push((input, rows_of_thread * (step.input_bytes + step.output_bytes)));
        } else {
            work.push((input, rows_of_thread * step.input_bytes));
            work.push((output, rows_of_thread * step.output_bytes));
        }
        let mut slowest =
            Bound { seconds: 0.0, limit: Limit::Instructions, binding: 0.0, units: 0.0 };
        for (limit, units) in work.into_iter().filter(|&(_, units)| units > 0) {
            let seconds = units as f64 / limits.rate(limit, engine.kernel())?;
            if seconds > slowest.seconds {
                slowest = Bound { seconds, limit, binding: seconds, units: units as f64 };
            }
        }
        bounds.push(slowest);
    }
    Ok(bounds)
}

/// The bound of steps one after the other.
pub fn total(steps: &[Bound]) -> Bound {
    let of = |limit: Limit, value: fn(&Bound) -> f64| -> f64 {
        steps.iter().filter(|step| step.limit == limit).map(value).sum()
    };
    let most = steps.iter().map(|step| (of(step.limit, |s| s.binding), step.limit));
    let (binding, limit) =
        most.fold((0.0, Limit::Instructions), |a, b| if b.0 > a.0 { b } else { a });
    Bound {
        seconds: steps.iter().map(|step| step.seconds).sum(),
        limit,
        binding,
        units: of(limit, |s| s.units),
    }
}

/// A measured time beside its bound.
pub struct Measured {
    /// Seconds of a call: the median.
    pub seconds: f64,
    /// What binds, as users know it.
    pub limit: &'static str,
    /// Units per second of what binds, measured in turns with the calls.
    pub limit_rate: f64,
    /// The least time, as a share of the measured.
    pub share: f64,
}

/// Times `run`, a call of the engine, in turns with the limit that binds it.
pub fn measure(
    engine: &Engine,
    bound: Bound,
    limits: &mut Limits,
    budget: Duration,
    run: impl FnMut() -> Result<()>,
) -> Result<Measured> {
    let name = limits.name(bound.limit);
    let limit = limits.call(bound.limit, engine.kernel())?;
    let paced = timing::paced(budget, limit, Call { units: bound.units, run: Box::new(run) })?;
    Ok(Measured {
        seconds: bound.units / paced.rate,
        limit: name,
        limit_rate: paced.limit,
        // What else is slow now is taken to be slow to the same degree as the limit that binds.
        share: paced.share * bound.seconds / bound.binding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_with_most_of_the_time_binds() {
        let bound = |limit, seconds, units| Bound { seconds, limit, binding: seconds, units };
        let steps = [
            bound(Limit::Memory(1), 2.0, 20.0),
            bound(Limit::Instructions, 3.0, 300.0),
            bound(Limit::Memory(1), 2.0, 10.0),
        ];
        let total = total(&steps);
        assert_eq!((total.seconds, total.binding, total.units), (7.0, 4.0, 30.0));
        assert_eq!(total.limit, Limit::Memory(1));
    }
}
