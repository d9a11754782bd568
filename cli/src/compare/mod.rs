//! `signfold compare`: how far two forms of a network are apart, layer by layer.

mod chart;
mod html;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use comfy_table::CellAlignment;
use serde::Serialize;
use signfold_import::{
    Comparison, ImportOptions, Matching, OutputComparison, TensorComparison, compare,
};

use crate::output::Output;
use crate::report::{self, Report, grouped, percent, short};
use crate::{array, data};

/// Compare two forms of a network, layer by layer, on the same rows
///
/// The first one is what should be, most often the float network, the second one what became of it.
/// Both are any of the formats that can be read. Layers of the same name belong together; where there
/// are no names in common, those of the same place. Values of 8-bit layers are compared as the real
/// numbers that they stand for.
#[derive(clap::Args)]
pub struct Args {
    /// What should be
    a: PathBuf,
    /// What is to be compared with it
    b: PathBuf,
    /// The rows to run: a .npy, .npz or .csv array, or IDX images
    ///
    /// For a network with several inputs once for each, as name=file or in their order.
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    input: Vec<String>,
    /// Where to write a report with charts, a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Let ONNX files have weights in other files of their folder
    #[arg(long)]
    allow_external_data: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let options = ImportOptions { external_data: args.allow_external_data, ..Default::default() };
    let network = |path: &Path| anyhow::Ok(data::network(path, &options)?.model);
    let (a, b) = (network(&args.a)?, network(&args.b)?);
    let inputs = array::inputs(&a, &args.input)?;
    let bar = report::progress(1, args.json);
    bar.set_message("comparing");
    let (a_file, b_file) = (args.a.display().to_string(), args.b.display().to_string());
    let comparison =
        compare(&a, &b, &inputs).with_context(|| format!("{a_file} beside {b_file}"))?;
    bar.finish_and_clear();
    let found = Found { a: a_file, b: b_file, comparison: &comparison };
    if let Some(path) = &args.html {
        let mut out = Output::new(path)?;
        out.write(html::page(&found)?.as_bytes())?;
        out.finish()?;
    }
    report::show(&found, args.json)
}

/// What was found, with the names of the files.
struct Found<'c> {
    a: String,
    b: String,
    comparison: &'c Comparison,
}

impl Serialize for Found<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = self.comparison;
        Json {
            a: &self.a,
            b: &self.b,
            rows: of.rows,
            matching: match of.matching {
                Matching::Names => "names",
                Matching::Positions => "positions",
                Matching::Outputs => "outputs",
            },
            layers: of.tensors.iter().map(TensorJson::of).collect(),
            outputs: of.outputs.iter().map(OutputJson::of).collect(),
            largest_loss: of.largest_loss().map(|tensor| &tensor.name[..]),
            notes: &of.notes,
        }
        .serialize(serializer)
    }
}

/// Numbers that are not finite are `null` in JSON: the SQNR where nothing is lost.
#[derive(Serialize)]
struct Json<'c> {
    a: &'c str,
    b: &'c str,
    rows: usize,
    matching: &'static str,
    layers: Vec<TensorJson<'c>>,
    outputs: Vec<OutputJson<'c>>,
    largest_loss: Option<&'c str>,
    notes: &'c [String],
}

#[derive(Serialize)]
struct TensorJson<'c> {
    name: &'c str,
    kind: &'static str,
    width: usize,
    scale: Option<f32>,
    zero_point: Option<i32>,
    sqnr_db: f64,
    sqnr_before_db: f64,
    max_abs_error: f64,
    mean_abs_error: f64,
    clipped_share: Option<f64>,
    expected: [f32; 2],
    found: [f32; 2],
}

impl<'c> TensorJson<'c> {
    fn of(of: &'c TensorComparison) -> Self {
        let difference = &of.difference;
        Self {
            name: &of.name,
            kind: of.kind,
            width: of.width,
            scale: of.params.map(|params| params.scale()),
            zero_point: of.params.map(|params| params.zero_point()),
            sqnr_db: difference.sqnr_db(),
            sqnr_before_db: of.sqnr_before_db,
            max_abs_error: difference.max_abs_error,
            mean_abs_error: difference.mean_abs_error(),
            clipped_share: difference.clipped_share(),
            expected: [difference.expected.min, difference.expected.max],
            found: [difference.found.min, difference.found.max],
        }
    }
}

#[derive(Serialize)]
struct OutputJson<'c> {
    name: &'c str,
    same_class: Option<f64>,
}

impl<'c> OutputJson<'c> {
    fn of(of: &'c OutputComparison) -> Self {
        Self { name: &of.name, same_class: of.same_class }
    }
}

impl Report for Found<'_> {
    fn text(&self) -> String {
        let mut table = report::table(HEADS);
        if let Some(layer) = table.column_mut(1) {
            layer.set_cell_alignment(CellAlignment::Left);
        }
        for of in &self.comparison.tensors {
            table.add_row(cells(of));
        }
        let mut text = format!("A  {}\nB  {}\n{}\n", self.a, self.b, how(self.comparison));
        if !self.comparison.tensors.is_empty() {
            text += &format!("\n{table}\n\n{}\n", loss(self.comparison));
        }
        for of in &self.comparison.outputs {
            if let Some(line) = classes(of) {
                text += &format!("{line}\n");
            }
        }
        for note in &self.comparison.notes {
            text += &format!("note: {note}\n");
        }
        text
    }
}

/// What the columns of the table hold.
const HEADS: [&str; 8] =
    ["tensor", "layer", "SQNR", "max error", "mean error", "clipped", "range in A", "range in B"];

/// A line of the table.
fn cells(of: &TensorComparison) -> [String; 8] {
    let difference = &of.difference;
    let range =
        |of: &signfold_import::Range| format!("{}..{}", short(of.min.into()), short(of.max.into()));
    [
        of.name.clone(),
        match of.params {
            Some(_) => format!("{}, 8-bit", of.kind),
            None => of.kind.to_string(),
        },
        decibels(difference.sqnr_db()),
        short(difference.max_abs_error),
        short(difference.mean_abs_error()),
        difference.clipped_share().map_or(String::new(), |share| match share {
            0.0 => "none".into(),
            share => format!("{} %", short(100.0 * share)),
        }),
        range(&difference.expected),
        range(&difference.found),
    ]
}

/// A ratio of signal to noise.
fn decibels(ratio: f64) -> String {
    match ratio {
        f64::INFINITY => "exact".into(),
        ratio => format!("{ratio:.1} dB"),
    }
}

/// How many rows were compared, and how layers were matched.
fn how(of: &Comparison) -> String {
    let rows = match of.rows {
        1 => "1 row".to_string(),
        rows => format!("{} rows", grouped(rows as u64)),
    };
    match of.matching {
        Matching::Names => format!("{rows}; layers of the same name are compared"),
        Matching::Positions => {
            format!("{rows}; the networks share no names, so layers are matched by their place")
        }
        Matching::Outputs => format!("{rows}; only outputs are compared"),
    }
}

/// Where most is lost.
fn loss(of: &Comparison) -> String {
    match of.largest_loss() {
        None => "nothing is lost anywhere".into(),
        Some(worst) => format!(
            "the largest loss is at `{}` ({}): {} before it, {} after it",
            worst.name,
            worst.kind,
            decibels(worst.sqnr_before_db),
            decibels(worst.difference.sqnr_db())
        ),
    }
}

/// How often both answer the same class.
fn classes(of: &OutputComparison) -> Option<String> {
    let share = of.same_class?;
    Some(format!("output `{}`: the same class for {} of the rows", of.name, percent(share)))
}
