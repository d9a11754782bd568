//! What the tests of the command share: a folder to work in, models, and arrays.

#![allow(dead_code)] // each test file uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use signfold::layers::{
    Activation, Aggregate, Argmax, Bias, Combine, CombineOp, Dense, DenseInput, DenseOutput,
    FloatDense, MaxProduct, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Model, TensorType, WeightLayout};

/// A folder that goes away with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and answers where it is.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_string()
    }

    /// A path in the folder, as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// The names of the files there are, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Runs the command.
pub fn signfold(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signfold")).args(args).output().unwrap()
}

/// Runs the command, which must succeed; answers what it printed.
pub fn ok(args: &[&str]) -> String {
    let output = signfold(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the command, which must succeed and print JSON.
pub fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&ok(&[args, &["--json"]].concat())).unwrap()
}

/// Runs the command, which must fail with this exit code; answers the error.
pub fn fails(code: i32, args: &[&str]) -> String {
    let output = signfold(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(error.starts_with("error: "), "{error}");
    error
}

/// A `.npy` file, written independently of the command's own writer.
pub fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(elements);
    bytes
}

/// A `.npy` file of `f32` rows.
pub fn npy_f32(rows: usize, width: usize, elements: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
    npy("<f4", &format!("({rows}, {width})"), &bytes)
}

/// The elements of a `.npy` file.
pub fn elements(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let header = u16::from_le_bytes([bytes[8], bytes[9]]);
    bytes[10 + usize::from(header)..].to_vec()
}

/// Numbers without a pattern, always the same ones.
pub fn reals(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Weights without a pattern, always the same ones.
pub fn weights(len: usize) -> Vec<i8> {
    reals(len).into_iter().map(|x| (127.0 * x) as i8).collect()
}

/// 6 inputs, 5 hidden, 3 outputs.
pub fn two_layers(name: &'static str) -> Model<'static> {
    let int8 = |scale, zero| QuantParams::new(Int8::I8, scale, zero).unwrap();
    Model::builder(name, TensorType::f32(6))
        .layer(Quantize { output: int8(0.01, -3) })
        .layer(
            Dense::new(weights(30), WeightLayout::OutIn, 5, 6)
                .unwrap()
                .weight_scales(vec![0.01, 0.02, 0.03, 0.04, 0.05])
                .activation(Activation::Relu)
                .output(DenseOutput::Int8(int8(0.05, -128), Rounding::Nearest)),
        )
        .layer(Dense::new(weights(15), WeightLayout::OutIn, 3, 5).unwrap())
        .build()
        .unwrap()
        .with_golden(reals(60))
        .unwrap()
}

/// Picks the largest of 2 pixels, given as `u8` with this scale.
pub fn largest_pixel(scale: f32) -> Model<'static> {
    let params = QuantParams::new(Int8::U8, scale, 0).unwrap();
    Model::builder("largest", TensorType::int8(2, params)).layer(Argmax).build().unwrap()
}

/// One output, twice the only input.
pub fn twice() -> Model<'static> {
    let params = QuantParams::new(Int8::I8, 0.5, 0).unwrap();
    Model::builder("twice", TensorType::f32(1))
        .layer(Quantize { output: params })
        .layer(Dense::new(vec![2], WeightLayout::OutIn, 1, 1).unwrap())
        .build()
        .unwrap()
}

/// A layer whose rows are quantized by the range of the whole batch.
pub fn per_tensor() -> Model<'static> {
    let dense = Dense::new(weights(12), WeightLayout::OutIn, 3, 4).unwrap();
    Model::builder("per tensor", TensorType::f32(4))
        .layer(dense.input(DenseInput::PerTensor))
        .build()
        .unwrap()
        .with_golden(reals(40))
        .unwrap()
}

/// 6 inputs, 5 and 3 hidden by products that meet by a maximum, and 2 means.
pub fn max_products() -> Model<'static> {
    let int8 = |scale, zero| QuantParams::new(Int8::I8, scale, zero).unwrap();
    let nearest = |params| DenseOutput::Int8(params, Rounding::Nearest);
    let mam = MaxProduct::new(Aggregate::Mam, weights(30), WeightLayout::OutIn, 5, 6).unwrap();
    let pruned: Vec<i8> = (weights(15).into_iter().enumerate())
        .map(|(i, w)| if i % 2 == 0 { w.max(1) } else { 0 })
        .collect();
    let soft = Aggregate::SoftAbsMax { alpha: 2.5 };
    let soft = MaxProduct::pruned(soft, pruned, WeightLayout::OutIn, 3, 5).unwrap();
    let mean = MaxProduct::new(Aggregate::Mean, weights(6), WeightLayout::OutIn, 2, 3).unwrap();
    Model::builder("max products", TensorType::f32(6))
        .layer(Quantize { output: int8(0.01, -3) })
        .layer(
            mam.splits(2)
                .weight_scales(vec![0.01, 0.02, 0.03, 0.04, 0.05])
                .activation(Activation::Relu)
                .output(nearest(int8(0.02, -128))),
        )
        .layer(
            soft.weight_scales(vec![0.02])
                .bias(Bias::I32(vec![1, -2, 3].into()))
                .output(nearest(int8(0.1, 5))),
        )
        .layer(mean)
        .build()
        .unwrap()
        .with_golden(reals(60))
        .unwrap()
}

/// A max-product layer whose rows are quantized by the range of the whole batch.
pub fn max_per_tensor() -> Model<'static> {
    let max = MaxProduct::new(Aggregate::Max, weights(12), WeightLayout::OutIn, 3, 4).unwrap();
    Model::builder("max per tensor", TensorType::f32(4))
        .layer(max.input(DenseInput::PerTensor))
        .build()
        .unwrap()
        .with_golden(reals(40))
        .unwrap()
}

/// `a` of 4 and `b` of 3 inputs, a sum of two layers, of which `scores` and their `class` are answered.
pub fn two_inputs() -> Model<'static> {
    let dense = |inputs, seed| {
        let weights = reals(2 * 3 * inputs)[seed..seed + 3 * inputs].to_vec();
        FloatDense::new(weights, WeightLayout::OutIn, 3, inputs).unwrap()
    };
    let mut graph = Model::graph("two inputs");
    let a = graph.input("a", TensorType::f32(4)).unwrap();
    let b = graph.input("b", TensorType::f32(3)).unwrap();
    let x = graph.layer("x", dense(4, 0), &[a]).unwrap();
    let y = graph.layer("y", dense(3, 5), &[b]).unwrap();
    let add = Combine { op: CombineOp::Add, activation: Activation::Relu, output: None };
    let sum = graph.layer("sum", add, &[x, y]).unwrap();
    let scores = graph.layer("scores", Softmax, &[sum]).unwrap();
    let class = graph.layer("class", Argmax, &[scores]).unwrap();
    graph.output(scores);
    graph.output(class);
    let model = graph.build().unwrap();
    model.with_golden_all(vec![reals(40).into(), reals(30).into()]).unwrap()
}

/// 2 inputs that are answered as they are, and their class.
pub fn scores_and_class() -> Model<'static> {
    let mut graph = Model::graph("scores and class");
    let x = graph.input("x", TensorType::f32(2)).unwrap();
    let scores = graph.layer("scores", Softmax, &[x]).unwrap();
    let class = graph.layer("class", Argmax, &[scores]).unwrap();
    graph.output(class);
    graph.output(scores);
    graph.build().unwrap()
}
