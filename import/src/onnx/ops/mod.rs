//! The operators, one line each. To add one: its line, and its function in a file here.

mod classify;
mod combine;
mod linear;
mod normalize;
mod pointwise;
mod shape;

use std::ops::RangeInclusive;

use signfold::{Error, ErrorKind, Result};

use super::lower::{Lowering, unsupported};
use super::node::Node;

/// Makes layers of a node, and defines its outputs.
pub(super) type Lower = fn(&mut Lowering<'_>, &Node) -> Result<()>;

struct Operator {
    domain: &'static str,
    name: &'static str,
    /// How many inputs it has; left off ones at the end do not count.
    inputs: RangeInclusive<usize>,
    /// The attributes that it may have.
    attributes: &'static [&'static str],
    lower: Lower,
}

const fn op(
    name: &'static str,
    inputs: RangeInclusive<usize>,
    attributes: &'static [&'static str],
    lower: Lower,
) -> Operator {
    Operator { domain: "", name, inputs, attributes, lower }
}

const fn of(domain: &'static str, operator: Operator) -> Operator {
    Operator { domain, ..operator }
}

const ML: &str = "ai.onnx.ml";

static OPERATORS: &[Operator] = &[
    op("Gemm", 2..=3, &["alpha", "beta", "transA", "transB"], linear::gemm),
    op("MatMul", 2..=2, &[], linear::matmul),
];

/// The function for a node, once its inputs and attributes are ones that the operator has.
pub(super) fn find(node: &Node) -> Result<Lower> {
    let Some(operator) = OPERATORS.iter().find(|o| o.name == node.op && o.domain == node.domain)
    else {
        return Err(unknown(node));
    };
    let count = node.inputs.iter().rposition(|name| !name.is_empty()).map_or(0, |i| i + 1);
    if !operator.inputs.contains(&count) {
        let (min, max) = (operator.inputs.start(), operator.inputs.end());
        let message = format!("{count} inputs, expected {min} to {max}");
        return Err(Error::new(ErrorKind::Format, message));
    }
    match node.attributes.keys().find(|name| !operator.attributes.contains(&&name[..])) {
        Some(name) => Err(unsupported(format!("attribute {name:?}, whose meaning is not known"))),
        None => Ok(operator.lower),
    }
}

fn unknown(node: &Node) -> Error {
    let names: Vec<_> = OPERATORS.iter().filter(|o| o.domain == node.domain).map(|o| o.name).collect();
    let supported = match names.is_empty() {
        true => format!("no operator of domain {:?} is", node.domain),
        false => names.join(", "),
    };
    unsupported(format!("the operator is not supported; supported: {supported}; see docs/import.md"))
}
