//! The plan of a quantized network: which layers work on 8 bits, and in which form tensors are made.
//!
//! ```text
//! with weights, not to be kept       on 8 bits; a clamp that alone reads the sums is part of it
//! function, sum of two, join         on 8 bits if what they take can be had in 8 bits, and all who
//!                                    read the result take 8 bits
//! everything else                    on real numbers
//! a tensor                           is made in 8 bits if all who read it take 8 bits, else real
//! ```
//! A real tensor that somebody takes in 8 bits is quantized once. No tensor need ever be dequantized:
//! layers with weights can give real numbers themselves, and those are the more exact ones.

use signfold::layers::{CombineOp, Layer};
use signfold::{Element, TensorType};

use super::net::{Net, Node, Readers};

/// How a layer is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It stays as it is.
    Kept,
    /// It has weights, which become 8 bits; together with the layer of this number, which clamps.
    Weights { clamp: Option<usize> },
    /// It is part of the layer with weights before it.
    Fused,
    /// It computes 8 bits from 8 bits.
    Int8,
}

/// See the top.
pub(crate) struct Plan {
    /// Of each layer.
    pub forms: Vec<Form>,
    /// Of each tensor, whether it is made in 8 bits.
    pub int8: Vec<bool>,
}

impl Plan {
    /// Plans a network; `fixed` says whether ranges are known beforehand, without which nothing is
    /// 8-bit between layers.
    pub fn new(net: &Net, types: &[TensorType], fixed: bool) -> Self {
        let readers = net.readers();
        let mut forms = weights(net, &readers);
        let mut int8 = vec![false; net.tensors()];
        if !fixed {
            return Self { forms, int8 };
        }
        let can = can_be_8_bit(net, types, &readers, &forms);
        for i in (0..net.nodes.len()).rev() {
            let (node, output) = (&net.nodes[i], net.tensor(i));
            let takes =
                |&reader: &usize| matches!(forms[reader], Form::Weights { .. } | Form::Int8);
            let Readers { nodes, caller } = &readers[output];
            let wanted = !caller && !nodes.is_empty() && nodes.iter().all(takes);
            match forms[i] {
                Form::Weights { clamp: None } | Form::Fused => int8[output] = wanted,
                Form::Kept
                    if wanted && is_candidate(node) && node.inputs.iter().all(|&t| can[t]) =>
                {
                    forms[i] = Form::Int8;
                    int8[output] = true;
                }
                _ => {}
            }
        }
        Self { forms, int8 }
    }
}

/// Whether a layer has weights that can become 8 bits.
pub(crate) fn has_weights(layer: &Layer<'_>) -> bool {
    matches!(layer, Layer::FloatDense(_) | Layer::FloatMax(_))
}

/// Whether a layer of real numbers has a form that computes 8 bits from 8 bits, and may have it.
fn is_candidate(node: &Node) -> bool {
    match &node.layer {
        _ if node.keep => false,
        Layer::Pointwise(pointwise) => pointwise.output.is_none(),
        Layer::Combine(combine) => combine.output.is_none() && combine.op != CombineOp::Div,
        Layer::Concat(concat) => concat.output.is_none(),
        _ => false,
    }
}

/// The layers with weights, and the clamps that become part of them.
fn weights(net: &Net, readers: &[Readers]) -> Vec<Form> {
    let mut forms = vec![Form::Kept; net.nodes.len()];
    for (i, node) in net.nodes.iter().enumerate() {
        if !has_weights(&node.layer) {
            continue;
        }
        let next = readers[net.tensor(i)].only();
        let clamp = next.filter(|&next| match &net.nodes[next].layer {
            Layer::Pointwise(next) => next.output.is_none() && next.activation.clamp().is_some(),
            _ => false,
        });
        if node.keep || clamp.is_some_and(|clamp| net.nodes[clamp].keep) {
            continue;
        }
        forms[i] = Form::Weights { clamp };
        if let Some(clamp) = clamp {
            forms[clamp] = Form::Fused;
        }
    }
    forms
}

/// Which tensors can be had in 8 bits: those that layers with weights give or take, and what is
/// computed from such tensors alone.
fn can_be_8_bit(net: &Net, types: &[TensorType], readers: &[Readers], forms: &[Form]) -> Vec<bool> {
    let mut can = Vec::with_capacity(net.tensors());
    for tensor in 0..net.tensors() {
        let taken = readers[tensor].nodes.iter().any(|&i| matches!(forms[i], Form::Weights { .. }));
        let made = net.maker(tensor).is_some_and(|i| match forms[i] {
            Form::Weights { .. } | Form::Fused => true,
            Form::Kept | Form::Int8 => {
                let node = &net.nodes[i];
                is_candidate(node) && node.inputs.iter().all(|&t| can[t])
            }
        });
        can.push(types[tensor].element == Element::F32 && (taken || made));
    }
    can
}
