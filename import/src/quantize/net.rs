//! A network as the quantizer works on it: layers that can be changed, joined and dropped.

use std::fmt::Write;

use signfold::layers::Layer;
use signfold::{Error, ErrorKind, Model, Result, TensorId, TensorType};

/// A model taken apart. Tensors are numbered as a model's are: the inputs, then one for each layer.
#[derive(Clone)]
pub(crate) struct Net {
    pub name: String,
    pub inputs: Vec<(String, TensorType)>,
    pub nodes: Vec<Node>,
    pub outputs: Vec<usize>,
}

/// A layer, and what it takes.
#[derive(Clone)]
pub(crate) struct Node {
    pub name: String,
    pub layer: Layer<'static>,
    pub inputs: Vec<usize>,
    /// Whether the layer, or one that became part of it, is to stay as it is.
    pub keep: bool,
}

impl Net {
    /// Takes a model apart, of which the layers with these names are to be kept.
    pub fn of(model: &Model<'_>, keep: &[String]) -> Result<Self> {
        let index = |id: &TensorId| id.index();
        let name = |id| model.tensor_name(id).to_owned();
        let nodes = model.nodes().map(|node| {
            let (name, layer) = (name(node.output), node.layer.clone().into_owned());
            let keep = !name.is_empty() && keep.contains(&name);
            Node { name, layer, inputs: node.inputs.iter().map(index).collect(), keep }
        });
        let net = Self {
            name: model.name().to_owned(),
            inputs: model.inputs().map(|id| (name(id), model.tensor_type(id))).collect(),
            nodes: nodes.collect(),
            outputs: model.outputs().iter().map(index).collect(),
        };
        match keep
            .iter()
            .find(|name| !net.nodes.iter().any(|node| node.keep && node.name == **name))
        {
            None => Ok(net),
            Some(name) => {
                let message = format!("no layer has the name {name:?}; there are {}", net.names());
                Err(Error::new(ErrorKind::Input, message).at("layers to keep"))
            }
        }
    }

    /// Puts the network together.
    pub fn model(&self) -> Result<Model<'static>> {
        let mut graph = Model::graph(self.name.clone());
        let mut ids = Vec::new();
        for (name, of) in &self.inputs {
            ids.push(graph.input(name.clone(), *of)?);
        }
        for node in &self.nodes {
            let inputs: Vec<_> = node.inputs.iter().map(|&tensor| ids[tensor]).collect();
            ids.push(graph.layer(node.name.clone(), node.layer.clone(), &inputs)?);
        }
        self.outputs.iter().for_each(|&tensor| graph.output(ids[tensor]));
        graph.build()
    }

    /// The number of the layer that gives a tensor; of an input there is none.
    pub fn maker(&self, tensor: usize) -> Option<usize> {
        tensor.checked_sub(self.inputs.len())
    }

    /// The tensor that a layer gives.
    pub fn tensor(&self, node: usize) -> usize {
        self.inputs.len() + node
    }

    pub fn tensors(&self) -> usize {
        self.inputs.len() + self.nodes.len()
    }

    pub fn tensor_name(&self, tensor: usize) -> &str {
        match self.maker(tensor) {
            Some(node) => &self.nodes[node].name,
            None => &self.inputs[tensor].0,
        }
    }

    /// Who reads each tensor.
    pub fn readers(&self) -> Vec<Readers> {
        let mut readers = vec![Readers::default(); self.tensors()];
        for (i, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&tensor| readers[tensor].nodes.push(i));
        }
        self.outputs.iter().for_each(|&tensor| readers[tensor].caller = true);
        readers
    }

    /// How messages name a layer.
    pub fn place(&self, node: usize) -> String {
        let Node { layer, name, .. } = &self.nodes[node];
        match &name[..] {
            "" => format!("layer {node} ({})", layer.name()),
            _ => format!("layer {node} ({}) {name:?}", layer.name()),
        }
    }

    /// The tensor that the answers of an output are compared by: what an argmax looks at.
    pub fn scores(&self, tensor: usize) -> usize {
        match self.maker(tensor).map(|node| &self.nodes[node]) {
            Some(Node { layer: Layer::Argmax(_), inputs, .. }) => inputs[0],
            _ => tensor,
        }
    }

    /// Drops the layers that no output depends on.
    pub fn drop_unused(&mut self) {
        let first = self.inputs.len();
        let mut used = vec![false; self.tensors()];
        self.outputs.iter().for_each(|&tensor| used[tensor] = true);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if used[first + i] {
                node.inputs.iter().for_each(|&tensor| used[tensor] = true);
            }
        }
        used[..first].fill(true);
        let mut count = 0;
        let place = used.iter().map(|used| {
            count += usize::from(*used);
            count.saturating_sub(1)
        });
        let place: Vec<usize> = place.collect();
        let mut used = used[first..].iter();
        self.nodes.retain(|_| used.next() == Some(&true));
        let tensors = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        tensors.chain(&mut self.outputs).for_each(|tensor| *tensor = place[*tensor]);
    }

    /// The names of some layers, for a message.
    fn names(&self) -> String {
        const SHOWN: usize = 64;
        let mut text = String::new();
        let named = || self.nodes.iter().filter(|node| !node.name.is_empty());
        for (i, node) in named().take(SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{:?}", node.name);
        }
        match named().count() {
            0 => "none with a name".to_owned(),
            count if count > SHOWN => format!("{text}, ..."),
            _ => text,
        }
    }
}

/// Who reads a tensor.
#[derive(Clone, Default)]
pub(crate) struct Readers {
    /// The layers; one that takes it twice is there twice.
    pub nodes: Vec<usize>,
    /// Whether it is an output of the model.
    pub caller: bool,
}

impl Readers {
    /// The layer that alone reads the tensor, once.
    pub fn only(&self) -> Option<usize> {
        match (&self.nodes[..], self.caller) {
            ([node], false) => Some(*node),
            _ => None,
        }
    }
}
