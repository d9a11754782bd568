//! `signfold verify`: the golden rows of a model, through everything that must agree on them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use signfold::kernels;
use signfold::{Engine, Golden, Model};

use crate::report::{self, Report};
use crate::{batch, data};

/// Check that all kernels of this CPU, and the reference, compute the golden output of a model
///
/// Each kernel gets the golden rows all at once and in parts of different sizes. Any difference in
/// any bit is an error.
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verification {
    model: String,
    rows: usize,
    digest: String,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    by: &'static str,
    digest: String,
    agrees: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    let golden = (model.golden())
        .with_context(|| format!("{}: the model has no golden rows", args.model.display()))?;
    let expected = golden.digest();
    let check = |by, digests: &[u64]| {
        // Where splits disagree, the one that is wrong is worth showing.
        let digest = digests.iter().copied().find(|&d| d != expected).unwrap_or(expected);
        Check { by, digest: report::digest(digest), agrees: digest == expected }
    };
    let bar = report::progress(kernels::available().count() + 1, args.json);
    let outputs = model.reference_all(&golden.inputs)?;
    let by_reference = Golden { inputs: Vec::new(), outputs }.digest();
    let mut checks = vec![check("reference", &[by_reference])];
    for kernel in kernels::available() {
        bar.inc(1);
        bar.set_message(kernel.name());
        let engine = Engine::with_kernel(&model, kernel.name())?;
        checks.push(check(kernel.name(), &digests(&model, &engine, golden)?));
    }
    bar.finish_and_clear();
    let (all, agree) = (checks.len(), checks.iter().filter(|check| check.agrees).count());
    let verification = Verification {
        model: model.name().to_string(),
        rows: golden.inputs[0].len() / model.input().width,
        digest: report::digest(expected),
        checks,
    };
    report::show(&verification, args.json)?;
    ensure!(
        agree == all,
        "{}: {} of {all} computations differ from the golden output",
        args.model.display(),
        all - agree
    );
    Ok(())
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

impl Report for Verification {
    fn text(&self) -> String {
        let mut text =
            format!("{}: {} golden rows, digest {}\n", self.model, self.rows, self.digest);
        for check in &self.checks {
            let verdict = if check.agrees { "ok" } else { "DIFFERS" };
            text.push_str(&format!("{:<28} {}  {verdict}\n", check.by, check.digest));
        }
        text
    }
}
