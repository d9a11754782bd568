//! `signfold quantize`: a float network becomes an 8-bit model.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use signfold::layers::DenseInput;
use signfold::{Element, Model, TensorType, Values};
use signfold_import::{
    ActivationRange, Agreement, CalibrationMethod, ImportOptions, LayerReport, QuantizeOptions,
    Quantized, TensorReport, WeightScales, quantize_with,
};

use crate::array::Array;
use crate::data;
use crate::output::Output;
use crate::report::{self, Report, grouped};

/// The share of values that a percentile keeps if none is named.
const PERCENTILE: f64 = 99.99;

/// Make an 8-bit model of a float network
///
/// The network is in any of the formats that can be read. The ranges of activations are measured on
/// calibration rows: some hundred, like those that the model will meet.
#[derive(clap::Args)]
pub struct Args {
    /// The float network, such as a .safetensors file
    net: PathBuf,
    /// The calibration rows, a .npy, .npz or .csv array
    ///
    /// For a network with several inputs once for each, as name=file or in their order.
    #[arg(long, value_name = "[NAME=]FILE", required_unless_present = "dynamic")]
    calibrate: Vec<String>,
    /// Rows to compare the model with the network on [default: the calibration rows]
    #[arg(long, value_name = "[NAME=]FILE")]
    evaluate: Vec<String>,
    /// Where to write the model
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How the range of an activation follows from its values: min-max, percentile, entropy or mse
    ///
    /// Percentile leaves out the farthest 0.01 % of the values, percentile=99.9 the farthest 0.1 %.
    /// Entropy and mse look for the range that loses least: information, or squared error.
    #[arg(long, value_name = "METHOD", default_value = "min-max", value_parser = method)]
    method: CalibrationMethod,
    /// Let biases make up for what quantization shifts on average
    #[arg(long)]
    bias_correction: bool,
    /// Bring the channels between dense layers to one size first
    #[arg(long)]
    equalize: bool,
    /// Keep the layer of this name real; may be given several times
    #[arg(long, value_name = "NAME")]
    keep_float: Vec<String>,
    /// Quantize activations as they arrive instead of by ranges that are fixed beforehand
    #[arg(long, value_name = "HOW")]
    dynamic: Option<Dynamic>,
    /// How many scales the weights of a layer have
    #[arg(long, value_name = "HOW", default_value = "per-channel")]
    weights: Weights,
    /// Whether the ranges of activations may lie to one side of 0
    #[arg(long, value_name = "HOW", default_value = "asymmetric")]
    activations: Activations,
    /// The model's name [default: the network's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many calibration rows to embed, with their output, for `signfold verify`
    #[arg(long, value_name = "ROWS", default_value_t = 8)]
    golden: usize,
    /// Let ONNX files have weights in other files of their folder
    #[arg(long)]
    allow_external_data: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A method by its name.
fn method(text: &str) -> Result<CalibrationMethod, String> {
    let (name, share) = match text.split_once('=') {
        Some((name, share)) => (name, Some(share)),
        None => (text, None),
    };
    match (name, share) {
        ("min-max", None) => Ok(CalibrationMethod::MinMax),
        ("entropy", None) => Ok(CalibrationMethod::Entropy),
        ("mse", None) => Ok(CalibrationMethod::Mse),
        ("percentile", None) => Ok(CalibrationMethod::Percentile(PERCENTILE)),
        ("percentile", Some(share)) => match share.parse() {
            Ok(share) if share > 50.0 && share <= 100.0 => Ok(CalibrationMethod::Percentile(share)),
            _ => Err("expected a percentage above 50, up to 100".into()),
        },
        _ => Err("expected min-max, percentile, percentile=SHARE, entropy or mse".into()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Dynamic {
    /// A scale for each row
    PerRow,
    /// A scale for each batch: rows then depend on each other
    PerTensor,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    /// One for each output
    PerChannel,
    /// One for all
    PerTensor,
}

#[derive(Clone, Copy, ValueEnum)]
enum Activations {
    /// The range seen
    Asymmetric,
    /// As far to both sides of 0
    Symmetric,
}

impl Args {
    fn options(&self, evaluation: Option<Vec<Values<'static>>>) -> QuantizeOptions {
        QuantizeOptions {
            method: self.method,
            correct_bias: self.bias_correction,
            equalize: self.equalize,
            keep_float: self.keep_float.clone(),
            evaluation,
            dense_input: match self.dynamic {
                None => DenseInput::Int8,
                Some(Dynamic::PerRow) => DenseInput::PerRow,
                Some(Dynamic::PerTensor) => DenseInput::PerTensor,
            },
            weights: match self.weights {
                Weights::PerChannel => WeightScales::PerChannel,
                Weights::PerTensor => WeightScales::PerTensor,
            },
            activations: match self.activations {
                Activations::Asymmetric => ActivationRange::Asymmetric,
                Activations::Symmetric => ActivationRange::Symmetric,
            },
            name: self.name.clone(),
            golden_rows: self.golden,
            ..QuantizeOptions::default()
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let options = ImportOptions { external_data: args.allow_external_data, ..Default::default() };
    let imported = data::network(&args.net, &options)?;
    let calibration = rows(&imported.model, &args.calibrate)?;
    let evaluation = match args.evaluate.is_empty() {
        true => None,
        false => Some(rows(&imported.model, &args.evaluate)?),
    };
    let bar = report::progress(1, args.json);
    let quantized =
        quantize_with(&imported.model, &calibration, &args.options(evaluation), &mut |progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(progress.stage);
        });
    let quantized = quantized.with_context(|| args.net.display().to_string())?;
    bar.finish_and_clear();
    let file = quantized.model.write();
    let mut out = Output::new(&args.output)?;
    out.write(&file)?;
    out.finish()?;
    report::show(&Quantization::of(&quantized, imported.notes, file.len()), args.json)
}

/// The rows of each input; none without files.
fn rows(net: &Model<'_>, files: &[String]) -> Result<Vec<Values<'static>>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let rows = |(id, path): (_, PathBuf)| {
        let of: TensorType = net.tensor_type(id);
        let rows = Array::load(&path, 1.0 / 255.0)?.rows(&of);
        match rows.with_context(|| path.display().to_string())? {
            rows @ Values::F32(_) => Ok(rows),
            rows if of.element != Element::F32 => Ok(rows),
            rows => bail!("{}: rows of {}", path.display(), rows.element_name()),
        }
    };
    net.inputs().zip(data::input_files(net, files)?).map(rows).collect()
}

#[derive(Serialize)]
struct Quantization {
    model: String,
    bytes: usize,
    notes: Vec<String>,
    inputs: Vec<Tensor>,
    layers: Vec<Layer>,
    outputs: Vec<Answers>,
    /// The library's own words.
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Layer {
    kind: &'static str,
    activation: Option<String>,
    weight_scales: Option<(f32, f32)>,
    #[serde(flatten)]
    output: Tensor,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    min: Option<f32>,
    max: Option<f32>,
    scale: Option<f32>,
    zero_point: Option<i32>,
    clipped: Option<f64>,
    agreement: Option<Closeness>,
}

#[derive(Serialize)]
struct Answers {
    name: String,
    agreement: Option<Closeness>,
}

#[derive(Serialize)]
struct Closeness {
    rows: usize,
    max_abs_error: f64,
    mean_abs_error: f64,
    /// Null where there is no error at all.
    sqnr_db: f64,
    argmax: Option<f64>,
}

impl Quantization {
    fn of(quantized: &Quantized, mut notes: Vec<String>, bytes: usize) -> Self {
        let Quantized { model, report } = quantized;
        let mut text = notes.join("\n");
        text.extend(notes.last().map(|_| '\n'));
        text += &report.to_string();
        notes.extend(report.notes.iter().cloned());
        let outputs = report.outputs.iter();
        Self {
            model: model.name().to_string(),
            bytes,
            notes,
            inputs: report.inputs.iter().map(Tensor::of).collect(),
            layers: report.layers.iter().map(Layer::of).collect(),
            outputs: outputs
                .map(|output| Answers {
                    name: output.name.clone(),
                    agreement: output.agreement.as_ref().map(Closeness::of),
                })
                .collect(),
            text,
        }
    }
}

impl Layer {
    fn of(layer: &LayerReport) -> Self {
        Self {
            kind: layer.kind,
            activation: layer.activation.map(|activation| activation.to_string()),
            weight_scales: layer.weight_scales,
            output: Tensor::of(&layer.output),
        }
    }
}

impl Tensor {
    fn of(tensor: &TensorReport) -> Self {
        Self {
            name: tensor.name.clone(),
            min: tensor.range.map(|range| range.min),
            max: tensor.range.map(|range| range.max),
            scale: tensor.params.map(|params| params.scale()),
            zero_point: tensor.params.map(|params| params.zero_point()),
            clipped: tensor.clipped,
            agreement: tensor.agreement.as_ref().map(Closeness::of),
        }
    }
}

impl Closeness {
    fn of(agreement: &Agreement) -> Self {
        Self {
            rows: agreement.rows,
            max_abs_error: agreement.max_abs_error,
            mean_abs_error: agreement.mean_abs_error,
            sqnr_db: agreement.sqnr_db,
            argmax: agreement.argmax,
        }
    }
}

impl Report for Quantization {
    fn text(&self) -> String {
        format!("{}: {} bytes\n\n{}", self.model, grouped(self.bytes as u64), self.text)
    }
}
