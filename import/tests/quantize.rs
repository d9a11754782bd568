//! The quantizer on small networks: every activation, every option, and the odd ones.

mod common;

use common::{
    Part, all_options, dense, forward, given, names, net, noise, quantize, reals, run_everywhere,
};
use signfold::layers::{
    Activation, Argmax, Bias, Dense, DenseInput, DenseOutput, FloatDense, Layer, Softmax,
};
use signfold::{Element, ErrorKind, Model, Values, WeightLayout};
use signfold_import::{ActivationRange, Agreement, QuantizeOptions, Quantized, WeightScales};

const ACTIVATIONS: [Activation; 16] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Clip { min: -1.0, max: 1.0 },
    Activation::LeakyRelu { alpha: 0.1 },
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Elu { alpha: 1.0 },
    Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
    Activation::Silu,
    Activation::HardSwish,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Mish,
];

fn first_dense<'m>(model: &'m Model<'static>) -> &'m Dense<'static> {
    let mut layers = model.layers().map(|(layer, _, _)| layer);
    layers
        .find_map(|layer| if let Layer::Dense(dense) = layer { Some(dense) } else { None })
        .unwrap()
}

#[test]
fn every_activation_with_every_option() {
    let rows = noise(17 * 100, 5);
    for activation in ACTIVATIONS {
        let part = |inputs, outputs, seed| Part(dense(inputs, outputs, seed).into(), activation);
        let net = net(17, &[part(17, 33, 10), part(33, 9, 20), part(9, 5, 30)]);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            let found = reals(&run_everywhere(&model, &rows));
            let agreement = *report.agreement().unwrap();
            let again = Agreement::between(&forward(&net, &rows), &found, 5).unwrap();
            assert_eq!(agreement, again);
            assert!(agreement.sqnr_db > 28.0, "{activation}, {options:?}:\n{report}");
            assert_eq!(model.golden().unwrap().inputs[0].len(), 8 * 17);
            let layers = if activation.clamp().is_some() { 3 } else { 6 };
            assert_eq!(report.layers.len(), layers);
        }
    }
}

#[test]
fn clamps_are_fused_and_others_get_a_table() {
    let rows = noise(40, 5);
    let layers = |activation| {
        let part = |inputs, outputs, seed| Part(dense(inputs, outputs, seed).into(), activation);
        [part(4, 6, 1), part(6, 3, 2)]
    };
    let model = |activation, dense_input| {
        let options = QuantizeOptions { dense_input, ..QuantizeOptions::default() };
        quantize(&net(4, &layers(activation)), &rows, &options).unwrap().model
    };
    let (relu, tanh) = (Activation::Relu, Activation::Tanh);
    assert_eq!(names(&model(relu, DenseInput::Int8)), ["quantize", "dense", "dense"]);
    let expected = ["quantize", "dense", "pointwise", "dense", "pointwise"];
    assert_eq!(names(&model(tanh, DenseInput::Int8)), expected);
    assert_eq!(names(&model(relu, DenseInput::PerRow)), ["dense", "dense"]);
    let expected = ["dense", "pointwise", "dense", "pointwise"];
    assert_eq!(names(&model(tanh, DenseInput::PerRow)), expected);
    let (_, _, table) = model(tanh, DenseInput::Int8).layers().nth(2).unwrap();
    assert!(matches!(table.element, Element::Int8(_)));
    assert_eq!(model(tanh, DenseInput::Int8).output().element, Element::F32);
}

#[test]
fn weights_bias_and_scales_by_hand() {
    let rows = [0.0, 1.0, -1.0, 0.5];
    let layer = given(&[&[1.27, -0.635], &[0.0, 0.0], &[12.7, 0.1]], &[0.5, 0.25, -1.0]);
    let net = net(2, &[layer.into()]);
    let Quantized { model, report } = quantize(&net, &rows, &QuantizeOptions::default()).unwrap();
    let dense = first_dense(&model);
    // -63.5 is rounded to the even neighbour.
    assert_eq!(dense.weights(), [127, -64, 0, 0, 127, 1]);
    assert_eq!(dense.output_kind(), DenseOutput::F32);
    let scales = dense.scales().to_vec();
    assert!((scales[0] - 0.01).abs() < 1e-8 && (scales[2] - 0.1).abs() < 1e-7);
    let Element::Int8(input) = model.layers().next().unwrap().2.element else { panic!() };
    assert_eq!(input.scale(), 1.0 / 127.0);
    let Bias::I32(bias) = dense.bias_values() else { panic!() };
    for (n, real) in [0.5, 0.25, -1.0].into_iter().enumerate() {
        let step = input.scale() * scales[n];
        assert!((bias[n] as f32 * step - real).abs() <= 0.501 * step);
    }
    assert_eq!(report.layers[0].weight_scales, Some((scales[1], scales[2])));
    assert_eq!(report.inputs[0].params, Some(input));

    let options =
        QuantizeOptions { weights: WeightScales::PerTensor, ..QuantizeOptions::default() };
    let model = quantize(&net, &rows, &options).unwrap().model;
    assert_eq!(first_dense(&model).weights(), [13, -6, 0, 0, 127, 1]);
    assert_eq!(first_dense(&model).scales(), [scales[2]]);
}

#[test]
fn small_weights_beside_a_large_bias() {
    let layer = given(&[&[1e-12, -1e-12], &[1e-30, 0.0], &[0.0, 0.0]], &[3.0, 1e10, 0.7]);
    let net = net(2, &[layer.into()]);
    let rows = [0.0, 1.0, -1.0, 0.5];
    for options in all_options() {
        let model = quantize(&net, &rows, &options).unwrap().model;
        let found = reals(&run_everywhere(&model, &rows));
        for row in found.chunks_exact(3) {
            // One scale for all is coarse beside a bias of 1e10.
            let small = if options.weights == WeightScales::PerTensor { 10.0 } else { 1e-5 };
            for (found, (expected, error)) in
                row.iter().zip([(3.0, small), (1e10, 1e4), (0.7, small)])
            {
                assert!((found - expected).abs() <= error, "{found}, {expected}: {options:?}");
            }
        }
    }
}

#[test]
fn a_bias_beyond_all_scales_is_an_error() {
    let layer = given(&[&[1.0, 1.0], &[0.0, 1.0]], &[0.0, 1e38]);
    let net = net(2, &[layer.into()]);
    let error = quantize(&net, &[0.0, 1e-30], &QuantizeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    let text = error.to_string();
    assert!(
        text.contains("layer 0 (float dense) \"0\": channel 1: bias 1e38 is too large"),
        "{text}"
    );
}

#[test]
fn networks_of_nothing_but_zeros() {
    let zeros = |inputs, outputs| {
        let weights = vec![0.0; inputs * outputs];
        FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs).unwrap()
    };
    let net = net(3, &[zeros(3, 4).into(), zeros(4, 2).into()]);
    for options in all_options() {
        let Quantized { model, report } = quantize(&net, &[0.0; 6], &options).unwrap();
        assert_eq!(run_everywhere(&model, &[0.0; 6]), Values::from(vec![0.0_f32; 4]));
        assert_eq!(report.agreement().unwrap().sqnr_db, f64::INFINITY);
    }
}

#[test]
fn single_layers_and_layers_in_odd_places() {
    let rows = noise(60, 3);
    let hidden = || Part(dense(3, 4, 1).into(), Activation::Tanh);
    let last = |activation| Part(dense(4, 3, 2).into(), activation);
    let (softmax, argmax) = (|| Part::from(Softmax), || Part::from(Argmax));
    let cases = [
        (vec![hidden()], 1e-1),
        (vec![softmax()], 1e-6),
        (vec![argmax()], 0.0),
        (vec![softmax(), argmax()], 1e-6),
        (vec![softmax(), hidden()], 1e-1),
        (vec![hidden(), softmax(), last(Activation::Relu), softmax()], 1e-1),
        (vec![hidden(), last(Activation::Gelu), softmax(), argmax()], 1e-1),
    ];
    for (layers, error) in cases {
        let net = net(3, &layers);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            let found = run_everywhere(&model, &rows);
            let agreement = *report.agreement().unwrap();
            assert!(agreement.max_abs_error <= error, "{:?}\n{report}", names(&model));
            assert_eq!(agreement.rows, 20);
            if let (Values::U32(found), Some(share)) = (found, agreement.argmax) {
                let float = forward(&net, &rows);
                let same = float.iter().zip(found.iter()).filter(|(a, b)| **a == **b as f32);
                assert_eq!(share, same.count() as f64 / 20.0);
            }
        }
    }
}

#[test]
fn dynamic_networks_need_no_calibration() {
    let net = net(
        4,
        &[
            Part(dense(4, 6, 1).into(), Activation::Gelu),
            Part(dense(6, 3, 2).into(), Activation::Relu),
        ],
    );
    let options = QuantizeOptions { dense_input: DenseInput::PerRow, ..QuantizeOptions::default() };
    let Quantized { model, report } = quantize(&net, &[], &options).unwrap();
    assert!(
        report.agreement().is_none()
            && report.inputs[0].range.is_none()
            && model.golden().is_none()
    );
    assert!(report.layers[0].weight_scales.is_some() && report.layers[0].output.range.is_none());
    let rows = noise(40, 3);
    assert_eq!(names(&quantize(&net, &rows, &options).unwrap().model), names(&model));
    assert!(!report.to_string().contains("agreement"));
}

#[test]
fn names_and_golden_rows() {
    let net = net(4, &[dense(4, 3, 1).into()]);
    let rows = noise(20, 3);
    let golden = |golden_rows| {
        let name = Some("other".to_owned());
        let options = QuantizeOptions { name, golden_rows, ..QuantizeOptions::default() };
        let model = quantize(&net, &rows, &options).unwrap().model;
        assert_eq!(model.name(), "other");
        model.golden().map(|golden| golden.inputs[0].clone())
    };
    assert_eq!(golden(0), None);
    assert_eq!(golden(2), Some(Values::from(&rows[..8])));
    assert_eq!(golden(usize::MAX), Some(Values::from(&rows)));
}

#[test]
fn calls_that_are_refused() {
    let net = net(3, &[dense(3, 2, 1).into()]);
    let refused = |net: &Model<'_>, rows: &[f32], options: &QuantizeOptions, part: &str| {
        let error = quantize(net, rows, options).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    let default = QuantizeOptions::default();
    refused(&net, &[], &default, "needs calibration rows");
    refused(&net, &[0.0; 4], &default, "calibration: 4 values");
    refused(&net, &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0], &default, "row 1, column 1 is NaN");
    let options = QuantizeOptions {
        dense_input: DenseInput::PerRow,
        activations: ActivationRange::Symmetric,
        ..default.clone()
    };
    refused(&net, &[0.0; 3], &options, "asymmetric");
    let huge = given(&[&[1e38, 1e38, 1e38]], &[0.0]);
    let huge = crate::net(3, &[huge.into()]);
    let part = "layer 0 (float dense) \"0\": calibration row 1 leads to the value inf";
    refused(&huge, &[0.0, 0.0, 0.0, 9.0, 9.0, 9.0], &default, part);
    assert!(Agreement::between(&[1.0], &[1.0, 2.0], 1).is_err());
}
