//! Max-product layers: what they compute in real numbers, and how close the quantizer comes.

mod common;

use common::{Part, all_options, forward, names, net, noise, quantize, reals, run_everywhere};
use signfold::layers::{
    Activation, Aggregate, Argmax, Bias, DenseInput, FloatDense, FloatMax, Layer, MaxProduct,
    Softmax,
};
use signfold::{Element, Model, WeightLayout};
use signfold_import::{QuantizeOptions, Quantized};

const SOFT: Aggregate = Aggregate::SoftAbsMax { alpha: 10.0 };

const AGGREGATES: [Aggregate; 6] =
    [Aggregate::Max, Aggregate::Min, Aggregate::AbsMax, SOFT, Aggregate::Mean, Aggregate::Mam];

/// A layer without a bias, of one output per row of weights.
fn given(aggregate: Aggregate, weights: &[&[f32]], pruned: bool) -> FloatMax<'static> {
    let (outputs, inputs) = (weights.len(), weights[0].len());
    let new = if pruned { FloatMax::pruned } else { FloatMax::new };
    new(aggregate, weights.concat(), WeightLayout::OutIn, outputs, inputs).unwrap()
}

/// A layer of random weights, which may lie to one side of 0 for each output. Those of a pruned
/// layer are 0 or not, but nothing in between.
fn random(
    aggregate: Aggregate,
    inputs: usize,
    outputs: usize,
    pruned: bool,
    one_sided: bool,
) -> FloatMax<'static> {
    let weight = |(i, w): (usize, f32)| match w {
        w if pruned && w.abs() < 0.4 => 0.0,
        w if one_sided => w.abs() * if (i / inputs).is_multiple_of(2) { 1.0 } else { -1.0 },
        w => w,
    };
    let weights: Vec<_> = noise(inputs * outputs, 7).into_iter().enumerate().map(weight).collect();
    let rows: Vec<_> = weights.chunks_exact(inputs).collect();
    given(aggregate, &rows, pruned).bias(noise(outputs, 8))
}

fn dense(inputs: usize, outputs: usize, activation: Activation) -> Part {
    let weights = noise(inputs * outputs, 9).into_iter().map(|w| w / (inputs as f32).sqrt());
    let weights: Vec<_> = weights.collect();
    let layer = FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs).unwrap();
    Part(layer.bias(noise(outputs, 10)).into(), activation)
}

fn single(layer: FloatMax<'static>) -> Model<'static> {
    net(layer.inputs(), &[layer.into()])
}

fn first_max<'m>(model: &'m Model<'static>) -> &'m MaxProduct<'static> {
    let mut layers = model.layers().map(|(layer, _, _)| layer);
    layers
        .find_map(|layer| if let Layer::MaxProduct(max) = layer { Some(max) } else { None })
        .unwrap()
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
                let layer = random(aggregate, inputs, outputs, pruned, one_sided);
                let net = single(layer.splits(splits));
                let expected = forward(&net, &x);
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
        let layer = random(aggregate, inputs, outputs, splits > 1, false);
        Part(layer.splits(splits).into(), activation)
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
            Softmax.into(),
            max(Aggregate::Max, 5, 4, 1, id),
            Argmax.into(),
        ],
    ];
    for layers in cases {
        let net = net(12, &layers);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            run_everywhere(&model, &rows);
            let agreement = report.agreement().unwrap();
            assert!(agreement.sqnr_db > 28.0, "{options:?}:\n{report}");
            assert_eq!(Model::read(&model.write()).unwrap(), model);
        }
    }
    // A winner with another sign is another answer; but that is rare.
    let layers =
        vec![dense(12, 24, tanh), max(Aggregate::AbsMax, 24, 16, 1, tanh), dense(16, 4, id)];
    for options in all_options() {
        let Quantized { report, .. } = quantize(&net(12, &layers), &rows, &options).unwrap();
        assert!(report.agreement().unwrap().sqnr_db > 15.0, "{options:?}:\n{report}");
    }
}

#[test]
fn rows_stay_8_bit_between_layers_with_weights() {
    let rows = noise(60, 5);
    let first = |activation| {
        let soft = Part(random(SOFT, 6, 5, false, false).into(), activation);
        let mam = random(Aggregate::Mam, 4, 3, true, false).into();
        net(6, &[soft, dense(5, 4, activation), mam])
    };
    let model = |activation, dense_input| {
        let options = QuantizeOptions { dense_input, ..QuantizeOptions::default() };
        quantize(&first(activation), &rows, &options).unwrap().model
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
    let Quantized { model, report } = quantize(&first(relu), &[], &options).unwrap();
    assert_eq!(names(&model), ["soft_abs_max", "dense", "mam"]);
    assert!(report.layers[0].weight_scales.is_some());
}

#[test]
fn weights_and_bias_by_hand() {
    let layer = given(Aggregate::Max, &[&[1.27, 0.004], &[0.0, 0.0], &[0.1, -12.7]], true);
    let layer = layer.bias(vec![0.5, 0.25, -1.0]);
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
    let bias = [0.5, 0.25, -1.0];
    let layer = |first: [f32; 4], pruned| {
        let weights: [&[f32]; 3] = [&first, &[0.0; 4], &[1.0; 4]];
        given(Aggregate::Mean, &weights, pruned).bias(bias.to_vec())
    };
    let (layer, scaled) = (layer([0.5, 0.0, 0.0, -1.0], true), layer([1.0, 0.0, 0.0, -2.0], false));
    let rows = [0.0, 1.0, -1.0, 0.5, 1.0, 1.0, 1.0, 1.0];
    for options in all_options() {
        let of =
            |layer: &FloatMax<'static>| quantize(&single(layer.clone()), &rows, &options).unwrap();
        let pruned = of(&layer);
        assert_eq!(pruned.model, of(&scaled).model);
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
            let layer = given(aggregate, &[&[0.0; 3], &[0.0; 3]], pruned);
            let net = net(3, &[layer.into(), given(aggregate, &[&[0.0; 2]], false).into()]);
            for options in all_options() {
                let Quantized { model, .. } = quantize(&net, &[0.0; 6], &options).unwrap();
                assert_eq!(reals(&run_everywhere(&model, &[0.0; 6])), [0.0, 0.0]);
            }
        }
    }
}

#[test]
fn numbers_beyond_f32_are_refused() {
    let refused = |net: Model<'_>, rows: &[f32], part: &str| {
        let error = quantize(&net, rows, &QuantizeOptions::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    let soft = given(Aggregate::SoftAbsMax { alpha: 1e37 }, &[&[1e5]], false);
    let soft = net(1, &[soft.into(), dense(1, 1, Activation::Identity)]);
    let part = "(float soft_abs_max) \"0\": alpha 1e37 is too large beside outputs";
    refused(soft, &[1.0], part);
    let mut large = [0.0; 200];
    large[0] = 3e38;
    let mean = given(Aggregate::Mean, &[&[0.0; 200], &large], true);
    let part = "(float mean) \"0\": channel 1: the weight for input 0, times 200, is beyond f32";
    refused(single(mean), &[0.0; 200], part);
}
