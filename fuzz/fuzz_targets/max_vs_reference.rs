//! A max-product layer of any kind on any rows: every kernel's engine computes the reference's
//! bits.
//!
//! The input is a byte for each option, and the elements of weights, bias and rows, from the start
//! again when they end.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{bits, run};
use libfuzzer_sys::fuzz_target;
use signfold::layers::{Activation, Aggregate, Bias, DenseInput, DenseOutput, MaxProduct};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, TensorType, Values, WeightLayout, kernels};

/// Bytes without end.
struct Bytes<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        *self.0.next().expect("they never end")
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn params(&mut self, scale: f32) -> QuantParams {
        let (kind, byte) = (if self.below(2) == 0 { Int8::I8 } else { Int8::U8 }, self.byte());
        QuantParams::new(kind, scale, i32::from(byte) + kind.min()).expect("valid")
    }
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.is_empty() {
        return;
    }
    let of = &mut Bytes(bytes.iter().cycle());
    let (inputs, outputs, rows) = (1 + of.below(130), 1 + of.below(70), of.below(10));
    let aggregate = match of.below(6) {
        0 => Aggregate::Max,
        1 => Aggregate::Min,
        2 => Aggregate::AbsMax,
        3 => Aggregate::Mean,
        4 => Aggregate::Mam,
        // From 2^-20 to 2^11 for the inverse of a typical product.
        _ => Aggregate::SoftAbsMax { alpha: f32::from_bits(((of.below(32) + 107) as u32) << 23) },
    };
    let mean = aggregate == Aggregate::Mean;
    let splits = if mean { 1 } else { inputs.div_ceil(1 + of.below(inputs)) };
    let pruned = of.below(2) == 0 && !mean;
    let input = of.below(4);
    let input_params = of.params(0.01);
    let activation = match of.below(3) {
        0 => Activation::Identity,
        1 => Activation::Relu,
        _ => Activation::Clip { min: -0.5, max: 0.75 },
    };
    let (output, bias, per_channel) = (of.below(2), of.below(3), of.below(2));
    let output_params = of.params(0.02);
    // Where it is not 0, all magnitudes beyond are cut off: products tie.
    let shift = of.below(8);

    let weights: Vec<i8> = (0..inputs * outputs).map(|_| of.byte() as i8 >> shift).collect();
    let scales = (0..if per_channel == 0 { 1 } else { outputs }).map(|n| 0.01 + n as f32 * 1e-4);
    let layer = match pruned {
        true => MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, outputs, inputs),
        false => MaxProduct::new(aggregate, weights, WeightLayout::OutIn, outputs, inputs),
    };
    let layer = layer.expect("as many weights as the shape wants").splits(splits);
    let layer = layer.weight_scales(scales.collect::<Vec<f32>>()).activation(activation);
    let integers: Vec<i32> = (0..outputs).map(|_| i32::from(of.byte() as i8) << 8).collect();
    let (kind, layer) = match input {
        0..=1 => {
            let bias = match bias {
                0 => Bias::None,
                _ => Bias::I32(integers.into()),
            };
            let output = match output {
                0 => DenseOutput::F32,
                _ => DenseOutput::Int8(output_params, Rounding::Nearest),
            };
            (TensorType::int8(inputs, input_params), layer.bias(bias).output(output))
        }
        _ => {
            let dynamic = if input == 2 { DenseInput::PerRow } else { DenseInput::PerTensor };
            let reals: Vec<f32> = integers.iter().map(|&b| b as f32 * 1e-4).collect();
            let bias = if bias == 0 { Bias::None } else { Bias::F32(reals.into()) };
            (TensorType::f32(inputs), layer.bias(bias).input(dynamic))
        }
    };
    let model = Model::builder("", kind).layer(layer).build().expect("it is sound");
    let row = (0..rows * inputs).map(|_| of.byte());
    let batch: Values<'_> = match (input, input_params.kind()) {
        (0..=1, Int8::I8) => row.map(|b| b as i8).collect::<Vec<_>>().into(),
        (0..=1, Int8::U8) => row.collect::<Vec<_>>().into(),
        _ => row.map(|b| f32::from(b as i8) * 0.01).collect::<Vec<_>>().into(),
    };
    let wanted = bits(&model.reference(&batch).expect("finite rows"));
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
        let engine = engine.with_threads(1);
        let capacity = if common::is_per_tensor(&model) { rows } else { 1 + rows / 2 };
        let found = run(&engine, &batch, &mut engine.scratch_for(capacity)).expect("finite rows");
        assert_eq!(bits(&found), wanted, "{}: {model:?}", kernel.name());
    }
});
