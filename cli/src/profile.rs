//! `signfold bench --profile`: where a call's time goes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;
use signfold::{Engine, Model, Values};

use crate::limits::Limits;
use crate::report::{self, Report, percent, time};
use crate::{batch, bound, timing};

/// Steps repeat until all of them together take this long: reading the clock, some 30 ns each time,
/// then makes little of even a short step.
const LENGTH: Duration = Duration::from_micros(200);

/// Profiles that are taken at most, so that a long budget does not fill the memory.
const MAX_SAMPLES: usize = 1 << 14;

/// Profiles of a model.
#[derive(Serialize)]
pub struct Profiles {
    /// Its name.
    pub model: String,
    /// One for each kernel and batch.
    pub profiles: Vec<Profile>,
}

/// One thread's time by steps.
#[derive(Serialize)]
pub struct Profile {
    kernel: &'static str,
    batch: usize,
    /// All steps together.
    seconds: f64,
    /// Of these, the share of steps without products.
    share_outside_products: f64,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    name: String,
    median_seconds: f64,
    share: f64,
    /// Of the whole batch.
    products: usize,
    gmacs: f64,
    /// What binds: the instructions, or a level of memory.
    limit: &'static str,
    share_of_limit: f64,
}

/// Profiles an engine on a batch.
pub fn measure(
    model: &Model<'_>,
    engine: &Engine,
    inputs: &[Values<'_>],
    budget: Duration,
    limits: &mut Limits,
) -> Result<Profile> {
    let (of_inputs, of_outputs) = (batch::input_types(model), batch::output_types(model));
    let ([input], [_]) = (inputs, &of_outputs[..]) else {
        let (inputs, outputs) = (of_inputs.len(), of_outputs.len());
        bail!("a profile is of one input and one output, this model has {inputs} and {outputs}");
    };
    let rows = input.len() / of_inputs[0].width;
    let bounds = bound::steps(engine, rows, engine.whole_batch(), limits)?;
    let mut outputs = batch::room(&of_outputs, rows)?;
    let mut scratch = batch::scratch(engine, rows)?;
    let mut profile = |repeats| {
        let input = batch::rows(inputs, &of_inputs, 0..rows)?.remove(0);
        let output = batch::places(&mut outputs, &of_outputs, 0..rows)?.remove(0);
        anyhow::Ok(engine.profile(input, output, &mut scratch, repeats)?)
    };
    profile(1)?;
    let call: Duration = profile(1)?.into_iter().sum();
    let repeats = LENGTH.as_nanos().div_ceil(call.as_nanos().max(1)).clamp(1, 10_000) as u32;
    let mut samples = vec![Vec::new(); bounds.len()];
    let (start, mut taken) = (Instant::now(), 0);
    while taken < 3 || (start.elapsed() < budget && taken < MAX_SAMPLES) {
        for (samples, time) in samples.iter_mut().zip(profile(repeats)?) {
            samples.push(time.as_secs_f64() / f64::from(repeats));
        }
        taken += 1;
    }
    let times: Vec<f64> = samples.into_iter().map(timing::middle).collect();
    let seconds: f64 = times.iter().sum();
    let steps: Vec<Step> = engine
        .steps()
        .zip(times)
        .zip(bounds)
        .map(|((step, time), bound)| Step {
            name: step.name,
            median_seconds: time,
            share: time / seconds,
            products: rows * step.products,
            gmacs: (rows * step.products) as f64 / time / 1e9,
            limit: limits.name(bound.limit),
            share_of_limit: bound.seconds / time,
        })
        .collect();
    let outside = steps.iter().filter(|step| step.products == 0).map(|step| step.share);
    Ok(Profile {
        kernel: engine.kernel().name(),
        batch: rows,
        seconds,
        share_outside_products: outside.sum(),
        steps,
    })
}

impl Report for Profiles {
    fn text(&self) -> String {
        let mut text = format!("model {}, one thread, each step by itself\n", self.model);
        for profile in &self.profiles {
            let heads = ["step", "median", "share", "products", "GMAC/s", "limit", "of the limit"];
            let mut table = report::table(heads);
            for step in &profile.steps {
                let (products, gmacs) = match step.products {
                    0 => ("-".to_string(), "-".to_string()),
                    products => (report::grouped(products as u64), format!("{:.1}", step.gmacs)),
                };
                table.add_row([
                    step.name.clone(),
                    time(step.median_seconds),
                    percent(step.share),
                    products,
                    gmacs,
                    step.limit.to_string(),
                    percent(step.share_of_limit),
                ]);
            }
            text += &format!(
                "\n{}, batch {}: {}, {} of it outside of products\n\n{table}\n",
                profile.kernel,
                profile.batch,
                time(profile.seconds),
                percent(profile.share_outside_products),
            );
        }
        text
    }
}
