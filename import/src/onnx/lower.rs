//! From nodes to layers: each node in turn, by the function that `ops` has for its operator.
//!
//! A value of the graph is a constant, a list of sizes, or rows that layers compute. Of a tensor of
//! rows the first dimension is the batch; the others are only remembered, as views of the same row.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use signfold::layers::Layer;
use signfold::quant::Rounding;
use signfold::{
    Error, ErrorKind, GraphBuilder, MAX_NAME_BYTES, Model, Result, TensorId, TensorType,
};

use super::OnnxOptions;
use super::dims;
use super::fold::{self, Copies};
use super::graph::{Graph, Input, Uses};
use super::node::Node;
use super::ops;
use super::quant::{self, Pending};
use super::tensor::{Data, Tensor, elements, type_name, types};
use crate::Imported;

/// What a name of the graph stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Known without running the network.
    Constant(Rc<Tensor>),
    /// Whole numbers, of which some are [`BATCH`]: what `Shape` gives, and its parts.
    Sizes(Rc<Tensor>),
    /// What layers compute.
    Rows(Rows),
    /// Quantized, and on the way to the layer that it becomes part of.
    Pending(Pending),
    /// What the model does not give, and why. So is all that depends on it.
    LeftOff(String),
}

/// Stands in [`Value::Sizes`] for the number of rows. No tensor has so many dimensions or elements
/// less than none, so it cannot be meant otherwise; and it is the same in 32 bits as in 64.
pub(super) const BATCH: i64 = i32::MIN as i64;

/// Rows that layers compute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    /// The model's tensor.
    pub id: TensorId,
    /// How the file counts the rows.
    pub batch: Batch,
    /// The dimensions of a row: those after the batch. All of a row's elements are one row of the
    /// model, in the same order.
    pub shape: Vec<usize>,
}

/// The dimension that counts rows. The model takes any number of them in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// There is no such dimension: the file computes one row.
    One,
    /// Always this many.
    Fixed(usize),
    /// Any number.
    Any,
}

impl Rows {
    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many dimensions the tensor has in the file.
    pub fn rank(&self) -> usize {
        self.shape.len() + usize::from(self.batch != Batch::One)
    }

    /// The dimensions of the tensor in the file, with [`BATCH`] for a number of rows not known.
    pub fn dims(&self) -> Vec<i64> {
        let batch = match self.batch {
            Batch::One => None,
            Batch::Fixed(rows) => Some(rows as i64),
            Batch::Any => Some(BATCH),
        };
        batch.into_iter().chain(self.shape.iter().map(|&d| d as i64)).collect()
    }

    /// The position in `shape` of an axis, as files count them: from the end where it is negative.
    pub fn axis(&self, axis: i64) -> Result<usize> {
        let rank = self.rank();
        let batch = rank - self.shape.len();
        let found = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis });
        match found {
            Ok(found) if found < batch => {
                Err(unsupported(format!("axis {axis} is the batch: rows do not mix")))
            }
            Ok(found) if found < rank => Ok(found - batch),
            _ => {
                let message = format!("axis {axis} of a tensor of {rank} dimensions");
                Err(Error::new(ErrorKind::Model, message))
            }
        }
    }

    /// Refuses an axis that is not the whole row: other dimensions after the batch must be 1.
    pub fn expect_whole_row(&self, axis: i64) -> Result<()> {
        let at = self.axis(axis)?;
        match self.shape[at] == self.width() {
            true => Ok(()),
            false => Err(unsupported(format!(
                "axis {axis} of shape {}, but layers work on whole rows",
                self.shown()
            ))),
        }
    }

    /// The shape, for messages.
    pub fn shown(&self) -> String {
        dims::shown(&self.dims())
    }
}

/// A model that is being made from a graph.
pub(super) struct Lowering<'g> {
    pub nodes: &'g [Node],
    pub uses: Uses,
    values: HashMap<String, Value>,
    builder: GraphBuilder<'static>,
    /// Nodes that an earlier one has taken over.
    absorbed: HashSet<usize>,
    /// What the model lacks or has otherwise than the file.
    pub notes: Vec<String>,
    /// The rule for sums that become 8-bit integers.
    pub rounding: Rounding,
    /// Elements of constants that may still be copied.
    copies: Copies,
}

/// Makes a model of a graph.
pub(super) fn lower(mut graph: Graph, copies: Copies, options: &OnnxOptions) -> Result<Imported> {
    let name = clip(&graph.name, MAX_NAME_BYTES).to_owned();
    let uses = graph.uses();
    let constants = std::mem::take(&mut graph.constants);
    let mut lowering = Lowering {
        nodes: &graph.nodes,
        uses,
        copies,
        values: HashMap::new(),
        builder: Model::graph(name).limits(&options.limits),
        absorbed: HashSet::new(),
        notes: Vec::new(),
        rounding: options.rounding,
    };
    for (name, tensor) in constants {
        lowering.values.insert(name, Value::Constant(Rc::new(tensor)));
    }
    for input in &graph.inputs {
        lowering.input(input).map_err(|e| e.at(format!("input {:?}", input.name)))?;
    }
    // Quantized constants first, wherever the file has them: layers look ahead for their biases.
    for (i, node) in graph.nodes.iter().enumerate() {
        if lowering.is_constant_quantized(node) {
            lowering.node(node).map_err(|e| e.at(node.place()))?;
            lowering.absorb(i);
        }
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        if !lowering.absorbed.contains(&i) {
            lowering.node(node).map_err(|e| e.at(node.place()))?;
        }
    }
    lowering.outputs(&graph.outputs)?;
    Ok(Imported { model: lowering.builder.build()?, notes: lowering.notes })
}

impl<'g> Lowering<'g> {
    fn input(&mut self, input: &Input) -> Result<()> {
        if self.uses.takers(&input.name).is_empty() && !self.uses.is_output(&input.name) {
            self.notes.push(format!("input {:?} left off: nothing takes it", input.name));
            return Ok(());
        }
        let (batch, dims) = match &input.dims[..] {
            [] => return Err(unsupported("a number without dimensions instead of rows")),
            [Some(_)] => (Batch::One, &input.dims[..]),
            [None, dims @ ..] => (Batch::Any, dims),
            [Some(rows), dims @ ..] => (Batch::Fixed(*rows), dims),
        };
        let Some(shape) = dims.iter().copied().collect::<Option<Vec<usize>>>() else {
            return Err(unsupported("only the first of its dimensions, the batch, may be open"));
        };
        elements(&shape)?;
        if let Batch::Fixed(rows) = batch {
            elements(&[rows])?;
        }
        let width = shape.iter().product();
        let kind = match input.element {
            types::FLOAT => TensorType::f32(width),
            types::INT8 | types::UINT8 => {
                TensorType::int8(width, quant::input_params(self, &input.name, input.element)?)
            }
            other if types::is_float(other) => {
                self.notes.push(format!(
                    "input {:?} is {} in the file, f32 in the model",
                    input.name,
                    type_name(other)
                ));
                TensorType::f32(width)
            }
            other => {
                return Err(unsupported(format!("elements of type {}", type_name(other))));
            }
        };
        let id = self.builder.input(clip(&input.name, MAX_NAME_BYTES).to_owned(), kind)?;
        self.define(&input.name, Value::Rows(Rows { id, batch, shape }));
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        if self.quantized_constant(node)? {
            return Ok(());
        }
        if let Some(values) = self.known_inputs(node) {
            let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
            if let Some(result) = fold::evaluate(node, &values, &mut self.copies)? {
                let sizes = matches!(&result.data, Data::I64(v) if v.contains(&BATCH))
                    || matches!(&result.data, Data::I32(v) if v.contains(&(BATCH as i32)));
                let value = match sizes {
                    true => Value::Sizes(Rc::new(result)),
                    false => Value::Constant(Rc::new(result)),
                };
                self.define(node.output()?, value);
                return Ok(());
            }
        }
        let left_off = node.inputs.iter().find_map(|name| match self.values.get(name) {
            Some(Value::LeftOff(reason)) => Some(reason.clone()),
            _ => None,
        });
        match left_off {
            Some(reason) => {
                for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                    self.values.insert(name.clone(), Value::LeftOff(reason.clone()));
                }
                Ok(())
            }
            None => {
                let lower = ops::find(node)?;
                if self.quantized(node)? { Ok(()) } else { lower(self, node) }
            }
        }
    }

    /// The inputs, if each is a constant or a list of sizes.
    fn known_inputs(&self, node: &Node) -> Option<Vec<Option<Rc<Tensor>>>> {
        let known = |name: &String| match self.values.get(name) {
            None => Some(None),
            Some(Value::Constant(tensor) | Value::Sizes(tensor)) => Some(Some(tensor.clone())),
            Some(Value::Pending(pending)) => pending.constant().ok().flatten().map(Some),
            Some(Value::Rows(_) | Value::LeftOff(_)) => None,
        };
        node.inputs.iter().map(known).collect()
    }

    fn outputs(&mut self, names: &[String]) -> Result<()> {
        let mut ids = Vec::new();
        for name in names {
            match self.settled(name).map_err(|e| e.at(format!("output {name:?}")))? {
                Value::Rows(rows) if ids.contains(&rows.id) => {
                    self.notes.push(format!("output {name:?} left off: it equals another one"));
                }
                Value::Rows(rows) => ids.push(rows.id),
                Value::LeftOff(reason) => {
                    self.notes.push(format!("output {name:?} left off: {reason}"));
                }
                Value::Constant(_) | Value::Sizes(_) | Value::Pending(_) => {
                    self.notes.push(format!("output {name:?} left off: it is constant"));
                }
            }
        }
        if ids.is_empty() {
            return Err(Error::new(ErrorKind::Model, "no output depends on an input"));
        }
        ids.into_iter().for_each(|id| self.builder.output(id));
        Ok(())
    }

    /// What a name stands for.
    pub fn value(&self, name: &str) -> Result<&Value> {
        self.values.get(name).ok_or_else(|| {
            unsupported(format!("value {name:?}, an output that is not computed here"))
        })
    }

    /// Whether a name stands for a constant.
    pub fn is_constant(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Constant(_)) => true,
            Some(Value::Pending(pending)) => pending.is_constant(),
            _ => false,
        }
    }

    /// Says what a name stands for.
    pub fn define(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// What a name stands for, once a layer computes it if one can.
    fn settled(&mut self, name: &str) -> Result<Value> {
        match self.value(name)?.clone() {
            Value::Pending(pending) if !pending.is_constant() => {
                pending.rows(self, name).map(Value::Rows)
            }
            value => Ok(value),
        }
    }

    /// Input `i` as rows.
    pub fn rows(&mut self, node: &Node, i: usize) -> Result<Rows> {
        let name = node.input(i)?;
        match self.settled(name)? {
            Value::Rows(rows) => Ok(rows),
            _ => Err(unsupported(format!("input {i} ({name:?}) is constant, expected rows"))),
        }
    }

    /// Input `i` as a constant.
    pub fn constant(&self, node: &Node, i: usize) -> Result<Rc<Tensor>> {
        let name = node.input(i)?;
        let constant = match self.value(name)? {
            Value::Constant(tensor) => Some(tensor.clone()),
            Value::Pending(pending) => pending.constant()?,
            _ => None,
        };
        constant.ok_or_else(|| {
            unsupported(format!("input {i} ({name:?}) is computed, expected a constant"))
        })
    }

    /// Input `i` as a constant, if it is there.
    pub fn optional_constant(&self, node: &Node, i: usize) -> Result<Option<Rc<Tensor>>> {
        node.optional(i).map(|_| self.constant(node, i)).transpose()
    }

    /// The type of rows.
    pub fn kind(&self, rows: &Rows) -> TensorType {
        self.builder.tensor(rows.id)
    }

    /// Adds a layer; `name` stands for what it gives, shaped like `like` but for the row's shape.
    pub fn layer(
        &mut self,
        name: &str,
        layer: impl Into<Layer<'static>>,
        inputs: &[&Rows],
        shape: Vec<usize>,
    ) -> Result<Rows> {
        let ids: Vec<_> = inputs.iter().map(|rows| rows.id).collect();
        let label = clip(name, MAX_NAME_BYTES).to_owned();
        let id = self.builder.layer(label, layer, &ids)?;
        let rows = Rows { id, batch: inputs[0].batch, shape };
        self.define(name, Value::Rows(rows.clone()));
        Ok(rows)
    }

    /// Adds a layer between others, which no name of the file stands for.
    pub fn hidden(&mut self, layer: impl Into<Layer<'static>>, input: &Rows) -> Result<Rows> {
        let id = self.builder.layer("", layer, &[input.id])?;
        Ok(Rows { id, ..input.clone() })
    }

    /// Adds a layer that gives the node's first output, with rows of the shape of its first input.
    pub fn same_shape(
        &mut self,
        node: &Node,
        layer: impl Into<Layer<'static>>,
        input: &Rows,
    ) -> Result<()> {
        self.layer(node.output()?, layer, &[input], input.shape.clone()).map(|_| ())
    }

    /// The node's first output is its input, seen with another shape.
    pub fn view(&mut self, node: &Node, rows: Rows) -> Result<()> {
        self.define(node.output()?, Value::Rows(rows));
        Ok(())
    }

    /// The node that alone takes the value `name`, to take it over with [`Lowering::absorb`].
    pub fn only_taker(&self, name: &str) -> Option<(usize, &'g Node)> {
        let i = self.uses.only_taker(name)?;
        let nodes: &'g [Node] = self.nodes;
        Some((i, &nodes[i]))
    }

    /// Takes a later node over: it will not be lowered.
    pub fn absorb(&mut self, node: usize) {
        self.absorbed.insert(node);
    }

    /// Counts elements of constants that are about to be copied.
    pub fn copy(&mut self, elements: usize) -> Result<()> {
        self.copies.spend(elements)
    }
}

/// An error for what the file may say but nothing here can do.
pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// The start of a text, not more than that many bytes.
fn clip(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
