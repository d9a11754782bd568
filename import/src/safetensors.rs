//! The reader of safetensors files whose metadata describe the layers; see `docs/safetensors.md`.
//!
//! Nothing of the file is believed before it is checked, and no more is allocated than a multiple
//! of the file's length: each tensor may be used once only.

use std::collections::BTreeSet;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use half::{bf16, f16};
use signfold::layers::{
    Activation, Argmax, FloatDense, FloatMax, Layer, Pointwise, Softmax, split_bias_column,
};
use signfold::{Error, ErrorKind, Limits, Model, Result, TensorId, TensorType, WeightLayout};

use crate::description::{DenseDescription, Description, LayerDescription};
use crate::{Imported, name};

/// The metadata key of the description.
const KEY: &str = "signfold";

/// Makes a model of a safetensors file whose metadata key `signfold` describes the layers.
///
/// The file and what is made of it are held to the limits.
///
/// A layer with weights has the name of its weight tensor, less a `.weight` at the end; what
/// follows it without weights that name and its own: `0`, `0.relu`, `0.softmax`.
///
/// # Errors
/// [`ErrorKind::Format`] if the bytes are not a whole safetensors file with a description of the
/// layers in it, [`ErrorKind::Unsupported`] for a version or an element type that is not known,
/// [`ErrorKind::Model`] if tensors do not fit the description, [`ErrorKind::Limit`] for what exceeds a
/// limit. Layer and tensor are named, with what
/// was expected and what was found.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Imported> {
    limits.check_bytes(bytes.len() as u64)?;
    let mut file = File::open(bytes, limits).map_err(|e| e.at("safetensors"))?;
    let key = |e: Error| e.at(format!("metadata key {KEY:?}"));
    let text = file.metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    let Some(text) = text else {
        return Err(key(Error::new(ErrorKind::Format, "not there, but it names the layers")));
    };
    let description = Description::from_json(text, limits).map_err(key)?;
    check_width(description.inputs, limits).map_err(|e| key(e.at("inputs")))?;
    let mut graph = Model::graph(description.name).limits(limits);
    let mut at = graph.input("input", TensorType::f32(description.inputs))?;
    // The layer with weights that others after it are named by.
    let mut of = String::new();
    for (i, each) in description.layers.iter().enumerate() {
        let mut add = |at: TensorId| -> Result<TensorId> {
            let (layer, activation) = file.layer(each, graph.tensor(at).width)?;
            activation.validate()?;
            match each.weight() {
                Some(weight) => of = weight.strip_suffix(".weight").unwrap_or(weight).to_owned(),
                None => return graph.layer(name::joined(&of, layer.name()), layer, &[at]),
            }
            let sums = graph.layer(name::fitting(&of), layer, &[at])?;
            if activation == Activation::Identity {
                return Ok(sums);
            }
            let name = name::joined(&of, &name::of_function(&activation));
            graph.layer(name, Pointwise { activation, output: None }, &[sums])
        };
        at = add(at).map_err(|e| e.at(each.place(i)))?;
    }
    file.expect_all_used()?;
    graph.output(at);
    Ok(Imported { model: graph.build()?, notes: Vec::new() })
}

/// A file whose header has been checked against its length.
struct File<'a> {
    metadata: Metadata,
    data: &'a [u8],
    /// Names of the tensors that a layer has taken.
    used: BTreeSet<String>,
    /// Bytes of their elements as `f32`.
    taken: u64,
    limits: Limits,
}

impl<'a> File<'a> {
    /// `SafeTensors::deserialize` would do, but it adds up lengths unchecked at the end, which a
    /// made-up header can make overflow.
    fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let format = |message: String| Error::new(ErrorKind::Format, message);
        let found = bytes.len();
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Err(format(format!("{found} bytes, too few for a header's length")));
        };
        let length = u64::from_le_bytes(*length);
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((header, data)) = split else {
            return Err(format(format!("a header of {length} bytes in a file of {found}")));
        };
        let metadata: Metadata =
            serde_json::from_slice(header).map_err(|e| format(format!("header: {e}")))?;
        match metadata.data_len() == data.len() {
            true => Ok(Self { metadata, data, used: BTreeSet::new(), taken: 0, limits: *limits }),
            false => Err(format(format!(
                "its header describes {} bytes of tensors, but {} follow",
                metadata.data_len(),
                data.len()
            ))),
        }
    }

    /// A layer, and its activation.
    fn layer(
        &mut self,
        layer: &LayerDescription,
        inputs: usize,
    ) -> Result<(Layer<'static>, Activation)> {
        Ok(match layer {
            LayerDescription::Dense(dense) => {
                let Weighted { outputs, weights, bias } = self.weighted(dense, inputs)?;
                let layer = FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs)?;
                let layer = match bias {
                    Some(bias) => layer.bias(bias),
                    None => layer,
                };
                (layer.into(), dense.activation)
            }
            LayerDescription::Max(max) => {
                let Weighted { outputs, weights, bias } = self.weighted(&max.dense, inputs)?;
                let new = if max.pruned { FloatMax::pruned } else { FloatMax::new };
                let layer = new(max.aggregate, weights, WeightLayout::OutIn, outputs, inputs)?;
                let layer = match bias {
                    Some(bias) => layer.bias(bias),
                    None => layer,
                };
                (layer.splits(max.splits).into(), max.dense.activation)
            }
            LayerDescription::Softmax => (Softmax.into(), Activation::Identity),
            LayerDescription::Argmax => (Argmax.into(), Activation::Identity),
        })
    }

    fn weighted(&mut self, dense: &DenseDescription, inputs: usize) -> Result<Weighted> {
        if dense.bias_column && dense.bias.is_some() {
            let message = "a bias tensor and a bias column exclude each other";
            return Err(Error::new(ErrorKind::Format, message));
        }
        let tensor = |name: &str, e: Error| e.at(format!("tensor {name:?}"));
        let (outputs, mut weights) =
            self.weights(dense, inputs).map_err(|e| tensor(&dense.weight, e))?;
        let mut bias = None;
        if dense.bias_column {
            let (split, column) = split_bias_column(&weights, outputs, inputs)?;
            (weights, bias) = (split, Some(column));
        }
        if let Some(name) = &dense.bias {
            bias = Some(self.bias(name, outputs).map_err(|e| tensor(name, e))?);
        }
        Ok(Weighted { outputs, weights, bias })
    }

    /// The number of outputs, and the weights as `[out][in]`, a bias column included.
    fn weights(&mut self, dense: &DenseDescription, inputs: usize) -> Result<(usize, Vec<f32>)> {
        let columns = inputs + usize::from(dense.bias_column);
        let layout = WeightLayout::from(dense.layout);
        let limits = self.limits;
        let (info, data) = self.take(&dense.weight)?;
        let outputs = match (layout, &info.shape[..]) {
            (WeightLayout::OutIn, &[outputs, found]) if found == columns => outputs,
            (WeightLayout::InOut, &[found, outputs]) if found == columns => outputs,
            (_, found) => {
                let expected = match layout {
                    WeightLayout::OutIn => format!("[outputs, {columns}]"),
                    WeightLayout::InOut => format!("[{columns}, outputs]"),
                };
                let and_bias = if dense.bias_column { " and a bias column" } else { "" };
                return Err(Error::new(
                    ErrorKind::Model,
                    format!(
                        "expected shape {expected} (layout {}, {inputs} inputs{and_bias}), found \
                         {found:?}",
                        dense.layout.name()
                    ),
                ));
            }
        };
        check_width(outputs, &limits).map_err(|e| e.at("output"))?;
        let weights = layout.to_out_in(floats(info, data)?, outputs, columns)?;
        Ok((outputs, weights.into_owned()))
    }

    fn bias(&mut self, name: &str, outputs: usize) -> Result<Vec<f32>> {
        let (info, data) = self.take(name)?;
        if info.shape != [outputs] {
            let message = format!("expected shape [{outputs}], found {:?}", info.shape);
            return Err(Error::new(ErrorKind::Model, message));
        }
        floats(info, data)
    }

    fn take(&mut self, name: &str) -> Result<(&TensorInfo, &'a [u8])> {
        let Some(info) = self.metadata.info(name) else {
            let message = format!("not in the file, which has {}", self.names());
            return Err(Error::new(ErrorKind::Model, message));
        };
        if !self.used.insert(name.to_owned()) {
            let message = "named a second time; store a copy under a name of its own";
            return Err(Error::new(ErrorKind::Model, message));
        }
        let bytes = info.shape.iter().fold(4_u64, |bytes, &n| bytes.saturating_mul(n as u64));
        self.taken = self.taken.saturating_add(bytes);
        self.limits.check_memory(Some(self.taken), "weights, with those of the layers before")?;
        let (start, end) = info.data_offsets;
        // Offsets rise from tensor to tensor up to the length of the data, which was checked.
        Ok((info, &self.data[start..end]))
    }

    /// A tensor that no layer names is likely a bias that was forgotten.
    fn expect_all_used(&self) -> Result<()> {
        match self.metadata.offset_keys().iter().find(|name| !self.used.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let message = "in the file, but no layer names it";
                Err(Error::new(ErrorKind::Model, message).at(format!("tensor {name:?}")))
            }
        }
    }

    /// The names of some tensors, for a message.
    fn names(&self) -> String {
        const SHOWN: usize = 8;
        let names = self.metadata.offset_keys();
        let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        format!("{}{more}", shown.join(", "))
    }
}

/// What a layer with weights has, `[out][in]`.
struct Weighted {
    outputs: usize,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// Refuses rows that no model can have.
fn check_width(width: usize, limits: &Limits) -> Result<()> {
    match width {
        0 => Err(Error::new(ErrorKind::Model, "rows without elements")),
        _ => limits.check_width(width),
    }
}

/// The elements of a tensor as `f32`, all finite.
fn floats(info: &TensorInfo, data: &[u8]) -> Result<Vec<f32>> {
    fn each<const N: usize>(data: &[u8], float: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        data.as_chunks().0.iter().map(|&bytes| float(bytes)).collect()
    }
    let values = match info.dtype {
        Dtype::F32 => each(data, f32::from_le_bytes),
        Dtype::F64 => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => {
            let message = format!("expected dtype F32, F64, F16 or BF16, found {other}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    };
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values),
        Some(i) => {
            let message = format!("element {i} of shape {:?} is {} as f32", info.shape, values[i]);
            Err(Error::new(ErrorKind::Model, message))
        }
    }
}
