//! How it is measured.
//!
//! ```text
//! for each engine, each variant:     load, run for a moment
//!   three stay: the fastest with real rows, the fastest with quantized rows, and the fastest whose
//!   outputs are right, if neither has them
//! for each round
//!   for each variant that stayed:    run unmeasured, then run for a slice
//! ```
//! Whatever slows the machine down for a while thus meets all engines alike. A round gives each
//! engine the mean of its slice; what is reported are quartiles over the rounds.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::case::{Case, Io};
use crate::engines::{Data, Engine, Run, Variant};

/// How long, how often.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// Turns of each engine.
    pub rounds: usize,
    /// Length of a turn.
    pub slice: Duration,
}

/// What came of an engine in one of its variants.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The engine.
    pub engine: &'static str,
    /// The model's form.
    pub variant: String,
    /// What goes in and out.
    pub io: Io,
    /// Quartiles of the time per call, in microseconds; only of variants that were measured.
    #[serde(flatten)]
    pub time: Option<Quartiles>,
    /// Time per call of the short first run that chose variants, in microseconds.
    pub first_us: f64,
    /// Outputs that are not the exact ones.
    pub deviation: Deviation,
}

/// Of times per call, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quartiles {
    /// A quarter of the rounds was faster.
    pub q1_us: f64,
    /// Half of them.
    pub median_us: f64,
    /// Three quarters.
    pub q3_us: f64,
}

/// How far outputs lie from the exact ones.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Deviation {
    /// The farthest, in steps of the output's quantization.
    pub max_steps: f64,
    /// Share of outputs that lie more than one step away, in percent.
    pub beyond_one_step_percent: f64,
    /// Share of outputs that are not the same number, in percent.
    pub different_percent: f64,
}

impl Deviation {
    fn of(case: &Case<'_>, variant: &Variant, output: Data) -> Result<Self> {
        let of = case.output_quantization();
        let real = |q: i32| (q - i32::from(of.zero_point)) as f32 * of.scale;
        let output: Vec<f32> = match output {
            Data::F32(output) => output,
            Data::I8(output) => output.into_iter().map(|q| real(q.into())).collect(),
            Data::U8(output) => output.into_iter().map(|q| real(i32::from(q) - 128)).collect(),
        };
        let exact = match variant.rounds {
            true => case.output_i8()?.into_iter().map(|q| real(q.into())).collect(),
            false => case.output_f32()?,
        };
        ensure!(output.len() == exact.len(), "{} outputs, not {}", output.len(), exact.len());
        let steps = || {
            output
                .iter()
                .zip(&exact)
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
                .map(|distance| distance / f64::from(of.scale))
        };
        let percent = |count: usize| 100.0 * count as f64 / exact.len() as f64;
        Ok(Self {
            max_steps: steps().fold(0.0, f64::max),
            // Two results that round to neighbouring integers may differ by a hair more than that.
            beyond_one_step_percent: percent(steps().filter(|&steps| steps > 1.001).count()),
            different_percent: percent(steps().filter(|&steps| steps != 0.0).count()),
        })
    }
}

struct Contender {
    run: Box<dyn Run>,
    outcome: Outcome,
    /// Calls per slice.
    calls: usize,
    /// Microseconds per call, by round.
    times: Vec<f64>,
}

/// Measures a case on all engines. Also gives what could not be loaded or run, and why.
pub fn measure(
    case: &Case<'_>,
    engines: &[(&'static str, &dyn Engine)],
    plan: Plan,
) -> (Vec<Outcome>, Vec<String>) {
    let (mut contenders, mut rest, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (name, engine) in engines {
        let mut tried = Vec::new();
        for variant in engine.variants() {
            match contender(case, name, *engine, &variant, plan) {
                Ok(contender) => tried.push(contender),
                Err(error) => failures.push(format!("{name}, {}: {error:#}", variant.name)),
            }
        }
        tried.sort_by(|a, b| a.outcome.first_us.total_cmp(&b.outcome.first_us));
        let mut stay: Vec<Contender> = Vec::new();
        for io in Io::ALL {
            let fastest = tried.iter().position(|one| one.outcome.io == io);
            stay.extend(fastest.map(|i| tried.remove(i)));
        }
        if !stay.iter().any(Contender::is_right) {
            let fastest = tried.iter().position(Contender::is_right);
            stay.extend(fastest.map(|i| tried.remove(i)));
        }
        contenders.extend(stay);
        // Dropping the models of the others gives their memory back.
        rest.extend(tried.into_iter().map(|one| one.outcome));
    }
    for _ in 0..plan.rounds {
        for contender in &mut contenders {
            if let Err(error) = contender.turn() {
                failures.push(format!("{}: {error:#}", contender.outcome.engine));
            }
        }
    }
    let measured = contenders.into_iter().map(Contender::finish);
    (measured.chain(rest).collect(), failures)
}

fn contender(
    case: &Case<'_>,
    name: &'static str,
    engine: &dyn Engine,
    variant: &Variant,
    plan: Plan,
) -> Result<Contender> {
    let mut run = engine.load(case, variant)?;
    let deviation = Deviation::of(case, variant, run.output()?)?;
    let mut time = |calls| -> Result<f64> {
        let start = Instant::now();
        run.run(calls)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let slice = plan.slice.as_secs_f64();
    let mut calls = 1;
    while time(calls)? < slice / 4.0 {
        calls *= 2;
    }
    let per_call = time(calls)?.min(time(calls)?) / calls as f64;
    let outcome = Outcome {
        engine: name,
        variant: variant.name.clone(),
        io: variant.io,
        time: None,
        first_us: 1e6 * per_call,
        deviation,
    };
    let calls = (slice / per_call).ceil() as usize;
    Ok(Contender { run, outcome, calls, times: Vec::new() })
}

impl Contender {
    /// Within a step of the exact outputs.
    fn is_right(&self) -> bool {
        self.outcome.deviation.beyond_one_step_percent == 0.0
    }

    /// Others ran since the last turn: a few calls bring model and code back into the caches.
    fn turn(&mut self) -> Result<()> {
        self.run.run(self.calls.div_ceil(10))?;
        let start = Instant::now();
        self.run.run(self.calls)?;
        self.times.push(1e6 * start.elapsed().as_secs_f64() / self.calls as f64);
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        self.times.sort_by(f64::total_cmp);
        let quartile = |part: usize| self.times[(self.times.len() - 1) * part / 4];
        self.outcome.time = (!self.times.is_empty()).then(|| Quartiles {
            q1_us: quartile(1),
            median_us: quartile(2),
            q3_us: quartile(3),
        });
        self.outcome
    }
}
