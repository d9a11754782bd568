//! Functions of each element.

use signfold::Result;
use signfold::layers::{Activation, Pointwise};

use crate::onnx::lower::{Lowering, unsupported};
use crate::onnx::node::Node;

fn apply(lowering: &mut Lowering<'_>, node: &Node, activation: Activation) -> Result<()> {
    let input = lowering.rows(node, 0)?;
    lowering.same_shape(node, Pointwise { activation, output: None }, &input)
}

pub(super) fn relu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::Relu)
}

pub(super) fn tanh(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::Tanh)
}

pub(super) fn sigmoid(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::Sigmoid)
}

pub(super) fn softplus(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::Softplus)
}

pub(super) fn softsign(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::Softsign)
}

pub(super) fn hard_swish(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    apply(lowering, node, Activation::HardSwish)
}

/// The bounds are inputs that may be left off.
pub(super) fn clip(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let bound = |i, default| match lowering.optional_constant(node, i)? {
        Some(tensor) => tensor.float().map_err(|e| e.at(format!("input {i}"))),
        None => Ok(default),
    };
    let min = bound(1, f32::NEG_INFINITY)?;
    let max = bound(2, f32::INFINITY)?;
    let activation = match (min, max) {
        (0.0, f32::INFINITY) => Activation::Relu,
        (0.0, 6.0) => Activation::Relu6,
        (f32::NEG_INFINITY, f32::INFINITY) => Activation::Identity,
        _ => Activation::Clip { min, max },
    };
    apply(lowering, node, activation)
}

pub(super) fn leaky_relu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let alpha = node.float("alpha", 0.01)?;
    apply(lowering, node, Activation::LeakyRelu { alpha })
}

/// With one slope for all elements.
pub(super) fn prelu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let slopes = lowering.constant(node, 1)?;
    match slopes.floats()? {
        [alpha, rest @ ..] if rest.iter().all(|x| x == alpha) => {
            apply(lowering, node, Activation::LeakyRelu { alpha: *alpha })
        }
        _ => Err(unsupported("slopes that differ, or none; expected one for all elements")),
    }
}

pub(super) fn elu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let alpha = node.float("alpha", 1.0)?;
    apply(lowering, node, Activation::Elu { alpha })
}

pub(super) fn selu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let alpha = node.float("alpha", 1.673_263_2)?;
    let gamma = node.float("gamma", 1.050_701)?;
    apply(lowering, node, Activation::Selu { alpha, gamma })
}

pub(super) fn hard_sigmoid(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
    apply(lowering, node, Activation::HardSigmoid { alpha, beta })
}

pub(super) fn gelu(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let activation = match node.text("approximate", "none")? {
        "none" => Activation::Gelu,
        "tanh" => Activation::GeluTanh,
        other => return Err(unsupported(format!("the approximation {other:?}"))),
    };
    apply(lowering, node, activation)
}

pub(super) fn swish(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    match node.float("alpha", 1.0)? {
        1.0 => apply(lowering, node, Activation::Silu),
        alpha => Err(unsupported(format!("alpha = {alpha}, expected 1"))),
    }
}
