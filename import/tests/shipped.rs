//! The networks that the repository ships: read, quantized, and scored on their test data.

mod common;

use std::path::PathBuf;

use common::{forward, names, quantize, reals, run_everywhere};
use npyz::{Deserialize, NpyFile};
use signfold::layers::{Activation, DenseInput, Layer};
use signfold::quant::Int8;
use signfold::{Limits, Model, Values};
use signfold_import::{ActivationRange, QuantizeOptions, WeightScales, safetensors};

fn path(relative: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "models", relative].iter().collect()
}

fn read(relative: &str) -> Vec<u8> {
    std::fs::read(path(relative)).unwrap()
}

fn array<T: Deserialize>(name: &str) -> Vec<T> {
    NpyFile::new(&read(&format!("data/{name}.npy"))[..]).unwrap().into_vec().unwrap()
}

fn net(name: &str) -> Model<'static> {
    let file = read(&format!("float/{name}.safetensors"));
    safetensors::read(&file, &Limits::default()).unwrap().model
}

fn float_score(name: &str) -> f64 {
    let scores: serde_json::Value = serde_json::from_slice(&read("float/SCORES.json")).unwrap();
    scores[name]["float"].as_f64().unwrap()
}

/// The share of rows whose largest element is that of the right class.
fn accuracy(outputs: &[f32], labels: &[u8]) -> f64 {
    let rows = outputs.chunks_exact(outputs.len() / labels.len());
    let right = rows.zip(labels).filter(|(row, label)| {
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter().position(|&x| x == best) == Some(usize::from(**label))
    });
    right.count() as f64 / labels.len() as f64
}

fn r_squared(outputs: &[f32], targets: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let targets = || targets.iter().map(|&y| f64::from(y));
    let mean = targets().sum::<f64>() / targets().len() as f64;
    let error: f64 = targets().zip(outputs).map(|(y, &out)| square(y - f64::from(out))).sum();
    1.0 - error / targets().map(|y| square(y - mean)).sum::<f64>()
}

/// A shipped network with its data.
struct Case {
    name: &'static str,
    data: &'static str,
    tolerance: f64,
}

const CASES: [Case; 6] = [
    Case { name: "digits-hardtanh", data: "digits", tolerance: 0.005 },
    Case { name: "digits-relu", data: "digits", tolerance: 0.005 },
    Case { name: "regress-100-50-1", data: "regress", tolerance: 0.005 },
    Case { name: "digits-absmax", data: "digits", tolerance: 0.01 },
    Case { name: "digits-softabsmax", data: "digits", tolerance: 0.01 },
    Case { name: "digits-mam", data: "digits", tolerance: 0.01 },
];

/// The networks that are quick to run without optimization, on all kernels and by naive loops.
fn small() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| case.name != "digits-hardtanh")
}

impl Case {
    fn score(&self, outputs: &[f32]) -> f64 {
        match self.data {
            "digits" => accuracy(outputs, &array("digits-test-y")),
            _ => r_squared(outputs, &array("regress-test-y")),
        }
    }

    fn test_rows(&self) -> Vec<f32> {
        array(&format!("{}-test-x", self.data))
    }

    fn calibration(&self) -> Vec<f32> {
        array(&format!("{}-calib-x", self.data))
    }

    /// Quantizes, and answers the model with its score, found on every kernel.
    fn quantized(&self, options: &QuantizeOptions) -> (Model<'static>, f64) {
        let quantized = quantize(&net(self.name), &self.calibration(), options).unwrap();
        println!("{}\n{}", self.name, quantized.report);
        let outputs = run_everywhere(&quantized.model, &self.test_rows());
        let score = self.score(&reals(&outputs));
        println!("score {score} (float {})\n", float_score(self.name));
        (quantized.model, score)
    }
}

#[test]
fn reads_the_layers() {
    let net = net("digits-hardtanh");
    assert_eq!(net.name(), "digits-hardtanh");
    assert_eq!((net.input().width, net.output().width), (64, 10));
    let clip = Activation::Clip { min: -1.0, max: 1.0 };
    let mut widths = Vec::new();
    for (layer, input, output) in net.layers() {
        match layer {
            Layer::FloatDense(_) => widths.push((input.width, output.width)),
            Layer::Pointwise(pointwise) => assert_eq!(pointwise.activation, clip),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(widths, [(64, 256), (256, 128), (128, 64), (64, 10)]);
    let names: Vec<_> = net.tensors().map(|id| net.tensor_name(id)).collect();
    let expected = ["input", "0", "0.clip", "2", "2.clip", "4", "4.clip", "6"];
    assert_eq!(names, expected);
}

/// The quantizer may become better; but then the shipped models have to be made anew.
#[test]
fn the_shipped_models_come_out() {
    for case in &CASES {
        let made = quantize(&net(case.name), &case.calibration(), &QuantizeOptions::default());
        let file = read(&format!("{}.sfold", case.name));
        let (made, shipped) = (made.unwrap().model, Model::read(&file).unwrap());
        for ((made, ..), (shipped, ..)) in made.layers().zip(shipped.layers()) {
            assert!(made == shipped, "{}: {}", case.name, made.name());
        }
        assert!(made == shipped, "{}", case.name);
        assert_eq!(names(&made), names(&shipped));
    }
}

#[test]
fn float_scores_are_those_of_training() {
    for case in &CASES {
        let score = case.score(&forward(&net(case.name), &case.test_rows()));
        assert!((score - float_score(case.name)).abs() < 1e-6, "{}: {score}", case.name);
    }
}

#[test]
fn quantized_networks_keep_the_score() {
    for case in &CASES {
        let (model, score) = case.quantized(&QuantizeOptions::default());
        let float = float_score(case.name);
        assert!((score - float).abs() <= case.tolerance, "{}: {score}, {float}", case.name);
        let golden = model.golden().unwrap();
        assert_eq!(golden.inputs[0], Values::from(&case.calibration()[..8 * model.input().width]));
    }
}

#[test]
fn every_option_keeps_the_score_nearly() {
    let default = QuantizeOptions::default;
    let options = [
        QuantizeOptions { activations: ActivationRange::Symmetric, ..default() },
        QuantizeOptions { weights: WeightScales::PerTensor, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerRow, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerTensor, ..default() },
    ];
    for case in small() {
        for options in &options {
            println!("{options:?}");
            let (_, score) = case.quantized(options);
            let float = float_score(case.name);
            assert!((score - float).abs() <= 0.01, "{}: {score}, {float}", case.name);
        }
    }
}

#[test]
fn unsigned_activations_give_the_same_bits() {
    let options = QuantizeOptions { element: Int8::U8, ..QuantizeOptions::default() };
    for case in small() {
        let outputs = [options.clone(), QuantizeOptions::default()]
            .map(|options| run_everywhere(&case.quantized(&options).0, &case.test_rows()));
        assert_eq!(outputs[0], outputs[1]);
    }
}
