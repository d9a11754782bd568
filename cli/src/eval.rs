//! `signfold eval`: how good a model is, and how fast, on a test set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use signfold::{Element, Model};

use crate::args::{self, EngineArgs};
use crate::array::Array;
use crate::batch;
use crate::data;
use crate::metrics::{Metrics, argmax};
use crate::report::{self, Report, grouped};
use crate::timing;

static DIGITS: &[u8] = include_bytes!("../models/digits-hardtanh.sfold");

/// Test sets by the width of their rows: inputs and labels.
static TEST_SETS: [(usize, &[u8], &[u8]); 2] = [
    (
        64,
        include_bytes!("../models/data/digits-test-x.npy"),
        include_bytes!("../models/data/digits-test-y.npy"),
    ),
    (
        100,
        include_bytes!("../models/data/regress-test-x.npy"),
        include_bytes!("../models/data/regress-test-y.npy"),
    ),
];

/// Test a model: accuracy and confusion matrix, or R² and errors; rows per second
///
/// Without arguments, the built-in digits network is tested on the built-in images of handwritten
/// digits. With only a model, a built-in test set whose rows fit it is used.
#[derive(clap::Args)]
pub struct Args {
    /// The model [default: a built-in network for handwritten digits]
    model: Option<PathBuf>,
    /// Test rows: a .npy, .npz or .csv array, or IDX images as MNIST has them, also as .gz
    #[arg(long, value_name = "FILE", requires_all = ["labels", "model"])]
    inputs: Option<PathBuf>,
    /// A class or a number for each row: an array, or IDX labels, also as .gz
    #[arg(long, value_name = "FILE", requires = "inputs")]
    labels: Option<PathBuf>,
    /// What to multiply the pixels of IDX images with [default: 1/255]
    #[arg(long, value_name = "S", value_parser = args::positive)]
    scale: Option<f32>,
    /// The output to test, of a model with several: its name or its number [default: the first]
    #[arg(long, value_name = "NAME", requires = "model")]
    output: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Evaluation {
    model: String,
    kernel: &'static str,
    threads: usize,
    rows: usize,
    #[serde(flatten)]
    metrics: Metrics,
    rows_per_second: f64,
}

impl Report for Evaluation {
    fn text(&self) -> String {
        format!(
            "model     {}\nkernel    {}\nthreads   up to {}\nrows      {}\nspeed     {} rows/s\n{}",
            self.model,
            self.kernel,
            self.threads,
            self.rows,
            grouped(self.rows_per_second as u64),
            self.metrics.text()
        )
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = match &args.model {
        Some(path) => data::read(path)?,
        None => DIGITS.to_vec(),
    };
    let path = args.model.as_deref().unwrap_or(Path::new("built-in model"));
    let model = data::model(&bytes, path)?;
    let model =
        single(model, args.output.as_deref()).with_context(|| path.display().to_string())?;
    let (inputs, labels) = test_set(args, &model)?;

    let values = inputs.rows(&model.input()).context("inputs")?;
    let rows = values.len() / model.input().width;
    ensure!(rows > 0, "there are no rows to test with");
    batch::check_size(&model, rows)?;
    let labels = labels.labels(rows)?;

    let engine = args.engine.engine(&model)?;
    let mut scratch = batch::scratch(&engine, rows)?;
    let of_outputs = batch::output_types(&model);
    let mut outputs = batch::room(&of_outputs, rows)?;
    let mut places = batch::places(&mut outputs, &of_outputs, 0..rows)?;
    let values = [values];
    let mut call = || Ok(engine.run_all(&values, &mut places, &mut scratch)?);
    call()?;
    let bar = report::progress(1, args.json);
    bar.set_message("measuring");
    let seconds = timing::per_call(Duration::from_millis(300), 0.5, call)?;
    bar.finish_and_clear();

    report::show(
        &Evaluation {
            model: model.name().to_string(),
            kernel: engine.kernel().name(),
            threads: engine.threads(),
            rows,
            metrics: metrics(&model, &batch::reals(&outputs[0], &model.output())?, &labels)?,
            rows_per_second: rows as f64 / seconds,
        },
        args.json,
    )
}

/// The model with one output, the one of this name or number, or the first. It must have one input.
fn single<'a>(model: Model<'a>, output: Option<&str>) -> Result<Model<'a>> {
    let inputs = model.inputs().len();
    ensure!(inputs == 1, "only models with one input can be tested, this one has {inputs}");
    let names: Vec<&str> = model.outputs().iter().map(|&id| model.tensor_name(id)).collect();
    let at = match output {
        None => 0,
        Some(wanted) => (names.iter().position(|name| *name == wanted))
            .or_else(|| wanted.parse().ok().filter(|&at| at < names.len()))
            .with_context(|| format!("there is no output {wanted:?}: the outputs are {names:?}"))?,
    };
    let output = model.outputs()[at];
    Ok(if names.len() == 1 { model } else { model.with_outputs(&[output])? })
}

/// The inputs and labels that the arguments name, or built-in ones that fit.
fn test_set(args: &Args, model: &Model<'_>) -> Result<(Array, Array)> {
    if let (Some(inputs), Some(labels)) = (&args.inputs, &args.labels) {
        let scale = args.scale.unwrap_or(1.0 / 255.0);
        return Ok((Array::load(inputs, scale)?, Array::load(labels, 1.0)?));
    }
    let width = model.input().width;
    let Some((_, inputs, labels)) = TEST_SETS.iter().find(|(of, ..)| *of == width) else {
        bail!("no built-in test set has rows of {width}: pass --inputs and --labels");
    };
    Ok((Array::from_npy(inputs)?, Array::from_npy(labels)?))
}

/// The quality of outputs, taken for classes where there are several per row or they are indices.
fn metrics(model: &Model<'_>, outputs: &[f64], labels: &[f64]) -> Result<Metrics> {
    let output = model.output();
    if output.element == Element::Index {
        let answers: Vec<usize> = outputs.iter().map(|&class| class as usize).collect();
        let node = model.nodes().find(|node| node.output == model.outputs()[0]);
        let classes = node.map_or(0, |node| model.tensor_type(node.inputs[0]).width);
        return Metrics::classification(&answers, labels, classes);
    }
    if output.width == 1 {
        return Ok(Metrics::regression(outputs, labels));
    }
    let answers: Vec<usize> = outputs.chunks_exact(output.width).map(argmax).collect();
    Metrics::classification(&answers, labels, output.width)
}
