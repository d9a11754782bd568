//! Operators that only see the same rows in another shape: they become no layer.

use std::rc::Rc;

use signfold::{Element, Error, ErrorKind, Result};

use crate::onnx::dims::{self, permutation, position, reshape as reshape_dims};
use crate::onnx::lower::{BATCH, Batch, Lowering, Rows, Value, unsupported};
use crate::onnx::node::Node;
use crate::onnx::tensor::{type_name, types};

pub(super) fn identity(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    lowering.view(node, rows)
}

/// Nothing is dropped but in training.
pub(super) fn dropout(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    if let Some(training) = lowering.optional_constant(node, 2)?
        && training.data != crate::onnx::tensor::Data::Bool(vec![false])
    {
        return Err(unsupported("training mode"));
    }
    identity(lowering, node)
}

/// Real numbers stay the `f32` they are; positions stay positions.
pub(super) fn cast(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let to = node.int("to", 0)?;
    match lowering.kind(&rows).element {
        Element::F32 if matches!(to, types::FLOAT | types::DOUBLE) => (),
        Element::F32 if types::is_float(to) => {
            let (name, kind) = (node.output()?, type_name(to));
            lowering.notes.push(format!("value {name:?} is {kind} in the file, f32 in the model"));
        }
        Element::Index if matches!(to, types::INT64 | types::INT32) => (),
        element => {
            let (from, to) = (element.name(), type_name(to));
            return Err(unsupported(format!("a cast from {from} to {to}")));
        }
    }
    lowering.view(node, rows)
}

pub(super) fn flatten(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let dims = rows.dims();
    let axis = position(node.int("axis", 1)?, dims.len(), dims.len() + 1)?;
    let product = |dims: &[i64]| match dims {
        [BATCH, rest @ ..] if rest.iter().all(|&d| d == 1) => BATCH,
        _ => dims.iter().product(),
    };
    let dims = match dims.split_at(axis) {
        (before, after) if after.contains(&BATCH) || before.contains(&0) => {
            return Err(mixes(&rows, &[product(before), -1]));
        }
        (before, after) => [product(before), product(after)],
    };
    seen_as(lowering, node, rows, &dims)
}

pub(super) fn reshape(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let name = node.input(1)?;
    let target = match lowering.value(name)? {
        Value::Constant(tensor) | Value::Sizes(tensor) => tensor.ints()?,
        Value::Rows(_) | Value::Pending(_) | Value::LeftOff(_) => {
            return Err(unsupported(format!("shape {name:?} depends on an input's elements")));
        }
    };
    let dims = reshape_dims(&rows.dims(), &target, node.flag("allowzero")?)?;
    seen_as(lowering, node, rows, &dims)
}

pub(super) fn squeeze(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let axes = dims::axes(node, given_axes(lowering, node)?)?;
    let dims = dims::squeeze(&rows.dims(), axes.as_deref())?;
    seen_as(lowering, node, rows, &dims)
}

pub(super) fn unsqueeze(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let axes = dims::axes(node, given_axes(lowering, node)?)?;
    let dims = dims::unsqueeze(&rows.dims(), axes.as_deref())?;
    seen_as(lowering, node, rows, &dims)
}

fn given_axes(lowering: &Lowering<'_>, node: &Node) -> Result<Option<Vec<i64>>> {
    lowering.optional_constant(node, 1)?.map(|axes| axes.ints()).transpose()
}

/// Only where no element moves: dimensions that are not 1 keep their order.
pub(super) fn transpose(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let dims = rows.dims();
    let perm = permutation(node.ints("perm")?, dims.len())?;
    let moving: Vec<usize> = perm.iter().copied().filter(|&d| dims[d] != 1).collect();
    if !moving.is_sorted() {
        let shape = rows.shown();
        return Err(unsupported(format!("{perm:?} moves elements of shape {shape}")));
    }
    let dims: Vec<i64> = perm.iter().map(|&d| dims[d]).collect();
    seen_as(lowering, node, rows, &dims)
}

/// The dimensions become constants, but for a number of rows that is not known.
pub(super) fn shape(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let part = dims::part_of_shape(node, &rows.dims())?;
    let value = match part.ints()?.contains(&BATCH) {
        true => Value::Sizes(Rc::new(part)),
        false => Value::Constant(Rc::new(part)),
    };
    lowering.define(node.output()?, value);
    Ok(())
}

/// Gives the node's output: the same rows with other dimensions, the first of which is the batch.
fn seen_as(lowering: &mut Lowering<'_>, node: &Node, rows: Rows, dims: &[i64]) -> Result<()> {
    let whole = |dims: &[i64]| dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let (batch, shape): (_, Option<Vec<usize>>) = match (rows.batch, dims) {
        (Batch::Any, [BATCH, rest @ ..]) => (Batch::Any, whole(rest)),
        (Batch::Any, _) => return Err(mixes(&rows, dims)),
        (Batch::Fixed(1) | Batch::One, [1, rest @ ..]) => (Batch::Fixed(1), whole(rest)),
        (Batch::Fixed(1) | Batch::One, _) => (Batch::One, whole(dims)),
        (Batch::Fixed(n), [first, rest @ ..]) if *first == n as i64 => (rows.batch, whole(rest)),
        (Batch::Fixed(_), _) => return Err(mixes(&rows, dims)),
    };
    match shape {
        Some(shape) if shape.iter().product::<usize>() == rows.width() => {
            lowering.view(node, Rows { id: rows.id, batch, shape })
        }
        _ => Err(mixes(&rows, dims)),
    }
}

fn mixes(rows: &Rows, dims: &[i64]) -> Error {
    let (from, to) = (rows.shown(), dims::shown(dims));
    let message = format!("from shape {from} to {to}: rows would mix");
    Error::new(ErrorKind::Unsupported, message)
}
