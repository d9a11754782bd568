//! `signfold inspect`: what a model file holds.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use signfold::layers::{Aggregate, Bias, DenseInput, DenseOutput, Layer, MaxProduct};
use signfold::{Element, Model, TensorType};

use crate::data;
use crate::report::{self, Report, grouped, percent};

/// Show what a model file holds: layers, scales, and how close sums come to the limit of i32
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Inspection {
    name: String,
    bytes: usize,
    input: Tensor,
    output: Tensor,
    parameters: u64,
    layers: Vec<LayerInfo>,
    golden: Option<GoldenInfo>,
}

#[derive(Serialize)]
struct Tensor {
    width: usize,
    element: &'static str,
    scale: Option<f32>,
    zero_point: Option<i32>,
}

#[derive(Serialize)]
struct LayerInfo {
    kind: &'static str,
    input: Tensor,
    output: Tensor,
    activation: Option<String>,
    dense: Option<WeightsInfo>,
    max_product: Option<MaxProductInfo>,
}

#[derive(Serialize)]
struct MaxProductInfo {
    aggregate: &'static str,
    alpha: Option<f32>,
    splits: usize,
    /// Of a pruned layer, whose weights are its connections, and their share of all that it could have.
    connections: Option<usize>,
    density: Option<f64>,
    #[serde(flatten)]
    weights: WeightsInfo,
}

#[derive(Serialize)]
struct WeightsInfo {
    parameters: u64,
    input: &'static str,
    weight_scales: Range<f32>,
    weight_zero_points: Option<Range<i8>>,
    bias: &'static str,
    requantize: Option<String>,
    worst_sum: i64,
    worst_sum_share: f64,
}

#[derive(Serialize)]
struct Range<T> {
    count: usize,
    min: T,
    max: T,
}

#[derive(Serialize)]
struct GoldenInfo {
    rows: usize,
    input_digest: String,
    output_digest: String,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    report::show(&inspect(&model, bytes.len()), args.json)
}

fn inspect(model: &Model<'_>, bytes: usize) -> Inspection {
    let layers: Vec<LayerInfo> =
        model.layers().map(|(layer, i, o)| of_layer(layer, i, o)).collect();
    Inspection {
        name: model.name().to_string(),
        bytes,
        input: of_tensor(model.input()),
        output: of_tensor(model.output()),
        parameters: layers.iter().filter_map(LayerInfo::weights).map(|w| w.parameters).sum(),
        layers,
        golden: model.golden().map(|golden| GoldenInfo {
            rows: golden.inputs[0].len() / model.input().width,
            input_digest: report::digest(golden.inputs[0].digest()),
            output_digest: report::digest(golden.digest()),
        }),
    }
}

fn of_tensor(of: TensorType) -> Tensor {
    let params = match of.element {
        Element::Int8(params) => Some(params),
        _ => None,
    };
    Tensor {
        width: of.width,
        element: of.element.name(),
        scale: params.map(|p| p.scale()),
        zero_point: params.map(|p| p.zero_point()),
    }
}

fn of_layer(layer: &Layer<'_>, input: TensorType, output: TensorType) -> LayerInfo {
    LayerInfo {
        kind: layer.name(),
        input: of_tensor(input),
        output: of_tensor(output),
        activation: match layer {
            Layer::Dense(dense) => Some(dense.fused_activation().to_string()),
            Layer::MaxProduct(max) => Some(max.fused_activation().to_string()),
            Layer::Pointwise(pointwise) => Some(pointwise.activation.to_string()),
            _ => None,
        },
        dense: match layer {
            Layer::Dense(dense) => Some(of_weights(
                dense.weights().len(),
                dense.zero_points(),
                dense.scales(),
                dense.bias_values(),
                (dense.input_kind(), dense.output_kind()),
                dense.worst_sum(&input),
            )),
            _ => None,
        },
        max_product: match layer {
            Layer::MaxProduct(max) => Some(of_max_product(max, &input)),
            _ => None,
        },
    }
}

fn of_max_product(max: &MaxProduct<'_>, input: &TensorType) -> MaxProductInfo {
    let connections = max.is_pruned().then(|| max.weight_count());
    let all = max.inputs() as f64 * max.outputs() as f64;
    MaxProductInfo {
        aggregate: max.aggregate().name(),
        alpha: match max.aggregate() {
            Aggregate::SoftAbsMax { alpha } => Some(alpha),
            _ => None,
        },
        splits: max.split_count(),
        connections,
        density: connections.map(|connections| connections as f64 / all),
        weights: of_weights(
            max.weight_count(),
            &[],
            max.scales(),
            max.bias_values(),
            (max.input_kind(), max.output_kind()),
            max.worst_sum(input),
        ),
    }
}

fn of_weights(
    weights: usize,
    zero_points: &[i8],
    scales: &[f32],
    bias: &Bias<'_>,
    (input, output): (DenseInput, DenseOutput),
    worst_sum: i64,
) -> WeightsInfo {
    let (bias, biases) = match bias {
        Bias::None => ("none", 0),
        Bias::I32(bias) => ("i32", bias.len()),
        Bias::F32(bias) => ("f32", bias.len()),
    };
    WeightsInfo {
        parameters: (weights + biases) as u64,
        input: match input {
            DenseInput::Int8 => "static",
            DenseInput::PerTensor => "dynamic per tensor",
            DenseInput::PerRow => "dynamic per row",
        },
        weight_scales: Range {
            count: scales.len(),
            min: scales.iter().copied().fold(f32::INFINITY, f32::min),
            max: scales.iter().copied().fold(0.0, f32::max),
        },
        weight_zero_points: zero_points
            .iter()
            .min()
            .zip(zero_points.iter().max())
            .map(|(&min, &max)| Range { count: zero_points.len(), min, max }),
        bias,
        requantize: match output {
            DenseOutput::Int8(_, rounding) => Some(format!("{rounding:?}").to_lowercase()),
            DenseOutput::F32 => None,
        },
        worst_sum,
        worst_sum_share: worst_sum as f64 / f64::from(i32::MAX),
    }
}

impl Report for Inspection {
    fn text(&self) -> String {
        let mut table = report::table([
            "layer",
            "shape",
            "weights",
            "activation",
            "output",
            "rule",
            "worst sum",
            "of i32",
        ]);
        for (i, layer) in self.layers.iter().enumerate() {
            let weights =
                |show: fn(&WeightsInfo) -> String| layer.weights().map_or(String::new(), show);
            let join = layer.max_product.as_ref().map_or(String::new(), MaxProductInfo::text);
            table.add_row([
                format!("{i} {}{join}", layer.kind),
                format!("{} -> {}", layer.input.width, layer.output.width),
                weights(|w| w.scales()),
                layer.activation.clone().unwrap_or_default(),
                layer.output.text(),
                weights(|w| w.rule()),
                weights(|w| grouped(w.worst_sum.unsigned_abs())),
                weights(|w| format!("{:.2} %", 100.0 * w.worst_sum_share)),
            ]);
        }
        let golden = match &self.golden {
            Some(golden) => format!("{} rows, output digest {}", golden.rows, golden.output_digest),
            None => "none".into(),
        };
        format!(
            "name        {}\nbytes       {}\nparameters  {}\ninput       {} x {}\noutput      {} x {}\ngolden      {golden}\n\n{table}\n",
            self.name,
            grouped(self.bytes as u64),
            grouped(self.parameters),
            self.input.width,
            self.input.text(),
            self.output.width,
            self.output.text(),
        )
    }
}

impl Tensor {
    fn text(&self) -> String {
        match (self.scale, self.zero_point) {
            (Some(scale), Some(zero)) => format!("{} ({scale:.3e}, {zero})", self.element),
            _ => self.element.to_string(),
        }
    }
}

impl LayerInfo {
    /// What all layers with weights have.
    fn weights(&self) -> Option<&WeightsInfo> {
        self.dense.as_ref().or(self.max_product.as_ref().map(|max| &max.weights))
    }
}

impl MaxProductInfo {
    /// What follows the layer's kind, which is the aggregate.
    fn text(&self) -> String {
        let mut text = self.alpha.map_or(String::new(), |alpha| format!(", alpha {alpha}"));
        if self.splits > 1 {
            text += &format!(", {} splits", self.splits);
        }
        if let (Some(connections), Some(density)) = (self.connections, self.density) {
            let connections = grouped(connections as u64);
            text += &format!(", {connections} connections ({})", percent(density));
        }
        text
    }
}

impl WeightsInfo {
    fn scales(&self) -> String {
        let Range { count, min, max } = self.weight_scales;
        let zero_points = match &self.weight_zero_points {
            Some(Range { min, max, .. }) => format!(", zero {min}..{max}"),
            None => String::new(),
        };
        match count {
            1 => format!("scale {min:.3e}{zero_points}"),
            _ => format!("{count} scales {min:.3e}..{max:.3e}{zero_points}"),
        }
    }

    fn rule(&self) -> String {
        match &self.requantize {
            Some(rule) => rule.clone(),
            None => format!("to f32, {}", self.input),
        }
    }
}
