//! `signfold import`: a network of another program becomes a model.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use signfold::layers::Layer;
use signfold::quant::Rounding;
use signfold::{Limits, Model, Values};
use signfold_import::{ImportOptions, Imported};

use crate::inspect::{Inspection, inspect};
use crate::output::Output;
use crate::report::{self, Report};
use crate::{array, batch, data};

/// Make a model of a network that another program has written
///
/// Reads .onnx, .tflite and .safetensors files. A network of 8-bit integers keeps its integers, one of
/// real numbers runs in f32 until `signfold quantize` makes it 8-bit.
#[derive(clap::Args)]
pub struct Args {
    /// The network
    net: PathBuf,
    /// Where to write the model
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How sums become 8-bit integers, which ONNX and TFLite files do not say [default: what ONNX
    /// Runtime computes, and TFLite Micro]
    #[arg(long, value_name = "RULE")]
    rounding: Option<Rule>,
    /// Let ONNX files have weights in other files of their folder
    #[arg(long)]
    allow_external_data: bool,
    /// Rows to embed, with what the model makes of them, for `signfold verify` [default: random ones]
    ///
    /// Any array; for a network with several inputs once for each, as name=file or in their order.
    #[arg(long, value_name = "[NAME=]FILE")]
    golden: Vec<String>,
    /// How many rows to embed; of those that are given, the first ones
    #[arg(long, value_name = "ROWS", default_value_t = 8)]
    golden_rows: usize,
    /// The model's name [default: the network's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rule {
    /// In f32, half to even: ONNX Runtime, XNNPACK
    Nearest,
    /// In f64: the reference evaluator of ONNX
    OnnxReference,
    /// In fixed point, rounded twice: TFLite Micro
    TfLite,
    /// In fixed point, rounded once
    TfLiteSingleRounding,
    /// In f64, half away from zero: the reference kernels of LiteRT
    TfLiteReference,
}

impl Args {
    fn options(&self) -> ImportOptions {
        ImportOptions {
            rounding: self.rounding.map(|rule| match rule {
                Rule::Nearest => Rounding::Nearest,
                Rule::OnnxReference => Rounding::OnnxReference,
                Rule::TfLite => Rounding::TfLite,
                Rule::TfLiteSingleRounding => Rounding::TfLiteSingleRounding,
                Rule::TfLiteReference => Rounding::TfLiteReference,
            }),
            external_data: self.allow_external_data,
            limits: Limits::default(),
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let in_net = || args.net.display().to_string();
    let Imported { mut model, mut notes } = data::network(&args.net, &args.options())?;
    if let Some(name) = &args.name {
        model = model.with_name(name.clone()).context("--name")?;
    }
    model = match args.golden.is_empty() {
        false => {
            let rows = given(&model, &args.golden, args.golden_rows)?;
            model.with_golden_all(rows).with_context(in_net)?
        }
        true if args.golden_rows == 0 => model,
        true => {
            batch::check_size(&model, args.golden_rows)?;
            let rows = batch::random(&model, args.golden_rows)?;
            // Random rows can be what the network was never made for.
            model.clone().with_golden_all(rows).unwrap_or_else(|e| {
                notes.push(format!("no rows to verify with, for random ones do not do: {e}"));
                model
            })
        }
    };
    let file = model.write();
    let mut out = Output::new(&args.output)?;
    out.write(&file)?;
    out.finish()?;
    notes.extend(real_layers(&model));
    report::show(&Import { inspection: inspect(&model, file.len()), notes }, args.json)
}

/// The first rows of files, as many of each.
fn given(model: &Model<'_>, files: &[String], most: usize) -> Result<Vec<Values<'static>>> {
    ensure!(most > 0, "--golden with --golden-rows 0");
    let types = batch::input_types(model);
    let rows = array::inputs(model, files)?;
    let counts: Vec<_> = rows.iter().zip(&types).map(|(rows, of)| rows.len() / of.width).collect();
    ensure!(counts.iter().all(|count| *count == counts[0]), "{counts:?} rows for the inputs");
    let first = batch::rows(&rows, &types, 0..most.min(counts[0]))?;
    Ok(first.into_iter().map(Values::into_owned).collect())
}

/// What to say of layers with real weights.
fn real_layers(model: &Model<'_>) -> Option<String> {
    let count = |is: fn(&Layer<'_>) -> bool| model.nodes().filter(|node| is(node.layer)).count();
    let real = count(|layer| matches!(layer, Layer::FloatDense(_) | Layer::FloatMax(_)));
    let int8 = count(|layer| matches!(layer, Layer::Dense(_) | Layer::MaxProduct(_)));
    let layers = match (real, int8) {
        (0, _) => return None,
        (_, 0) => "all layers run".to_string(),
        (1, _) => format!("1 of {} layers with weights runs", real + int8),
        _ => format!("{real} of {} layers with weights run", real + int8),
    };
    Some(format!("{layers} in f32; `signfold quantize` makes them 8-bit"))
}

#[derive(Serialize)]
struct Import {
    #[serde(flatten)]
    inspection: Inspection,
    notes: Vec<String>,
}

impl Report for Import {
    fn text(&self) -> String {
        let mut text = self.inspection.text();
        for note in &self.notes {
            text += &format!("\nnote: {note}");
        }
        text
    }
}
