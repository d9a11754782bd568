//! `signfold inspect`: what a model file holds.

mod layer;

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use signfold::{Element, Model, NodeRef, TensorId, TensorType};

use crate::data;
use crate::report::{self, Report, grouped};
use layer::Inside;

/// Show what a model file holds: layers, scales, and how close sums come to the limit of i32
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a model is.
#[derive(Serialize)]
pub struct Inspection {
    name: String,
    bytes: usize,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    parameters: u64,
    layers: Vec<LayerInfo>,
    golden: Option<GoldenInfo>,
}

/// A tensor. An output of the model also says what gives it.
#[derive(Serialize)]
struct Tensor {
    name: String,
    width: usize,
    element: &'static str,
    scale: Option<f32>,
    zero_point: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Serialize)]
struct LayerInfo {
    kind: &'static str,
    /// What gives the tensors it takes: `input 0`, `layer 3`.
    from: Vec<String>,
    inputs: Vec<Tensor>,
    output: Tensor,
    #[serde(flatten)]
    inside: Inside,
}

#[derive(Serialize)]
struct GoldenInfo {
    rows: usize,
    input_digests: Vec<String>,
    output_digest: String,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    report::show(&inspect(&model, bytes.len()), args.json)
}

/// Of a model whose file has so many bytes.
pub fn inspect(model: &Model<'_>, bytes: usize) -> Inspection {
    let tensor = |id| Tensor::of(model.tensor_name(id), model.tensor_type(id));
    let layers: Vec<_> = model.nodes().map(|node| LayerInfo::of(model, &node)).collect();
    let weights = layers.iter().filter_map(|layer| layer.inside.weights());
    Inspection {
        name: model.name().to_string(),
        bytes,
        inputs: model.inputs().map(tensor).collect(),
        outputs: (model.outputs().iter())
            .map(|&id| Tensor { from: Some(place(model, id)), ..tensor(id) })
            .collect(),
        parameters: weights.map(|weights| weights.parameters).sum(),
        layers,
        golden: model.golden().map(|golden| GoldenInfo {
            rows: golden.inputs[0].len() / model.input().width,
            input_digests: (golden.inputs.iter())
                .map(|input| report::digest(input.digest()))
                .collect(),
            output_digest: report::digest(golden.digest()),
        }),
    }
}

/// What gives a tensor.
fn place(model: &Model<'_>, id: TensorId) -> String {
    match id.index().checked_sub(model.inputs().len()) {
        Some(layer) => format!("layer {layer}"),
        None => format!("input {}", id.index()),
    }
}

impl Tensor {
    fn of(name: &str, of: TensorType) -> Self {
        let params = match of.element {
            Element::Int8(params) => Some(params),
            _ => None,
        };
        Self {
            name: name.to_string(),
            width: of.width,
            element: of.element.name(),
            scale: params.map(|p| p.scale()),
            zero_point: params.map(|p| p.zero_point()),
            from: None,
        }
    }

    fn text(&self) -> String {
        match (self.scale, self.zero_point) {
            (Some(scale), Some(zero)) => format!("{} ({scale:.3e}, {zero})", self.element),
            _ => self.element.to_string(),
        }
    }

    /// As one of the model's inputs or outputs.
    fn line(&self) -> String {
        let mut text = format!("{} x {}", self.width, self.text());
        if !self.name.is_empty() {
            text += &format!(" {:?}", self.name);
        }
        text
    }
}

impl LayerInfo {
    fn of(model: &Model<'_>, node: &NodeRef<'_, '_>) -> Self {
        let tensor = |id| Tensor::of(model.tensor_name(id), model.tensor_type(id));
        Self {
            kind: node.layer.name(),
            from: node.inputs.iter().map(|&id| place(model, id)).collect(),
            inputs: node.inputs.iter().map(|&id| tensor(id)).collect(),
            output: tensor(node.output),
            inside: Inside::of(node.layer, &model.tensor_type(node.inputs[0])),
        }
    }

    fn shape(&self) -> String {
        let inputs: Vec<_> = self.inputs.iter().map(|input| input.width.to_string()).collect();
        format!("{} -> {}", inputs.join(", "), self.output.width)
    }
}

impl Inspection {
    /// Whether each layer takes what the one before it gives.
    fn is_row(&self) -> bool {
        let before = |i: usize| i.checked_sub(1).map_or("input 0".into(), |i| format!("layer {i}"));
        let mut layers = self.layers.iter().enumerate();
        self.inputs.len() == 1
            && self.outputs.len() == 1
            && layers.all(|(i, layer)| layer.from == [before(i)])
    }

    /// The lines of inputs or outputs.
    fn lines(what: &str, tensors: &[Tensor], wired: bool) -> String {
        let line = |(i, tensor): (usize, &Tensor)| {
            let head = if tensors.len() == 1 { what.to_string() } else { format!("{what} {i}") };
            let from = tensor.from.as_ref().filter(|_| wired);
            let from = from.map_or(String::new(), |from| format!(", from {from}"));
            format!("{head:<12}{}{from}\n", tensor.line())
        };
        tensors.iter().enumerate().map(line).collect()
    }
}

impl Report for Inspection {
    fn text(&self) -> String {
        // Columns that would be empty, or say what the order of lines says, are left out.
        let (wired, named) =
            (!self.is_row(), self.layers.iter().any(|layer| !layer.output.name.is_empty()));
        let mut heads = vec!["layer"];
        if named {
            heads.push("name");
        }
        if wired {
            heads.push("takes");
        }
        heads.extend(["shape", "weights", "activation", "output", "rule", "worst sum", "of i32"]);
        let mut table = report::table(heads);
        for (i, layer) in self.layers.iter().enumerate() {
            let weights = layer.inside.weights();
            let mut cells = vec![format!("{i} {}{}", layer.kind, layer.inside.join())];
            if named {
                cells.push(layer.output.name.clone());
            }
            if wired {
                cells.push(layer.from.join(", "));
            }
            cells.extend([
                layer.shape(),
                weights.map_or(String::new(), |weights| weights.range()),
                layer.inside.activation.clone().unwrap_or_default(),
                layer.output.text(),
                layer.inside.rule(),
            ]);
            cells.extend(weights.map_or_else(Default::default, |weights| weights.worst_sum()));
            table.add_row(cells);
        }
        let golden = match &self.golden {
            Some(golden) => format!("{} rows, output digest {}", golden.rows, golden.output_digest),
            None => "none".into(),
        };
        format!(
            "name        {}\nbytes       {}\nparameters  {}\n{}{}golden      {golden}\n\n{table}\n",
            self.name,
            grouped(self.bytes as u64),
            grouped(self.parameters),
            Self::lines("input", &self.inputs, wired),
            Self::lines("output", &self.outputs, wired),
        )
    }
}
