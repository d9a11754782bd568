//! What tests, benchmarks and fuzz targets share: models and rows that are random but the same
//! in each run, and engines run on them.

#![allow(dead_code, reason = "each program uses its part")]

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

/// A model of one to five layers, whose 8-bit numbers clamp less often than not. Over 200 seeds,
/// every kind of layer and every option occurs; `tests/coverage.rs` checks that.
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

/// Rows that the model takes: for 8-bit inputs any bytes, for real ones numbers of moderate size;
/// some of them zeros, too small or too large for a scale, or in the middle of two integers.
pub fn random_input(model: &Model<'_>, rows: usize, seed: u64) -> Values<'static> {
    const ODD: [f32; 6] = [0.0, -0.0, 1e-40, -1e-40, 300.0, -300.0];
    let rng = &mut Rng::new(seed);
    let len = rows * model.input().width;
    match model.input().element {
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
fn random_width(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => 1 + rng.below(4),
        1 => rng.pick(&[15, 16, 17, 31, 32, 33, 63, 64, 65]),
        2 => 1 + rng.below(150),
        _ => 1 + rng.below(40),
    }
}

/// Half of all models' 8-bit rows have this scale, so that rows can be made to meet ties.
const COMMON_SCALE: f32 = 0.02;

fn random_params(rng: &mut Rng) -> QuantParams {
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

fn random_clamp(rng: &mut Rng) -> Activation {
    match rng.below(4) {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::Relu6,
        _ => Activation::Clip { min: rng.float(-3.0, 0.5), max: rng.float(0.5, 3.0) },
    }
}

fn random_activation(rng: &mut Rng) -> Activation {
    match rng.below(9) {
        0 => Activation::LeakyRelu { alpha: rng.float(-1.5, 0.5) },
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
    match (input.element, rng.below(8)) {
        (_, 0) => Argmax.into(),
        (Element::F32, 1) => Softmax.into(),
        (Element::F32, 2..=3) => Quantize { output: random_params(rng) }.into(),
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

/// A dense layer of random weights, from 8-bit rows to 8-bit rows that seldom clamp.
pub fn int8_dense(
    rng: &mut Rng,
    outputs: usize,
    inputs: usize,
    activation: Activation,
) -> Dense<'static> {
    let weights = rng.vec(inputs * outputs, Rng::i8);
    let output = QuantParams::new(Int8::I8, 0.01, 3).expect("valid parameters");
    let scale = 1.0 / (80.0 * (inputs as f32).sqrt());
    let bias = rng.vec(outputs, |rng| rng.next() as i32 >> 16);
    Dense::new(weights, WeightLayout::OutIn, outputs, inputs)
        .expect("as many weights as there must be")
        .weight_scales(vec![scale])
        .bias(Bias::I32(bias.into()))
        .activation(activation)
        .output(DenseOutput::Int8(output, Rounding::Nearest))
}

/// The usual network: quantize, dense layers with hardtanh, real outputs. `widths` starts with
/// the inputs and ends with the outputs.
pub fn mlp(widths: &[usize]) -> Model<'static> {
    let rng = &mut Rng::new(7);
    let first = QuantParams::new(Int8::I8, 0.01, -3).expect("valid parameters");
    let mut model = Model::builder("mlp", TensorType::f32(widths[0]));
    model = model.layer(Quantize { output: first });
    let hardtanh = Activation::Clip { min: -1.0, max: 1.0 };
    for (i, pair) in widths.windows(2).enumerate() {
        let layer = int8_dense(rng, pair[1], pair[0], hardtanh);
        model = model.layer(match i + 2 < widths.len() {
            true => layer,
            false => layer.activation(Activation::Identity).output(DenseOutput::F32),
        });
    }
    model.build().expect("the layers fit each other")
}

/// A dynamic network: real rows into each layer, weights with zero points.
pub fn dynamic_mlp(widths: &[usize], input: DenseInput) -> Model<'static> {
    let rng = &mut Rng::new(8);
    let mut model = Model::builder("dynamic", TensorType::f32(widths[0]));
    for pair in widths.windows(2) {
        let weights = rng.vec(pair[0] * pair[1], Rng::i8);
        let layer = Dense::new(weights, WeightLayout::InOut, pair[1], pair[0])
            .expect("as many weights as there must be")
            .weight_scales(vec![1.0 / (80.0 * (pair[0] as f32).sqrt())])
            .weight_zero_points(vec![5])
            .bias(Bias::F32(rng.vec(pair[1], |rng| rng.float(-1.0, 1.0)).into()))
            .activation(Activation::Relu)
            .input(input);
        model = model.layer(layer);
    }
    model.build().expect("the layers fit each other")
}

/// Whether rows of a batch depend on each other.
pub fn is_per_tensor(model: &Model<'_>) -> bool {
    model.layers().any(|(layer, ..)| {
        matches!(layer, Layer::Dense(dense) if dense.input_kind() == DenseInput::PerTensor)
    })
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

/// Gives a file that was tampered with the length and the checksum that its bytes ask for.
pub fn seal(file: &mut [u8]) {
    if file.len() >= 64 {
        let length = file.len() as u64;
        file[16..24].copy_from_slice(&length.to_le_bytes());
        file[24..32].fill(0);
        let checksum = Values::from(&*file).digest();
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
