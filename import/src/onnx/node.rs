//! A node: an operator with its inputs, outputs and attributes, and accessors that say what is
//! missing.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use signfold::{Error, ErrorKind, Result};

use super::external::External;
use super::proto::{self, Budget};
use super::tensor::Tensor;

/// A node of the graph. An input or output that is left off has an empty name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub name: String,
    pub op: String,
    /// The operator's domain; empty for the default one.
    pub domain: String,
    /// The version of that domain's operators.
    pub opset: i64,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// What an operator is told besides its inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Tensor(Tensor),
    /// A kind that nothing here can use: a subgraph, a sparse tensor, a type.
    Other(&'static str),
}

impl Node {
    /// What messages call the node.
    pub fn place(&self) -> String {
        let domain = if self.domain.is_empty() { "opset" } else { &self.domain };
        let kind = format!("{}, {domain} {}", self.op, self.opset);
        match self.outputs.iter().find(|name| !name.is_empty()) {
            _ if !self.name.is_empty() => format!("node {:?} ({kind})", self.name),
            Some(output) => format!("node that gives {output:?} ({kind})"),
            None => format!("node without a name ({kind})"),
        }
    }

    /// Whether this is that operator of the default domain.
    pub fn is(&self, op: &str) -> bool {
        self.domain.is_empty() && self.op == op
    }

    /// The name of an input that must be there.
    pub fn input(&self, i: usize) -> Result<&str> {
        self.optional(i)
            .ok_or_else(|| Error::new(ErrorKind::Format, format!("input {i} is missing")))
    }

    /// The name of an input, if it is there.
    pub fn optional(&self, i: usize) -> Option<&str> {
        self.inputs.get(i).map(|name| &name[..]).filter(|name| !name.is_empty())
    }

    /// The name of the first output.
    pub fn output(&self) -> Result<&str> {
        match self.outputs.first() {
            Some(name) if !name.is_empty() => Ok(name),
            _ => Err(Error::new(ErrorKind::Format, "it has no first output")),
        }
    }

    /// A real number, or the default.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(other) => Err(wrong(name, "a float", other)),
        }
    }

    /// A whole number, or the default.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    /// A whole number, if it is there.
    pub fn optional_int(&self, name: &str) -> Result<Option<i64>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong(name, "an int", other)),
        }
    }

    /// Whether the whole number `name` is not zero; false if it is not there.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.int(name, 0)? != 0)
    }

    /// A list of whole numbers, if it is there.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(other) => Err(wrong(name, "ints", other)),
        }
    }

    /// A list of real numbers, if it is there.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Floats(values)) => Ok(Some(values)),
            Some(other) => Err(wrong(name, "floats", other)),
        }
    }

    /// A text, or the default.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => Ok(value),
            Some(other) => Err(wrong(name, "a string", other)),
        }
    }
}

impl Attribute {
    /// Decodes an attribute: its name, and what it holds.
    pub fn read(bytes: Bytes, budget: &mut Budget) -> Result<(String, Self)> {
        let attribute: proto::Attribute = budget.decode(bytes, "an attribute")?;
        let name = attribute.name.clone();
        let read = Self::value(attribute, budget);
        Ok((name.clone(), read.map_err(|e| e.at(format!("attribute {name:?}")))?))
    }

    fn value(attribute: proto::Attribute, budget: &mut Budget) -> Result<Self> {
        if !attribute.reference.is_empty() {
            let message = "it refers to an attribute of a function, and this is none";
            return Err(Error::new(ErrorKind::Format, message));
        }
        let text = |bytes: &Bytes| {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| Error::new(ErrorKind::Format, "a string that is not UTF-8"))
        };
        Ok(match attribute.kind {
            1 => Self::Float(attribute.float),
            2 => Self::Int(attribute.int),
            3 => Self::Text(text(&attribute.string)?),
            4 => {
                let tensor = budget.decode(attribute.tensor, "a tensor")?;
                // Writers move only initializers to other files.
                Self::Tensor(Tensor::read(tensor, &mut External::new(None), budget)?)
            }
            5 | 10 => Self::Other("a graph"),
            6 => Self::Floats(attribute.floats),
            7 => Self::Ints(attribute.ints),
            8 => Self::Texts(attribute.strings.iter().map(text).collect::<Result<_>>()?),
            9 => Self::Other("tensors"),
            11 | 12 => Self::Other("a sparse tensor"),
            13 | 14 => Self::Other("a type"),
            other => {
                let message = format!("its type is {other}, which is none");
                return Err(Error::new(ErrorKind::Format, message));
            }
        })
    }

    /// What it holds, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Attribute::Float(_) => "a float",
            Attribute::Int(_) => "an int",
            Attribute::Text(_) => "a string",
            Attribute::Floats(_) => "floats",
            Attribute::Ints(_) => "ints",
            Attribute::Texts(_) => "strings",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Other(kind) => kind,
        }
    }
}

fn wrong(name: &str, expected: &str, found: &Attribute) -> Error {
    let message = format!("attribute {name:?} is {}, expected {expected}", found.kind());
    Error::new(ErrorKind::Format, message)
}
