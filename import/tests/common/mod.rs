//! What the tests share: files made in memory, and every kernel held to the reference.
#![allow(dead_code)] // Each test binary uses a part.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use signfold::layers::{Activation, DenseInput, FloatDense, Layer, Pointwise};
use signfold::quant::Int8;
use signfold::{Element, Engine, Model, Result, TensorType, Values, WeightLayout, kernels};
use signfold_import::{
    ActivationRange, CalibrationMethod, QuantizeOptions, Quantized, WeightScales,
    quantize as quantize_all,
};

/// A tensor for [`file`].
#[derive(Clone)]
pub struct Tensor {
    pub name: &'static str,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// A tensor of `f32`.
pub fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor { name, dtype: Dtype::F32, shape: shape.to_vec(), data }
}

/// A safetensors file with this description, or with no metadata.
pub fn file(description: Option<&str>, tensors: &[Tensor]) -> Vec<u8> {
    let views: Vec<_> = tensors
        .iter()
        .map(|t| (t.name, TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap()))
        .collect();
    let metadata = description.map(|d| HashMap::from([("signfold".to_owned(), d.to_owned())]));
    safetensors::serialize(views, metadata).unwrap()
}

/// The description of a network of 3 inputs with this list of layers.
pub fn description(layers: &str) -> String {
    format!(r#"{{"version":1,"name":"tiny","inputs":3,"layers":[{layers}]}}"#)
}

/// Numbers that look random, between -1 and 1, the same in each run.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A layer and its activation.
#[derive(Clone)]
pub struct Part(pub Layer<'static>, pub Activation);

impl<L: Into<Layer<'static>>> From<L> for Part {
    fn from(layer: L) -> Self {
        Part(layer.into(), Activation::Identity)
    }
}

/// A network of layers in a row, named by their numbers.
pub fn try_net(inputs: usize, parts: &[Part]) -> Result<Model<'static>> {
    let mut graph = Model::graph("small");
    let mut at = graph.input("x", TensorType::f32(inputs))?;
    for (i, Part(layer, activation)) in parts.iter().enumerate() {
        at = graph.layer(i.to_string(), layer.clone(), &[at])?;
        if *activation != Activation::Identity {
            let layer = Pointwise { activation: *activation, output: None };
            at = graph.layer(format!("{i}.f"), layer, &[at])?;
        }
    }
    graph.output(at);
    graph.build()
}

/// The same, if it must be one.
pub fn net(inputs: usize, parts: &[Part]) -> Model<'static> {
    try_net(inputs, parts).unwrap()
}

/// A dense layer of one output per row of weights.
pub fn given(weights: &[&[f32]], bias: &[f32]) -> FloatDense<'static> {
    let (outputs, inputs) = (weights.len(), weights[0].len());
    let layer = FloatDense::new(weights.concat(), WeightLayout::OutIn, outputs, inputs).unwrap();
    layer.bias(bias.to_vec())
}

/// A dense layer of random weights, about as large as training leaves them.
pub fn dense(inputs: usize, outputs: usize, seed: u32) -> FloatDense<'static> {
    let scale = 2.0 / (inputs as f32).sqrt();
    let weights: Vec<_> = noise(inputs * outputs, seed).into_iter().map(|w| w * scale).collect();
    let layer = FloatDense::new(weights, WeightLayout::OutIn, outputs, inputs).unwrap();
    layer.bias(noise(outputs, seed + 1))
}

/// What a float network computes.
pub fn forward(net: &Model<'_>, rows: &[f32]) -> Vec<f32> {
    match net.reference(&rows.into()).unwrap() {
        Values::U32(values) => values.iter().map(|&i| i as f32).collect(),
        values => reals(&values),
    }
}

/// Quantizes a network of one input.
pub fn quantize(net: &Model<'_>, rows: &[f32], options: &QuantizeOptions) -> Result<Quantized> {
    match rows {
        [] => quantize_all(net, &[], options),
        rows => quantize_all(net, &[rows.into()], options),
    }
}

/// Every option, with others or alone.
pub fn all_options() -> Vec<QuantizeOptions> {
    let default = QuantizeOptions::default;
    let per_tensor = WeightScales::PerTensor;
    vec![
        default(),
        QuantizeOptions { element: Int8::U8, ..default() },
        QuantizeOptions { activations: ActivationRange::Symmetric, ..default() },
        QuantizeOptions { weights: per_tensor, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerRow, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerTensor, weights: per_tensor, ..default() },
        QuantizeOptions { method: CalibrationMethod::Percentile(99.99), ..default() },
        QuantizeOptions { method: CalibrationMethod::Mse, correct_bias: true, ..default() },
        QuantizeOptions { method: CalibrationMethod::Entropy, equalize: true, ..default() },
    ]
}

/// The kinds of a model's layers.
pub fn names(model: &Model<'_>) -> Vec<&'static str> {
    model.layers().map(|(layer, _, _)| layer.name()).collect()
}

/// Runs `rows` on every kernel of this CPU; all must give what the reference gives. Answers it.
pub fn run_everywhere(model: &Model<'_>, rows: &[f32]) -> Values<'static> {
    let expected = model.reference(&Values::from(rows)).unwrap();
    let count = rows.len() / model.input().width;
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).unwrap();
        let mut scratch = engine.scratch_for(count);
        let found: Values<'_> = match model.output().element {
            Element::Index => {
                let mut out = vec![0_u32; expected.len()];
                engine.run(rows, &mut out, &mut scratch).unwrap();
                out.into()
            }
            _ => {
                let mut out = vec![0_f32; expected.len()];
                engine.run(rows, &mut out, &mut scratch).unwrap();
                out.into()
            }
        };
        assert_eq!(found.digest(), expected.digest(), "{} on {}", model.name(), kernel.name());
    }
    expected
}

/// Real values, or a failed test.
pub fn reals(values: &Values<'_>) -> Vec<f32> {
    match values {
        Values::F32(values) => values.to_vec(),
        other => panic!("{} instead of f32", other.element_name()),
    }
}
