//! Random models and batches for the tests of engines.

#![allow(dead_code, reason = "each test program uses its part")]

use quickcheck::{Arbitrary, Gen};
use signfold::layers::{
    Activation, Argmax, Bias, Dense, DenseInput, DenseOutput, Dequantize, Layer, Pointwise,
    Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Engine, Model, Result, Scratch, TensorType, Values, WeightLayout};

/// How many random cases a test draws: fewer where the CPU is emulated.
pub fn cases() -> u64 {
    let cases = std::env::var("SIGNFOLD_CHECK_CASES");
    cases.map_or(200, |cases| cases.parse().expect("SIGNFOLD_CHECK_CASES is a number"))
}

/// The source of all that is random here, from a seed.
pub fn random(seed: u64) -> Gen {
    Gen::from_size_and_seed(100, seed)
}

/// 0..=most
pub fn up_to(g: &mut Gen, most: usize) -> usize {
    u32::arbitrary(g) as usize % (most + 1)
}

fn choose<T: Copy>(g: &mut Gen, of: &[T]) -> T {
    *g.choose(of).expect("something to choose from")
}

/// Between -1 and 1.
fn unit(g: &mut Gen) -> f32 {
    i16::arbitrary(g) as f32 / 32_768.0
}

fn params(g: &mut Gen, scale: f32) -> QuantParams {
    let kind = choose(g, &[Int8::I8, Int8::U8]);
    let zero_point = match up_to(g, 2) {
        0 => choose(g, &[kind.min(), kind.max()]),
        1 => kind.min() + 128,
        _ => kind.min() + up_to(g, 255) as i32,
    };
    QuantParams::new(kind, scale, zero_point).expect("scale and zero point are valid")
}

fn tensor(g: &mut Gen, width: usize) -> TensorType {
    match up_to(g, 2) {
        0 => TensorType::f32(width),
        _ => TensorType::int8(width, params(g, 0.02)),
    }
}

/// A model of 1 to 5 layers of any kinds, whose numbers mostly stay where nothing clamps.
pub fn random_model(seed: u64) -> Model<'static> {
    let g = &mut random(seed);
    let input_width = 1 + up_to(g, 69);
    let input = tensor(g, input_width);
    let (mut model, mut at) = (Model::builder("random", input), input);
    for _ in 0..=up_to(g, 4) {
        let (layer, output) = random_layer(g, at);
        (model, at) = (model.layer(layer), output);
        if at.element == Element::Index {
            break;
        }
    }
    model.build().unwrap_or_else(|error| panic!("the model of seed {seed}: {error}"))
}

fn random_layer(g: &mut Gen, input: TensorType) -> (Layer<'static>, TensorType) {
    let width = input.width;
    match (input.element, up_to(g, 9)) {
        (Element::F32, 0..=1) => {
            let output = params(g, 0.02);
            (Quantize { output }.into(), TensorType::int8(width, output))
        }
        (Element::F32, 2) => (Softmax.into(), input),
        (Element::F32, 3) => (Pointwise { activation: activation(g), output: None }.into(), input),
        (Element::Int8(_), 0) => (Dequantize.into(), TensorType::f32(width)),
        (Element::Int8(_), 1..=2) => {
            let output = params(g, 0.015);
            let layer = Pointwise { activation: activation(g), output: Some(output) };
            (layer.into(), TensorType::int8(width, output))
        }
        (_, 4) => (Argmax.into(), TensorType { width: 1, element: Element::Index }),
        (Element::Int8(params), _) => random_dense(g, width, Some(params)),
        _ => random_dense(g, width, None),
    }
}

fn activation(g: &mut Gen) -> Activation {
    let (min, max) = (unit(g) - 0.5, unit(g) + 1.5);
    let clamps =
        [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Clip { min, max }];
    let others = [
        Activation::LeakyRelu { alpha: min },
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    if bool::arbitrary(g) { choose(g, &clamps) } else { choose(g, &others) }
}

fn random_dense(
    g: &mut Gen,
    inputs: usize,
    input: Option<QuantParams>,
) -> (Layer<'static>, TensorType) {
    let outputs = 1 + up_to(g, 69);
    let weights: Vec<i8> = (0..inputs * outputs).map(|_| i8::arbitrary(g)).collect();
    let layout = choose(g, &[WeightLayout::OutIn, WeightLayout::InOut]);
    // So that outputs are about as large as inputs.
    let spread = 1.0 / (80.0 * (inputs as f32).sqrt());
    let count = choose(g, &[1, outputs]);
    let scales: Vec<f32> = (0..count).map(|_| spread * (1.5 + unit(g))).collect();
    let count = choose(g, &[0, 1, outputs]);
    let zero_points: Vec<i8> = (0..count).map(|_| i8::arbitrary(g)).collect();
    let clamp = loop {
        let activation = activation(g);
        if activation.clamp().is_some() {
            break activation;
        }
    };
    let (kind, output) = match input {
        Some(_) if bool::arbitrary(g) => (DenseInput::Int8, Some(params(g, 0.02))),
        Some(_) => (DenseInput::Int8, None),
        None => (choose(g, &[DenseInput::PerRow, DenseInput::PerTensor]), None),
    };
    let bias = match up_to(g, 2) {
        0 if input.is_some() => {
            Bias::I32((0..outputs).map(|_| i32::from(i16::arbitrary(g))).collect())
        }
        1 if output.is_none() => Bias::F32((0..outputs).map(|_| unit(g)).collect()),
        _ => Bias::None,
    };
    let dense = Dense::new(weights, layout, outputs, inputs)
        .expect("as many weights as there must be")
        .weight_scales(scales)
        .weight_zero_points(zero_points)
        .bias(bias)
        .activation(clamp)
        .input(kind)
        .output(output.map_or(DenseOutput::F32, |to| DenseOutput::Int8(to, Rounding::Nearest)));
    let output = match output {
        Some(params) => TensorType::int8(outputs, params),
        None => TensorType::f32(outputs),
    };
    (dense.into(), output)
}

/// Whether rows of a batch depend on each other.
pub fn is_per_tensor(model: &Model<'_>) -> bool {
    model.layers().any(|(layer, ..)| {
        matches!(layer, Layer::Dense(dense) if dense.input_kind() == DenseInput::PerTensor)
    })
}

/// A batch for a model's input.
pub fn random_rows(input: &TensorType, rows: usize, seed: u64) -> Values<'static> {
    let g = &mut random(seed);
    let len = rows * input.width;
    match input.element {
        Element::F32 => (0..len)
            .map(|_| match up_to(g, 9) {
                0 => choose(g, &[0.0, -0.0, 1e-40, -1e-40, 300.0, -300.0]),
                1 => 0.01 * i8::arbitrary(g) as f32, // ties on the scales of the models above
                _ => 2.0 * unit(g),
            })
            .collect::<Vec<f32>>()
            .into(),
        Element::Int8(params) if params.kind() == Int8::I8 => {
            (0..len).map(|_| i8::arbitrary(g)).collect::<Vec<i8>>().into()
        }
        _ => (0..len).map(|_| u8::arbitrary(g)).collect::<Vec<u8>>().into(),
    }
}

/// Rows `first..last` of a batch.
pub fn slice(values: &Values<'_>, width: usize, first: usize, last: usize) -> Values<'static> {
    let range = first * width..last * width;
    match values {
        Values::F32(v) => v[range].to_vec().into(),
        Values::I8(v) => v[range].to_vec().into(),
        Values::U8(v) => v[range].to_vec().into(),
        Values::U32(v) => v[range].to_vec().into(),
        _ => unreachable!("no other element types"),
    }
}

/// Runs a batch into new memory, which held something else before.
pub fn run(engine: &Engine, input: &Values<'_>, scratch: &mut Scratch) -> Result<Values<'static>> {
    let len = input.len() / engine.input().width * engine.output().width;
    macro_rules! run {
        ($before:expr) => {{
            let mut out = vec![$before; len];
            engine.run(input.clone(), &mut out, scratch)?;
            Ok(out.into())
        }};
    }
    match engine.output().element.name() {
        "f32" => run!(-77.25_f32),
        "i8" => run!(-77_i8),
        "u8" => run!(77_u8),
        _ => run!(77_u32),
    }
}

/// All bits, so that zeros of two signs differ.
pub fn bits(values: &Values<'_>) -> Vec<u32> {
    match values {
        Values::F32(v) => v.iter().map(|x| x.to_bits()).collect(),
        Values::I8(v) => v.iter().map(|&x| u32::from(x as u8)).collect(),
        Values::U8(v) => v.iter().map(|&x| u32::from(x)).collect(),
        Values::U32(v) => v.to_vec(),
        _ => unreachable!("no other element types"),
    }
}

/// Compares all bits, and shows the first that differ.
#[track_caller]
pub fn assert_same(got: &[u32], wanted: &[u32], what: impl std::fmt::Display) {
    assert_eq!(got.len(), wanted.len(), "number of elements, {what}");
    if let Some(i) = (0..got.len()).find(|&i| got[i] != wanted[i]) {
        panic!("element {i} is {:#010x}, not {:#010x}, {what}", got[i], wanted[i]);
    }
}

/// A dense layer of random weights, from 8-bit rows to 8-bit rows that seldom clamp.
pub fn int8_dense(
    g: &mut Gen,
    outputs: usize,
    inputs: usize,
    activation: Activation,
) -> Dense<'static> {
    let weights: Vec<i8> = (0..inputs * outputs).map(|_| i8::arbitrary(g)).collect();
    let output = QuantParams::new(Int8::I8, 0.01, 3).expect("valid parameters");
    let scale = 1.0 / (80.0 * (inputs as f32).sqrt());
    let bias = (0..outputs).map(|_| i32::from(i16::arbitrary(g))).collect();
    Dense::new(weights, WeightLayout::OutIn, outputs, inputs)
        .expect("as many weights as there must be")
        .weight_scales(vec![scale])
        .bias(Bias::I32(bias))
        .activation(activation)
        .output(DenseOutput::Int8(output, Rounding::Nearest))
}

/// The usual network: quantize, dense layers with hardtanh, real outputs. `widths` starts with
/// the inputs and ends with the outputs.
pub fn mlp(widths: &[usize]) -> Model<'static> {
    let g = &mut random(7);
    let first = QuantParams::new(Int8::I8, 0.01, -3).expect("valid parameters");
    let mut model = Model::builder("mlp", TensorType::f32(widths[0]));
    model = model.layer(Quantize { output: first });
    let hardtanh = Activation::Clip { min: -1.0, max: 1.0 };
    for (i, pair) in widths.windows(2).enumerate() {
        let layer = int8_dense(g, pair[1], pair[0], hardtanh);
        model = model.layer(match i + 2 < widths.len() {
            true => layer,
            false => layer.activation(Activation::Identity).output(DenseOutput::F32),
        });
    }
    model.build().expect("the layers fit each other")
}

/// A dynamic network: real rows into each layer, weights with zero points.
pub fn dynamic_mlp(widths: &[usize], input: DenseInput) -> Model<'static> {
    let g = &mut random(8);
    let mut model = Model::builder("dynamic", TensorType::f32(widths[0]));
    for pair in widths.windows(2) {
        let weights: Vec<i8> = (0..pair[0] * pair[1]).map(|_| i8::arbitrary(g)).collect();
        let layer = Dense::new(weights, WeightLayout::InOut, pair[1], pair[0])
            .expect("as many weights as there must be")
            .weight_scales(vec![1.0 / (80.0 * (pair[0] as f32).sqrt())])
            .weight_zero_points(vec![5])
            .bias(Bias::F32((0..pair[1]).map(|_| unit(g)).collect()))
            .activation(Activation::Relu)
            .input(input);
        model = model.layer(layer);
    }
    model.build().expect("the layers fit each other")
}
