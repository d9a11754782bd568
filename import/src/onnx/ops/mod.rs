//! The operators, one line each. To add one: its line, and its function in a file here.

mod classify;
pub(super) mod combine;
pub(super) mod linear;
mod normalize;
pub(super) mod pointwise;
mod shape;

use std::ops::RangeInclusive;

use signfold::{Error, ErrorKind, Result};

use super::lower::{Lowering, unsupported};
use super::node::Node;
use super::quant;

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

const MS: &str = "com.microsoft";
const ML: &str = "ai.onnx.ml";

/// What QuantizeLinear and DequantizeLinear may be told.
const QUANTIZE: &[&str] = &["axis", "saturate", "block_size", "output_dtype", "precision"];

static OPERATORS: &[Operator] = &[
    op("Gemm", 2..=3, &["alpha", "beta", "transA", "transB"], linear::gemm),
    op("MatMul", 2..=2, &[], linear::matmul),
    op("Add", 2..=2, &[], combine::add),
    op("Sub", 2..=2, &[], combine::sub),
    op("Mul", 2..=2, &[], combine::mul),
    op("Div", 2..=2, &[], combine::div),
    op("Neg", 1..=1, &[], combine::neg),
    op("Concat", 1..=usize::MAX, &["axis"], combine::concat),
    op("Relu", 1..=1, &[], pointwise::pointwise),
    op("Clip", 1..=3, &[], pointwise::pointwise),
    op("LeakyRelu", 1..=1, &["alpha"], pointwise::pointwise),
    op("PRelu", 2..=2, &[], pointwise::pointwise),
    op("Elu", 1..=1, &["alpha"], pointwise::pointwise),
    op("Selu", 1..=1, &["alpha", "gamma"], pointwise::pointwise),
    op("Tanh", 1..=1, &[], pointwise::pointwise),
    op("Sigmoid", 1..=1, &[], pointwise::pointwise),
    op("HardSigmoid", 1..=1, &["alpha", "beta"], pointwise::pointwise),
    op("HardSwish", 1..=1, &[], pointwise::pointwise),
    op("Swish", 1..=1, &["alpha"], pointwise::pointwise),
    op("Gelu", 1..=1, &["approximate"], pointwise::pointwise),
    op("Softplus", 1..=1, &[], pointwise::pointwise),
    op("Softsign", 1..=1, &[], pointwise::pointwise),
    op("Celu", 1..=1, &["alpha"], pointwise::pointwise),
    op("Mish", 1..=1, &[], pointwise::pointwise),
    op("Exp", 1..=1, &[], pointwise::pointwise),
    op("Max", 2..=2, &[], pointwise::pointwise),
    op("Min", 2..=2, &[], pointwise::pointwise),
    op("Softmax", 1..=1, &["axis"], normalize::softmax),
    op("LogSoftmax", 1..=1, &["axis"], normalize::log_softmax),
    op(
        "BatchNormalization",
        5..=5,
        &["epsilon", "momentum", "training_mode"],
        normalize::batch_norm,
    ),
    op("LayerNormalization", 1..=3, &["axis", "epsilon", "stash_type"], normalize::layer_norm),
    op("Identity", 1..=1, &[], shape::identity),
    op("Dropout", 1..=3, &["seed", "ratio"], shape::dropout),
    op("Cast", 1..=1, &["to", "saturate", "round_mode"], shape::cast),
    op("Flatten", 1..=1, &["axis"], shape::flatten),
    op("Reshape", 2..=2, &["allowzero"], shape::reshape),
    op("Squeeze", 1..=2, &["axes"], shape::squeeze),
    op("Unsqueeze", 1..=2, &["axes"], shape::unsqueeze),
    op("Transpose", 1..=1, &["perm"], shape::transpose),
    op("Shape", 1..=1, &["start", "end"], shape::shape),
    op("ArgMax", 1..=1, &["axis", "keepdims", "select_last_index"], classify::argmax),
    op("QuantizeLinear", 2..=3, QUANTIZE, quant::quantize),
    op("DequantizeLinear", 2..=3, QUANTIZE, quant::dequantize),
    op("DynamicQuantizeLinear", 1..=1, &[], quant::dynamic_quantize),
    op("MatMulInteger", 2..=4, &[], quant::matmul_integer),
    op("QLinearMatMul", 8..=8, &[], quant::qlinear_matmul),
    of(MS, op("QuantizeLinear", 2..=3, &["axis"], quant::quantize)),
    of(MS, op("DequantizeLinear", 2..=3, &["axis"], quant::dequantize)),
    of(MS, op("QGemm", 6..=9, &["alpha", "transA", "transB"], quant::qgemm)),
    of(MS, op("QLinearAdd", 7..=8, &[], quant::qlinear_add)),
    of(MS, op("QLinearMul", 7..=8, &[], quant::qlinear_mul)),
    of(MS, op("QLinearSigmoid", 4..=5, &[], quant::qlinear_sigmoid)),
    of(MS, op("QLinearLeakyRelu", 4..=5, &["alpha"], quant::qlinear_leaky_relu)),
    of(MS, op("QLinearSoftmax", 4..=5, &["axis", "opset"], quant::qlinear_softmax)),
    of(MS, op("QLinearConcat", 5..=usize::MAX, &["axis"], quant::qlinear_concat)),
    of(MS, op("DynamicQuantizeMatMul", 3..=5, &[], quant::dynamic_quantize_matmul)),
    of(MS, op("MatMulIntegerToFloat", 4..=7, &[], quant::matmul_to_float)),
    of(ML, op("Scaler", 1..=1, &["offset", "scale"], normalize::scaler)),
    of(ML, op("ArrayFeatureExtractor", 2..=2, &[], classify::array_feature_extractor)),
    of(ML, op("ZipMap", 1..=1, &["classlabels_int64s", "classlabels_strings"], classify::zip_map)),
    of(ML, op("Binarizer", 1..=1, &["threshold"], classify::labels)),
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
    let names: Vec<_> =
        OPERATORS.iter().filter(|o| o.domain == node.domain).map(|o| o.name).collect();
    let supported = match names.is_empty() {
        true => format!("no operator of domain {:?} is", node.domain),
        false => names.join(", "),
    };
    unsupported(format!(
        "the operator is not supported; supported: {supported}; see docs/import.md"
    ))
}
