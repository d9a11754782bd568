//! What scales rows: by constants, by their own spread, or to a sum of 1.

use signfold::layers::{LayerNorm, LogSoftmax, Softmax};
use signfold::{Error, ErrorKind, Result};

use super::linear::{affine, per_element};
use crate::onnx::lower::{Lowering, Rows, unsupported};
use crate::onnx::node::Node;

pub(super) fn softmax(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = softmax_input(lowering, node)?;
    lowering.same_shape(node, Softmax, &input)
}

pub(super) fn log_softmax(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = softmax_input(lowering, node)?;
    lowering.same_shape(node, LogSoftmax, &input)
}

/// Rows that are normalized as a whole. Before version 13, all dimensions from the axis on were.
fn softmax_input(lowering: &mut Lowering<'_>, node: &Node) -> Result<Rows> {
    let input = lowering.rows(node, 0)?;
    match node.opset {
        ..13 => {
            let at = input.axis(node.int("axis", 1)?)?;
            if input.shape[..at].iter().any(|&d| d != 1) {
                let shape = input.shown();
                return Err(unsupported(format!("an axis amid rows of shape {shape}")));
            }
        }
        _ => input.expect_whole_row(node.int("axis", -1)?)?,
    }
    Ok(input)
}

/// What a batch normalization does to each element: `x * scale + shift`.
pub(super) struct Norm {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// The inference form. The channels are the first dimension after the batch; here they are the row.
pub(super) fn batch_norm_parts(lowering: &Lowering<'_>, node: &Node, rows: &Rows) -> Result<Norm> {
    if node.flag("training_mode")? {
        return Err(unsupported("training_mode = 1: it would mix rows"));
    }
    rows.expect_whole_row(1)?;
    let width = rows.width();
    let mut parts = Vec::with_capacity(4);
    for i in 1..=4 {
        let tensor = lowering.constant(node, i)?;
        if tensor.shape != [width] {
            let found = &tensor.shape;
            let message = format!("input {i} has shape {found:?}, expected [{width}]");
            return Err(Error::new(ErrorKind::Model, message));
        }
        parts.push(tensor.floats()?.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let [gain, shift, mean, variance] = &parts[..] else { unreachable!("four were pushed") };
    let scale = gain.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt());
    let scale: Vec<f64> = scale.collect();
    let shift = shift.iter().zip(mean.iter().zip(&scale)).map(|(b, (m, s))| b - m * s).collect();
    Ok(Norm { scale, shift })
}

pub(super) fn batch_norm(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = lowering.rows(node, 0)?;
    let Norm { scale, shift } = batch_norm_parts(lowering, node, &input)?;
    let narrow = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
    lowering.same_shape(node, affine(&input, narrow(scale), narrow(shift))?, &input)
}

pub(super) fn layer_norm(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = lowering.rows(node, 0)?;
    input.expect_whole_row(node.int("axis", -1)?)?;
    if node.int("stash_type", 1)? != 1 {
        return Err(unsupported("statistics that are not computed in float (stash_type)"));
    }
    let part = |i, default| match lowering.optional_constant(node, i)? {
        Some(tensor) => {
            let values = per_element(&tensor, &input)?;
            let count = if values.len() == 1 { input.width() } else { 1 };
            Ok(values.repeat(count))
        }
        None => Ok(vec![default; input.width()]),
    };
    let (scale, shift): (Vec<f32>, Vec<f32>) = (part(1, 1.0)?, part(2, 0.0)?);
    let epsilon = node.float("epsilon", 1e-5)?;
    let layer = LayerNorm::new(epsilon, scale, shift)?;
    lowering.same_shape(node, layer, &input)
}

/// `(x - offset) * scale`, as scikit-learn standardizes.
pub(super) fn scaler(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let mut rows = lowering.rows(node, 0)?;
    rows.expect_whole_row(-1)?;
    let part = |name, default| match node.floats(name)? {
        None => Ok(vec![default]),
        Some(values) if values.len() == 1 || values.len() == rows.width() => Ok(values.to_vec()),
        Some(values) => {
            let message = format!("{} of {name} for rows of {}", values.len(), rows.width());
            Err(Error::new(ErrorKind::Model, message))
        }
    };
    let (offset, scale) = (part("offset", 0.0)?, part("scale", 1.0)?);
    // Two layers, so that each operation rounds as it does in the file.
    if offset.iter().any(|&x| x != 0.0) {
        let shift = offset.iter().map(|x| -x).collect();
        rows = lowering.hidden(affine(&rows, vec![1.0], shift)?, &rows)?;
    }
    lowering.same_shape(node, affine(&rows, scale, vec![0.0])?, &rows)
}
