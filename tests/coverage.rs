//! That random models and rows reach everything there is: the tests and fuzz targets that are
//! built on them claim so.

mod common;

use std::collections::BTreeSet;

use common::{random_input, random_model};
use signfold::layers::{Aggregate, DenseOutput, FloatMax, Layer, MaxProduct};
use signfold::{Element, Model, TensorType, Values};

/// Tells which kinds and options a model has, and what its real rows meet.
fn features(model: &Model<'_>) -> Vec<String> {
    let mut features = vec![
        format!("input {}", model.input().element.name()),
        format!("output {}", model.output().element.name()),
        format!("golden {}", model.golden().is_some()),
    ];
    for (layer, input, _) in model.layers() {
        let of = match input.element {
            Element::F32 => "f32",
            _ => "int8",
        };
        features.push(format!("{of} {}", layer.name()));
        match layer {
            Layer::Dense(dense) => {
                let lengths = |len| match len {
                    0 => "none",
                    1 => "one",
                    _ => "each",
                };
                let output = match dense.output_kind() {
                    DenseOutput::F32 => "f32",
                    DenseOutput::Int8(..) => "int8",
                };
                features.extend([
                    format!("dense {:?} {output}", dense.input_kind()),
                    format!("dense scales {}", lengths(dense.scales().len())),
                    format!("dense zero points {}", lengths(dense.zero_points().len())),
                    format!("dense {of} {}", variant(format!("{:?}", dense.bias_values()))),
                    format!("dense {}", variant(format!("{:?}", dense.fused_activation()))),
                ]);
            }
            Layer::MaxProduct(layer) => features.extend(max_product(layer, of, &input)),
            Layer::FloatDense(dense) => {
                features.push(format!("float dense biased {}", dense.bias_values().is_some()));
            }
            Layer::FloatMax(layer) => features.extend(float_max(layer)),
            Layer::Affine(affine) => {
                let lengths = [affine.scale(), affine.shift()].map(|values| values.len());
                features.push(format!("affine {:?}", lengths.map(|len| len == affine.width())));
            }
            Layer::Pointwise(pointwise) => {
                features.push(format!("{of} {}", variant(format!("{:?}", pointwise.activation))));
            }
            _ => {}
        }
    }
    features.extend(rows_meet(model).into_iter().map(|what| format!("rows {what}")));
    features
}

/// The first word of what a value prints.
fn variant(debug: String) -> String {
    debug.split([' ', '(']).next().unwrap().to_owned()
}

fn max_product(layer: &MaxProduct<'_>, of: &str, input: &TensorType) -> Vec<String> {
    let output = match layer.output_kind() {
        DenseOutput::F32 => "f32",
        DenseOutput::Int8(..) => "int8",
    };
    let scales = if layer.scales().len() == 1 { "one" } else { "each" };
    let splits = match layer.split_count() {
        1 => "one",
        splits if splits == layer.inputs() => "each",
        _ => "some",
    };
    let stored = if layer.is_pruned() { "pruned" } else { "all" };
    let name = layer.aggregate().name();
    let mut features = vec![
        format!("max {:?} {output}", layer.input_kind()),
        format!("max scales {scales}"),
        format!("max {of} {}", variant(format!("{:?}", layer.bias_values()))),
        format!("max {}", variant(format!("{:?}", layer.fused_activation()))),
        format!("{name} {output}"),
        format!("{name} splits {splits}"),
        format!("{name} weights {stored}"),
    ];
    if layer.is_pruned() {
        let counts = (0..layer.outputs()).map(|n| layer.connections(n).count());
        features.extend(counts.map(|count| {
            let density = match count {
                0 => "none",
                count if count == layer.inputs() => "each",
                _ => "some",
            };
            format!("max connections {density}")
        }));
    }
    if let (Aggregate::SoftAbsMax { alpha }, Element::Int8(params)) =
        (layer.aggregate(), input.element)
    {
        // What it makes of the largest product there is.
        let exponent = 32_640.0 * alpha * params.scale() * layer.scales()[0];
        let terms = match exponent {
            ..0.5 => "nearly 1",
            ..200.0 => "of all sizes",
            _ => "mostly nothing",
        };
        features.push(format!("terms {terms}"));
    }
    features
}

fn float_max(layer: &FloatMax<'_>) -> Vec<String> {
    let splits = match layer.split_count() {
        1 => "one",
        splits if splits == layer.inputs() => "each",
        _ => "some",
    };
    let of = if layer.is_pruned() { "pruned" } else { "all" };
    vec![
        format!("float max biased {}", layer.bias_values().is_some()),
        format!("float max splits {splits}"),
        format!("{} {of}", Layer::from(layer.clone()).name()),
    ]
}

/// What real rows meet, where they are quantized with a fixed scale first of all.
fn rows_meet(model: &Model<'_>) -> Vec<&'static str> {
    let Some((Layer::Quantize(quantize), ..)) = model.layers().next() else { return Vec::new() };
    let Values::F32(rows) = random_input(model, 20, 1) else { unreachable!("it takes f32") };
    let (scale, zero) = (quantize.output.scale(), quantize.output.zero_point());
    let any = |is: fn(f32) -> bool| rows.iter().any(|&x| is(x));
    let mut met = Vec::new();
    met.extend(any(|x| x.to_bits() == 0).then_some("0"));
    met.extend(any(|x| x.to_bits() == 1 << 31).then_some("-0"));
    met.extend(any(f32::is_subnormal).then_some("subnormal"));
    met.extend(any(|x| x.abs() > 255.0).then_some("large"));
    let range = quantize.output.kind().min() - zero..quantize.output.kind().max() - zero;
    let tie = |x: f32| x.fract().abs() == 0.5 && range.contains(&(x.floor() as i32));
    met.extend(rows.iter().any(|x| tie(x / scale)).then_some("tie"));
    met
}

/// Everything there is, and nothing that this list does not know: in as many models as the tests
/// of engines draw.
#[test]
fn random_models_cover_everything() {
    let found: BTreeSet<String> = (0..200).flat_map(|s| features(&random_model(s))).collect();
    let mut wanted = BTreeSet::new();
    let mut want = |kind: &str, options: &[&str]| {
        wanted.extend(options.iter().map(|option| format!("{kind} {option}")));
    };
    let clamps = ["Identity", "Relu", "Relu6", "Clip"];
    let others = [
        "LeakyRelu",
        "Tanh",
        "Sigmoid",
        "Gelu",
        "GeluTanh",
        "Elu",
        "HardSigmoid",
        "Silu",
        "HardSwish",
        "Selu",
        "Softplus",
        "Softsign",
        "Mish",
        "Exp",
    ];
    want("input", &["f32", "i8", "u8"]);
    want("output", &["f32", "i8", "u8", "u32"]);
    want("golden", &["true", "false"]);
    want("f32", &["dense", "quantize", "pointwise", "softmax", "argmax"]);
    want("f32", &["float dense", "affine", "layer norm", "log softmax"]);
    for kind in ["float dense", "float max"] {
        want(kind, &["biased true", "biased false"]);
    }
    want("float max splits", &["one", "some", "each"]);
    want("affine", &["[true, true]", "[true, false]", "[false, true]", "[false, false]"]);
    want("int8", &["dense", "dequantize", "pointwise", "argmax", "fixed softmax"]);
    want("dense", &["Int8 f32", "Int8 int8", "PerTensor f32", "PerRow f32"]);
    want("dense scales", &["one", "each"]);
    want("dense zero points", &["none", "one", "each"]);
    want("dense f32", &["None", "F32"]);
    want("dense int8", &["None", "I32", "F32"]);
    want("dense", &clamps);
    for of in ["f32", "int8"] {
        want(of, &clamps);
        want(of, &others);
    }
    let aggregates = ["max", "min", "abs_max", "soft_abs_max", "mean", "mam"];
    want("f32", &aggregates);
    want("int8", &aggregates);
    for name in aggregates {
        want(name, &["f32", "int8"]);
        want(
            &format!("{name} splits"),
            &["one", "some", "each"][..if name == "mean" { 1 } else { 3 }],
        );
        want(&format!("{name} weights"), &["all", "pruned"][..if name == "mean" { 1 } else { 2 }]);
    }
    for name in aggregates.map(|name| format!("float {name}")) {
        want("f32", &[&name]);
        want(&name, &["all", "pruned"]);
    }
    want("max", &["Int8 f32", "Int8 int8", "PerTensor f32", "PerRow f32"]);
    want("max scales", &["one", "each"]);
    want("max f32", &["None", "F32"]);
    want("max int8", &["None", "I32", "F32"]);
    want("max", &clamps);
    want("max connections", &["none", "some", "each"]);
    want("terms", &["nearly 1", "of all sizes", "mostly nothing"]);
    want("rows", &["0", "-0", "subnormal", "large", "tie"]);
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "no random model has {missing:?}");
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(unknown.is_empty(), "not in the list: {unknown:?}");
}
