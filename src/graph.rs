//! Graphs: how the layers of a model hang together, and how one is put together.
//!
//! Tensors are numbered: first the model's inputs, then one for each layer, in an order in which
//! every layer comes after those whose tensors it takes. So there are no cycles to look for.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};
use crate::layers::Layer;
use crate::limits::Limits;
use crate::model::{MAX_NAME_BYTES, Model, check_width};
use crate::tensor::{Element, TensorType};

/// Inputs that a model may have at most.
pub const MAX_INPUTS: usize = 64;

/// A tensor of a model: one of its inputs, or what a layer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(usize);

impl TensorId {
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its number in the model: inputs first, then one for each layer, in order.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A tensor's type, and its name, which may be empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor<'a> {
    pub of: TensorType,
    pub name: Cow<'a, str>,
}

/// A layer and the tensors it takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node<'a> {
    pub layer: Layer<'a>,
    pub inputs: Vec<TensorId>,
}

/// A model's layer, with its place in the network; see [`Model::nodes`].
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'m, 'a> {
    /// The layer.
    pub layer: &'m Layer<'a>,
    /// The tensors it takes.
    pub inputs: &'m [TensorId],
    /// The tensor it gives.
    pub output: TensorId,
}

/// Puts a network together, tensor by tensor. Made by [`Model::graph`].
///
/// ```
/// use signfold::layers::{Argmax, Pointwise, Activation, Softmax};
/// use signfold::{Model, TensorType};
///
/// let mut graph = Model::graph("scores and class");
/// let x = graph.input("x", TensorType::f32(10))?;
/// let y = graph.layer("probabilities", Softmax, &[x])?;
/// let class = graph.layer("class", Argmax, &[y])?;
/// graph.output(y);
/// graph.output(class);
/// let model = graph.build()?;
/// assert_eq!(model.outputs(), [y, class]);
/// # Ok::<(), signfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder<'a> {
    name: Cow<'a, str>,
    tensors: Vec<Tensor<'a>>,
    nodes: Vec<Node<'a>>,
    outputs: Vec<TensorId>,
    limits: Limits,
    /// Bytes of the layers' weights.
    weights: u64,
}

impl<'a> GraphBuilder<'a> {
    pub(crate) fn new(name: Cow<'a, str>) -> Self {
        Self::of(name, Vec::new(), Vec::new(), Vec::new())
    }

    /// A graph that a model was.
    pub(crate) fn of(
        name: Cow<'a, str>,
        tensors: Vec<Tensor<'a>>,
        nodes: Vec<Node<'a>>,
        outputs: Vec<TensorId>,
    ) -> Self {
        Self { name, tensors, nodes, outputs, limits: Limits::default(), weights: 0 }
    }

    /// Holds what is added from now on to these limits, instead of the default ones.
    #[must_use]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = *limits;
        self
    }

    /// Adds an input of the model. All come before the first layer. The name may be empty.
    ///
    /// # Errors
    /// Names the input and says what is wrong with its width, type or name, or with its coming
    /// after a layer; more than [`MAX_INPUTS`].
    pub fn input(&mut self, name: impl Into<Cow<'a, str>>, of: TensorType) -> Result<TensorId> {
        let (name, number) = (name.into(), self.tensors.len());
        let check = || {
            if !self.nodes.is_empty() {
                return Err(Error::model("inputs come before layers"));
            }
            if number == MAX_INPUTS {
                let message = format!("more than {MAX_INPUTS} inputs");
                return Err(Error::new(ErrorKind::Limit, message));
            }
            if of.element == Element::Index {
                return Err(Error::model("positions are what models answer, not what they take"));
            }
            check_name(&name)?;
            check_width(&of, &self.limits)
        };
        check().map_err(|e| e.at(place("input", number, &name)))?;
        self.tensors.push(Tensor { of, name });
        Ok(TensorId(number))
    }

    /// Adds a layer that takes these tensors; answers what it gives, which has the name. The name
    /// may be empty.
    ///
    /// # Errors
    /// Names the layer and says where it contradicts itself or its inputs; one too many, too wide,
    /// or weights that are too large in all, for the [`Limits`].
    pub fn layer(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        layer: impl Into<Layer<'a>>,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        let (name, layer, number) = (name.into(), layer.into(), self.nodes.len());
        let check = || -> Result<_> {
            self.limits.check_layers(number + 1)?;
            check_name(&name)?;
            let type_of = |id: &TensorId| self.get(*id).map(|tensor| tensor.of);
            let types = inputs.iter().map(type_of).collect::<Result<Vec<_>>>()?;
            let output = layer.output(&types)?;
            check_width(&output, &self.limits)?;
            let weights = self.weights.checked_add(layer.weight_bytes());
            self.limits.check_memory(weights, "weights, with those of the layers before")?;
            Ok((output, weights.unwrap_or(u64::MAX)))
        };
        let (of, weights) = check().map_err(|e| {
            e.at(place("layer", format_args!("{number} ({})", layer.name()), &name))
        })?;
        self.tensors.push(Tensor { of, name });
        self.nodes.push(Node { layer, inputs: inputs.to_vec() });
        self.weights = weights;
        Ok(TensorId(self.tensors.len() - 1))
    }

    /// Makes a tensor an output of the model, after those there are.
    pub fn output(&mut self, tensor: TensorId) {
        self.outputs.push(tensor);
    }

    /// The type of a tensor.
    ///
    /// # Panics
    /// If this builder did not give the tensor.
    pub fn tensor(&self, tensor: TensorId) -> TensorType {
        self.tensors[tensor.0].of
    }

    fn get(&self, tensor: TensorId) -> Result<&Tensor<'a>> {
        let missing = || {
            let (number, count) = (tensor.0, self.tensors.len());
            Error::model(format!("tensor {number} is not there: so far there are {count}"))
        };
        self.tensors.get(tensor.0).ok_or_else(missing)
    }

    /// The model.
    ///
    /// # Errors
    /// There must be a layer and an output, no tensor may be an output twice, and the name must not
    /// be too long.
    pub fn build(self) -> Result<Model<'a>> {
        check_name(&self.name).map_err(|e| e.at("name"))?;
        match (self.nodes.len(), self.outputs.len()) {
            (0, _) => return Err(without_layers()),
            (_, 0) => return Err(Error::model("a model without outputs")),
            _ => {}
        }
        let mut seen = vec![false; self.tensors.len()];
        for (i, output) in self.outputs.iter().enumerate() {
            self.get(*output).map_err(|e| e.at(format!("output {i}")))?;
            if core::mem::replace(&mut seen[output.0], true) {
                let message = format!("tensor {} is an output already", output.0);
                return Err(Error::model(message).at(format!("output {i}")));
            }
        }
        Ok(Model::joined(self.name, self.tensors, self.nodes, self.outputs))
    }
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    match name.len() {
        0..=MAX_NAME_BYTES => Ok(()),
        bytes => {
            let message = format!("a name of {bytes} bytes, more than {MAX_NAME_BYTES}");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

/// How messages name a part of a model.
fn place(what: &str, number: impl core::fmt::Display, name: &str) -> String {
    match name {
        // The start of a name that is too long would be no name.
        "" => format!("{what} {number}"),
        _ if name.len() > MAX_NAME_BYTES => format!("{what} {number}"),
        _ => format!("{what} {number} {name:?}"),
    }
}

pub(crate) fn without_layers() -> Error {
    Error::model("a model without layers")
}
