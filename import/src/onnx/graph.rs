//! The graph as the file has it, checked: every name is given once, and before it is taken.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::bytes::Bytes;
use signfold::{Error, ErrorKind, Limits, Result};

use super::external::External;
use super::node::{Attribute, Node};
use super::proto::{self, Budget};
use super::tensor::{Data, MAX_RANK, Tensor};

/// The operator sets of the default domain whose meaning is known. Before 11, axes and bounds were
/// told in other ways.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=27;

/// Nodes that a graph may have at most.
const MAX_NODES: usize = 1 << 16;

/// Nodes in an order in which each comes after those whose outputs it takes, and constants.
#[derive(Debug)]
pub(super) struct Graph {
    pub name: String,
    pub nodes: Vec<Node>,
    /// Initializers and what `Constant` nodes give.
    pub constants: HashMap<String, Tensor>,
    /// What a caller gives: inputs that are no initializers.
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
}

/// An input of the graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub name: String,
    /// The element type, as files number it.
    pub element: i64,
    /// The dimensions, `None` where the file has no number.
    pub dims: Vec<Option<usize>>,
}

/// Who gives and who takes the values of a graph, by the positions of the nodes.
pub(super) struct Uses {
    givers: HashMap<String, usize>,
    takers: HashMap<String, Vec<usize>>,
    outputs: HashSet<String>,
}

impl Graph {
    /// Decodes and checks a file. `folder` may hold further data of it.
    pub fn read(bytes: &[u8], folder: Option<&Path>, limits: &Limits) -> Result<Self> {
        let mut reader = Reader { budget: Budget::new(limits), external: External::new(folder) };
        reader.budget.file(bytes.len() as u64)?;
        reader.model(Bytes::copy_from_slice(bytes))
    }

    /// Who gives and who takes what.
    pub fn uses(&self) -> Uses {
        let mut takers: HashMap<String, Vec<usize>> = HashMap::new();
        let mut givers = HashMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                takers.entry(name.clone()).or_default().push(i);
            }
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                givers.insert(name.clone(), i);
            }
        }
        Uses { givers, takers, outputs: self.outputs.iter().cloned().collect() }
    }

    /// Drops the nodes that no output needs.
    pub fn drop_unused(&mut self) {
        let mut needed: HashSet<String> = self.outputs.iter().cloned().collect();
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.drain(..).rev() {
            if node.outputs.iter().any(|name| needed.contains(name)) {
                needed.extend(node.inputs.iter().filter(|name| !name.is_empty()).cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
    }
}

impl Uses {
    /// The node that gives a value, if one does.
    pub fn giver(&self, name: &str) -> Option<usize> {
        self.givers.get(name).copied()
    }

    /// The nodes that take a value, once for each input that does.
    pub fn takers(&self, name: &str) -> &[usize] {
        self.takers.get(name).map_or(&[], |takers| takers)
    }

    /// Whether a value is an output of the graph.
    pub fn is_output(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    /// The node that takes a value, if nothing else does and it is no output of the graph.
    pub fn only_taker(&self, name: &str) -> Option<usize> {
        match self.takers(name) {
            &[taker] if !self.outputs.contains(name) => Some(taker),
            _ => None,
        }
    }
}

struct Reader<'a> {
    budget: Budget,
    external: External<'a>,
}

impl Reader<'_> {
    fn model(&mut self, bytes: Bytes) -> Result<Graph> {
        let model: proto::Model = self.budget.decode(bytes, "not an ONNX file")?;
        let Some(graph) = model.graph else {
            return Err(format("an ONNX file without a graph"));
        };
        let opsets = self.opsets(&model.opsets)?;
        if !model.functions.is_empty() {
            let message = format!(
                "{} functions of the file's own; inline them first (onnx.inliner)",
                model.functions.len()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let graph: proto::Graph = self.budget.decode(graph, "graph")?;
        if !graph.sparse_initializers.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, "sparse initializers"));
        }
        if graph.nodes.len() > MAX_NODES {
            let message = format!("{} nodes, more than {MAX_NODES}", graph.nodes.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut names = Names::default();
        let mut constants = HashMap::new();
        for bytes in graph.initializers {
            let (name, tensor) = self.initializer(bytes)?;
            names.give(&name).map_err(|e| e.at("initializer"))?;
            constants.insert(name, tensor);
        }
        let mut inputs = Vec::new();
        for bytes in graph.inputs {
            let info: proto::ValueInfo = self.budget.decode(bytes, "an input")?;
            if constants.contains_key(&info.name) {
                // Before version 4 of the file, initializers had to be inputs too.
                continue;
            }
            let place = format!("input {:?}", info.name);
            names.give(&info.name).map_err(|e| e.at("input"))?;
            inputs.push(self.input(info).map_err(|e| e.at(place))?);
        }
        let mut nodes = Vec::with_capacity(graph.nodes.len());
        for (i, bytes) in graph.nodes.into_iter().enumerate() {
            let node = self.node(bytes, &opsets).map_err(|e| e.at(format!("node {i}")))?;
            let place = |e: Error| e.at(node.place());
            names.take(&node).map_err(place)?;
            match constant(&node).map_err(place)? {
                Some((name, tensor)) => _ = constants.insert(name, tensor),
                None => nodes.push(node),
            }
        }
        let outputs = graph.outputs.into_iter().map(|bytes| {
            let info: proto::ValueInfo = self.budget.decode(bytes, "an output")?;
            names.expect(&info.name).map_err(|e| e.at("output"))?;
            Ok(info.name)
        });
        let outputs: Vec<_> = outputs.collect::<Result<_>>()?;
        if outputs.is_empty() {
            return Err(format("a graph without outputs"));
        }
        Ok(Graph { name: graph.name, nodes, constants, inputs, outputs })
    }

    /// The version of each domain.
    fn opsets(&mut self, list: &[Bytes]) -> Result<HashMap<String, i64>> {
        let mut opsets = HashMap::new();
        for bytes in list {
            let set: proto::OperatorSet = self.budget.decode(bytes.clone(), "an operator set")?;
            let domain = domain(set.domain);
            if opsets.insert(domain.clone(), set.version).is_some() {
                return Err(format(format!("two operator sets for domain {domain:?}")));
            }
        }
        match opsets.get("") {
            Some(version) if OPSETS.contains(version) => Ok(opsets),
            Some(version) => {
                let (first, last) = (OPSETS.start(), OPSETS.end());
                let message = format!(
                    "opset {version}; known are {first} to {last} (onnx.version_converter brings \
                     a file to one of them)"
                );
                Err(Error::new(ErrorKind::Unsupported, message))
            }
            None => Err(format("the file does not say which opset its operators are of")),
        }
    }

    fn initializer(&mut self, bytes: Bytes) -> Result<(String, Tensor)> {
        let tensor: proto::Tensor = self.budget.decode(bytes, "an initializer")?;
        let name = tensor.name.clone();
        let read = Tensor::read(tensor, &mut self.external, &mut self.budget);
        Ok((name.clone(), read.map_err(|e| e.at(format!("initializer {name:?}")))?))
    }

    fn input(&mut self, info: proto::ValueInfo) -> Result<Input> {
        let Some(tensor) = info.kind.and_then(|kind| kind.tensor) else {
            return Err(Error::new(ErrorKind::Unsupported, "it is not a tensor"));
        };
        let Some(shape) = tensor.shape else {
            return Err(Error::new(ErrorKind::Unsupported, "its shape is not in the file"));
        };
        let shape: proto::Shape = self.budget.decode(shape, "shape")?;
        if shape.dims.len() > MAX_RANK {
            let message = format!("{} dimensions, more than {MAX_RANK}", shape.dims.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let dims = shape.dims.into_iter().map(|bytes| {
            let dim: proto::Dim = self.budget.decode(bytes, "dimension")?;
            // Writers put 0 or -1 where they do not know.
            Ok(dim.value.and_then(|d| usize::try_from(d).ok()).filter(|&d| d > 0))
        });
        let dims = dims.collect::<Result<_>>()?;
        Ok(Input { name: info.name, element: tensor.element.into(), dims })
    }

    fn node(&mut self, bytes: Bytes, opsets: &HashMap<String, i64>) -> Result<Node> {
        let node: proto::Node = self.budget.decode(bytes, "its message")?;
        let domain = domain(node.domain);
        let Some(&opset) = opsets.get(&domain) else {
            let message = format!(
                "operator {} of domain {domain:?}, but the file does not say \
                                   which version of that domain",
                node.op
            );
            return Err(format(message));
        };
        let mut attributes = std::collections::BTreeMap::new();
        for bytes in node.attributes {
            let (name, attribute) = Attribute::read(bytes, &mut self.budget)?;
            if attributes.insert(name.clone(), attribute).is_some() {
                return Err(format(format!("attribute {name:?} stands there twice")));
            }
        }
        let (inputs, outputs) = (node.inputs, node.outputs);
        Ok(Node { name: node.name, op: node.op, domain, opset, inputs, outputs, attributes })
    }
}

/// The names given so far.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn give(&mut self, name: &str) -> Result<()> {
        match name {
            "" => Err(format("a value without a name")),
            _ if self.0.insert(name.to_owned()) => Ok(()),
            _ => Err(format(format!("value {name:?} is given twice"))),
        }
    }

    /// Inputs first, so that no cycle can close.
    fn take(&mut self, node: &Node) -> Result<()> {
        let named = |name: &&String| !name.is_empty();
        node.inputs.iter().filter(named).try_for_each(|name| self.expect(name))?;
        node.outputs.iter().filter(named).try_for_each(|name| self.give(name))
    }

    fn expect(&self, name: &str) -> Result<()> {
        match self.0.contains(name) {
            true => Ok(()),
            false => Err(format(format!("nothing before it gives value {name:?}"))),
        }
    }
}

/// What a `Constant` node gives; `None` for other nodes.
fn constant(node: &Node) -> Result<Option<(String, Tensor)>> {
    if !node.is("Constant") {
        return Ok(None);
    }
    let Some(attribute) = node.attributes.values().next().filter(|_| node.attributes.len() == 1)
    else {
        return Err(format("a constant has one value"));
    };
    let list = |data: Data, len: usize| Tensor::new(vec![len], data);
    let tensor = match attribute {
        Attribute::Tensor(tensor) => tensor.clone(),
        Attribute::Float(value) => Tensor::scalar(*value),
        Attribute::Int(value) => Tensor::new(Vec::new(), Data::I64(vec![*value]))?,
        Attribute::Floats(values) => list(Data::F32(values.clone()), values.len())?,
        Attribute::Ints(values) => list(Data::I64(values.clone()), values.len())?,
        Attribute::Text(_) => Tensor::new(Vec::new(), Data::Other("string"))?,
        Attribute::Texts(values) => list(Data::Other("string"), values.len())?,
        Attribute::Other(kind) => {
            return Err(Error::new(ErrorKind::Unsupported, format!("its value is {kind}")));
        }
    };
    Ok(Some((node.output()?.to_owned(), tensor)))
}

/// A domain by its short name.
fn domain(name: String) -> String {
    if name == "ai.onnx" { String::new() } else { name }
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}
