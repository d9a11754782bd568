//! Two inputs, element by element; and rows put end to end.

use signfold::layers::{Activation, Combine, CombineOp, Concat};
use signfold::{Error, ErrorKind, Result};

use super::linear::{self, affine, per_element};
use crate::onnx::lower::{Lowering, Rows, unsupported};
use crate::onnx::node::Node;

pub(super) fn add(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combine(lowering, node, CombineOp::Add)
}

pub(super) fn sub(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combine(lowering, node, CombineOp::Sub)
}

pub(super) fn mul(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combine(lowering, node, CombineOp::Mul)
}

pub(super) fn div(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    combine(lowering, node, CombineOp::Div)
}

pub(super) fn neg(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let layer = affine(&rows, vec![-1.0], vec![0.0])?;
    lowering.same_shape(node, layer, &rows)
}

fn combine(lowering: &mut Lowering<'_>, node: &Node, op: CombineOp) -> Result<()> {
    for i in [0, 1] {
        if lowering.is_constant(node.input(i)?) {
            return with_constant(lowering, node, op, i);
        }
    }
    two_rows(lowering, node, op)
}

fn two_rows(lowering: &mut Lowering<'_>, node: &Node, op: CombineOp) -> Result<()> {
    let (a, b) = (lowering.rows(node, 0)?, lowering.rows(node, 1)?);
    if a.batch != b.batch || a.shape != b.shape {
        let (a, b) = (a.shown(), b.shown());
        return Err(unsupported(format!("shapes {a} and {b}: only equal ones are joined")));
    }
    let layer = Combine { op, activation: Activation::Identity, output: None };
    lowering.layer(node.output()?, layer, &[&a, &b], a.shape.clone()).map(|_| ())
}

/// Input `i` is a constant: each element is scaled and shifted.
fn with_constant(lowering: &mut Lowering<'_>, node: &Node, op: CombineOp, i: usize) -> Result<()> {
    let rows = lowering.rows(node, 1 - i)?;
    let values = per_element(&*lowering.constant(node, i)?, &rows)?;
    let each = |function: fn(f32) -> f32| values.iter().map(|&x| function(x)).collect();
    let (scale, shift) = match op {
        CombineOp::Add => (vec![1.0], values),
        CombineOp::Sub if i == 0 => (vec![-1.0], values),
        CombineOp::Sub => (vec![1.0], each(|x| -x)),
        CombineOp::Mul => (values, vec![0.0]),
        CombineOp::Div if i == 0 => return Err(unsupported("a constant divided by rows")),
        CombineOp::Div => (each(|x| 1.0 / x), vec![0.0]),
        other => return Err(unsupported(format!("{other:?} with a constant"))),
    };
    let mut name = node.output()?;
    let mut shift = shift;
    // An addition that follows a multiplication is part of the same layer.
    if shift == [0.0]
        && let Some((i, next)) = lowering.only_taker(name)
        && let Some(values) = linear::addend(lowering, next, name, &rows)?
    {
        (shift, name) = (values, next.output()?);
        lowering.absorb(i);
    }
    let layer = affine(&rows, scale, shift)?;
    lowering.layer(name, layer, &[&rows], rows.shape.clone()).map(|_| ())
}

pub(super) fn concat(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let count = node.inputs.len();
    let parts = (0..count).map(|i| lowering.rows(node, i)).collect::<Result<Vec<Rows>>>()?;
    let shape = joined_shape(node, &parts)?;
    if let [part] = &parts[..] {
        return lowering.view(node, part.clone());
    }
    let layer = Concat { inputs: count, output: None };
    let parts: Vec<&Rows> = parts.iter().collect();
    lowering.layer(node.output()?, layer, &parts, shape).map(|_| ())
}

/// The shape of rows that a node puts end to end.
pub(in crate::onnx) fn joined_shape(node: &Node, parts: &[Rows]) -> Result<Vec<usize>> {
    let first = &parts[0];
    let Some(axis) = node.optional_int("axis")? else {
        return Err(Error::new(ErrorKind::Format, "the axis is missing"));
    };
    let at = first.axis(axis)?;
    if first.shape[..at].iter().any(|&d| d != 1) {
        return Err(unsupported(format!("an axis amid rows of shape {}", first.shown())));
    }
    let mut shape = first.shape.clone();
    for part in &parts[1..] {
        let same = |(d, (a, b)): (usize, (&usize, &usize))| d == at || a == b;
        let shapes = shape.iter().zip(&part.shape).enumerate();
        if part.batch != first.batch || part.rank() != first.rank() || !shapes.into_iter().all(same)
        {
            let (a, b) = (first.shown(), part.shown());
            return Err(Error::new(ErrorKind::Model, format!("shape {b} beside {a}")));
        }
        shape[at] = shape[at].saturating_add(part.shape[at]);
    }
    Ok(shape)
}
