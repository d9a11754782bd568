//! Max-product layers: what they compute in real numbers, and how close the quantizer comes.

mod common;

use common::{all_options, names, noise, reals, run_everywhere};
use signfold::layers::{Activation, Aggregate, Bias, DenseInput, Layer, MaxProduct};
use signfold::{Element, ErrorKind, Model};
use signfold_import::{
    FloatDense, FloatLayer, FloatMax, FloatNet, QuantizeOptions, Quantized, quantize,
};

const SOFT: Aggregate = Aggregate::SoftAbsMax { alpha: 10.0 };

const AGGREGATES: [Aggregate; 6] =
    [Aggregate::Max, Aggregate::Min, Aggregate::AbsMax, SOFT, Aggregate::Mean, Aggregate::Mam];

/// A layer without a bias, of one output per row of weights.
fn given(aggregate: Aggregate, weights: &[&[f32]]) -> FloatMax {
    let dense = FloatDense {
        inputs: weights[0].len(),
        outputs: weights.len(),
        weights: weights.concat(),
        ..FloatDense::default()
    };
    FloatMax { dense, aggregate, splits: 1, pruned: false }
}

/// A layer of random weights, which may lie to one side of 0 for each output. Those of a pruned
/// layer are 0 or not, but nothing in between.
fn random(
    aggregate: Aggregate,
    inputs: usize,
    outputs: usize,
    pruned: bool,
    one_sided: bool,
) -> FloatMax {
    let weight = |(i, w): (usize, f32)| match w {
        w if pruned && w.abs() < 0.4 => 0.0,
        w if one_sided => w.abs() * if (i / inputs).is_multiple_of(2) { 1.0 } else { -1.0 },
        w => w,
    };
    let weights = noise(inputs * outputs, 7).into_iter().enumerate().map(weight).collect();
    let bias = Some(noise(outputs, 8));
    let dense = FloatDense { inputs, outputs, weights, bias, activation: Activation::Identity };
    FloatMax { dense, aggregate, splits: 1, pruned }
}

fn dense(inputs: usize, outputs: usize, activation: Activation) -> FloatLayer {
    let weights = noise(inputs * outputs, 9).into_iter().map(|w| w / (inputs as f32).sqrt());
    let (weights, bias) = (weights.collect(), Some(noise(outputs, 10)));
    FloatLayer::Dense(FloatDense { inputs, outputs, weights, bias, activation })
}

fn net(layers: Vec<FloatLayer>) -> FloatNet {
    let inputs = match &layers[0] {
        FloatLayer::Dense(dense) => dense.inputs,
        FloatLayer::Max(max) => max.dense.inputs,
        _ => panic!("no weights"),
    };
    FloatNet::new("max", inputs, layers).unwrap()
}

fn single(layer: FloatMax) -> FloatNet {
    net(vec![FloatLayer::Max(layer)])
}

fn first_max<'m>(model: &'m Model<'static>) -> &'m MaxProduct<'static> {
    let mut layers = model.layers().map(|(layer, _, _)| layer);
    layers
        .find_map(|layer| if let Layer::MaxProduct(max) = layer { Some(max) } else { None })
        .unwrap()
}

#[test]
fn joins_by_hand() {
    let row = [1.0, 2.0, -1.0, 0.5, 3.0];
    // Products 2, -4, 1, 0, 3 and 1, 0, -1, 0, 0.
    let weights: [&[f32]; 2] = [&[2.0, -2.0, -1.0, 0.0, 1.0], &[1.0, 0.0, 1.0, 0.0, 0.0]];
    let forward = |aggregate, splits, pruned| {
        let layer = FloatMax { splits, pruned, ..given(aggregate, &weights) };
        single(layer).forward(&row).unwrap()
    };
    assert_eq!(forward(Aggregate::Max, 1, false), [3.0, 1.0]);
    assert_eq!(forward(Aggregate::Min, 1, false), [-4.0, -1.0]);
    assert_eq!(forward(Aggregate::AbsMax, 1, false), [-4.0, 1.0]);
    assert_eq!(forward(Aggregate::Mam, 1, false), [-1.0, 0.0]);
    assert_eq!(forward(Aggregate::Mean, 1, false), [0.4, 0.0]);
    assert_eq!(forward(Aggregate::Mean, 1, true), [0.5, 0.0]);
    // Blocks of 3 and of 2; of the second output's second block all weights are 0.
    assert_eq!(forward(Aggregate::Max, 2, false), [5.0, 1.0]);
    assert_eq!(forward(Aggregate::Min, 2, false), [-4.0, -1.0]);
    assert_eq!(forward(Aggregate::Min, 2, true), [-1.0, -1.0]);
    assert_eq!(forward(Aggregate::Mam, 2, false), [1.0, 0.0]);
    assert_eq!(forward(Aggregate::Mam, 2, true), [4.0, 0.0]);
    assert_eq!(forward(Aggregate::AbsMax, 5, true), [2.0, 0.0]);

    let exp = |d: f64| (0.5 * d).exp();
    let terms = [exp(-2.0) + 1.0 + exp(-3.0) + exp(-1.0), 2.0];
    let expected =
        [-(4.0 + (terms[0] + exp(-4.0)).ln() / 0.5), 1.0 + (2.0 + 3.0 * exp(-1.0)).ln() / 0.5];
    let pruned = [-(4.0 + terms[0].ln() / 0.5), 1.0 + terms[1].ln() / 0.5];
    let soft = Aggregate::SoftAbsMax { alpha: 0.5 };
    assert_eq!(forward(soft, 1, false), expected.map(|x| x as f32));
    assert_eq!(forward(soft, 1, true), pruned.map(|x| x as f32));
    // Nothing but products of 0 have no sign.
    assert_eq!(single(given(soft, &[&[0.0, 1.0]])).forward(&[1.0, 0.0]).unwrap(), [0.0]);
    let mut biased = given(Aggregate::Max, &[&[0.0], &[1.0]]);
    biased.pruned = true;
    biased.dense.bias = Some(vec![-0.5, 0.25]);
    biased.dense.activation = Activation::Relu;
    assert_eq!(single(biased).forward(&[1.0]).unwrap(), [0.0, 1.25]);
}

#[test]
fn every_aggregate_is_close() {
    let (inputs, outputs, rows) = (23, 9, 60);
    for one_sided in [true, false] {
        let x: Vec<f32> = noise(inputs * rows, 5);
        let x: Vec<f32> = if one_sided { x.iter().map(|x| x.abs()).collect() } else { x };
        for aggregate in AGGREGATES {
            // Where signs differ, a winner that is hardly larger than another may change its sign.
            let signs = matches!(aggregate, Aggregate::AbsMax | Aggregate::SoftAbsMax { .. });
            for (splits, pruned) in [(1, false), (4, false), (1, true), (4, true)] {
                if aggregate == Aggregate::Mean && splits > 1 {
                    continue;
                }
                let layer =
                    FloatMax { splits, ..random(aggregate, inputs, outputs, pruned, one_sided) };
                let net = single(layer);
                let expected = net.forward(&x).unwrap();
                // Inputs and weights are at most 1, with scales of at most 1 / 127. An input found to
                // be beyond a rounded zero point is off by a step, all else by half of one.
                let product = (1.0 + 0.5) / 127.0 + 1.0 / (127.0 * 127.0);
                let joined = splits * if aggregate == Aggregate::Mam { 2 } else { 1 };
                let bound = product * joined as f32 + 1e-4;
                for options in all_options() {
                    let Quantized { model, report } = quantize(&net, &x, &options).unwrap();
                    let found = reals(&run_everywhere(&model, &x));
                    let pairs = found.iter().zip(&expected);
                    let far = pairs.filter(|(a, b)| (*a - *b).abs() > bound).count();
                    let allowed = if signs && !one_sided { found.len() / 20 } else { 0 };
                    assert!(
                        far <= allowed,
                        "{aggregate:?}, {splits}, {pruned}, {options:?}: {far} of {}\n{report}",
                        found.len()
                    );
                    let pruned = pruned && aggregate != Aggregate::Mean;
                    assert_eq!(first_max(&model).is_pruned(), pruned);
                    assert_eq!(first_max(&model).split_count(), splits);
                    assert_eq!(report.layers[0].kind, aggregate.name());
                }
            }
        }
    }
}

#[test]
fn layers_of_all_kinds_in_any_order() {
    let rows = noise(12 * 100, 5);
    let max = |aggregate, inputs, outputs, splits, activation| {
        let mut layer =
            FloatMax { splits, ..random(aggregate, inputs, outputs, splits > 1, false) };
        layer.dense.activation = activation;
        FloatLayer::Max(layer)
    };
    let (id, relu, tanh) = (Activation::Identity, Activation::Relu, Activation::Tanh);
    let cases = [
        vec![dense(12, 20, relu), max(Aggregate::Mam, 20, 6, 1, id)],
        vec![max(Aggregate::Max, 12, 20, 1, tanh), dense(20, 8, tanh), dense(8, 3, id)],
        vec![
            max(Aggregate::Mean, 12, 16, 1, id),
            max(Aggregate::Min, 16, 10, 2, Activation::Relu6),
            dense(10, 8, Activation::Gelu),
            max(Aggregate::Mam, 8, 5, 2, Activation::Sigmoid),
            FloatLayer::Softmax,
            max(Aggregate::Max, 5, 4, 1, id),
            FloatLayer::Argmax,
        ],
    ];
    for layers in cases {
        let net = net(layers);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            run_everywhere(&model, &rows);
            let agreement = report.agreement.unwrap();
            assert!(agreement.sqnr_db > 28.0, "{options:?}:\n{report}");
            assert_eq!(Model::read(&model.write()).unwrap(), model);
        }
    }
    // A winner with another sign is another answer; but that is rare.
    let layers =
        vec![dense(12, 24, tanh), max(Aggregate::AbsMax, 24, 16, 1, tanh), dense(16, 4, id)];
    for options in all_options() {
        let Quantized { report, .. } = quantize(&net(layers.clone()), &rows, &options).unwrap();
        assert!(report.agreement.unwrap().sqnr_db > 15.0, "{options:?}:\n{report}");
    }
}

#[test]
fn rows_stay_8_bit_between_layers_with_weights() {
    let rows = noise(60, 5);
    let first = |activation| {
        let mut layer = random(SOFT, 6, 5, false, false);
        layer.dense.activation = activation;
        vec![FloatLayer::Max(layer), dense(5, 4, activation), {
            FloatLayer::Max(random(Aggregate::Mam, 4, 3, true, false))
        }]
    };
    let model = |activation, dense_input| {
        let options = QuantizeOptions { dense_input, ..QuantizeOptions::default() };
        quantize(&net(first(activation)), &rows, &options).unwrap().model
    };
    let (relu, tanh) = (Activation::Relu, Activation::Tanh);
    let fixed = model(relu, DenseInput::Int8);
    assert_eq!(names(&fixed), ["quantize", "soft_abs_max", "dense", "mam"]);
    assert_eq!(first_max(&fixed).fused_activation(), relu);
    let table = model(tanh, DenseInput::Int8);
    let expected = ["quantize", "soft_abs_max", "pointwise", "dense", "pointwise", "mam"];
    assert_eq!(names(&table), expected);
    let between = table.layers().skip(1).take(4).map(|(.., output)| output.element);
    assert!(between.into_iter().all(|element| matches!(element, Element::Int8(_))));
    for dense_input in [DenseInput::PerRow, DenseInput::PerTensor] {
        let model = model(relu, dense_input);
        assert_eq!(names(&model), ["soft_abs_max", "dense", "mam"]);
        assert_eq!(first_max(&model).input_kind(), dense_input);
    }
    let options = QuantizeOptions { dense_input: DenseInput::PerRow, ..QuantizeOptions::default() };
    let Quantized { model, report } = quantize(&net(first(relu)), &[], &options).unwrap();
    assert_eq!(names(&model), ["soft_abs_max", "dense", "mam"]);
    assert!(report.layers[0].weight_scales.is_some());
}

#[test]
fn weights_and_bias_by_hand() {
    let mut layer = given(Aggregate::Max, &[&[1.27, 0.004], &[0.0, 0.0], &[0.1, -12.7]]);
    layer.dense.bias = Some(vec![0.5, 0.25, -1.0]);
    layer.pruned = true;
    let rows = [0.0, 1.0, -1.0, 0.5];
    let model = quantize(&single(layer), &rows, &QuantizeOptions::default()).unwrap().model;
    let max = first_max(&model);
    // A weight below half a step is no connection any more.
    let connections = [0, 1, 2].map(|n| max.connections(n).collect::<Vec<_>>());
    assert_eq!(connections, [vec![(0, 127)], vec![], vec![(0, 1), (1, -127)]]);
    let Element::Int8(input) = model.layers().next().unwrap().2.element else { panic!() };
    let Bias::I32(bias) = max.bias_values() else { panic!() };
    for (n, real) in [0.5, 0.25, -1.0].into_iter().enumerate() {
        let step = input.scale() * max.scales()[n];
        assert!((bias[n] as f32 * step - real).abs() <= 0.501 * step);
    }
}

#[test]
fn a_pruned_mean_becomes_one_of_larger_weights() {
    let mut layer = given(
        Aggregate::Mean,
        &[&[0.5, 0.0, 0.0, -1.0], &[0.0, 0.0, 0.0, 0.0], &[1.0, 1.0, 1.0, 1.0]],
    );
    layer.pruned = true;
    layer.dense.bias = Some(vec![0.5, 0.25, -1.0]);
    let mut scaled = layer.clone();
    scaled.pruned = false;
    scaled.dense.weights[..4].iter_mut().for_each(|w| *w *= 4.0 / 2.0);
    let rows = [0.0, 1.0, -1.0, 0.5, 1.0, 1.0, 1.0, 1.0];
    for options in all_options() {
        let of = |layer: &FloatMax| quantize(&single(layer.clone()), &rows, &options).unwrap();
        let pruned = of(&layer);
        assert_eq!(pruned, of(&scaled));
        let found = reals(&run_everywhere(&pruned.model, &rows));
        for (found, expected) in found.iter().zip([0.25, 0.25, -0.875, 0.25, 0.25, 0.0]) {
            assert!((found - expected).abs() < 0.03, "{found}, {expected}: {options:?}");
        }
    }
}

#[test]
fn nothing_but_zeros() {
    for aggregate in AGGREGATES {
        for pruned in [false, true] {
            let layer = FloatMax { pruned, ..given(aggregate, &[&[0.0; 3], &[0.0; 3]]) };
            let layers =
                vec![FloatLayer::Max(layer), FloatLayer::Max(given(aggregate, &[&[0.0; 2]]))];
            for options in all_options() {
                let Quantized { model, .. } =
                    quantize(&net(layers.clone()), &[0.0; 6], &options).unwrap();
                assert_eq!(reals(&run_everywhere(&model, &[0.0; 6])), [0.0, 0.0]);
            }
        }
    }
}

#[test]
fn numbers_beyond_f32_are_refused() {
    let refused = |layers: Vec<FloatLayer>, rows: &[f32], part: &str| {
        let error = quantize(&net(layers), rows, &QuantizeOptions::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    let soft = given(Aggregate::SoftAbsMax { alpha: 1e37 }, &[&[1e5]]);
    let layers = vec![FloatLayer::Max(soft), dense(1, 1, Activation::Identity)];
    refused(layers, &[1.0], "layer 0 (soft_abs_max): alpha 1e37 is too large beside outputs");
    let mut mean = given(Aggregate::Mean, &[&[0.0; 200], &[0.0; 200]]);
    mean.pruned = true;
    mean.dense.weights[200] = 3e38;
    let part = "layer 0 (mean): channel 1: the weight for input 0, times 200, is beyond f32";
    refused(vec![FloatLayer::Max(mean)], &[0.0; 200], part);
}

#[test]
fn layers_that_are_refused() {
    let good = |aggregate| given(aggregate, &[&[1.0, 2.0, 3.0, 4.0, 5.0], &[0.0; 5]]);
    let refused = |layer: FloatMax, part: &str| {
        let error = FloatNet::new("bad", 5, vec![FloatLayer::Max(layer)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        let text = error.to_string();
        assert!(text.starts_with("layer 0 (") && text.contains(part), "{text}");
    };
    let splits = |splits| FloatMax { splits, ..good(Aggregate::Max) };
    assert!(FloatNet::new("good", 5, vec![FloatLayer::Max(splits(5))]).is_ok());
    refused(splits(0), "0 splits, but");
    refused(splits(4), "5 inputs do not fill 4 splits of 2");
    refused(splits(usize::MAX), "do not fill");
    refused(FloatMax { splits: 2, ..good(Aggregate::Mean) }, "a mean has no splits");
    for alpha in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, 1e38] {
        refused(good(Aggregate::SoftAbsMax { alpha }), "soft_abs_max): alpha");
    }
    let mut narrow = good(Aggregate::Max);
    narrow.dense.inputs = 4;
    refused(narrow, "layer 0 (max): its input is 5 wide");
    let mut short = good(Aggregate::Mam);
    short.dense.bias = Some(vec![0.0]);
    refused(short, "layer 0 (mam): 1 biases for 2 outputs");
}
