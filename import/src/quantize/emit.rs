//! Puts the quantized network together, layer by layer.

use signfold::layers::{
    Activation, Combine, Concat, DenseInput, DenseOutput, Layer, Pointwise, Quantize,
};
use signfold::quant::{QuantParams, Rounding};
use signfold::{Error, ErrorKind, GraphBuilder, Model, Result, TensorId, Values};

use super::bias::{Probe, corrected};
use super::calibrate::Seen;
use super::net::Net;
use super::plan::{Form, Plan};
use super::weights::{Rows, Weighted, quantize_weighted};
use super::{Progress, QuantizeOptions};
use crate::name;

/// A quantized network, and what stands for what.
pub(crate) struct Emitted {
    pub model: Model<'static>,
    /// The layers that stand for a tensor of the float network, in order.
    pub made: Vec<Made>,
    /// Of each tensor of the float network, how its 8-bit form stands for it.
    pub params: Vec<Option<QuantParams>>,
    /// Of each tensor of the float network, the tensor that stands for it; of one that is made real
    /// and quantized as well, the real one. `None` for what is inside a layer.
    pub tensors: Vec<Option<TensorId>>,
    /// The 8-bit forms of inputs.
    pub quantized: Vec<Option<TensorId>>,
}

/// A layer that stands for a tensor of the float network.
pub(crate) struct Made {
    /// That tensor.
    pub tensor: usize,
    pub kind: &'static str,
    /// The function that is part of it, or that it is.
    pub activation: Option<Activation>,
    /// The smallest and the largest scale of the weights.
    pub weight_scales: Option<(f32, f32)>,
}

/// What emitting needs to know.
pub(crate) struct Job<'j> {
    pub net: &'j Net,
    pub plan: &'j Plan,
    pub options: &'j QuantizeOptions,
    /// `None` without calibration rows.
    pub seen: Option<&'j Seen>,
    pub calibration: &'j [Values<'j>],
    pub rows: usize,
}

impl Job<'_> {
    /// The quantized network.
    pub fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<Emitted> {
        let Job { net, plan, options, .. } = self;
        let name = options.name.clone().unwrap_or_else(|| net.name.clone());
        let mut to = Growing {
            job: self,
            graph: Model::graph(name),
            tensors: vec![None; net.tensors()],
            quantized: vec![None; net.tensors()],
            params: vec![None; net.tensors()],
            made: Vec::new(),
        };
        for (i, (name, of)) in net.inputs.iter().enumerate() {
            to.tensors[i] = Some(to.graph.input(name.clone(), *of)?);
        }
        for (i, form) in plan.forms.iter().enumerate() {
            match form {
                Form::Kept => to.keep(i)?,
                Form::Weights { clamp } => {
                    to.weights(i, *clamp).map_err(|e| e.at(net.place(i)))?;
                }
                Form::Fused => {}
                Form::Int8 => to.int8(i).map_err(|e| e.at(net.place(i)))?,
            }
            progress(Progress { stage: "quantizing", done: i + 1, total: plan.forms.len() });
        }
        for &output in &net.outputs {
            let output = to.real(output)?;
            to.graph.output(output);
        }
        let Growing { graph, tensors, quantized, params, made, .. } = to;
        Ok(Emitted { model: graph.build()?, made, params, tensors, quantized })
    }
}

/// A model that grows layer by layer.
struct Growing<'j> {
    job: &'j Job<'j>,
    graph: GraphBuilder<'static>,
    tensors: Vec<Option<TensorId>>,
    quantized: Vec<Option<TensorId>>,
    params: Vec<Option<QuantParams>>,
    made: Vec<Made>,
}

impl Growing<'_> {
    /// A layer that stays as it is.
    fn keep(&mut self, node: usize) -> Result<()> {
        let of = &self.job.net.nodes[node];
        let inputs =
            of.inputs.iter().map(|&tensor| self.real(tensor)).collect::<Result<Vec<_>>>()?;
        let activation = match &of.layer {
            Layer::Pointwise(pointwise) => Some(pointwise.activation),
            Layer::Combine(combine) => Some(combine.activation),
            _ => None,
        };
        self.add(self.job.net.tensor(node), of.layer.clone(), &inputs, activation, None)
    }

    /// A layer that computes 8 bits from 8 bits.
    fn int8(&mut self, node: usize) -> Result<()> {
        let (of, tensor) = (&self.job.net.nodes[node], self.job.net.tensor(node));
        let params = self.params(tensor)?;
        let inputs =
            of.inputs.iter().map(|&input| self.int8_form(input)).collect::<Result<Vec<_>>>()?;
        let (layer, activation): (Layer<'static>, _) = match &of.layer {
            Layer::Pointwise(Pointwise { activation, .. }) => {
                let layer = Pointwise { activation: *activation, output: Some(params) };
                (layer.into(), Some(*activation))
            }
            Layer::Combine(of) => {
                let output = Some((params, Rounding::Nearest));
                (Combine { output, ..*of }.into(), Some(of.activation))
            }
            Layer::Concat(of) => (Concat { output: Some(params), ..*of }.into(), None),
            other => return Err(unexpected(other)),
        };
        self.add(tensor, layer, &inputs, activation, None)
    }

    /// A layer whose weights become 8 bits, with the clamp that follows it.
    fn weights(&mut self, node: usize, clamp: Option<usize>) -> Result<()> {
        let Job { net, plan, options, .. } = self.job;
        let of = &net.nodes[node];
        let tensor = net.tensor(clamp.unwrap_or(node));
        let (rows, input) = match options.dense_input {
            DenseInput::Int8 => {
                let output = match plan.int8[tensor] {
                    true => DenseOutput::Int8(self.params(tensor)?, Rounding::Nearest),
                    false => DenseOutput::F32,
                };
                let (id, input) = (self.int8_form(of.inputs[0])?, self.params(of.inputs[0])?);
                (Rows::Static { input, output }, id)
            }
            dynamic => (Rows::Dynamic(dynamic), self.real(of.inputs[0])?),
        };
        let activation = match clamp.map(|clamp| &net.nodes[clamp].layer) {
            Some(Layer::Pointwise(pointwise)) => pointwise.activation,
            _ => Activation::Identity,
        };
        let quantize =
            |layer: &Layer<'static>| quantize_weighted(layer, activation, options.weights, rows);
        let mut weighted = quantize(&of.layer)?;
        if let Some(seen) = self.job.seen
            && options.correct_bias
            && let Some(expected) = &seen.tensors[net.tensor(node)]
            && let (Layer::FloatDense(dense), Layer::Dense(layer)) = (&of.layer, &weighted.layer)
        {
            let probe = Probe { graph: &self.graph, input, layer };
            let found = probe.means(self.job.calibration, self.job.rows)?;
            weighted = quantize(&corrected(dense, &expected.means, &found).into())?;
        }
        let Weighted { layer, scales } = weighted;
        self.add(tensor, layer, &[input], Some(activation), Some(scales))
    }

    /// Adds a layer that gives a tensor of the float network.
    fn add(
        &mut self,
        tensor: usize,
        layer: Layer<'static>,
        inputs: &[TensorId],
        activation: Option<Activation>,
        weight_scales: Option<(f32, f32)>,
    ) -> Result<()> {
        let kind = layer.name();
        let name = self.job.net.tensor_name(tensor).to_owned();
        let id = self.graph.layer(name, layer, inputs)?;
        self.tensors[tensor] = Some(id);
        if self.job.plan.int8[tensor] {
            self.quantized[tensor] = Some(id);
        }
        self.made.push(Made { tensor, kind, activation, weight_scales });
        Ok(())
    }

    /// A tensor as the float network has it.
    fn real(&self, tensor: usize) -> Result<TensorId> {
        let missing = || {
            let message = format!("tensor {tensor} is inside another layer");
            Error::new(ErrorKind::Model, message)
        };
        self.tensors[tensor].ok_or_else(missing)
    }

    /// The 8-bit form of a tensor, quantized here if it is not made so.
    fn int8_form(&mut self, tensor: usize) -> Result<TensorId> {
        if let Some(id) = self.quantized[tensor] {
            return Ok(id);
        }
        let real = self.real(tensor)?;
        let layer = Quantize { output: self.params(tensor)? };
        let name = match self.job.net.tensor_name(tensor) {
            "" => String::new(),
            name => name::joined(name, "quantized"),
        };
        let id = self.graph.layer(name, layer, &[real])?;
        self.quantized[tensor] = Some(id);
        Ok(id)
    }

    /// How the 8-bit form of a tensor stands for it.
    fn params(&mut self, tensor: usize) -> Result<QuantParams> {
        if let Some(params) = self.params[tensor] {
            return Ok(params);
        }
        let seen = self.job.seen.and_then(|seen| seen.tensors[tensor].as_ref());
        let Some(seen) = seen else {
            let message = format!("nothing is known of the range of tensor {tensor}");
            return Err(Error::new(ErrorKind::Model, message));
        };
        let options = self.job.options;
        let params = seen.chosen.params(options.element, options.activations)?;
        self.params[tensor] = Some(params);
        Ok(params)
    }
}

fn unexpected(layer: &Layer<'_>) -> Error {
    let message = format!("a layer of kind {} has no 8-bit form", layer.name());
    Error::new(ErrorKind::Unsupported, message)
}
