//! The description of a network's layers: JSON that a weight file carries.
//!
//! Strict: a field that is not known is an error, never skipped.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use signfold::layers::{Activation, Aggregate};
use signfold::{Error, ErrorKind, Limits, Result, WeightLayout};

/// The version of the description that this release knows.
const VERSION: u32 = 1;

/// What a network is made of; tensors are named only.
#[derive(Debug)]
pub(crate) struct Description {
    pub name: String,
    pub inputs: usize,
    pub layers: Vec<LayerDescription>,
}

#[derive(Debug)]
pub(crate) enum LayerDescription {
    Dense(DenseDescription),
    Max(MaxDescription),
    Softmax,
    Argmax,
}

/// A layer as JSON has it.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Fields {
    Dense(DenseDescription),
    Max(MaxFields),
    Min(MaxFields),
    AbsMax(MaxFields),
    SoftAbsMax(MaxFields),
    Mean(MaxFields),
    Mam(MaxFields),
    // Braces, because serde skips unknown fields of variants without.
    Softmax {},
    Argmax {},
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DenseDescription {
    pub weight: String,
    pub layout: Layout,
    pub bias: Option<String>,
    /// Whether the bias is one more input of the weights, the last.
    #[serde(default)]
    pub bias_column: bool,
    #[serde(default, deserialize_with = "activation")]
    pub activation: Activation,
}

#[derive(Debug)]
pub(crate) struct MaxDescription {
    /// Without a bias column: its constant would be one more product that competes.
    pub dense: DenseDescription,
    pub aggregate: Aggregate,
    pub splits: usize,
    pub pruned: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxFields {
    weight: String,
    layout: Layout,
    bias: Option<String>,
    #[serde(default, deserialize_with = "activation")]
    activation: Activation,
    splits: Option<usize>,
    #[serde(default)]
    pruned: bool,
    /// Of soft_abs_max.
    alpha: Option<f32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    OutIn,
    InOut,
}

impl Layout {
    pub fn name(self) -> &'static str {
        match self {
            Layout::OutIn => "out_in",
            Layout::InOut => "in_out",
        }
    }
}

impl From<Layout> for WeightLayout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::OutIn => WeightLayout::OutIn,
            Layout::InOut => WeightLayout::InOut,
        }
    }
}

impl Description {
    /// Reads a description.
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Top<'a> {
            #[serde(rename = "version")]
            _version: u32,
            name: String,
            inputs: usize,
            #[serde(borrow)]
            layers: Vec<&'a RawValue>,
        }

        // First the version alone: what else is there depends on it.
        let Version { version } = object(text)?;
        if version != VERSION {
            let message = format!("version {version}, but this release knows {VERSION} only");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let top: Top<'_> = object(text)?;
        limits.check_layers(top.layers.len())?;
        let layers = top.layers.iter().enumerate();
        let layers =
            layers.map(|(i, text)| layer(text.get()).map_err(|e| e.at(format!("layer {i}"))));
        Ok(Self { name: top.name, inputs: top.inputs, layers: layers.collect::<Result<_>>()? })
    }
}

impl LayerDescription {
    /// How messages name layer `i`.
    pub fn place(&self, i: usize) -> String {
        let kind = match self {
            LayerDescription::Dense(_) => "dense",
            LayerDescription::Max(max) => max.aggregate.name(),
            LayerDescription::Softmax => "softmax",
            LayerDescription::Argmax => "argmax",
        };
        format!("layer {i} ({kind})")
    }

    /// The tensor of the weights, if the layer has any.
    pub fn weight(&self) -> Option<&str> {
        match self {
            LayerDescription::Dense(dense) => Some(&dense.weight),
            LayerDescription::Max(max) => Some(&max.dense.weight),
            LayerDescription::Softmax | LayerDescription::Argmax => None,
        }
    }
}

/// A layer from its JSON.
fn layer(text: &str) -> Result<LayerDescription> {
    let missing = || malformed("soft_abs_max: the field `alpha` is missing".to_owned());
    let (aggregate, fields) = match object(text)? {
        Fields::Dense(dense) => return Ok(LayerDescription::Dense(dense)),
        Fields::Softmax {} => return Ok(LayerDescription::Softmax),
        Fields::Argmax {} => return Ok(LayerDescription::Argmax),
        Fields::Max(fields) => (Aggregate::Max, fields),
        Fields::Min(fields) => (Aggregate::Min, fields),
        Fields::AbsMax(fields) => (Aggregate::AbsMax, fields),
        Fields::SoftAbsMax(fields) => {
            (Aggregate::SoftAbsMax { alpha: fields.alpha.ok_or_else(missing)? }, fields)
        }
        Fields::Mean(fields) => (Aggregate::Mean, fields),
        Fields::Mam(fields) => (Aggregate::Mam, fields),
    };
    let MaxFields { weight, layout, bias, activation, splits, pruned, alpha } = fields;
    let excess = match aggregate {
        Aggregate::SoftAbsMax { .. } => None,
        _ if alpha.is_some() => Some("alpha"),
        Aggregate::Mean if splits.is_some() => Some("splits"),
        _ => None,
    };
    if let Some(field) = excess {
        return Err(malformed(format!("{} has no field `{field}`", aggregate.name())));
    }
    let dense = DenseDescription { weight, layout, bias, bias_column: false, activation };
    let splits = splits.unwrap_or(1);
    Ok(LayerDescription::Max(MaxDescription { dense, aggregate, splits, pruned }))
}

/// A value from a JSON object; serde would take an array of its fields, too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    let value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    match text.trim_start().starts_with('{') {
        true => Ok(value),
        false => Err(malformed("expected a JSON object, found an array".to_owned())),
    }
}

fn malformed(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// An activation: absent or null, a name, or an object with a name and parameters.
fn activation<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Activation, D::Error> {
    #[derive(Deserialize)]
    #[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
    enum Named {
        Relu {},
        Relu6 {},
        Hardtanh {
            #[serde(default = "minus_one")]
            min: f32,
            #[serde(default = "one")]
            max: f32,
        },
        Clip {
            min: f32,
            max: f32,
        },
        LeakyRelu {
            #[serde(default = "leak")]
            alpha: f32,
        },
        Tanh {},
        Sigmoid {},
        Gelu {},
        GeluTanh {},
        Elu {
            #[serde(default = "one")]
            alpha: f32,
        },
        HardSigmoid {
            alpha: f32,
            beta: f32,
        },
        Silu {},
        HardSwish {},
        Selu {
            #[serde(default = "selu_alpha")]
            alpha: f32,
            #[serde(default = "selu_gamma")]
            gamma: f32,
        },
        Softplus {},
        Softsign {},
        Mish {},
        Exp {},
    }

    let object = match Value::deserialize(from)? {
        Value::Null => return Ok(Activation::Identity),
        Value::String(name) => serde_json::json!({ "name": name }),
        object @ Value::Object(_) => object,
        _ => return Err(in_activation(&"expected a name or an object")),
    };
    let named = Named::deserialize(object).map_err(|e| in_activation(&e))?;
    let activation = match named {
        Named::Relu {} => Activation::Relu,
        Named::Relu6 {} => Activation::Relu6,
        Named::Hardtanh { min, max } | Named::Clip { min, max } => {
            if !min.is_finite() || !max.is_finite() {
                return Err(in_activation(&"bounds beyond f32"));
            }
            Activation::Clip { min, max }
        }
        Named::LeakyRelu { alpha } => Activation::LeakyRelu { alpha },
        Named::Tanh {} => Activation::Tanh,
        Named::Sigmoid {} => Activation::Sigmoid,
        Named::Gelu {} => Activation::Gelu,
        Named::GeluTanh {} => Activation::GeluTanh,
        Named::Elu { alpha } => Activation::Elu { alpha },
        Named::HardSigmoid { alpha, beta } => Activation::HardSigmoid { alpha, beta },
        Named::Silu {} => Activation::Silu,
        Named::HardSwish {} => Activation::HardSwish,
        Named::Selu { alpha, gamma } => Activation::Selu { alpha, gamma },
        Named::Softplus {} => Activation::Softplus,
        Named::Softsign {} => Activation::Softsign,
        Named::Mish {} => Activation::Mish,
        Named::Exp {} => Activation::Exp,
    };
    Ok(activation)
}

fn in_activation<E: serde::de::Error>(problem: &dyn std::fmt::Display) -> E {
    E::custom(format!("activation: {problem}"))
}

fn minus_one() -> f32 {
    -1.0
}

fn one() -> f32 {
    1.0
}

fn leak() -> f32 {
    0.01
}

/// What PyTorch, Keras and ONNX have, as `f32`.
fn selu_alpha() -> f32 {
    1.673_263_2
}

fn selu_gamma() -> f32 {
    1.050_701
}
