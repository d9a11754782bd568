//! Engines and files of graphs: branches that meet, several inputs and outputs, tensors that are
//! outputs and are read as well, layers that nothing needs.

mod common;

use std::collections::BTreeSet;

use common::{Rng, assert_same, bits, cases, int8_dense, random_graph, random_inputs, run_all};
use signfold::layers::{Activation, Combine, CombineOp, DenseOutput, Layer};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Engine, Model, TensorId, TensorType, Values, kernels};

#[track_caller]
fn assert_all_same(got: &[Values<'_>], wanted: &[Values<'_>], what: impl std::fmt::Display) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert_same(&bits(got), &bits(wanted), format_args!("output {i}, {what}"));
    }
}

#[test]
fn kernels_equal_the_reference() {
    for seed in 0..cases() {
        let model = random_graph(seed);
        for count in [0, 1, 2, 13] {
            let inputs = random_inputs(&model, count, seed);
            let wanted = model.reference_all(&inputs);
            for kernel in kernels::available() {
                let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
                let got = run_all(&model, &engine, &inputs, &mut engine.scratch_for(count));
                let what = format!("{}, {count} rows, {}", model.name(), kernel.name());
                match (&got, &wanted) {
                    (Ok(got), Ok(wanted)) => assert_all_same(got, wanted, what),
                    (Err(got), Err(wanted)) => assert_eq!(got.to_string(), wanted.to_string()),
                    _ => panic!("{got:?}, not {wanted:?}, {what}"),
                }
            }
        }
    }
}

/// A network wide enough for threads to share a batch, by rows and by outputs.
#[test]
fn threads_change_no_bit() {
    let params = QuantParams::new(Int8::U8, 0.02, 100).expect("valid parameters");
    let rng = &mut Rng::new(3);
    let mut graph = Model::graph("wide");
    let width = 1500;
    let x = graph.input("x", TensorType::int8(width, params)).expect("a sound input");
    let mut at = x;
    for rule in [Rounding::TfLite, Rounding::Nearest, Rounding::TfLiteReference] {
        let dense = int8_dense(rng, width, width, Activation::Identity);
        let dense = dense.output(DenseOutput::Int8(params, rule));
        let y = graph.layer("", dense, &[at]).expect("a sound layer");
        let output = Some((params, Rounding::TfLite));
        let add = Combine { op: CombineOp::Add, activation: Activation::Identity, output };
        at = graph.layer("", add, &[y, x]).expect("a sound layer");
        graph.output(y);
    }
    graph.output(at);
    let model = graph.build().expect("a sound graph");
    for count in [4, 20] {
        let inputs = random_inputs(&model, count, 4);
        let wanted = model.reference_all(&inputs).expect("8-bit rows are sound");
        for threads in 1..=4 {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            let got = run_all(&model, &engine, &inputs, &mut engine.scratch());
            let what = format!("{count} rows, {threads} threads");
            assert_all_same(&got.expect("8-bit rows are sound"), &wanted, what);
        }
    }
}

/// A model whose outputs are all its tensors computes the same ones.
#[test]
fn traces_hold_the_outputs() {
    for seed in 0..cases() {
        let model = random_graph(seed);
        let inputs = random_inputs(&model, 5, seed);
        let all: Vec<TensorId> = model.tensors().collect();
        let trace = model.clone().with_outputs(&all).expect("each tensor once");
        let (Ok(wanted), Ok(reference)) =
            (model.reference_all(&inputs), trace.reference_all(&inputs))
        else {
            continue; // a layer that nothing needs may refuse its rows
        };
        let engine = Engine::new(&trace).expect("a valid model");
        let got = run_all(&trace, &engine, &inputs, &mut engine.scratch()).expect("no NaN");
        assert_all_same(&got, &reference, format_args!("trace of {}", model.name()));
        let picked: Vec<_> = model.outputs().iter().map(|id| got[id.index()].clone()).collect();
        assert_all_same(&picked, &wanted, format_args!("outputs in the trace of {}", model.name()));
        assert_all_same(&got[..inputs.len()], &inputs, "inputs in a trace");
    }
}

#[test]
fn files_give_the_same_model() {
    for seed in 0..cases() {
        let model = random_graph(seed);
        let file = model.write();
        let read = Model::read(&file).expect("what was written");
        assert_eq!(read, model);
        assert_eq!(read.write(), file, "{}", model.name());
        assert_eq!(read.into_owned(), model);
    }
}

/// What a graph has.
fn features(model: &Model<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (inputs, outputs) = (model.inputs().len(), model.outputs().len());
    found.insert(format!("inputs {inputs}"));
    found.insert(format!("outputs {}", if outputs == 1 { "one" } else { "several" }));
    let read: BTreeSet<usize> =
        model.nodes().flat_map(|node| node.inputs).map(|id| id.index()).collect();
    for id in model.outputs() {
        match id.index() < inputs {
            true => found.insert("output that is an input".into()),
            false if read.contains(&id.index()) => found.insert("output that is read".into()),
            false => found.insert("output".into()),
        };
    }
    if model.tensors().any(|id| !read.contains(&id.index()) && !model.outputs().contains(&id)) {
        found.insert("tensor for nothing".into());
    }
    for node in model.nodes() {
        let of = match model.tensor_type(node.inputs[0]).element {
            Element::F32 => "f32",
            _ => "int8",
        };
        match node.layer {
            Layer::Combine(layer) => {
                found.insert(format!("{of} {}", node.layer.name()));
                if let Some((_, rule)) = layer.output {
                    found.insert(format!("{} {}", rule.name(), layer.op.name()));
                }
                if node.inputs[0] == node.inputs[1] {
                    found.insert("combined with itself".into());
                }
            }
            Layer::Concat(layer) => {
                found.insert(format!("{of} concat {}", layer.inputs));
            }
            Layer::Lookup(_) => {
                found.insert("lookup".into());
            }
            Layer::Dense(dense) => {
                if let DenseOutput::Int8(_, rule) = dense.output_kind() {
                    found.insert(format!("{} dense", rule.name()));
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn random_graphs_cover_everything() {
    let found: BTreeSet<String> = (0..200).flat_map(|s| features(&random_graph(s))).collect();
    let mut wanted = BTreeSet::new();
    let mut want = |kind: &str, options: &[&str]| {
        wanted.extend(options.iter().map(|option| format!("{kind} {option}")));
    };
    want("inputs", &["1", "2", "3"]);
    want("outputs", &["one", "several"]);
    want("output", &["that is an input", "that is read"]);
    want("f32", &["add", "sub", "mul", "div", "max", "min", "concat 2", "concat 3", "concat 4"]);
    want("int8", &["add", "sub", "mul", "max", "min", "concat 2", "concat 3", "concat 4"]);
    want("nearest", &["dense", "add", "sub", "mul", "max", "min"]);
    want("onnx-reference", &["dense", "add", "sub", "mul", "max", "min"]);
    want("tf-lite", &["dense", "add", "sub", "mul"]);
    want("tf-lite-single-rounding", &["dense", "add", "sub", "mul"]);
    want("tf-lite-reference", &["dense"]);
    let others = ["output", "tensor for nothing", "combined with itself", "lookup"];
    wanted.extend(others.map(String::from));
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "no random graph has {missing:?}");
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(unknown.is_empty(), "not in the list: {unknown:?}");
}
