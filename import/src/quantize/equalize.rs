//! Cross-layer equalization: the channels between two dense layers brought to one size.
//!
//! A function f with f(s*x) = s*f(x) for s > 0 lets a channel between two layers be made smaller in
//! the first and larger in the second (M. Nagel, M. van Baalen, T. Blankevoort, M. Welling: "Data-Free
//! Quantization Through Weight Equalization and Bias Correction", ICCV 2019):
//!
//! ```text
//! W2 f(W1 x + b1)  =  (W2 S) f(S^-1 W1 x + S^-1 b1)         S = diag(s)
//! r1[i] = max_k |W1[i][k]|,  r2[i] = max_n |W2[n][i]|
//! s[i]  = sqrt(r1[i] * r2[i]) / r2[i]                       both become sqrt(r1[i] * r2[i])
//! ```
//! In a chain the pairs are gone through again, until nothing changes much.

use signfold::layers::{Activation, FloatDense, Layer};
use signfold::{Result, WeightLayout};

use super::net::{Net, Readers};

/// How often the pairs are gone through at most.
const ROUNDS: usize = 32;

/// A round in which no scale is farther from 1 than this is the last.
const STEADY: f64 = 1e-3;

/// Equalizes all pairs, and says which.
pub(crate) fn equalize(net: &mut Net) -> Result<Vec<String>> {
    let pairs = pairs(net);
    for _ in 0..ROUNDS {
        let mut farthest = 0.0_f64;
        for &(first, second) in &pairs {
            farthest = farthest.max(equalize_pair(net, first, second)?);
        }
        if farthest <= STEADY {
            break;
        }
    }
    let note = |&(first, second): &(usize, usize)| {
        format!("equalized: {} and {}", net.place(first), net.place(second))
    };
    Ok(pairs.iter().map(note).collect())
}

/// The pairs of dense layers with nothing, or a function that lets scales pass, between them.
fn pairs(net: &Net) -> Vec<(usize, usize)> {
    let readers = net.readers();
    let is_free = |node: usize| {
        matches!(net.nodes[node].layer, Layer::FloatDense(_)) && !net.nodes[node].keep
    };
    let second = |first: usize| {
        let mut next = readers[net.tensor(first)].only()?;
        if let Layer::Pointwise(pointwise) = &net.nodes[next].layer
            && lets_scales_pass(&pointwise.activation)
        {
            next = only(&readers, net.tensor(next))?;
        }
        is_free(next).then_some((first, next))
    };
    (0..net.nodes.len()).filter(|&first| is_free(first)).filter_map(second).collect()
}

fn only(readers: &[Readers], tensor: usize) -> Option<usize> {
    readers[tensor].only()
}

/// Whether f(s*x) = s*f(x) for all s > 0.
fn lets_scales_pass(activation: &Activation) -> bool {
    matches!(activation, Activation::Identity | Activation::Relu | Activation::LeakyRelu { .. })
}

/// Equalizes a pair; answers how far the scale farthest from 1 was from it.
fn equalize_pair(net: &mut Net, first: usize, second: usize) -> Result<f64> {
    let (Layer::FloatDense(one), Layer::FloatDense(two)) =
        (&net.nodes[first].layer, &net.nodes[second].layer)
    else {
        return Ok(0.0);
    };
    let (mut weights, mut bias) = (one.weights().to_vec(), one.bias_values().map(<[f32]>::to_vec));
    let mut next = two.weights().to_vec();
    let mut farthest = 0.0_f64;
    for (i, row) in weights.chunks_exact_mut(one.inputs()).enumerate() {
        let column = || next.iter().skip(i).step_by(two.inputs());
        let largest = |so_far: f64, w: &f32| so_far.max(f64::from(w.abs()));
        let (r1, r2) = (row.iter().fold(0.0, largest), column().fold(0.0, largest));
        // A channel without weights on one side has nothing to share.
        if r1 == 0.0 || r2 == 0.0 {
            continue;
        }
        let scale = (r1 * r2).sqrt() / r2;
        let before = bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
        let after = (before / scale) as f32;
        if !after.is_finite() {
            continue;
        }
        row.iter_mut().for_each(|w| *w = (f64::from(*w) / scale) as f32);
        next.iter_mut()
            .skip(i)
            .step_by(two.inputs())
            .for_each(|w| *w = (f64::from(*w) * scale) as f32);
        if let Some(bias) = &mut bias {
            bias[i] = after;
        }
        farthest = farthest.max((scale - 1.0).abs());
    }
    let (one, two) = (rebuilt(one, weights, bias)?, {
        let bias = two.bias_values().map(<[f32]>::to_vec);
        rebuilt(two, next, bias)?
    });
    (net.nodes[first].layer, net.nodes[second].layer) = (one, two);
    Ok(farthest)
}

fn rebuilt(
    like: &FloatDense<'_>,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
) -> Result<Layer<'static>> {
    let layer = FloatDense::new(weights, WeightLayout::OutIn, like.outputs(), like.inputs())?;
    Ok(match bias {
        Some(bias) => layer.bias(bias),
        None => layer,
    }
    .into())
}
