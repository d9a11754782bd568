//! Networks that are no row of layers: every graph of float layers is quantized.

mod common;

use common::{all_options, dense, names, noise};
use signfold::layers::{
    Activation, Affine, Aggregate, Argmax, Combine, CombineOp, Concat, FloatMax, Layer, LayerNorm,
    LogSoftmax, Pointwise, Softmax,
};
use signfold::{Element, Engine, GraphBuilder, Model, Output, TensorId, TensorType, Values};
use signfold_import::{CalibrationMethod, QuantizeOptions, Quantized, quantize};

fn combine(op: CombineOp) -> Combine {
    Combine { op, activation: Activation::Identity, output: None }
}

fn function(activation: Activation) -> Pointwise {
    Pointwise { activation, output: None }
}

/// A model on the engine; it must give what the reference does.
fn run(model: &Model<'_>, inputs: &[Values<'_>]) -> Vec<Values<'static>> {
    let expected = model.reference_all(inputs).unwrap();
    let engine = Engine::new(model).unwrap();
    let mut found = expected.clone();
    for values in &mut found {
        match values {
            Values::F32(values) => values.to_mut().fill(0.0),
            Values::U32(values) => values.to_mut().fill(0),
            other => panic!("{}", other.element_name()),
        }
    }
    let mut outputs: Vec<Output<'_>> = Vec::new();
    for values in &mut found {
        outputs.push(match values {
            Values::F32(values) => values.to_mut().into(),
            Values::U32(values) => values.to_mut().into(),
            other => panic!("{}", other.element_name()),
        });
    }
    let rows = inputs[0].len() / model.input().width;
    engine.run_all(inputs, &mut outputs, &mut engine.scratch_for(rows)).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.digest(), expected.digest(), "{}", model.name());
    }
    expected
}

/// x -> dense -> relu -> (dense -> relu) + itself -> dense
fn residual() -> Model<'static> {
    let mut graph = Model::graph("residual");
    let x = graph.input("x", TensorType::f32(12)).unwrap();
    let mut layer = |name: &str, layer: Layer<'static>, inputs: &[TensorId]| {
        graph.layer(name.to_owned(), layer, inputs).unwrap()
    };
    let sums = layer("a", dense(12, 16, 1).into(), &[x]);
    let a = layer("a.relu", function(Activation::Relu).into(), &[sums]);
    let sums = layer("b", dense(16, 16, 3).into(), &[a]);
    let b = layer("b.tanh", function(Activation::Tanh).into(), &[sums]);
    let sum = layer("sum", combine(CombineOp::Add).into(), &[a, b]);
    let clamped = layer("sum.relu6", function(Activation::Relu6).into(), &[sum]);
    let y = layer("y", dense(16, 5, 5).into(), &[clamped]);
    graph.output(y);
    graph.build().unwrap()
}

#[test]
fn a_skipped_layer_stays_8_bit() {
    let net = residual();
    let rows: Values<'_> = noise(12 * 200, 7).into();
    let inputs = [rows];
    let Quantized { model, report } = quantize(&net, &inputs, &QuantizeOptions::default()).unwrap();
    assert_eq!(names(&model), ["quantize", "dense", "dense", "pointwise", "add", "dense"]);
    let found: Vec<_> = model.tensors().map(|id| model.tensor_name(id)).collect();
    assert_eq!(found, ["x", "x.quantized", "a.relu", "b", "b.tanh", "sum.relu6", "y"]);
    let sum = model.nodes().nth(4).unwrap();
    assert!(matches!(model.tensor_type(sum.output).element, Element::Int8(_)));
    let Layer::Combine(combine) = sum.layer else { panic!() };
    assert_eq!(combine.activation, Activation::Relu6);
    assert!(report.agreement().unwrap().sqnr_db > 33.0, "{report}");
    assert_eq!(report.layers.len(), 5);
    run(&model, &inputs);
    for options in all_options() {
        let Quantized { model, report } = quantize(&net, &inputs, &options).unwrap();
        run(&model, &inputs);
        assert!(report.agreement().unwrap().sqnr_db > 30.0, "{options:?}\n{report}");
    }
}

#[test]
fn several_inputs_and_outputs() {
    let mut graph = Model::graph("wide");
    let a = graph.input("a", TensorType::f32(6)).unwrap();
    let b = graph.input("b", TensorType::f32(3)).unwrap();
    let c = graph.layer("c", dense(6, 5, 1), &[a]).unwrap();
    let d = graph.layer("d", dense(3, 4, 3), &[b]).unwrap();
    let both = graph.layer("both", Concat { inputs: 2, output: None }, &[c, d]).unwrap();
    let y = graph.layer("y", dense(9, 4, 5), &[both]).unwrap();
    let z = graph.layer("z", dense(9, 2, 7), &[both]).unwrap();
    let class = graph.layer("class", Argmax, &[y]).unwrap();
    [class, y, z, c].into_iter().for_each(|id| graph.output(id));
    let net = graph.build().unwrap();
    let inputs: [Values<'_>; 2] = [noise(6 * 100, 1).into(), noise(3 * 100, 2).into()];
    let Quantized { model, report } = quantize(&net, &inputs, &QuantizeOptions::default()).unwrap();
    // `c` is an output, so it is real, and quantized for the others.
    let expected = [
        "quantize", "dense", "quantize", "dense", "quantize", "concat", "dense", "dense", "argmax",
    ];
    assert_eq!(names(&model), expected);
    let found: Vec<_> = model.outputs().iter().map(|&id| model.tensor_name(id)).collect();
    assert_eq!(found, ["class", "y", "z", "c"]);
    assert_eq!(report.outputs.len(), 4);
    for output in &report.outputs {
        let agreement = output.agreement.unwrap();
        assert!(agreement.sqnr_db > 33.0 && agreement.rows == 100, "{report}");
    }
    assert_eq!(report.outputs[0].agreement, report.outputs[1].agreement);
    assert_eq!(model.golden().unwrap().inputs.len(), 2);
    run(&model, &inputs);

    let one = quantize(&net, &inputs[..1], &QuantizeOptions::default()).unwrap_err().to_string();
    assert!(one.contains("rows of 1 inputs, but the model has 2"), "{one}");
    let uneven = [inputs[0].clone(), vec![0.0_f32; 3].into()];
    let uneven = quantize(&net, &uneven, &QuantizeOptions::default()).unwrap_err().to_string();
    assert!(uneven.contains("calibration: input 1 \"b\": 1 rows"), "{uneven}");
}

#[test]
fn layers_without_an_8_bit_form_get_real_rows() {
    let mut graph = Model::graph("norm");
    let x = graph.input("x", TensorType::f32(8)).unwrap();
    let a = graph.layer("a", dense(8, 8, 1), &[x]).unwrap();
    let norm = LayerNorm::new(1e-5, vec![1.0; 8], vec![0.0; 8]).unwrap();
    let n = graph.layer("n", norm, &[a]).unwrap();
    let b = graph.layer("b", dense(8, 8, 3), &[n]).unwrap();
    let sum = graph.layer("sum", combine(CombineOp::Add), &[n, b]).unwrap();
    let quotient = graph.layer("quotient", combine(CombineOp::Div), &[sum, n]).unwrap();
    let p = graph.layer("p", LogSoftmax, &[sum]).unwrap();
    graph.output(p);
    let net = graph.build().unwrap();
    let inputs: [Values<'_>; 1] = [noise(8 * 100, 1).into()];
    let Quantized { model, report } = quantize(&net, &inputs, &QuantizeOptions::default()).unwrap();
    // Nothing depends on the quotient, and a log-softmax takes real sums.
    assert!(quotient.index() > 0);
    let expected = ["quantize", "dense", "layer norm", "quantize", "dense", "add", "log softmax"];
    assert_eq!(names(&model), expected);
    assert!(report.agreement().unwrap().sqnr_db > 33.0, "{report}");
    run(&model, &inputs);
}

/// A random network of one or two inputs and some layers, of which each takes what was there.
fn random(seed: u32) -> Model<'static> {
    let numbers = noise(400, seed);
    let mut numbers = numbers.into_iter().map(|x| ((x + 1.0) * 5e5) as usize);
    let mut below = move |n: usize| numbers.next().map_or(0, |x| x % n);
    let mut graph: GraphBuilder<'static> = Model::graph(format!("random {seed}"));
    let mut tensors = Vec::new();
    for i in 0..1 + below(2) {
        tensors.push(graph.input(format!("x{i}"), TensorType::f32(1 + below(20))).unwrap());
    }
    for i in 0..1 + below(14) {
        let name = if below(8) == 0 { String::new() } else { format!("t{i}") };
        // The latest more often than others.
        let at = tensors.len() - 1 - below(tensors.len()).min(below(4));
        let (x, width) = (tensors[at], graph.tensor(tensors[at]).width);
        let other = |graph: &GraphBuilder<'_>, n: usize| {
            let same = |id: &TensorId| graph.tensor(*id).width == width;
            let same: Vec<_> = tensors.iter().copied().filter(same).collect();
            same[n % same.len()]
        };
        let (outputs, salt) = (1 + below(20), seed + 31 * i as u32);
        let added = match below(12) {
            0..=3 => graph.layer(name, dense(width, outputs, salt), &[x]),
            4 => {
                let aggregates = [Aggregate::Max, Aggregate::Mean, Aggregate::Mam];
                let (aggregate, weights) = (aggregates[below(3)], noise(width * outputs, salt));
                let new = if below(2) == 0 { FloatMax::new } else { FloatMax::pruned };
                let layout = signfold::WeightLayout::OutIn;
                graph.layer(name, new(aggregate, weights, layout, outputs, width).unwrap(), &[x])
            }
            5..=6 => {
                let functions = [
                    Activation::Identity,
                    Activation::Relu,
                    Activation::Clip { min: -0.5, max: 1.0 },
                    Activation::Tanh,
                    Activation::Silu,
                    Activation::LeakyRelu { alpha: 0.1 },
                ];
                graph.layer(name, function(functions[below(6)]), &[x])
            }
            7 => {
                let (scale, shift) = (noise(width, salt), noise(width, salt + 1));
                graph.layer(name, Affine::new(width, scale, shift).unwrap(), &[x])
            }
            8 => {
                let ops = [CombineOp::Add, CombineOp::Sub, CombineOp::Mul, CombineOp::Max];
                let other = other(&graph, below(9));
                graph.layer(name, combine(ops[below(4)]), &[x, other])
            }
            9 => {
                let other = tensors[below(tensors.len())];
                graph.layer(name, Concat { inputs: 2, output: None }, &[x, other])
            }
            10 => {
                let norm = LayerNorm::new(1e-3, noise(width, salt), noise(width, salt + 1));
                graph.layer(name, norm.unwrap(), &[x])
            }
            _ => graph.layer(name, Softmax, &[x]),
        };
        tensors.push(added.unwrap());
    }
    let last = *tensors.last().unwrap();
    graph.output(last);
    if below(3) == 0 {
        let other = tensors[below(tensors.len())];
        if other != last {
            graph.output(other);
        }
    }
    if below(4) == 0 {
        let class = graph.layer("class", Argmax, &[last]).unwrap();
        graph.output(class);
    }
    graph.build().unwrap()
}

#[test]
fn any_graph_is_quantized() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..150 {
        let net = random(seed);
        let inputs: Vec<Values<'_>> =
            net.inputs().map(|id| noise(net.tensor_type(id).width * 60, seed + 7).into()).collect();
        let options = all_options();
        let mut options = options[seed as usize % options.len()].clone();
        options.equalize |= seed % 3 == 0;
        options.correct_bias |= seed % 5 == 0;
        if seed % 4 == 0 {
            let named = net.nodes().map(|node| net.tensor_name(node.output));
            options.keep_float = named.filter(|name| name.len() == 2).map(str::to_owned).collect();
        }
        let Quantized { model, report } = quantize(&net, &inputs, &options).unwrap();
        kinds.extend(names(&model));
        assert_eq!(Model::read(&model.write()).unwrap(), model);
        run(&model, &inputs);
        assert_eq!(report.outputs.len(), net.outputs().len());
        for (output, report) in net.outputs().iter().zip(&report.outputs) {
            let (name, found) = (net.tensor_name(*output), report.agreement.unwrap());
            assert_eq!(report.name, name);
            // Coarse where a network makes little of much, as with products of small numbers.
            assert!(found.sqnr_db > 8.0, "seed {seed}, {name}: {found}\n{options:?}");
        }
    }
    for kind in ["dense", "pointwise", "add", "mul", "concat", "float dense", "layer norm", "mam"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
}

#[test]
fn a_large_network_takes_its_rows_in_parts() {
    // More bytes than a part has: 40 tensors of 1000 values.
    let mut graph = Model::graph("deep");
    let x = graph.input("x", TensorType::f32(10)).unwrap();
    let mut at = graph.layer("in", dense(10, 1000, 1), &[x]).unwrap();
    for i in 0..38 {
        at = graph.layer(format!("{i}"), function(Activation::Silu), &[at]).unwrap();
    }
    let y = graph.layer("out", dense(1000, 3, 5), &[at]).unwrap();
    graph.output(y);
    let net = graph.build().unwrap();
    let inputs: [Values<'_>; 1] = [noise(10 * 120, 1).into()];
    let options = QuantizeOptions {
        method: CalibrationMethod::Percentile(99.9),
        correct_bias: true,
        ..QuantizeOptions::default()
    };
    let mut parts = 0;
    let found = signfold_import::quantize_with(&net, &inputs, &options, &mut |progress| {
        parts += usize::from(progress.stage == "calibrating");
    });
    assert!(parts > 2, "{parts}");
    assert_eq!(found.unwrap().report.agreement().unwrap().rows, 120);
}
