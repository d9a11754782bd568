//! What tests, benchmarks and fuzz targets share: models and rows that are random but the same
//! in each run, and engines run on them.

#![allow(dead_code, unused_imports, reason = "each program uses its part")]

pub mod forge;
mod graphs;
mod random;
mod random_float;

pub use forge::seal;
pub use graphs::{graph_of, random_graph, random_inputs, run_all};
pub use random::{
    AGGREGATES, extreme_input, model_of, random_input, random_max_product, random_model,
    random_params,
};
pub use random_float::{
    random_affine, random_float_activation, random_float_dense, random_float_layer,
    random_float_max, random_layer_norm,
};
use signfold::layers::{Activation, Bias, Dense, DenseInput, DenseOutput, Layer, Quantize};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, Result, Scratch, TensorType, Values, WeightLayout};

/// How many random cases a test draws: fewer where the CPU is emulated.
pub fn cases() -> u64 {
    let cases = std::env::var("SIGNFOLD_CHECK_CASES");
    cases.map_or(200, |cases| cases.parse().expect("SIGNFOLD_CHECK_CASES is a number"))
}

/// The generator SplitMix64: the same numbers from the same seed, everywhere.
pub struct Rng {
    state: u64,
    /// What a fuzzer decides: a byte for each number.
    bytes: std::vec::IntoIter<u8>,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, bytes: Vec::new().into_iter() }
    }

    /// Numbers of which each follows from one of these bytes and its place, so that a change of one
    /// byte changes one number; when they end, the numbers that zeros give. Lists take a single byte.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: Vec::from(bytes).into_iter() }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let byte = self.bytes.next().unwrap_or(0);
        let mut z = self.state ^ u64::from(byte) << 40;
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
        if self.bytes.len() > 0 {
            // Else the first list of weights would take all bytes.
            return Self::new(self.next()).vec(len, of);
        }
        (0..len).map(|_| of(self)).collect()
    }
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
    model.layers().any(|(layer, ..)| match layer {
        Layer::Dense(dense) => dense.input_kind() == DenseInput::PerTensor,
        Layer::MaxProduct(layer) => layer.input_kind() == DenseInput::PerTensor,
        _ => false,
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
