//! From the file's operators to layers: what all operators have in common.

use std::borrow::Cow;

use signfold::layers::Layer;
use signfold::{
    Error, ErrorKind, GraphBuilder, MAX_NAME_BYTES, Model, Result, TensorId, TensorType,
};

use super::TfLiteOptions;
use super::constants::params;
use super::operators;
use super::schema::{Element, File, Tensor};
use crate::Imported;

/// A network on its way.
pub(super) struct Lowering<'f, 'a> {
    pub file: &'f File<'a>,
    pub options: &'f TfLiteOptions,
    pub notes: Vec<String>,
    graph: GraphBuilder<'static>,
    /// What each of the file's tensors is in the graph, as far as it is in it.
    ids: Vec<Option<TensorId>>,
    /// For what DEQUANTIZE makes of a constant: that constant.
    pub dequantized: Vec<Option<usize>>,
    /// Rows of a batch, which the file fixes.
    rows: usize,
    /// Bytes of constants that may still be read: layers may share some, but not without end.
    pub budget: usize,
    /// Bytes that constants have taken, decoded.
    pub decoded: u64,
}

pub(super) fn lower(file: &File<'_>, bytes: usize, options: &TfLiteOptions) -> Result<Imported> {
    let needed = needed(file);
    let mut lowering = Lowering {
        options,
        notes: Vec::new(),
        graph: Model::graph(short(file.name)).limits(&options.limits),
        ids: vec![None; file.tensors.len()],
        dequantized: vec![None; file.tensors.len()],
        rows: rows(file, &needed),
        budget: bytes.saturating_mul(4),
        decoded: 0,
        file,
    };
    lowering.inputs()?;
    for (i, operator) in file.operators.iter().enumerate() {
        if needed[i] {
            let place = || format!("operator {i} ({})", operator.name);
            operators::lower(&mut lowering, operator).map_err(|e| e.at(place()))?;
        }
    }
    lowering.finish(needed.iter().filter(|&&needed| !needed).count())
}

/// Which operators the outputs depend on. The shape that RESHAPE is given is in its output's type
/// already, so what computes it is not needed.
fn needed(file: &File<'_>) -> Vec<bool> {
    let mut wanted = vec![false; file.tensors.len()];
    file.outputs.iter().for_each(|&output| wanted[output] = true);
    let mut needed = vec![false; file.operators.len()];
    for (operator, needed) in file.operators.iter().zip(&mut needed).rev() {
        *needed = operator.outputs.iter().any(|&output| wanted[output]);
        if *needed {
            let data = if operators::is_view(operator) { 1 } else { operator.inputs.len() };
            let inputs = operator.inputs.iter().take(data).flatten();
            inputs.for_each(|&input| wanted[input] = true);
        }
    }
    needed
}

/// How many rows a batch has: the first dimension, where all that is computed has the same one. Else
/// an input as a whole is one row.
fn rows(file: &File<'_>, needed: &[bool]) -> usize {
    let operators = file.operators.iter().zip(needed).filter(|(_, needed)| **needed);
    let computed = operators.flat_map(|(operator, _)| operator.outputs.iter());
    let mut firsts =
        file.inputs.iter().chain(computed).map(|&i| match &file.tensors[i].shape[..] {
            [rows, _, ..] => *rows,
            _ => 1,
        });
    let rows = firsts.next().unwrap_or(1);
    if firsts.all(|first| first == rows) { rows } else { 1 }
}

impl<'f> Lowering<'f, '_> {
    fn inputs(&mut self) -> Result<()> {
        for &tensor in &self.file.inputs {
            let read = || self.file_type(tensor);
            let of = read().map_err(|e| e.at(self.file.place(tensor)).at("input"))?;
            if self.ids[tensor].is_some() {
                return Err(model("it is an input already").at(self.file.place(tensor)));
            }
            self.ids[tensor] = Some(self.graph.input(self.name(tensor), of)?);
        }
        Ok(())
    }

    fn finish(mut self, left_off: usize) -> Result<Imported> {
        for &tensor in &self.file.outputs {
            let place = |e: Error| e.at(self.file.place(tensor)).at("output");
            let id = self.id(tensor).map_err(place)?;
            self.graph.output(id);
        }
        if self.file.subgraphs > 1 {
            let others = self.file.subgraphs - 1;
            self.notes.push(format!("the first subgraph is read, {others} more are not"));
        }
        if left_off > 0 {
            self.notes.push(format!("{left_off} operators that no output needs are left off"));
        }
        Ok(Imported { model: self.graph.build()?, notes: self.notes })
    }

    /// Adds a layer that gives one of the file's tensors.
    pub fn layer(
        &mut self,
        layer: impl Into<Layer<'static>>,
        inputs: &[TensorId],
        output: usize,
    ) -> Result<()> {
        let id = self.graph.layer(self.name(output), layer, inputs)?;
        self.give(output, id)
    }

    /// Adds a layer that gives what the file has no tensor for.
    pub fn inner(&mut self, layer: impl Into<Layer<'static>>, input: TensorId) -> Result<TensorId> {
        self.graph.layer("", layer, &[input])
    }

    /// Makes a tensor of the graph one of the file's, whose type it must have.
    pub fn give(&mut self, output: usize, id: TensorId) -> Result<()> {
        let (found, expected) = (self.graph.tensor(id), self.file_type(output)?);
        if found != expected {
            let message = format!("it computes {found}, but the file says {expected}");
            return Err(model(message).at(self.file.place(output)));
        }
        match self.ids[output].replace(id) {
            None => Ok(()),
            Some(_) => Err(model("it is computed already").at(self.file.place(output))),
        }
    }

    /// A tensor that is computed.
    pub fn id(&self, tensor: usize) -> Result<TensorId> {
        self.ids[tensor].ok_or_else(|| {
            let what = match self.is_constant(tensor) {
                true => unsupported("it is a constant, where only what is computed is supported"),
                false => model("no operator before has computed it"),
            };
            what.at(self.file.place(tensor))
        })
    }

    /// The type of a computed tensor.
    pub fn type_of(&self, id: TensorId) -> TensorType {
        self.graph.tensor(id)
    }

    /// The type that the file gives a tensor.
    pub fn file_type(&self, tensor: usize) -> Result<TensorType> {
        let of = &self.file.tensors[tensor];
        let read = || {
            of.expect_plain()?;
            let width = self.width(of)?;
            Ok(match of.element {
                Element::F32 => TensorType::f32(width),
                _ => TensorType::int8(width, params(of)?),
            })
        };
        read().map_err(|e: Error| e.at(self.file.place(tensor)))
    }

    /// Elements of a row.
    fn width(&self, of: &Tensor<'_>) -> Result<usize> {
        let (count, rows) = (of.count()?, self.rows);
        if rows == 0 || count == 0 {
            return Err(model(format!("shape {:?} has no elements", of.shape)));
        }
        if rows > 1 && of.shape.first() != Some(&rows) {
            let message = format!("shape {:?} does not keep the {rows} rows apart", of.shape);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(count / rows)
    }

    /// Refuses a tensor whose rows do not lie in the dimensions from `axis` on.
    pub fn expect_row_from(&self, tensor: usize, axis: usize) -> Result<()> {
        let of = &self.file.tensors[tensor];
        let read = || {
            let width = self.width(of)?;
            match of.shape.get(axis..) {
                Some(inner @ [_, ..]) if inner.iter().product::<usize>() == width => Ok(()),
                _ => {
                    let message = format!("shape {:?}, dimension {axis}", of.shape);
                    Err(unsupported(format!("{message}: only whole rows are supported")))
                }
            }
        };
        read().map_err(|e| e.at(self.file.place(tensor)))
    }

    /// The name that a tensor has in the model.
    fn name(&self, tensor: usize) -> Cow<'static, str> {
        short(self.file.tensors[tensor].name)
    }
}

pub(super) fn model(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// A name as long as a model may have one.
fn short(name: &str) -> Cow<'static, str> {
    let most = name.len().min(MAX_NAME_BYTES);
    let end = (0..=most).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    name[..end].to_owned().into()
}
