//! Models of one layer that has a rule, and all values that there are for them.

use signfold::layers::{Activation, Bias, Combine, CombineOp, Concat, Dense, DenseOutput};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, TensorType, Values, WeightLayout, kernels};

use crate::common::{assert_same, bits, run_all};

/// An element type, a scale and a zero point.
pub type Params = (Int8, f32, i32);

pub fn params((kind, scale, zero_point): Params) -> QuantParams {
    QuantParams::new(kind, scale, zero_point).expect("valid parameters")
}

/// Numbers from 0 on, as values from the type's smallest on.
fn values(kind: Int8, numbers: impl Iterator<Item = u32>) -> Values<'static> {
    let bytes = numbers.map(|i| i as u8);
    match kind {
        Int8::I8 => bytes.map(|x| (x ^ 0x80) as i8).collect::<Vec<_>>().into(),
        Int8::U8 => bytes.collect::<Vec<_>>().into(),
    }
}

/// All values, a row each.
pub fn all_values(kind: Int8) -> Values<'static> {
    values(kind, 0..256)
}

/// The other way round.
fn all_values_back(kind: Int8) -> Values<'static> {
    values(kind, (0..256).rev())
}

/// All values of the first tensor, a row each, with all of the second.
pub fn combine(
    op: CombineOp,
    rule: Rounding,
    [a, b, y]: [Params; 3],
    clamp: Activation,
) -> (Model<'static>, Vec<Values<'static>>) {
    let mut graph = Model::graph("combine");
    let mut input = |of| graph.input("", TensorType::int8(256, params(of))).expect("a sound input");
    let inputs = [input(a), input(b)];
    let layer = Combine { op, activation: clamp, output: Some((params(y), rule)) };
    let output = graph.layer("", layer, &inputs).expect("a sound layer");
    graph.output(output);
    let first = values(a.0, (0..65536).map(|i| i / 256));
    let second = values(b.0, (0..65536).map(|i| i % 256));
    (graph.build().expect("a sound model"), vec![first, second])
}

/// All values beside all values, in falling order.
pub fn concat([a, b, y]: [Params; 3]) -> (Model<'static>, Vec<Values<'static>>) {
    let mut graph = Model::graph("concat");
    let mut input = |of| graph.input("", TensorType::int8(1, params(of))).expect("a sound input");
    let inputs = [input(a), input(b)];
    let layer = Concat { inputs: 2, output: Some(params(y)) };
    let output = graph.layer("", layer, &inputs).expect("a sound layer");
    graph.output(output);
    (graph.build().expect("a sound model"), vec![all_values(a.0), all_values_back(b.0)])
}

/// What a dense layer has beside its rule and quantizations.
#[derive(Clone, Copy)]
pub struct Of {
    pub weight_scale: f32,
    /// Whether each output has its own scale, up to nearly twice the first.
    pub each: bool,
    pub bias: bool,
    pub clamp: Activation,
}

/// All values of one input, with 64 weights and biases.
pub fn dense(
    rule: Rounding,
    [x, y]: [Params; 2],
    of: Of,
) -> (Model<'static>, Vec<Values<'static>>) {
    let weights: Vec<i8> = (0..64).map(|n| (4 * n - 126) as i8).collect();
    let biases: Vec<i32> = (0..64).map(|n| n * n * 37 % 2001 - 1000).collect();
    let scales = 0..if of.each { 64 } else { 1 };
    let scales: Vec<f32> = scales.map(|n| of.weight_scale * (1.0 + n as f32 / 64.0)).collect();
    let layer = Dense::new(weights, WeightLayout::OutIn, 64, 1)
        .expect("64 weights")
        .weight_scales(scales)
        .bias(if of.bias { Bias::I32(biases.into()) } else { Bias::None })
        .activation(of.clamp)
        .output(DenseOutput::Int8(params(y), rule));
    let model = Model::builder("dense", TensorType::int8(1, params(x))).layer(layer).build();
    (model.expect("a sound model"), vec![all_values(x.0)])
}

/// What the naive loops give, and every kernel.
pub fn results((model, inputs): &(Model<'_>, Vec<Values<'_>>)) -> Values<'static> {
    let wanted = model.reference_all(inputs).expect("8-bit rows are sound").remove(0);
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
        let got = run_all(model, &engine, inputs, &mut engine.scratch()).expect("sound rows");
        assert_same(&bits(&got[0]), &bits(&wanted), kernel.name());
    }
    wanted
}
