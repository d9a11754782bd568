//! The quantizer on small networks: every activation, every option, and the odd ones.

mod common;

use common::{all_options, names, noise, reals, run_everywhere};
use signfold::layers::{Activation, Bias, Dense, DenseInput, DenseOutput, Layer};
use signfold::{Element, ErrorKind, Model, Values};
use signfold_import::{
    ActivationRange, Agreement, FloatDense, FloatLayer, FloatNet, QuantizeOptions, Quantized,
    WeightScales, quantize,
};

const ACTIVATIONS: [Activation; 9] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Clip { min: -1.0, max: 1.0 },
    Activation::LeakyRelu { alpha: 0.1 },
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::GeluTanh,
];

/// A dense layer of random weights, about as large as training leaves them.
fn dense(inputs: usize, outputs: usize, activation: Activation, seed: u32) -> FloatLayer {
    let scale = 2.0 / (inputs as f32).sqrt();
    let weights = noise(inputs * outputs, seed).into_iter().map(|w| w * scale).collect();
    let bias = Some(noise(outputs, seed + 1));
    FloatLayer::Dense(FloatDense { inputs, outputs, weights, bias, activation })
}

fn net(inputs: usize, layers: Vec<FloatLayer>) -> FloatNet {
    FloatNet::new("small", inputs, layers).unwrap()
}

/// A dense layer of one output per row of weights.
fn given(weights: &[&[f32]], bias: &[f32]) -> FloatDense {
    FloatDense {
        inputs: weights[0].len(),
        outputs: weights.len(),
        weights: weights.concat(),
        bias: Some(bias.to_vec()),
        activation: Activation::Identity,
    }
}

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
        let layers = vec![
            dense(17, 33, activation, 10),
            dense(33, 9, activation, 20),
            dense(9, 5, activation, 30),
        ];
        let net = net(17, layers);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            let found = reals(&run_everywhere(&model, &rows));
            let agreement = report.agreement.unwrap();
            let again = Agreement::between(&net.forward(&rows).unwrap(), &found, 5).unwrap();
            assert_eq!(agreement, again);
            assert!(agreement.sqnr_db > 28.0, "{activation}, {options:?}:\n{report}");
            assert_eq!(model.golden().unwrap().inputs[0].len(), 8 * 17);
            assert_eq!(report.layers.len(), 3);
        }
    }
}

#[test]
fn clamps_are_fused_and_others_get_a_table() {
    let rows = noise(40, 5);
    let layers = |activation| vec![dense(4, 6, activation, 1), dense(6, 3, activation, 2)];
    let model = |activation, dense_input| {
        let options = QuantizeOptions { dense_input, ..QuantizeOptions::default() };
        quantize(&net(4, layers(activation)), &rows, &options).unwrap().model
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
    let net = net(2, vec![FloatLayer::Dense(layer)]);
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
    assert_eq!(report.input.unwrap().params, Some(input));

    let options =
        QuantizeOptions { weights: WeightScales::PerTensor, ..QuantizeOptions::default() };
    let model = quantize(&net, &rows, &options).unwrap().model;
    assert_eq!(first_dense(&model).weights(), [13, -6, 0, 0, 127, 1]);
    assert_eq!(first_dense(&model).scales(), [scales[2]]);
}

#[test]
fn small_weights_beside_a_large_bias() {
    let layer = given(&[&[1e-12, -1e-12], &[1e-30, 0.0], &[0.0, 0.0]], &[3.0, 1e10, 0.7]);
    let net = net(2, vec![FloatLayer::Dense(layer)]);
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
    let net = net(2, vec![FloatLayer::Dense(layer)]);
    let error = quantize(&net, &[0.0, 1e-30], &QuantizeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    let text = error.to_string();
    assert!(text.contains("layer 0 (dense): channel 1: bias 1e38 is too large"), "{text}");
}

#[test]
fn networks_of_nothing_but_zeros() {
    let zeros = |inputs, outputs| {
        let weights = vec![0.0; inputs * outputs];
        FloatLayer::Dense(FloatDense { inputs, outputs, weights, ..FloatDense::default() })
    };
    let net = net(3, vec![zeros(3, 4), zeros(4, 2)]);
    for options in all_options() {
        let Quantized { model, report } = quantize(&net, &[0.0; 6], &options).unwrap();
        assert_eq!(run_everywhere(&model, &[0.0; 6]), Values::from(vec![0.0_f32; 4]));
        assert_eq!(report.agreement.unwrap().sqnr_db, f64::INFINITY);
    }
}

#[test]
fn single_layers_and_layers_in_odd_places() {
    let rows = noise(60, 3);
    let hidden = || dense(3, 4, Activation::Tanh, 1);
    let (softmax, argmax) = (|| FloatLayer::Softmax, || FloatLayer::Argmax);
    let cases = [
        (vec![hidden()], 1e-1),
        (vec![softmax()], 1e-6),
        (vec![argmax()], 0.0),
        (vec![softmax(), argmax()], 1e-6),
        (vec![softmax(), hidden()], 1e-1),
        (vec![hidden(), softmax(), dense(4, 3, Activation::Relu, 2), softmax()], 1e-1),
        (vec![hidden(), dense(4, 3, Activation::Gelu, 2), softmax(), argmax()], 1e-1),
    ];
    for (layers, error) in cases {
        let net = net(3, layers);
        for options in all_options() {
            let Quantized { model, report } = quantize(&net, &rows, &options).unwrap();
            let found = run_everywhere(&model, &rows);
            let agreement = report.agreement.unwrap();
            assert!(agreement.max_abs_error <= error, "{:?}\n{report}", names(&model));
            assert_eq!(agreement.rows, 20);
            if let (Values::U32(found), Some(share)) = (found, agreement.argmax) {
                let float = net.forward(&rows).unwrap();
                let same = float.iter().zip(found.iter()).filter(|(a, b)| **a == **b as f32);
                assert_eq!(share, same.count() as f64 / 20.0);
            }
        }
    }
}

#[test]
fn dynamic_networks_need_no_calibration() {
    let net = net(4, vec![dense(4, 6, Activation::Gelu, 1), dense(6, 3, Activation::Relu, 2)]);
    let options = QuantizeOptions { dense_input: DenseInput::PerRow, ..QuantizeOptions::default() };
    let Quantized { model, report } = quantize(&net, &[], &options).unwrap();
    assert!(report.agreement.is_none() && report.input.is_none() && model.golden().is_none());
    assert!(report.layers[0].weight_scales.is_some() && report.layers[0].output.is_none());
    let rows = noise(40, 3);
    assert_eq!(names(&quantize(&net, &rows, &options).unwrap().model), names(&model));
    assert!(!report.to_string().contains("agreement"));
}

#[test]
fn names_and_golden_rows() {
    let net = net(4, vec![dense(4, 3, Activation::Identity, 1)]);
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
    let net = net(3, vec![dense(3, 2, Activation::Identity, 1)]);
    let refused = |net: &FloatNet, rows: &[f32], options: &QuantizeOptions, part: &str| {
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
    let huge = FloatNet::new("huge", 3, vec![FloatLayer::Dense(huge)]).unwrap();
    let part = "layer 0 (dense): calibration row 1 leads to the value inf";
    refused(&huge, &[0.0, 0.0, 0.0, 9.0, 9.0, 9.0], &default, part);
    assert_eq!(net.forward(&[1.0]).unwrap_err().kind(), ErrorKind::Input);
    assert!(Agreement::between(&[1.0], &[1.0, 2.0], 1).is_err());
}

#[test]
fn networks_that_are_refused() {
    let good = || given(&[&[1.0, 2.0], &[3.0, 4.0]], &[0.0, 0.0]);
    let refused = |dense: FloatDense, part: &str| {
        let error = FloatNet::new("bad", 2, vec![FloatLayer::Dense(dense)]).unwrap_err();
        assert!(error.to_string().contains("layer 0 (dense)"), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(FloatDense { inputs: 3, ..good() }, "2 wide");
    refused(FloatDense { outputs: 3, ..good() }, "have 4 weights");
    refused(FloatDense { outputs: 0, ..good() }, "without elements");
    refused(FloatDense { bias: Some(vec![0.0]), ..good() }, "1 biases");
    refused(FloatDense { bias: Some(vec![0.0, f32::NAN]), ..good() }, "bias of output 1 is NaN");
    let weights = vec![1.0, 2.0, f32::INFINITY, 4.0];
    refused(FloatDense { weights, ..good() }, "output 1, input 0 is inf");
    let activation = Activation::Clip { min: f32::NAN, max: 1.0 };
    refused(FloatDense { activation, ..good() }, "clip from NaN");
    let activation = Activation::LeakyRelu { alpha: f32::NAN };
    refused(FloatDense { activation, ..good() }, "slope NaN");
}
