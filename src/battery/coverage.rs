//! That nothing is missing from the battery: whatever the file format has a number for must occur.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use super::weighted::AGGREGATES;
use super::*;
use crate::layers::{Activation, Aggregate, Bias, CombineOp, DenseOutput, Layer};
use crate::quant::Rounding;
use crate::tensor::Element;

/// The kinds, options and shapes of a case, and what its rows hold.
fn features(case: &Case) -> Vec<String> {
    let Case { model, inputs, .. } = case;
    let rows = inputs[0].len() / model.input().width;
    let count = |count| if count == 1 { "one" } else { "several" };
    let mut found = vec![
        format!("rows {rows}"),
        format!("inputs {}", count(inputs.len())),
        format!("outputs {}", count(model.outputs().len())),
        format!("output {}", model.output().element.name()),
    ];
    for (layer, input, output) in model.layers() {
        let of = input.element.name();
        found.push(format!("kind {}", layer.code()));
        found.push(format!("kind {} of {of}", layer.code()));
        match layer {
            Layer::Dense(dense) => {
                let to = match dense.output_kind() {
                    DenseOutput::F32 => "f32",
                    DenseOutput::Int8(params, rule) => {
                        found.push(format!("rule {} from {of}", rule.name()));
                        found.push(format!("rule {} to {:?}", rule.name(), params.kind()));
                        found.push(format!("rule {} inputs {}", rule.name(), input.width));
                        found.push(format!("rule {} outputs {}", rule.name(), output.width));
                        found.push(format!("rule {} rows {rows}", rule.name()));
                        rule.name()
                    }
                };
                found.push(format!("dense {:?} to {to}", dense.input_kind()));
                found.push(format!("dense scales {}", length(dense.scales().len())));
                found.push(format!("dense zero points {}", length(dense.zero_points().len())));
                found.push(format!("dense {}", bias(dense.bias_values())));
                found.push(format!("dense {}", variant(&dense.fused_activation())));
                found.push(format!("dense inputs {}", input.width));
                found.push(format!("dense outputs {}", output.width));
            }
            Layer::MaxProduct(layer) => {
                let name = layer.aggregate().name();
                let pruned = if layer.is_pruned() { "pruned" } else { "all" };
                let splits = splits(layer.split_count(), layer.inputs());
                found.push(format!("{name} {pruned}"));
                found.push(format!("{name} splits {splits}"));
                found.push(format!("{name} {:?}", layer.input_kind()));
                found.push(format!("{name} to {}", output.element.name()));
                found.push(format!("{name} inputs {}", input.width));
                found.push(format!("{name} outputs {}", output.width));
                found.push(format!("max scales {}", length(layer.scales().len())));
                found.push(format!("max {}", bias(layer.bias_values())));
                found.push(format!("max {}", variant(&layer.fused_activation())));
            }
            Layer::FloatMax(layer) => {
                let name = layer.aggregate().name();
                let pruned = if layer.is_pruned() { "pruned" } else { "all" };
                found.push(format!("float {name} {pruned}"));
                let splits = splits(layer.split_count(), layer.inputs());
                found.push(format!("float {name} splits {splits}"));
            }
            Layer::Pointwise(layer) => {
                found.push(format!("function {} of {of}", variant(&layer.activation)));
            }
            Layer::Combine(layer) => {
                let rule = layer.output.map_or("f32", |(_, rule)| rule.name());
                found.push(format!("{rule} {}", layer.op.name()));
            }
            _ => {}
        }
    }
    found.extend(inputs.iter().flat_map(met).map(|what| format!("rows with {what}")));
    found
}

/// The first word of what a value prints.
fn variant(value: &impl core::fmt::Debug) -> String {
    format!("{value:?}").split([' ', '(']).next().unwrap_or_default().to_string()
}

fn length(len: usize) -> &'static str {
    match len {
        0 => "none",
        1 => "one",
        _ => "each",
    }
}

fn bias(bias: &Bias<'_>) -> String {
    format!("bias {}", variant(bias))
}

fn splits(splits: usize, inputs: usize) -> &'static str {
    match splits {
        1 => "one",
        _ if splits == inputs => "each",
        _ => "some",
    }
}

/// What rows hold that is worth naming.
fn met(values: &Values<'_>) -> Vec<&'static str> {
    match values {
        Values::F32(values) => {
            let any = |is: fn(f32) -> bool| values.iter().any(|&x| is(x));
            [
                ("NaN", any(f32::is_nan)),
                ("inf", any(|x| x == f32::INFINITY)),
                ("-inf", any(|x| x == f32::NEG_INFINITY)),
                ("subnormals", any(f32::is_subnormal)),
                ("-0", any(|x| x.to_bits() == 1 << 31)),
                ("huge numbers", any(|x| x.is_finite() && x.abs() > 1e29)),
            ]
            .into_iter()
            .filter_map(|(name, met)| met.then_some(name))
            .collect()
        }
        Values::I8(values) => {
            let named = [(-128, "i8 -128"), (127, "i8 127"), (0, "i8 0"), (-1, "i8 -1")];
            named.into_iter().filter(|(x, _)| values.contains(x)).map(|(_, name)| name).collect()
        }
        Values::U8(values) => {
            let named = [(0, "u8 0"), (255, "u8 255"), (128, "u8 128"), (127, "u8 127")];
            named.into_iter().filter(|(x, _)| values.contains(x)).map(|(_, name)| name).collect()
        }
        Values::U32(_) => Vec::new(),
    }
}

/// What must be found.
fn wanted() -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    let mut want = |kind: &str, options: &[&str]| {
        wanted.extend(options.iter().map(|option| format!("{kind} {option}")));
    };
    // What the file numbers, up to the first number that nothing has.
    let kinds: Vec<String> =
        (1..).map_while(|code| Layer::name_of(code).map(|_| code.to_string())).collect();
    assert!(kinds.len() >= 16, "the kinds are numbered from 1");
    want("kind", &kinds.iter().map(String::as_str).collect::<Vec<_>>());
    let functions: Vec<String> = (0..)
        .map_while(|code| Activation::from_parts(code, 0.5, 1.0).ok())
        .map(|activation| variant(&activation))
        .collect();
    assert!(functions.len() >= 18, "the functions are numbered from 0");
    for function in &functions {
        want(&format!("function {function} of"), &["f32", "i8", "u8"]);
    }
    let aggregates: Vec<_> = (0..).map_while(|code| Aggregate::from_code(code, 1.0)).collect();
    assert_eq!(aggregates.len(), AGGREGATES.len());
    for aggregate in aggregates {
        let (name, mean) = (aggregate.name(), aggregate == Aggregate::Mean);
        let of_splits = &["splits one", "splits some", "splits each"][..if mean { 1 } else { 3 }];
        let stored = &["all", "pruned"][..if mean { 1 } else { 2 }];
        want(name, of_splits);
        want(name, stored);
        want(name, &["Int8", "PerTensor", "PerRow", "to f32", "to i8", "to u8"]);
        want(&format!("float {name}"), of_splits);
        want(&format!("float {name}"), &["all", "pruned"]);
    }
    for (_, op) in CombineOp::ALL {
        want("f32", &[op.name()]);
        let sums = [CombineOp::Add, CombineOp::Sub, CombineOp::Mul].contains(&op);
        let rules = match op {
            CombineOp::Div => 0,
            _ if sums => 4,
            _ => 2,
        };
        Rounding::ALL[..rules].iter().for_each(|rule| want(rule.name(), &[op.name()]));
    }
    for rule in Rounding::ALL {
        let name = format!("rule {}", rule.name());
        want(&name, &["from i8", "from u8", "to I8", "to U8"]);
        want(&name, &["inputs 1", "outputs 1", "rows 1"]);
        want("dense Int8 to", &[rule.name()]);
    }
    want("dense", &["Int8 to f32", "PerTensor to f32", "PerRow to f32"]);
    for kind in ["dense", "max"] {
        want(kind, &["scales one", "scales each", "bias None", "bias I32", "bias F32"]);
        want(kind, &["Identity", "Relu", "Relu6", "Clip"]);
    }
    want("dense zero points", &["none", "one", "each"]);
    for width in WIDTHS {
        wanted.insert(format!("dense inputs {width}"));
        wanted.insert(format!("dense outputs {width}"));
        for aggregate in AGGREGATES {
            wanted.insert(format!("{} inputs {width}", aggregate.name()));
            wanted.insert(format!("{} outputs {width}", aggregate.name()));
        }
    }
    wanted.extend(ROWS.map(|rows| format!("rows {rows}")));
    for what in ["NaN", "inf", "-inf", "subnormals", "-0", "huge numbers"] {
        wanted.insert(format!("rows with {what}"));
    }
    for what in ["i8 -128", "i8 127", "i8 0", "i8 -1", "u8 0", "u8 255", "u8 128", "u8 127"] {
        wanted.insert(format!("rows with {what}"));
    }
    for what in ["inputs one", "inputs several", "outputs one", "outputs several"] {
        wanted.insert(what.into());
    }
    for element in ["f32", "i8", "u8", "u32"] {
        wanted.insert(format!("output {element}"));
    }
    wanted
}

#[test]
fn nothing_is_missing() {
    let battery = Battery::new().expect("the layers take it");
    let found: BTreeSet<String> = battery.cases.iter().flat_map(features).collect();
    let wanted = wanted();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "not in the battery: {missing:?}");
}

/// Outputs that are all the same would hide what a kernel does wrong. Of real rows that are huge, or
/// of products that clamp, a few may.
#[test]
fn outputs_tell_something() {
    let battery = Battery::new().expect("the layers take it");
    let (mut dull, mut tensors, mut ends, mut all) = (Vec::new(), 0, 0, 0);
    for Case { model, outputs, .. } in &battery.cases {
        for (&id, values) in model.outputs().iter().zip(outputs) {
            tensors += 1;
            let element = model.tensor_type(id).element;
            let bytes = values.to_le_bytes();
            let different: BTreeSet<&[u8]> = bytes.chunks(element.size()).collect();
            if values.len() >= 32 && different.len() == 1 {
                dull.push(model.name());
            }
            if let Element::Int8(_) = element {
                let values = values.to_i8();
                ends += values.iter().filter(|x| [-128, 127].contains(*x)).count();
                all += values.len();
            }
        }
    }
    assert!(dull.len() * 100 < tensors, "all outputs are equal: {dull:?}");
    assert!(ends * 3 < all, "{ends} of {all} 8-bit outputs are the smallest or the largest");
}
