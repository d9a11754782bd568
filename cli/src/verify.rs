//! `signfold verify`: what all kernels must agree on, the engine's battery or a model's golden rows.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use signfold::battery::{Battery, DIGEST};
use signfold::kernels;
use signfold::{Engine, Golden, Model};

use crate::report::{self, Report};
use crate::{batch, data};

/// Check that all kernels of this CPU, and the reference, compute the same bits as every machine
///
/// Without a model, they compute the battery: models of all kinds of layers, rows over their full
/// range. The digest of all outputs is the same on every CPU.
///
/// Of a model, they compute the golden output. Each kernel gets the golden rows all at once and in
/// parts of different sizes.
///
/// Any difference in any bit is an error, exit code 1.
#[derive(clap::Args)]
pub struct Args {
    /// The model; without one, the battery
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verification {
    #[serde(flatten)]
    of: Subject,
    /// The one to be found.
    digest: String,
    checks: Vec<Check>,
}

/// What is computed.
#[derive(Serialize)]
#[serde(untagged)]
enum Subject {
    Battery { models: usize },
    Golden { model: String, rows: usize },
}

#[derive(Serialize)]
struct Check {
    by: &'static str,
    /// None where the outputs differ before there is one.
    digest: Option<String>,
    agrees: bool,
    /// The first output that differs, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

impl Check {
    fn new(by: &'static str, digest: u64, expected: u64) -> Self {
        let agrees = digest == expected;
        Self { by, digest: Some(report::digest(digest)), agrees, difference: None }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    match &args.model {
        Some(path) => golden(path, args.json),
        None => battery(args.json),
    }
}

/// The battery, by the reference and all kernels.
fn battery(json: bool) -> Result<()> {
    let bar = report::progress(kernels::available().count() + 1, json);
    bar.set_message("reference");
    let battery = Battery::new()?;
    let mut checks = vec![Check::new("reference", battery.digest(), DIGEST)];
    for kernel in kernels::available() {
        bar.inc(1);
        bar.set_message(kernel.name());
        checks.push(match battery.run(|model| Engine::with_kernel(model, kernel.name())) {
            Ok(digest) => Check::new(kernel.name(), digest, DIGEST),
            Err(error) => Check {
                by: kernel.name(),
                digest: None,
                agrees: false,
                difference: Some(error.to_string()),
            },
        });
    }
    bar.finish_and_clear();
    let verification = Verification {
        of: Subject::Battery { models: battery.models().len() },
        digest: report::digest(DIGEST),
        checks,
    };
    report::show(&verification, json)?;
    verification.ensure(&format!("the digest {}", report::digest(DIGEST)))
}

/// The golden rows of a model, by the reference and all kernels.
fn golden(path: &Path, json: bool) -> Result<()> {
    let bytes = data::read(path)?;
    let model = data::model(&bytes, path)?;
    let golden = (model.golden())
        .with_context(|| format!("{}: the model has no golden rows", path.display()))?;
    let expected = golden.digest();
    let bar = report::progress(kernels::available().count() + 1, json);
    let outputs = model.reference_all(&golden.inputs)?;
    let by_reference = Golden { inputs: Vec::new(), outputs }.digest();
    let mut checks = vec![Check::new("reference", by_reference, expected)];
    for kernel in kernels::available() {
        bar.inc(1);
        bar.set_message(kernel.name());
        let engine = Engine::with_kernel(&model, kernel.name())?;
        let digests = digests(&model, &engine, golden)?;
        // Where splits disagree, the one that is wrong is worth showing.
        let digest = digests.iter().copied().find(|&d| d != expected).unwrap_or(expected);
        let mut check = Check::new(kernel.name(), digest, expected);
        if !check.agrees {
            check.difference = engine.self_check().err().map(|error| error.to_string());
        }
        checks.push(check);
    }
    bar.finish_and_clear();
    let verification = Verification {
        of: Subject::Golden {
            model: model.name().to_string(),
            rows: golden.inputs[0].len() / model.input().width,
        },
        digest: report::digest(expected),
        checks,
    };
    report::show(&verification, json)?;
    verification.ensure("the golden output").with_context(|| path.display().to_string())
}

/// The digests of an engine's outputs, for different splits of the golden rows.
fn digests(model: &Model<'_>, engine: &Engine, golden: &Golden<'_>) -> Result<Vec<u64>> {
    let (inputs, outputs) = (batch::input_types(model), batch::output_types(model));
    let rows = golden.inputs[0].len() / inputs[0].width;
    // Rows that are quantized together belong together.
    let parts = if engine.whole_batch() { vec![rows] } else { vec![rows, 1, 3, 7] };
    let mut scratch = batch::scratch(engine, rows)?;
    let mut digests = Vec::new();
    for part in parts {
        let mut values = batch::room(&outputs, rows)?;
        for first in (0..rows).step_by(part) {
            let of_part = first..rows.min(first + part);
            let from = batch::rows(&golden.inputs, &inputs, of_part.clone())?;
            let mut to = batch::places(&mut values, &outputs, of_part)?;
            engine.run_all(&from, &mut to, &mut scratch)?;
        }
        digests.push(Golden { inputs: Vec::new(), outputs: values }.digest());
    }
    Ok(digests)
}

impl Verification {
    /// Fails if anything differs.
    fn ensure(&self, what: &str) -> Result<()> {
        let (all, agree) = (self.checks.len(), self.checks.iter().filter(|c| c.agrees).count());
        ensure!(agree == all, "{} of {all} computations differ from {what}", all - agree);
        Ok(())
    }
}

impl Report for Verification {
    fn text(&self) -> String {
        let of = match &self.of {
            Subject::Battery { models } => format!("battery: {models} models"),
            Subject::Golden { model, rows } => format!("{model}: {rows} golden rows"),
        };
        let mut text = format!("{of}, digest {}\n", self.digest);
        for check in &self.checks {
            let digest = check.digest.as_deref().unwrap_or("no digest");
            let verdict = if check.agrees { "ok" } else { "DIFFERS" };
            text.push_str(&format!("{:<28} {digest:<16}  {verdict}\n", check.by));
            if let Some(difference) = &check.difference {
                text.push_str(&format!("    {difference}\n"));
            }
        }
        text
    }
}
