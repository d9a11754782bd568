//! Products with a constant matrix. An addition of a constant and a batch normalization that alone
//! take their result become part of them.

use std::borrow::Cow;

use signfold::layers::{Affine, FloatDense};
use signfold::{Error, ErrorKind, Result, WeightLayout};

use super::normalize;
use crate::onnx::dims::{broadcast_tables, offsets};
use crate::onnx::lower::{Batch, Lowering, Rows, unsupported};
use crate::onnx::node::Node;
use crate::onnx::tensor::Tensor;

/// A matrix `[out][in]`.
struct Matrix {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
}

pub(super) fn gemm(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    if node.flag("transA")? {
        return Err(unsupported("transA = 1: it would make columns of rows"));
    }
    let input = product_input(lowering, node)?;
    let weights = lowering.constant(node, 1)?;
    let layout = match node.flag("transB")? {
        true => WeightLayout::OutIn,
        false => WeightLayout::InOut,
    };
    let mut matrix = matrix(lowering, &weights, layout)?;
    let alpha = node.float("alpha", 1.0)?;
    matrix.weights.iter_mut().for_each(|w| *w *= alpha);
    let mut shape = input.shape.clone();
    _ = shape.pop();
    shape.push(matrix.outputs);
    let mut bias = None;
    if let Some(tensor) = lowering.optional_constant(node, 2)? {
        let beta = node.float("beta", 1.0)?;
        let rows = Rows { shape: shape.clone(), ..input.clone() };
        let values = for_each_output(per_element(&tensor, &rows)?, &rows);
        bias = Some(values.iter().map(|x| x * beta).collect());
    }
    dense(lowering, node, &input, matrix, bias, shape)
}

pub(super) fn matmul(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = product_input(lowering, node)?;
    let tensor = lowering.constant(node, 1)?;
    let mut shape = input.shape.clone();
    _ = shape.pop();
    let matrix = match tensor.shape.len() {
        // A vector: one output, and no dimension for it.
        1 => matrix(lowering, &tensor.as_column(), WeightLayout::InOut)?,
        _ => matrix(lowering, &tensor, WeightLayout::InOut)?,
    };
    if tensor.shape.len() > 1 {
        shape.push(matrix.outputs);
    }
    dense(lowering, node, &input, matrix, None, shape)
}

/// The left side of a product: rows whose last dimension is all of them.
fn product_input(lowering: &mut Lowering<'_>, node: &Node) -> Result<Rows> {
    let input = lowering.rows(node, 0)?;
    if input.shape.is_empty() {
        return Err(unsupported("a product along the batch: rows do not mix"));
    }
    input.expect_whole_row(-1)?;
    Ok(input)
}

fn matrix(lowering: &mut Lowering<'_>, tensor: &Tensor, layout: WeightLayout) -> Result<Matrix> {
    let (inputs, outputs) = match (&tensor.shape[..], layout) {
        (&[inputs, outputs], WeightLayout::InOut) | (&[outputs, inputs], _) => (inputs, outputs),
        (other, _) => {
            return Err(unsupported(format!("weights of shape {other:?}, expected a matrix")));
        }
    };
    lowering.copy(tensor.len())?;
    let weights = layout.to_out_in(Cow::Borrowed(tensor.floats()?), outputs, inputs)?.into_owned();
    Ok(Matrix { inputs, outputs, weights })
}

/// Adds a dense layer, together with what follows it if that is as linear.
fn dense(
    lowering: &mut Lowering<'_>,
    node: &Node,
    input: &Rows,
    matrix: Matrix,
    mut bias: Option<Vec<f32>>,
    shape: Vec<usize>,
) -> Result<()> {
    if matrix.inputs != input.width() {
        let (found, expected) = (input.width(), matrix.inputs);
        let message = format!("rows of {found} elements, but its weights take {expected}");
        return Err(Error::new(ErrorKind::Model, message));
    }
    let Matrix { inputs, outputs, mut weights } = matrix;
    let output = Rows { shape: shape.clone(), ..input.clone() };
    let mut name = node.output()?.to_owned();
    while let Some((i, next)) = lowering.only_taker(&name) {
        if bias.is_none()
            && let Some(values) = addend(lowering, next, &name, &output)?
        {
            bias = Some(values);
        } else if next.is("BatchNormalization") && shape.len() == 1 {
            let norm = normalize::batch_norm_parts(lowering, next, &output)?;
            let old = bias.take().unwrap_or_else(|| vec![0.0; outputs]);
            for (weights, scale) in weights.chunks_exact_mut(inputs.max(1)).zip(&norm.scale) {
                weights.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
            }
            let parts = old.iter().zip(norm.scale.iter().zip(&norm.shift));
            bias = Some(parts.map(|(&b, (s, t))| (f64::from(b) * s + t) as f32).collect());
        } else {
            break;
        }
        name = next.output()?.to_owned();
        lowering.absorb(i);
    }
    let mut layer = FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs)?;
    if let Some(bias) = bias {
        layer = layer.bias(bias);
    }
    lowering.layer(&name, layer, &[input], shape).map(|_| ())
}

/// What an addition adds to the rows `name`, if it adds a constant: one number for all elements, or
/// one for each.
pub(super) fn addend(
    lowering: &Lowering<'_>,
    node: &Node,
    name: &str,
    rows: &Rows,
) -> Result<Option<Vec<f32>>> {
    if !node.is("Add") || node.inputs.len() != 2 {
        return Ok(None);
    }
    let other = usize::from(node.inputs[0] == name);
    let Ok(tensor) = lowering.constant(node, other) else { return Ok(None) };
    per_element(&tensor, rows).map(Some).map_err(|e| e.at(node.place()))
}

/// One number for each element of a row, of what may be one for all.
fn for_each_output(values: Vec<f32>, rows: &Rows) -> Vec<f32> {
    match values[..] {
        [value] => vec![value; rows.width()],
        _ => values,
    }
}

/// The elements of a constant that is joined with rows element by element: one for all, or one for
/// each of a row's.
pub(in crate::onnx) fn per_element(tensor: &Tensor, rows: &Rows) -> Result<Vec<f32>> {
    let values = tensor.floats()?;
    if let &[value] = values
        && tensor.shape.len() <= rows.rank()
    {
        return Ok(vec![value]);
    }
    // As many dimensions as the rows have, the batch 1: each row meets the same elements.
    let batch = usize::from(rows.batch != Batch::One);
    let full: Vec<usize> =
        std::iter::repeat_n(1, batch).chain(rows.shape.iter().copied()).collect();
    let fits = tensor.shape.len() <= full.len()
        && tensor.shape.iter().rev().zip(full.iter().rev()).all(|(&d, &f)| d == f || d == 1);
    if !fits {
        let (constant, rows) = (&tensor.shape, rows.shown());
        return Err(unsupported(format!("a constant of shape {constant:?} for rows of {rows}")));
    }
    Ok(offsets(&broadcast_tables(tensor, &full)).map(|i| values[i]).collect())
}

/// `x * scale + shift`, with one number for all elements or one for each.
pub(super) fn affine(rows: &Rows, scale: Vec<f32>, shift: Vec<f32>) -> Result<Affine<'static>> {
    Affine::new(rows.width(), scale, shift)
}
