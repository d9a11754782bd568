//! Random models and rows: the same for a seed, everywhere.

use signfold::layers::{
    Activation, Aggregate, Argmax, Bias, Dense, DenseInput, DenseOutput, Dequantize, FixedSoftmax,
    Layer, MaxProduct, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Model, TensorType, Values, WeightLayout};

use super::{Rng, random_float_activation, random_float_layer};

/// A model of one to eight layers, whose 8-bit numbers clamp less often than not. Over 200 seeds,
/// every kind of layer and every option occurs; `tests/coverage.rs` checks that.
pub fn random_model(seed: u64) -> Model<'static> {
    let rng = &mut Rng::new(seed);
    let model = model_of(rng, format!("random {seed}"));
    if rng.one_in(2) {
        return model;
    }
    let input = random_input(&model, 1 + rng.below(4), rng.next());
    model.with_golden(input).expect("finite inputs have outputs")
}

/// The same without golden rows.
pub fn model_of(rng: &mut Rng, name: String) -> Model<'static> {
    let width = random_width(rng);
    let input = match rng.one_in(2) {
        true => TensorType::f32(width),
        false => TensorType::int8(width, random_params(rng)),
    };
    let mut model = Model::builder(name, input);
    let mut at = input;
    let mut logarithms = false;
    for _ in 0..rng.below(8) + 1 {
        let layer = match logarithms && rng.one_in(2) {
            true => Pointwise { activation: Activation::Exp, output: None }.into(),
            false => random_layer(rng, &at),
        };
        logarithms = matches!(layer, Layer::LogSoftmax(_));
        at = output_of(&layer, &at);
        model = model.layer(layer);
        if at.element == Element::Index {
            break; // no layer takes positions
        }
    }
    model.build().expect("random models are sound")
}

/// Rows that the model takes: for 8-bit inputs any bytes, for real ones numbers of moderate size;
/// some of them zeros, too small or too large for a scale, or in the middle of two integers.
pub fn random_input(model: &Model<'_>, rows: usize, seed: u64) -> Values<'static> {
    random_rows(model.input(), rows, seed)
}

/// The same for rows of any type.
pub fn random_rows(of: TensorType, rows: usize, seed: u64) -> Values<'static> {
    const ODD: [f32; 6] = [0.0, -0.0, 1e-40, -1e-40, 300.0, -300.0];
    let rng = &mut Rng::new(seed);
    let len = rows * of.width;
    match of.element {
        Element::Int8(params) => match params.kind() {
            Int8::I8 => rng.vec(len, Rng::i8).into(),
            Int8::U8 => rng.vec(len, |rng| rng.i8() as u8).into(),
        },
        _ => {
            let real = |rng: &mut Rng| match rng.below(8) {
                0 => rng.pick(&ODD),
                1 => f32::from(rng.i8()) * (COMMON_SCALE / 2.0),
                _ => rng.float(-4.0, 4.0),
            };
            rng.vec(len, real).into()
        }
    }
}

/// Rows as [`random_input`] has them, but the real ones hold what floats can be at worst: huge,
/// tiny, infinite, of either sign, in some rows NaN. A model may refuse them.
pub fn extreme_input(model: &Model<'_>, rows: usize, seed: u64) -> Values<'static> {
    const WORST: [f32; 5] = [f32::MAX, f32::MIN_POSITIVE, 1e-45, 1e30, 0.0];
    let mut values = random_input(model, rows, seed);
    let rng = &mut Rng::new(seed);
    if let Values::F32(values) = &mut values {
        let last = rng.pick(&[0.0, 1.0, f32::INFINITY, f32::NAN]);
        for value in values.to_mut() {
            if rng.one_in(3) {
                let worst = if rng.one_in(9) { last } else { rng.pick(&WORST) };
                *value = worst.copysign(*value);
            }
        }
    }
    values
}

/// Mostly narrow; sometimes past the borders of the kernels' tiles.
pub fn random_width(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => 1 + rng.below(4),
        1 => rng.pick(&[15, 16, 17, 31, 32, 33, 63, 64, 65]),
        2 => 1 + rng.below(150),
        _ => 1 + rng.below(40),
    }
}

/// Half of all models' 8-bit rows have this scale, so that rows can be made to meet ties.
const COMMON_SCALE: f32 = 0.02;

pub fn random_params(rng: &mut Rng) -> QuantParams {
    let kind = rng.pick(&[Int8::I8, Int8::U8]);
    let zero_point = kind.min()
        + match rng.below(3) {
            0 => rng.pick(&[0, 255]),
            1 => 128,
            _ => rng.below(256) as i32,
        };
    let scale = if rng.one_in(2) { COMMON_SCALE } else { rng.float(0.005, 0.2) };
    QuantParams::new(kind, scale, zero_point).expect("a positive scale")
}

pub fn random_clamp(rng: &mut Rng) -> Activation {
    match rng.below(4) {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::Relu6,
        _ => Activation::Clip { min: rng.float(-3.0, 0.5), max: rng.float(0.5, 3.0) },
    }
}

fn random_activation(rng: &mut Rng) -> Activation {
    match rng.below(20) {
        0 => Activation::LeakyRelu { alpha: rng.float(-1.5, 0.5) },
        1 => Activation::Tanh,
        2 => Activation::Sigmoid,
        3 => Activation::Gelu,
        4 => Activation::GeluTanh,
        5..=9 => random_clamp(rng),
        _ => random_float_activation(rng),
    }
}

/// A layer that takes `input`; half of them have weights, and of these a third are max-product
/// layers.
pub fn random_layer(rng: &mut Rng, input: &TensorType) -> Layer<'static> {
    if input.element == Element::F32 && rng.one_in(3) {
        let outputs = random_width(rng);
        return random_float_layer(rng, input.width, outputs);
    }
    match rng.below(6) {
        0..=1 => return random_dense(rng, input).into(),
        2 => {
            let (aggregate, outputs) = (rng.pick(&AGGREGATES), random_width(rng));
            return random_max_product(rng, input, aggregate, outputs).into();
        }
        _ => {}
    }
    let pointwise = |rng: &mut Rng, output: Option<QuantParams>| {
        let activation = match output.is_some() && rng.one_in(12) {
            true => Activation::Exp, // of real numbers it can be infinite
            false => random_activation(rng),
        };
        Pointwise { activation, output }
    };
    match (input.element, rng.below(8)) {
        (_, 0) => Argmax.into(),
        (Element::F32, 1) => Softmax.into(),
        (Element::F32, 2..=3) => Quantize { output: random_params(rng) }.into(),
        (Element::F32, _) => pointwise(rng, None).into(),
        (_, 1) => Dequantize.into(),
        (_, 2) => FixedSoftmax { beta: rng.float(0.1, 30.0) }.into(),
        (_, _) => {
            let output = Some(random_params(rng));
            pointwise(rng, output).into()
        }
    }
}

fn random_dense(rng: &mut Rng, input: &TensorType) -> Dense<'static> {
    let (inputs, outputs) = (input.width, random_width(rng));
    let weights = rng.vec(inputs * outputs, Rng::i8);
    let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
    let per_output = |rng: &mut Rng| rng.pick(&[1, outputs]);
    // Sums of random products grow with the root of their number; the outputs stay moderate.
    let size = 1.0 / (inputs as f32).sqrt();
    let scales = per_output(rng);
    let scales = rng.vec(scales, |rng| rng.float(0.002, 0.02) * size);
    let zero_points = if rng.one_in(2) { 0 } else { per_output(rng) };
    let dense = Dense::new(weights, layout, outputs, inputs)
        .expect("as many weights as the shape wants")
        .weight_scales(scales)
        .weight_zero_points(rng.vec(zero_points, Rng::i8))
        .activation(random_clamp(rng));
    let ends = random_ends(rng, input, outputs);
    dense.bias(ends.bias).input(ends.input).output(ends.output)
}

/// Every aggregate. An alpha is chosen anew for each layer.
pub const AGGREGATES: [Aggregate; 6] = [
    Aggregate::Max,
    Aggregate::Min,
    Aggregate::AbsMax,
    Aggregate::SoftAbsMax { alpha: 1.0 },
    Aggregate::Mean,
    Aggregate::Mam,
];

/// A max-product layer that takes `input`, pruned or not, of any options.
pub fn random_max_product(
    rng: &mut Rng,
    input: &TensorType,
    aggregate: Aggregate,
    outputs: usize,
) -> MaxProduct<'static> {
    let inputs = input.width;
    let mean = aggregate == Aggregate::Mean;
    // No more than there are blocks of some size.
    let splits = match rng.below(6) {
        0..=1 if !mean => inputs,
        2..=3 if !mean => inputs.div_ceil(1 + rng.below(inputs)),
        _ => 1,
    };
    // Means shrink with the root of the inputs' number, sums of blocks grow with that of blocks.
    let size = if mean { (inputs as f32).sqrt() } else { 0.5 / splits as f32 };
    let scales = rng.pick(&[1, outputs]);
    let scales = rng.vec(scales, |rng| rng.float(0.002, 0.02) * size);
    let aggregate = match aggregate {
        Aggregate::SoftAbsMax { .. } => {
            let unit = scales[0] * params_or_usual(input).scale();
            Aggregate::SoftAbsMax { alpha: random_alpha(rng, unit) }
        }
        other => other,
    };
    let mut weights = random_weights(rng, outputs * inputs);
    let layer = if !mean && rng.one_in(3) {
        for row in weights.chunks_exact_mut(inputs) {
            let percent = rng.pick(&[0, 3, 30, 100]);
            row.iter_mut().for_each(|w| *w *= i8::from(rng.below(100) < percent));
        }
        MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, outputs, inputs)
    } else {
        let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
        MaxProduct::new(aggregate, weights, layout, outputs, inputs)
    };
    let ends = random_ends(rng, input, outputs);
    let layer = layer.expect("as many weights as the shape wants").splits(splits);
    let layer = layer.weight_scales(scales).activation(random_clamp(rng));
    layer.bias(ends.bias).input(ends.input).output(ends.output)
}

/// Parameters of 8-bit rows; for real ones those that they may be quantized with on arrival.
fn params_or_usual(input: &TensorType) -> QuantParams {
    match input.element {
        Element::Int8(params) => params,
        _ => QuantParams::new(Int8::I8, 0.03, 0).expect("valid parameters"),
    }
}

/// From one with which all terms count to one with which only the winner does; half of all lie
/// where some do. Without a function of the platform's maths library.
fn random_alpha(rng: &mut Rng, unit: f32) -> f32 {
    let exponent = if rng.one_in(2) { rng.below(7) + 7 } else { rng.below(31) } as u32;
    let power = f32::from_bits((127 + exponent) << 23) / 1024.0;
    rng.float(1.0, 2.0) * power / (1000.0 * unit)
}

/// Weights whose products do or do not tie; one in four times any.
fn random_weights(rng: &mut Rng, len: usize) -> Vec<i8> {
    let magnitude = rng.i8().saturating_abs();
    match rng.below(12) {
        0 => rng.vec(len, |rng| rng.pick(&[-1, 0, 1])),
        1 => rng.vec(len, |rng| rng.pick(&[-128, 127])),
        2 => rng.vec(len, |rng| rng.pick(&[magnitude, -magnitude])),
        3 => vec![rng.i8(); len],
        4 => rng.vec(len, |rng| rng.i8().saturating_abs()),
        5 => rng.vec(len, |rng| rng.i8() | -128),
        6 => rng.vec(len, |rng| if rng.one_in(2) { 0 } else { rng.i8() }),
        7 => {
            // Small but for a few, which bound what others can reach.
            rng.vec(len, |rng| if rng.one_in(40) { rng.i8() } else { rng.i8() >> 5 })
        }
        8 => rng.vec(len, |rng| rng.i8() >> 4),
        _ => rng.vec(len, Rng::i8),
    }
}

/// What layers with weights have at both ends.
struct Ends {
    bias: Bias<'static>,
    input: DenseInput,
    output: DenseOutput,
}

fn random_ends(rng: &mut Rng, input: &TensorType, outputs: usize) -> Ends {
    let real_bias = |rng: &mut Rng| match rng.one_in(3) {
        true => Bias::None,
        false => Bias::F32(rng.vec(outputs, |rng| rng.float(-1.0, 1.0)).into()),
    };
    // About as large as the sums are, or far larger.
    let integer_bias = |rng: &mut Rng| match rng.below(6) {
        0..=1 => Bias::None,
        2 => Bias::I32(rng.vec(outputs, |rng| rng.next() as i32 >> 12).into()),
        _ => Bias::I32(rng.vec(outputs, |rng| rng.next() as i32 >> 16).into()),
    };
    let (int8, f32) = (DenseInput::Int8, DenseOutput::F32);
    match (input.element, rng.below(3)) {
        (Element::F32, _) => {
            let input = rng.pick(&[DenseInput::PerTensor, DenseInput::PerRow]);
            Ends { bias: real_bias(rng), input, output: f32 }
        }
        (_, 0) => Ends { bias: real_bias(rng), input: int8, output: f32 },
        (_, 1) => Ends { bias: integer_bias(rng), input: int8, output: f32 },
        (_, _) => {
            let output = DenseOutput::Int8(random_params(rng), Rounding::Nearest);
            Ends { bias: integer_bias(rng), input: int8, output }
        }
    }
}

/// The type of a layer's output, as a model of this layer alone tells it.
fn output_of(layer: &Layer<'static>, input: &TensorType) -> TensorType {
    let model = Model::builder("", *input).layer(layer.clone()).build();
    model.expect("random layers are sound").output()
}
