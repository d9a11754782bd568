//! Functions of each element.

use signfold::Result;
use signfold::layers::{Activation, Pointwise};

use crate::onnx::lower::{Lowering, unsupported};
use crate::onnx::node::Node;

pub(super) fn pointwise(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let Some(activation) = activation(lowering, node)? else {
        return Err(unsupported("not a function of each element"));
    };
    let input = lowering.rows(node, 0)?;
    lowering.same_shape(node, Pointwise { activation, output: None }, &input)
}

/// The function of its first input that a node is, if it is one.
pub(in crate::onnx) fn activation(
    lowering: &Lowering<'_>,
    node: &Node,
) -> Result<Option<Activation>> {
    if !node.domain.is_empty() {
        return Ok(None);
    }
    Ok(Some(match &node.op[..] {
        "Identity" => Activation::Identity,
        "Relu" => Activation::Relu,
        "Clip" => clip(lowering, node)?,
        "LeakyRelu" => Activation::LeakyRelu { alpha: node.float("alpha", 0.01)? },
        "PRelu" => prelu(lowering, node)?,
        "Elu" => Activation::Elu { alpha: node.float("alpha", 1.0)? },
        "Selu" => Activation::Selu {
            alpha: node.float("alpha", 1.673_263_2)?,
            gamma: node.float("gamma", 1.050_701)?,
        },
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "HardSigmoid" => Activation::HardSigmoid {
            alpha: node.float("alpha", 0.2)?,
            beta: node.float("beta", 0.5)?,
        },
        "HardSwish" => Activation::HardSwish,
        "Swish" => match node.float("alpha", 1.0)? {
            1.0 => Activation::Silu,
            alpha => return Err(unsupported(format!("alpha = {alpha}, expected 1"))),
        },
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Activation::Gelu,
            "tanh" => Activation::GeluTanh,
            other => return Err(unsupported(format!("the approximation {other:?}"))),
        },
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Celu" => match node.float("alpha", 1.0)? {
            1.0 => Activation::Elu { alpha: 1.0 },
            alpha => return Err(unsupported(format!("alpha = {alpha}, expected 1"))),
        },
        "Mish" => Activation::Mish,
        "Exp" => Activation::Exp,
        "Max" if node.inputs.len() == 2 => clamp(bound(lowering, node, 1)?, f32::INFINITY),
        "Min" if node.inputs.len() == 2 => clamp(f32::NEG_INFINITY, bound(lowering, node, 1)?),
        _ => return Ok(None),
    }))
}

/// The bounds are inputs that may be left off.
fn clip(lowering: &Lowering<'_>, node: &Node) -> Result<Activation> {
    let given = |i, default| match node.optional(i) {
        Some(_) => bound(lowering, node, i),
        None => Ok(default),
    };
    Ok(clamp(given(1, f32::NEG_INFINITY)?, given(2, f32::INFINITY)?))
}

/// Input `i`: a constant of one element.
fn bound(lowering: &Lowering<'_>, node: &Node, i: usize) -> Result<f32> {
    lowering.constant(node, i)?.float().map_err(|e| e.at(format!("input {i}")))
}

fn clamp(min: f32, max: f32) -> Activation {
    match (min, max) {
        (0.0, f32::INFINITY) => Activation::Relu,
        (0.0, 6.0) => Activation::Relu6,
        (f32::NEG_INFINITY, f32::INFINITY) => Activation::Identity,
        _ => Activation::Clip { min, max },
    }
}

/// With one slope for all elements.
fn prelu(lowering: &Lowering<'_>, node: &Node) -> Result<Activation> {
    let slopes = lowering.constant(node, 1)?;
    match slopes.floats()? {
        [alpha, rest @ ..] if rest.iter().all(|x| x == alpha) => {
            Ok(Activation::LeakyRelu { alpha: *alpha })
        }
        _ => Err(unsupported("slopes that differ, or none; expected one for all elements")),
    }
}
