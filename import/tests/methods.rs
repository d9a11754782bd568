//! What the quantizer's methods are for: each on a network that needs it.

mod common;

use common::{Part, dense, given, names, net, noise, quantize, reals, run_everywhere};
use signfold::layers::{Activation, Affine, DenseInput, FloatDense, Layer};
use signfold::{Model, TensorType, Values, WeightLayout};
use signfold_import::{
    ActivationRange, Agreement, CalibrationMethod, QuantizeOptions, WeightScales, quantize_with,
};

fn default() -> QuantizeOptions {
    QuantizeOptions::default()
}

fn agreement(net: &Model<'_>, rows: &[f32], options: &QuantizeOptions) -> Agreement {
    let quantized = quantize(net, rows, options).unwrap();
    run_everywhere(&quantized.model, &rows[..20 * net.input().width]);
    *quantized.report.agreement().unwrap()
}

#[test]
fn clipping_outliers_is_better_for_all_other_rows() {
    let (width, rows) = (32, 4000);
    let net = net(width, &[Part(dense(width, 16, 1).into(), Activation::Relu)]);
    let usual = noise(width * rows, 5);
    let mut calibration = usual.clone();
    calibration[777] = 4.0;
    let of = |method, activations| {
        let evaluation = Some(vec![usual[..width * 200].to_vec().into()]);
        let options = QuantizeOptions { method, activations, evaluation, ..default() };
        let report = quantize(&net, &calibration, &options).unwrap().report;
        assert_eq!(report.agreement().unwrap().rows, 200);
        report
    };
    for activations in [ActivationRange::Asymmetric, ActivationRange::Symmetric] {
        let plain = of(CalibrationMethod::MinMax, activations);
        let plain = plain.agreement().unwrap().sqnr_db;
        for (method, gain) in [
            (CalibrationMethod::Percentile(99.99), 3.0),
            (CalibrationMethod::Entropy, 3.0),
            (CalibrationMethod::Mse, 0.3),
        ] {
            let report = of(method, activations);
            let found = report.agreement().unwrap().sqnr_db;
            assert!(found > plain + gain, "{method:?}, {activations:?}: {plain} dB\n{report}");
            assert!(report.inputs[0].range.unwrap().max == 4.0, "what was seen is told");
        }
    }
}

#[test]
fn what_is_clipped_is_told() {
    let net = net(4, &[dense(4, 3, 1).into()]);
    let rows = noise(4 * 1000, 5);
    let of = |method| {
        let options = QuantizeOptions { method, ..default() };
        quantize(&net, &rows, &options).unwrap().report.inputs[0].clipped.unwrap()
    };
    assert_eq!(of(CalibrationMethod::MinMax), 0.0);
    assert_eq!(of(CalibrationMethod::Percentile(100.0)), 0.0);
    let clipped = of(CalibrationMethod::Percentile(90.0));
    assert!((0.08..=0.1).contains(&clipped), "{clipped}");
}

#[test]
fn percentages_that_are_refused() {
    let net = net(4, &[dense(4, 3, 1).into()]);
    for share in [0.0, 50.0, 100.1, -1.0, f64::NAN, f64::INFINITY] {
        let options = QuantizeOptions { method: CalibrationMethod::Percentile(share), ..default() };
        let error = quantize(&net, &[0.0; 4], &options).unwrap_err();
        assert!(error.to_string().contains("percentile"), "{error}");
    }
}

#[test]
fn equalization_helps_where_channels_differ_in_size() {
    let (inputs, hidden, outputs) = (16, 24, 8);
    // Rows of very different sizes, and columns that make up for it.
    let size = |i: usize| 10_f32.powi(i as i32 % 5 - 2);
    let scaled = |weights: Vec<f32>, by: &dyn Fn(usize) -> f32| -> Vec<f32> {
        weights.into_iter().enumerate().map(|(i, w)| w * by(i)).collect()
    };
    let first = scaled(noise(inputs * hidden, 1), &|i| size(i / inputs));
    let second = scaled(noise(hidden * outputs, 2), &|i| 1.0 / size(i % hidden));
    let bias = scaled(noise(hidden, 3), &size);
    let layer = |weights, outputs, inputs| {
        FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs).unwrap()
    };
    let rows = noise(inputs * 300, 4);
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::Relu6,
    ] {
        let first = layer(first.clone(), hidden, inputs).bias(bias.clone());
        let second = layer(second.clone(), outputs, hidden);
        let net = net(inputs, &[Part(first.into(), activation), second.into()]);
        let of = |weights, equalize| {
            let options = QuantizeOptions { weights, equalize, ..default() };
            agreement(&net, &rows, &options).sqnr_db
        };
        for weights in [WeightScales::PerTensor, WeightScales::PerChannel] {
            let (plain, equal) = (of(weights, false), of(weights, true));
            match activation {
                // 6 would have to become another number.
                Activation::Relu6 => assert_eq!(plain, equal),
                _ => assert!(equal > plain + 10.0 && equal > 30.0, "{plain}, {equal}"),
            }
        }
    }
}

#[test]
fn bias_correction_takes_the_mean_error_away() {
    let inputs = 24;
    let part = |inputs, outputs, seed| Part(dense(inputs, outputs, seed).into(), Activation::Relu);
    let layers = [part(inputs, 32, 1), part(32, 24, 3), dense(24, 12, 5).into()];
    let net = net(inputs, &layers);
    // Inputs to one side of 0: errors of weights do not average out.
    let rows: Vec<f32> = noise(inputs * 500, 4).into_iter().map(f32::abs).collect();
    let expected = common::forward(&net, &rows);
    let mean_error = |options: &QuantizeOptions| {
        let model = quantize(&net, &rows, options).unwrap().model;
        let found = reals(&run_everywhere(&model, &rows));
        let mut means = [0.0; 12];
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            means[i % 12] += f64::from(found - expected) / 500.0;
        }
        means.iter().map(|mean: &f64| mean.abs()).fold(0.0, f64::max)
    };
    for dense_input in [DenseInput::Int8, DenseInput::PerRow] {
        let weights = WeightScales::PerTensor;
        let options =
            |correct_bias| QuantizeOptions { weights, dense_input, correct_bias, ..default() };
        let (plain, corrected) = (mean_error(&options(false)), mean_error(&options(true)));
        assert!(corrected < plain / 5.0, "{dense_input:?}: {plain}, {corrected}");
    }
    let options =
        QuantizeOptions { dense_input: DenseInput::PerRow, correct_bias: true, ..default() };
    let error = quantize(&net, &[], &options).unwrap_err().to_string();
    assert!(error.contains("bias correction needs calibration rows"), "{error}");
}

#[test]
fn named_layers_stay_real() {
    let (relu, tanh) = (Activation::Relu, Activation::Tanh);
    let part = |inputs, outputs, activation| Part(dense(inputs, outputs, 1).into(), activation);
    let net = net(6, &[part(6, 8, relu), part(8, 8, tanh), dense(8, 4, 3).into()]);
    let rows = noise(6 * 100, 4);
    let of = |keep: &[&str]| {
        let keep_float = keep.iter().map(|name| name.to_string()).collect();
        quantize(&net, &rows, &QuantizeOptions { keep_float, ..default() })
    };
    let kinds = |keep: &[&str]| {
        let quantized = of(keep).unwrap();
        run_everywhere(&quantized.model, &rows);
        let report = quantized.report;
        assert!(report.agreement().unwrap().sqnr_db > 30.0, "{report}");
        names(&quantized.model)
    };
    assert_eq!(kinds(&[]), ["quantize", "dense", "dense", "pointwise", "dense"]);
    let first = ["float dense", "pointwise", "quantize", "dense", "pointwise", "dense"];
    assert_eq!(kinds(&["0"]), first);
    assert_eq!(kinds(&["0.f"]), first, "the clamp takes its layer along");
    let second = ["quantize", "dense", "float dense", "pointwise", "quantize", "dense"];
    assert_eq!(kinds(&["1"]), second);
    let table = ["quantize", "dense", "dense", "pointwise", "quantize", "dense"];
    assert_eq!(kinds(&["1.f"]), table);
    assert_eq!(
        kinds(&["0", "1", "2"]),
        ["float dense", "pointwise", "float dense", "pointwise", "float dense"]
    );
    let error = of(&["0", "fc"]).unwrap_err().to_string();
    assert!(error.contains("\"fc\"") && error.contains("\"0\", \"0.f\", \"1\""), "{error}");
}

#[test]
fn scales_and_shifts_become_part_of_dense_layers() {
    let affine = |seed| {
        let (scale, shift) = (noise(8, seed), noise(8, seed + 1));
        Part::from(Affine::new(8, scale, shift).unwrap())
    };
    let (relu, identity) = (Activation::Relu, Activation::Identity);
    let Part(after, _) = affine(10);
    let layers = [
        dense(6, 8, 1).into(),
        Part(after, relu),
        affine(20),
        Part(dense(8, 8, 3).into(), identity),
        Affine::new(8, vec![1.0], vec![0.0]).unwrap().into(),
        dense(8, 4, 5).into(),
    ];
    let net = net(6, &layers);
    let rows = noise(6 * 100, 4);
    let quantized = quantize(&net, &rows, &default()).unwrap();
    let (model, report) = (quantized.model, quantized.report);
    assert_eq!(names(&model), ["quantize", "dense", "dense", "dense"]);
    let found: Vec<_> = model.tensors().map(|id| model.tensor_name(id)).collect();
    assert_eq!(found, ["x", "x.quantized", "1.f", "4", "5"]);
    assert_eq!(report.notes.len(), 2, "{report}");
    assert!(report.agreement().unwrap().sqnr_db > 35.0, "{report}");
    // One that has to stay real is joined all the same.
    let keep_float = vec!["0".to_owned()];
    let kept = quantize(&net, &rows, &QuantizeOptions { keep_float, ..default() }).unwrap();
    let expected = ["float dense", "pointwise", "quantize", "dense", "dense"];
    assert_eq!(names(&kept.model), expected);
}

#[test]
fn progress_reaches_its_end() {
    let net = net(4, &[dense(4, 3, 1).into()]);
    let rows: Values<'_> = noise(4 * 50, 5).into();
    let options = QuantizeOptions { method: CalibrationMethod::Mse, ..default() };
    let mut seen = Vec::new();
    quantize_with(&net, &[rows], &options, &mut |progress| seen.push(progress)).unwrap();
    for stage in ["calibrating", "quantizing", "comparing"] {
        let last = seen.iter().rfind(|progress| progress.stage == stage).unwrap();
        assert_eq!(last.done, last.total, "{stage}");
    }
    assert!(seen.iter().all(|progress| progress.done <= progress.total));
}

#[test]
fn the_most_common_weights_by_hand() {
    // s = sqrt(r1 * r2) / r2, with r1 = 4 and 1, r2 = 1 and 0.25.
    let first = given(&[&[4.0], &[-1.0]], &[2.0, 0.5]);
    let second = given(&[&[1.0, 0.25]], &[0.0]);
    let net = net(1, &[Part(first.into(), Activation::Relu), second.into()]);
    let options = QuantizeOptions { equalize: true, keep_float: Vec::new(), ..default() };
    let model = quantize(&net, &[1.0, -1.0], &options).unwrap().model;
    let dense: Vec<_> = model
        .layers()
        .filter_map(|(layer, ..)| if let Layer::Dense(dense) = layer { Some(dense) } else { None })
        .collect();
    let scale = |dense: usize, n: usize| model_scale(dense, n, &model);
    assert_eq!(dense.len(), 2);
    // Channels of sizes 2 and 0.5 in both.
    assert!((scale(0, 0) - 2.0 / 127.0).abs() < 1e-6 && (scale(0, 1) - 0.5 / 127.0).abs() < 1e-6);
    assert!((scale(1, 0) - 2.0 / 127.0).abs() < 1e-6);
    assert_eq!(dense[1].weights(), [127, 32]);
    assert_eq!(model.input(), TensorType::f32(1));
}

fn model_scale(index: usize, n: usize, model: &Model<'_>) -> f32 {
    let mut dense = model.layers().filter_map(|(layer, ..)| match layer {
        Layer::Dense(dense) => Some(dense.scales()[n]),
        _ => None,
    });
    dense.nth(index).unwrap()
}
