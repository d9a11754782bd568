//! Models: networks that are known to be sound, independent of any CPU.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{GraphBuilder, Node, NodeRef, Tensor, TensorId};
use crate::layers::Layer;
use crate::limits::Limits;
use crate::tensor::{TensorType, Values};

/// Elements that a row may have at most.
pub const MAX_WIDTH: usize = 1 << 20;

/// Layers that a model may have at most.
pub const MAX_LAYERS: usize = 1024;

/// Bytes that a name may have at most: a model's, or a tensor's.
pub const MAX_NAME_BYTES: usize = 255;

/// A network: a name, its inputs, its layers, and which tensors it answers. Every value of this type
/// has been validated: types fit from layer to layer, scales are numbers, no sum can leave `i32`.
///
/// Weights may be borrowed from the bytes a model was read from, for `'a`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<'a> {
    name: Cow<'a, str>,
    /// The inputs, then what each layer gives.
    tensors: Vec<Tensor<'a>>,
    nodes: Vec<Node<'a>>,
    outputs: Vec<TensorId>,
    golden: Option<Golden<'a>>,
}

/// Rows of each input, and the rows of each output that they must give, bit by bit, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden<'a> {
    /// The rows of each input.
    pub inputs: Vec<Values<'a>>,
    /// The rows of each output.
    pub outputs: Vec<Values<'a>>,
}

impl Golden<'_> {
    /// The same pair, borrowing nothing.
    pub(crate) fn into_owned(self) -> Golden<'static> {
        let own = |values: Vec<Values<'_>>| values.into_iter().map(Values::into_owned).collect();
        Golden { inputs: own(self.inputs), outputs: own(self.outputs) }
    }

    /// A number that differs, in all likelihood, when any bit of the outputs does.
    pub fn digest(&self) -> u64 {
        match &self.outputs[..] {
            [output] => output.digest(),
            outputs => {
                let bytes: Vec<u8> = outputs.iter().flat_map(Values::to_le_bytes).collect();
                Values::U8(bytes.into()).digest()
            }
        }
    }
}

impl<'a> Model<'a> {
    /// Starts a network whose layers stand in a row, with this name, for input rows of this type.
    pub fn builder(name: impl Into<Cow<'a, str>>, input: TensorType) -> ModelBuilder<'a> {
        ModelBuilder { name: name.into(), input, layers: Vec::new() }
    }

    /// Starts a network of any form, with this name.
    pub fn graph(name: impl Into<Cow<'a, str>>) -> GraphBuilder<'a> {
        GraphBuilder::new(name.into())
    }

    /// Joins parts that a [`GraphBuilder`] has checked.
    pub(crate) fn joined(
        name: Cow<'a, str>,
        tensors: Vec<Tensor<'a>>,
        nodes: Vec<Node<'a>>,
        outputs: Vec<TensorId>,
    ) -> Self {
        Self { name, tensors, nodes, outputs, golden: None }
    }

    /// The same model with a golden pair, if it has the model's types. What reader and
    /// [`Model::with_golden`] both go through.
    pub(crate) fn attach_golden(mut self, golden: Golden<'a>) -> Result<Self> {
        self.check_golden(&golden).map_err(|e| e.at("golden"))?;
        self.golden = Some(golden);
        Ok(self)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same model under another name.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a name of more than [`MAX_NAME_BYTES`] bytes.
    pub fn with_name(mut self, name: impl Into<Cow<'a, str>>) -> Result<Self> {
        self.name = name.into();
        crate::graph::check_name(&self.name)?;
        Ok(self)
    }

    /// The type of the input's rows; of several inputs, the first one's.
    pub fn input(&self) -> TensorType {
        self.tensors[0].of
    }

    /// The type of the output's rows; of several outputs, the first one's.
    pub fn output(&self) -> TensorType {
        self.tensor_type(self.outputs[0])
    }

    /// The inputs.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = TensorId> + use<> {
        (0..self.input_count()).map(TensorId::new)
    }

    /// The outputs, each a tensor of its own.
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// All tensors: the inputs, then what each layer gives.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorId> + use<> {
        (0..self.tensors.len()).map(TensorId::new)
    }

    /// The type of a tensor's rows.
    ///
    /// # Panics
    /// If the tensor is not this model's.
    pub fn tensor_type(&self, tensor: TensorId) -> TensorType {
        self.tensors[tensor.index()].of
    }

    /// The name of a tensor, and of the layer that gives it; empty if it has none.
    ///
    /// # Panics
    /// If the tensor is not this model's.
    pub fn tensor_name(&self, tensor: TensorId) -> &str {
        &self.tensors[tensor.index()].name
    }

    /// The layers, each with the types of its (first) input and of its output.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&Layer<'a>, TensorType, TensorType)> {
        self.nodes().map(|NodeRef { layer, inputs, output }| {
            (layer, self.tensor_type(inputs[0]), self.tensor_type(output))
        })
    }

    /// The layers, each with the tensors it takes and gives.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeRef<'_, 'a>> {
        let first = self.input_count();
        self.nodes.iter().enumerate().map(move |(i, node)| NodeRef {
            layer: &node.layer,
            inputs: &node.inputs,
            output: TensorId::new(first + i),
        })
    }

    fn input_count(&self) -> usize {
        self.tensors.len() - self.nodes.len()
    }

    /// The embedded rows of inputs and outputs, if there are any.
    pub fn golden(&self) -> Option<&Golden<'a>> {
        self.golden.as_ref()
    }

    /// The same model with `input` and the output that [`Model::reference`] gives for it as its
    /// golden pair.
    ///
    /// # Errors
    /// As [`Model::reference`]; and there must be a row, and no NaN in the output, whose bits
    /// machines do not agree on.
    pub fn with_golden(self, input: impl Into<Values<'a>>) -> Result<Self> {
        self.with_golden_all(vec![input.into()])
    }

    /// The same for a model with any number of inputs and outputs.
    ///
    /// # Errors
    /// As [`Model::with_golden`].
    pub fn with_golden_all(self, inputs: Vec<Values<'a>>) -> Result<Self> {
        let outputs = self.reference_all(&inputs)?;
        self.attach_golden(Golden { inputs, outputs })
    }

    /// The same network, which answers these tensors instead; all of them to see all that happens
    /// inside. Without golden rows. Layers that no output depends on are kept, but not run.
    ///
    /// # Errors
    /// As [`GraphBuilder::build`].
    pub fn with_outputs(self, outputs: &[TensorId]) -> Result<Self> {
        GraphBuilder::of(self.name, self.tensors, self.nodes, outputs.to_vec()).build()
    }

    /// What the model computes, by naive loops: the specification that every engine is held to.
    /// Slow.
    ///
    /// # Errors
    /// The model must have one input and one output, and `input` must hold rows of the input type.
    /// Where real numbers are quantized, none may be NaN, and a range that sets the scale must be
    /// finite.
    pub fn reference(&self, input: &Values<'_>) -> Result<Values<'static>> {
        self.check_single()?;
        let mut outputs = self.reference_all(core::slice::from_ref(input))?;
        Ok(outputs.remove(0))
    }

    /// The same for a model with any number of inputs and outputs: rows for each input, all as many,
    /// to rows of each output.
    ///
    /// # Errors
    /// As [`Model::reference`].
    pub fn reference_all(&self, inputs: &[Values<'_>]) -> Result<Vec<Values<'static>>> {
        let computed = self.compute(inputs, &self.needed(&self.outputs))?;
        let output = |id: &TensorId| computed[id.index()].clone().expect("outputs are needed");
        Ok(self.outputs.iter().map(output).collect())
    }

    /// Which layers are needed for some tensors.
    pub(crate) fn needed(&self, tensors: &[TensorId]) -> Vec<bool> {
        let first = self.input_count();
        let mut needed = vec![false; self.tensors.len()];
        tensors.iter().for_each(|id| needed[id.index()] = true);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if needed[first + i] {
                node.inputs.iter().for_each(|id| needed[id.index()] = true);
            }
        }
        needed.split_off(first)
    }

    /// Runs the layers that are needed, by naive loops; answers what each tensor holds.
    fn compute(
        &self,
        inputs: &[Values<'_>],
        needed: &[bool],
    ) -> Result<Vec<Option<Values<'static>>>> {
        self.rows(inputs)?;
        let mut values: Vec<_> =
            inputs.iter().map(|values| Some(values.clone().into_owned())).collect();
        for (node, needed) in self.nodes.iter().zip(needed) {
            let output = needed.then(|| {
                let types: Vec<_> = node.inputs.iter().map(|&id| self.tensor_type(id)).collect();
                let of =
                    |id: &TensorId| values[id.index()].as_ref().expect("needed ones are there");
                let of: Vec<_> = node.inputs.iter().map(of).collect();
                node.layer.reference(&types, &of)
            });
            values.push(output.transpose()?);
        }
        Ok(values)
    }

    /// Which inputs of a max-product layer decided its outputs, for rows of the model's input: for
    /// explaining an answer, or for finding the connections that a network can do without.
    ///
    /// The answer holds, for each row and each output of layer number `layer`, the position of the
    /// layer's input whose product won; of equal products the lowest. Where there are splits, it has one
    /// for each block; of [`Aggregate::Mam`](crate::layers::Aggregate::Mam) two, that of the largest
    /// product, then that of the smallest. [`u32::MAX`] stands for a block without connections.
    ///
    /// By naive loops, as [`Model::reference`].
    ///
    /// # Errors
    /// Those of [`Model::reference`]; and `layer` must be a max-product layer, not a mean, of which a
    /// row has at most 2^21 winners.
    pub fn winners(&self, layer: usize, input: &Values<'_>) -> Result<Vec<u32>> {
        let at = || format!("layer {layer}");
        self.check_single()?;
        let message = match self.nodes.get(layer) {
            Some(Node { layer: Layer::MaxProduct(each), inputs }) => {
                let computed = self.compute(core::slice::from_ref(input), &self.needed(inputs))?;
                let values = computed[inputs[0].index()].as_ref().expect("it is needed");
                let winners = each.winners(&self.tensor_type(inputs[0]), values);
                return winners.map_err(|e| e.at(at()));
            }
            Some(node) => format!("nothing wins in a layer of kind {}", node.layer.name()),
            None => format!("there are {} layers", self.nodes.len()),
        };
        Err(Error::input(message).at(at()))
    }

    /// The same model, borrowing nothing.
    pub fn into_owned(self) -> Model<'static> {
        let name = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        let tensor = |tensor: Tensor<'_>| Tensor { name: name(tensor.name), of: tensor.of };
        let node = |node: Node<'_>| Node { layer: node.layer.into_owned(), inputs: node.inputs };
        Model {
            name: name(self.name),
            tensors: self.tensors.into_iter().map(tensor).collect(),
            nodes: self.nodes.into_iter().map(node).collect(),
            outputs: self.outputs,
            golden: self.golden.map(Golden::into_owned),
        }
    }

    /// Refuses a model that has not one input and one output.
    fn check_single(&self) -> Result<()> {
        match (self.input_count(), self.outputs.len()) {
            (1, 1) => Ok(()),
            (inputs, outputs) => Err(single(inputs, outputs)),
        }
    }

    /// How many rows each input has, if there is one for each, and all have as many.
    fn rows(&self, inputs: &[Values<'_>]) -> Result<usize> {
        let types: Vec<_> = self.inputs().map(|id| self.tensor_type(id)).collect();
        count_rows(&types, inputs, "input", |of, values, what| of.rows(values, what))
    }

    fn check_golden(&self, golden: &Golden<'_>) -> Result<()> {
        let input = self.rows(&golden.inputs)?;
        let types: Vec<_> = self.outputs.iter().map(|&id| self.tensor_type(id)).collect();
        let output = count_rows(&types, &golden.outputs, "output", |of, v, what| of.rows(v, what))?;
        if input != output || input == 0 {
            return Err(Error::model(format!("{input} input rows, {output} output rows")));
        }
        if u32::try_from(input).is_err() {
            return Err(Error::new(ErrorKind::Limit, format!("{input} rows, more than a u32")));
        }
        for (what, values) in [("input", &golden.inputs), ("output", &golden.outputs)] {
            for (i, values) in values.iter().enumerate() {
                if let Values::F32(values) = values
                    && let Some(at) = values.iter().position(|x| x.is_nan())
                {
                    let what = part(what, i);
                    return Err(Error::model(format!("element {at} of the {what} is NaN")));
                }
            }
        }
        Ok(())
    }
}

/// What is said to one who gives one input or output to a model that has another number.
pub(crate) fn single(inputs: usize, outputs: usize) -> Error {
    let message = format!("the model has {inputs} inputs and {outputs} outputs, not one of each");
    Error::input(message)
}

/// The number of rows that all of some values have, which are to be of these types.
#[inline]
pub(crate) fn count_rows<T>(
    types: &[TensorType],
    values: &[T],
    what: &str,
    rows: impl Fn(&TensorType, &T, &str) -> Result<usize>,
) -> Result<usize> {
    if types.len() != values.len() {
        let (expected, found) = (types.len(), values.len());
        return Err(Error::input(format!("{found} {what}s, but the model has {expected}")));
    }
    let mut count = None;
    for (i, (of, values)) in types.iter().zip(values).enumerate() {
        // A name is made only where there are several: one is the commonest, and must be quick.
        let found = match i {
            0 => rows(of, values, what)?,
            _ => rows(of, values, &part(what, i))?,
        };
        let first = *count.get_or_insert(found);
        if found != first {
            let what = part(what, i);
            return Err(Error::input(format!("{what} has {found} rows, but the first {first}")));
        }
    }
    Ok(count.unwrap_or(0))
}

/// How messages name one of several inputs or outputs.
pub(crate) fn part(what: &str, i: usize) -> Cow<'_, str> {
    match i {
        0 => what.into(),
        _ => format!("{what} {i}").into(),
    }
}

pub(crate) fn check_width(of: &TensorType, limits: &Limits) -> Result<()> {
    match of.width {
        0 => Err(Error::model("rows without elements")),
        width => limits.check_width(width),
    }
}

/// Collects the layers of a model in which each takes what the one before gives. Made by
/// [`Model::builder`]; [`Model::graph`] makes any other.
#[derive(Clone, Debug)]
pub struct ModelBuilder<'a> {
    name: Cow<'a, str>,
    input: TensorType,
    layers: Vec<Layer<'a>>,
}

impl<'a> ModelBuilder<'a> {
    /// Adds a layer after those there are.
    #[must_use]
    pub fn layer(mut self, layer: impl Into<Layer<'a>>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The model.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it, or contradicts itself, is named.
    pub fn build(self) -> Result<Model<'a>> {
        Limits::default().check_layers(self.layers.len())?;
        let mut graph = Model::graph(self.name);
        let mut at = graph.input("", self.input)?;
        for layer in self.layers {
            at = graph.layer("", layer, &[at])?;
        }
        graph.output(at);
        graph.build()
    }
}
