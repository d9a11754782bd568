//! What tests, fuzz targets and their seeds share: random but reproducible models and inputs.
#![allow(dead_code, reason = "each test uses a part of this")]

use signfold::layers::{
    Activation, Argmax, Bias, Dense, DenseInput, DenseOutput, Dequantize, Layer, Pointwise,
    Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Model, TensorType, Values, WeightLayout};

/// The generator SplitMix64: the same numbers from the same seed, everywhere.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Evenly between two numbers.
    pub fn float(&mut self, min: f32, max: f32) -> f32 {
        min + (max - min) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    /// Any byte; one in four is an extreme or zero.
    pub fn i8(&mut self) -> i8 {
        match self.below(4) {
            0 => self.pick(&[-128, -127, -1, 0, 1, 127]),
            _ => self.next() as i8,
        }
    }

    pub fn vec<T>(&mut self, len: usize, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..len).map(|_| of(self)).collect()
    }
}

/// A model of one to five layers. Over some hundred seeds, every kind of layer and every option
/// occurs; `tests/format.rs` checks that.
pub fn random_model(seed: u64) -> Model<'static> {
    let rng = &mut Rng::new(seed);
    let width = random_width(rng);
    let input = match rng.below(3) {
        0 => TensorType::f32(width),
        _ => TensorType::int8(width, random_params(rng)),
    };
    let mut model = Model::builder(format!("random {seed}"), input);
    let mut at = input;
    for _ in 0..rng.below(5) + 1 {
        let layer = random_layer(rng, &at);
        at = output_of(&layer, &at);
        model = model.layer(layer);
        if at.element == Element::Index {
            break; // no layer takes positions
        }
    }
    let model = model.build().expect("random models are sound");
    if rng.one_in(2) {
        return model;
    }
    let input = random_input(&model, 1 + rng.below(4), rng.next());
    model.with_golden(input).expect("finite inputs have outputs")
}

/// Rows that the model takes: for 8-bit inputs any bytes, for real ones numbers of moderate size,
/// some of them zero.
pub fn random_input(model: &Model<'_>, rows: usize, seed: u64) -> Values<'static> {
    let rng = &mut Rng::new(seed);
    let len = rows * model.input().width;
    match model.input().element {
        Element::Int8(params) => match params.kind() {
            Int8::I8 => rng.vec(len, Rng::i8).into(),
            Int8::U8 => rng.vec(len, |rng| rng.i8() as u8).into(),
        },
        _ => rng.vec(len, |rng| if rng.one_in(8) { 0.0 } else { rng.float(-4.0, 4.0) }).into(),
    }
}

/// Mostly narrow; sometimes past the borders of the kernels' tiles.
fn random_width(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => 1 + rng.below(4),
        1 => rng.pick(&[15, 16, 17, 31, 32, 33, 63, 64, 65]),
        2 => 1 + rng.below(150),
        _ => 1 + rng.below(40),
    }
}

fn random_params(rng: &mut Rng) -> QuantParams {
    let kind = rng.pick(&[Int8::I8, Int8::U8]);
    let zero_point = kind.min() + rng.pick(&[0, 255, 128, rng.0 as u8 as i32]);
    QuantParams::new(kind, rng.float(0.005, 0.2), zero_point).expect("a positive scale")
}

fn random_clamp(rng: &mut Rng) -> Activation {
    match rng.below(4) {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::Relu6,
        _ => Activation::Clip { min: rng.float(-3.0, 0.5), max: rng.float(0.5, 3.0) },
    }
}

fn random_activation(rng: &mut Rng) -> Activation {
    match rng.below(6) {
        0 => Activation::LeakyRelu { alpha: rng.float(-0.5, 0.5) },
        1 => Activation::Tanh,
        2 => Activation::Sigmoid,
        3 => Activation::Gelu,
        4 => Activation::GeluTanh,
        _ => random_clamp(rng),
    }
}

/// A layer that takes `input`; half of them are dense.
fn random_layer(rng: &mut Rng, input: &TensorType) -> Layer<'static> {
    if rng.one_in(2) {
        return random_dense(rng, input).into();
    }
    let pointwise =
        |rng: &mut Rng, output| Pointwise { activation: random_activation(rng), output };
    match (input.element, rng.below(4)) {
        (_, 0) => Argmax.into(),
        (Element::F32, 1) => Softmax.into(),
        (Element::F32, 2) => Quantize { output: random_params(rng) }.into(),
        (Element::F32, _) => pointwise(rng, None).into(),
        (_, 1) => Dequantize.into(),
        (_, _) => {
            let output = Some(random_params(rng));
            pointwise(rng, output).into()
        }
    }
}

fn random_dense(rng: &mut Rng, input: &TensorType) -> Dense<'static> {
    let (inputs, outputs) = (input.width, random_width(rng));
    let weights = rng.vec(inputs * outputs, Rng::i8);
    let per_output = |rng: &mut Rng| rng.pick(&[1, outputs]);
    // Sums of random products grow with the root of their number; the outputs stay moderate.
    let size = 1.0 / (inputs as f32).sqrt();
    let scales = per_output(rng);
    let scales = rng.vec(scales, |rng| rng.float(0.002, 0.02) * size);
    let zero_points = if rng.one_in(2) { 0 } else { per_output(rng) };
    let dense = Dense::new(weights, WeightLayout::OutIn, outputs, inputs)
        .expect("as many weights as the shape wants")
        .weight_scales(scales)
        .weight_zero_points(rng.vec(zero_points, Rng::i8))
        .activation(random_clamp(rng));

    let real_bias = |rng: &mut Rng| match rng.one_in(3) {
        true => Bias::None,
        false => Bias::F32(rng.vec(outputs, |rng| rng.float(-1.0, 1.0)).into()),
    };
    let integer_bias = |rng: &mut Rng| match rng.one_in(3) {
        true => Bias::None,
        false => Bias::I32(rng.vec(outputs, |rng| rng.next() as i32 >> 12).into()),
    };
    match (input.element, rng.below(3)) {
        (Element::F32, _) => {
            dense.input(rng.pick(&[DenseInput::PerTensor, DenseInput::PerRow])).bias(real_bias(rng))
        }
        (_, 0) => dense.bias(real_bias(rng)),
        (_, 1) => dense.bias(integer_bias(rng)),
        (_, _) => {
            let output = DenseOutput::Int8(random_params(rng), Rounding::Nearest);
            dense.bias(integer_bias(rng)).output(output)
        }
    }
}

/// The type of a layer's output, as a model of this layer alone tells it.
fn output_of(layer: &Layer<'static>, input: &TensorType) -> TensorType {
    let model = Model::builder("", *input).layer(layer.clone()).build();
    model.expect("random layers are sound").output()
}

/// Gives a file that was tampered with the length and the checksum that its bytes ask for.
pub fn seal(file: &mut [u8]) {
    if file.len() >= 64 {
        let length = file.len() as u64;
        file[16..24].copy_from_slice(&length.to_le_bytes());
        file[24..32].fill(0);
        let checksum = xxhash_rust::xxh3::xxh3_64(file);
        file[24..32].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// A file at an address that is some bytes more than a multiple of 64.
pub struct Placed {
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl Placed {
    pub fn new(file: &[u8], offset: usize) -> Self {
        let mut room = vec![0; file.len() + 64 + offset];
        let start = room.as_ptr().align_offset(64) + offset;
        room[start..][..file.len()].copy_from_slice(file);
        Self { room, start, len: file.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.room[self.start..][..self.len]
    }
}
