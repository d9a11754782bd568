//! Layers that need not be there: joined with a neighbour before anything is quantized.
//!
//! ```text
//! dense, affine    -> dense     (W*x + b) * s + t  =  (s*W)*x + (s*b + t)
//! affine, dense    -> dense     W*(s*x + t) + b    =  (W*s)*x + (W*t + b)
//! combine, clamp   -> combine
//! any, identity    -> any
//! ```
//! where nobody else reads what is between the two. The new layer has the name of the second, whose
//! tensor it gives.

use signfold::layers::{Activation, Affine, FloatDense, Layer};
use signfold::{Result, WeightLayout};

use super::net::{Net, Node};

/// Joins what can be, and says what it did.
pub(crate) fn simplify(net: &mut Net) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for second in 0..net.nodes.len() {
        let [tensor] = net.nodes[second].inputs[..] else { continue };
        let readers = net.readers();
        if let Some(first) = net.maker(tensor)
            && readers[tensor].only() == Some(second)
            && let Some(layer) = join(&net.nodes[first].layer, &net.nodes[second].layer)?
        {
            if matches!(layer, Layer::FloatDense(_)) && !is_identity(&net.nodes[second].layer) {
                let (first, second) = (net.place(first), net.place(second));
                notes.push(format!("{first} and {second} became one dense layer"));
            }
            let Node { inputs, keep, .. } = net.nodes[first].clone();
            let node = &mut net.nodes[second];
            (node.layer, node.inputs, node.keep) = (layer, inputs, node.keep || keep);
        } else if is_identity(&net.nodes[second].layer) && !readers[net.tensor(second)].caller {
            let gone = net.tensor(second);
            for input in net.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
                if *input == gone {
                    *input = tensor;
                }
            }
        }
    }
    net.drop_unused();
    Ok(notes)
}

/// One layer that does what two do, if there is one.
fn join(first: &Layer<'static>, second: &Layer<'static>) -> Result<Option<Layer<'static>>> {
    Ok(match (first, second) {
        (first, second) if is_identity(second) => Some(first.clone()),
        (Layer::FloatDense(dense), Layer::Affine(affine)) => scaled(dense, affine)?,
        (Layer::Affine(affine), Layer::FloatDense(dense)) => of_scaled(affine, dense)?,
        (Layer::Combine(combine), Layer::Pointwise(pointwise))
            if combine.activation == Activation::Identity
                && combine.output.is_none()
                && pointwise.activation.clamp().is_some() =>
        {
            let mut combine = *combine;
            combine.activation = pointwise.activation;
            Some(combine.into())
        }
        _ => None,
    })
}

fn is_identity(layer: &Layer<'_>) -> bool {
    match layer {
        Layer::Pointwise(of) => of.activation == Activation::Identity && of.output.is_none(),
        Layer::Affine(of) => {
            of.scale().iter().all(|&s| s == 1.0) && of.shift().iter().all(|&t| t == 0.0)
        }
        _ => false,
    }
}

/// A dense layer whose outputs are scaled and shifted.
fn scaled(dense: &FloatDense<'_>, affine: &Affine<'_>) -> Result<Option<Layer<'static>>> {
    let (mut weights, mut bias) = (Vec::new(), Vec::new());
    for (n, row) in dense.weights().chunks_exact(dense.inputs()).enumerate() {
        let (scale, shift) = (at(affine.scale(), n), at(affine.shift(), n));
        weights.extend(row.iter().map(|&w| (f64::from(w) * scale) as f32));
        let before = dense.bias_values().map_or(0.0, |bias| f64::from(bias[n]));
        bias.push((before * scale + shift) as f32);
    }
    of_parts(dense, weights, bias)
}

/// A dense layer whose inputs were scaled and shifted.
fn of_scaled(affine: &Affine<'_>, dense: &FloatDense<'_>) -> Result<Option<Layer<'static>>> {
    let (mut weights, mut bias) = (Vec::new(), Vec::new());
    for (n, row) in dense.weights().chunks_exact(dense.inputs()).enumerate() {
        let each = || row.iter().map(|&w| f64::from(w)).enumerate();
        weights.extend(each().map(|(k, w)| (w * at(affine.scale(), k)) as f32));
        let before = dense.bias_values().map_or(0.0, |bias| f64::from(bias[n]));
        let shift = each().fold(0.0, |sum, (k, w)| sum + w * at(affine.shift(), k));
        bias.push((before + shift) as f32);
    }
    of_parts(dense, weights, bias)
}

/// A layer of the shape of `like`, unless a number left `f32`.
fn of_parts(
    like: &FloatDense<'_>,
    weights: Vec<f32>,
    bias: Vec<f32>,
) -> Result<Option<Layer<'static>>> {
    if !weights.iter().chain(&bias).all(|x| x.is_finite()) {
        return Ok(None);
    }
    let layer = FloatDense::new(weights, WeightLayout::OutIn, like.outputs(), like.inputs())?;
    Ok(Some(layer.bias(bias).into()))
}

/// One of some numbers, of which there may be one for all.
fn at(values: &[f32], n: usize) -> f64 {
    f64::from(*values.get(n).unwrap_or(&values[0]))
}
