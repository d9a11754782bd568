//! `signfold quantize`: a float network becomes an 8-bit model.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use signfold::layers::DenseInput;
use signfold::{TensorType, Values};
use signfold_import::{
    ActivationRange, Agreement, FloatNet, LayerReport, Observed, QuantizeOptions, Quantized,
    WeightScales, quantize,
};

use crate::array::Array;
use crate::data;
use crate::output::Output;
use crate::report::{self, Report, grouped};

/// Make an 8-bit model of a float network
///
/// The network is a safetensors file whose metadata describe the layers. The ranges of activations
/// are measured on calibration rows: some hundred, like those that the model will meet.
#[derive(clap::Args)]
pub struct Args {
    /// The float network, a .safetensors file
    net: PathBuf,
    /// The calibration rows, a .npy array
    #[arg(long, value_name = "FILE", required_unless_present = "dynamic")]
    calibrate: Option<PathBuf>,
    /// Where to write the model
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
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
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    fn options(&self) -> QuantizeOptions {
        QuantizeOptions {
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
    let bytes = data::read(&args.net)?;
    let in_net = || args.net.display().to_string();
    let net = FloatNet::from_safetensors(&bytes).with_context(in_net)?;
    let calibration = match &args.calibrate {
        None => Vec::new(),
        Some(path) => {
            let rows = Array::load(path, 1.0 / 255.0)?.rows(&TensorType::f32(net.inputs()));
            match rows.with_context(|| path.display().to_string())? {
                Values::F32(rows) => rows.into_owned(),
                rows => bail!("rows of {} to calibrate with", rows.element_name()),
            }
        }
    };
    let bar = report::progress(1, args.json);
    bar.set_message("quantizing");
    let quantized = quantize(&net, &calibration, &args.options()).with_context(in_net)?;
    bar.finish_and_clear();
    let file = quantized.model.write();
    let mut out = Output::new(&args.output)?;
    out.write(&file)?;
    out.finish()?;
    report::show(&Quantization::of(&quantized, file.len()), args.json)
}

#[derive(Serialize)]
struct Quantization {
    model: String,
    bytes: usize,
    input: Option<Tensor>,
    layers: Vec<Layer>,
    agreement: Option<Closeness>,
    /// The library's own words.
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Layer {
    kind: &'static str,
    activation: Option<String>,
    weight_scales: Option<(f32, f32)>,
    sums: Option<Tensor>,
    output: Option<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    min: f32,
    max: f32,
    scale: Option<f32>,
    zero_point: Option<i32>,
}

#[derive(Serialize)]
struct Closeness {
    rows: usize,
    max_abs_error: f64,
    mean_abs_error: f64,
    sqnr_db: f64,
    argmax: Option<f64>,
}

impl Quantization {
    fn of(quantized: &Quantized, bytes: usize) -> Self {
        let Quantized { model, report } = quantized;
        Self {
            model: model.name().to_string(),
            bytes,
            input: report.input.as_ref().map(Tensor::of),
            layers: report.layers.iter().map(Layer::of).collect(),
            agreement: report.agreement.as_ref().map(Closeness::of),
            text: report.to_string(),
        }
    }
}

impl Layer {
    fn of(layer: &LayerReport) -> Self {
        Self {
            kind: layer.kind,
            activation: layer.activation.map(|activation| activation.to_string()),
            weight_scales: layer.weight_scales,
            sums: layer.sums.as_ref().map(Tensor::of),
            output: layer.output.as_ref().map(Tensor::of),
        }
    }
}

impl Tensor {
    fn of(observed: &Observed) -> Self {
        Self {
            min: observed.range.min,
            max: observed.range.max,
            scale: observed.params.map(|params| params.scale()),
            zero_point: observed.params.map(|params| params.zero_point()),
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
