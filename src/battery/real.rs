//! Layers without weights, layers of real weights, and functions.

use alloc::format;

use super::random::{Rng, Worst};
use super::weighted::{AGGREGATES, clamp};
use super::{Cases, ROWS, WIDTHS};
use crate::error::Result;
use crate::layers::{
    Activation, Affine, Aggregate, Argmax, Combine, CombineOp, Concat, Dequantize, FixedSoftmax,
    FloatDense, FloatMax, Layer, LayerNorm, LogSoftmax, Lookup, Pointwise, Quantize, Softmax,
};
use crate::model::Model;
use crate::pack::WeightLayout;
use crate::quant::{Int8, Rounding};
use crate::tensor::TensorType;

/// Every function, with parameters of either sign.
pub(super) const ACTIVATIONS: [Activation; 21] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Clip { min: -1.5, max: 0.75 },
    Activation::LeakyRelu { alpha: 0.01 },
    Activation::LeakyRelu { alpha: -1.25 },
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Elu { alpha: 1.0 },
    Activation::Elu { alpha: -0.3 },
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::Silu,
    Activation::HardSwish,
    Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
    Activation::Selu { alpha: 0.5, gamma: -2.0 },
    Activation::Softplus,
    Activation::Softsign,
    Activation::Mish,
    Activation::Exp,
];

impl Cases {
    pub(super) fn real(&mut self) -> Result<()> {
        self.edges()?;
        for activation in ACTIVATIONS {
            let layer = Pointwise { activation, output: None };
            self.single(&format!("{activation}"), TensorType::f32(61), layer, Worst::Any)?;
            for kind in [Int8::I8, Int8::U8] {
                let (input, output) = (self.rng.params_of(kind), self.rng.output());
                let layer = Pointwise { activation, output: Some(output) };
                let name = format!("{activation} of {kind:?}");
                self.single(&name, TensorType::int8(257, input), layer, Worst::Any)?;
            }
        }
        for (i, width) in WIDTHS.into_iter().enumerate() {
            self.by_row(i, width)?;
        }
        for op in [
            CombineOp::Add,
            CombineOp::Sub,
            CombineOp::Mul,
            CombineOp::Div,
            CombineOp::Max,
            CombineOp::Min,
        ] {
            self.combine(op)?;
        }
        for inputs in [2, 3, 16] {
            self.concat(inputs)?;
        }
        Ok(())
    }

    /// One layer, on a few rows.
    fn single(
        &mut self,
        name: &str,
        input: TensorType,
        layer: impl Into<Layer<'static>>,
        worst: Worst,
    ) -> Result<()> {
        let name = format!("{name}, {} wide", input.width);
        let rows = 3 + self.rng.pick(&ROWS) % 5;
        self.add(Model::builder(name, input).layer(layer).build()?, rows, worst)
    }

    /// From real numbers to bytes and back, and what works on bytes.
    fn edges(&mut self) -> Result<()> {
        for width in [1, 2, 15, 64, 67, 130] {
            for kind in [Int8::I8, Int8::U8] {
                let output = self.rng.params_of(kind);
                let of = TensorType::f32(width);
                let layer = Quantize { output };
                self.single(&format!("quantize to {kind:?}"), of, layer, Worst::Infinite)?;
                let of = TensorType::int8(width, self.rng.params_of(kind));
                self.single(&format!("dequantize {kind:?}"), of, Dequantize, Worst::Any)?;
                self.single(&format!("argmax of {kind:?}"), of, Argmax, Worst::Any)?;
                let layer = FixedSoftmax { beta: self.rng.pick(&[0.3, 1.0, 20.0]) };
                self.single(&format!("fixed softmax of {kind:?}"), of, layer, Worst::Any)?;
                let (table, output) = (self.rng.weights(256), self.rng.output());
                let layer = Lookup::new(table, output)?;
                self.single(&format!("lookup of {kind:?}"), of, layer, Worst::Any)?;
            }
        }
        Ok(())
    }

    /// What makes a row of a row of real numbers. Number `i`.
    fn by_row(&mut self, i: usize, width: usize) -> Result<()> {
        let (of, any) = (TensorType::f32(width), Worst::Any);
        self.single("softmax", of, Softmax, any)?;
        self.single("log softmax", of, LogSoftmax, any)?;
        self.single("argmax", of, Argmax, any)?;
        let rng = &mut self.rng;
        let scales = rng.pick(&[1, width]);
        let shifts = rng.pick(&[1, width]);
        let (scale, shift) = (rng.real_weights(scales, 2.0), rng.real_weights(shifts, 1.0));
        self.single("affine", of, Affine::new(width, scale, shift)?, any)?;
        let rng = &mut self.rng;
        let (scale, shift) = (rng.real_weights(width, 2.0), rng.real_weights(width, 1.0));
        let epsilon = rng.pick(&[0.0, 1e-5, 1.0]);
        self.single("layer norm", of, LayerNorm::new(epsilon, scale, shift)?, any)?;
        let outputs = WIDTHS[(8 * i + 5) % WIDTHS.len()];
        let rng = &mut self.rng;
        let weights = rng.real_weights(width * outputs, 1.0);
        let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
        let dense = FloatDense::new(weights, layout, outputs, width)?;
        let bias = rng.real_weights(outputs, 1.0);
        let dense = if rng.one_in(3) { dense } else { dense.bias(bias) };
        self.single(&format!("float dense to {outputs}"), of, dense, any)?;
        for (j, aggregate) in AGGREGATES.into_iter().enumerate() {
            let layer = float_max(&mut self.rng, aggregate, (width, outputs), i + j)?;
            let pruned = if layer.is_pruned() { "pruned " } else { "" };
            let splits = layer.split_count();
            let name = format!("{pruned}float {} to {outputs} in {splits}", aggregate.name());
            self.single(&name, of, layer, any)?;
        }
        Ok(())
    }

    /// An operation on real numbers, and on bytes under each rule that has it.
    fn combine(&mut self, op: CombineOp) -> Result<()> {
        let real = TensorType::f32(67);
        for _ in 0..3 {
            let activation = clamp(&mut self.rng);
            let layer = Combine { op, activation, output: None };
            self.several(op.name(), &[real; 2], layer)?;
        }
        for rule in Rounding::ALL {
            let has = match rule {
                Rounding::Nearest | Rounding::OnnxReference => op != CombineOp::Div,
                Rounding::TfLite | Rounding::TfLiteSingleRounding => {
                    matches!(op, CombineOp::Add | CombineOp::Sub | CombineOp::Mul)
                }
                Rounding::TfLiteReference => false,
            };
            if has {
                let rng = &mut self.rng;
                let of = [(); 2].map(|()| TensorType::int8(129, rng.params()));
                let output = rng.output();
                let activation = clamp(rng);
                let layer = Combine { op, activation, output: Some((output, rule)) };
                self.several(&format!("{} {}", rule.name(), op.name()), &of, layer)?;
            }
        }
        Ok(())
    }

    /// Tensors end to end: real ones; and bytes, of which the first have the output's quantization.
    fn concat(&mut self, inputs: usize) -> Result<()> {
        let real: [TensorType; 16] = core::array::from_fn(|i| TensorType::f32(WIDTHS[i]));
        let layer = Concat { inputs, output: None };
        self.several("concat", &real[..inputs], layer)?;
        let output = self.rng.params();
        let bytes: [TensorType; 16] = core::array::from_fn(|i| {
            let params = if i == 0 { output } else { self.rng.params() };
            TensorType::int8(WIDTHS[20 - i], params)
        });
        let layer = Concat { inputs, output: Some(output) };
        self.several("concat of bytes", &bytes[..inputs], layer)
    }

    /// One layer that takes several tensors.
    fn several(
        &mut self,
        name: &str,
        inputs: &[TensorType],
        layer: impl Into<Layer<'static>>,
    ) -> Result<()> {
        let mut graph = Model::graph(format!("{name} of {}", inputs.len()));
        let mut ids = alloc::vec::Vec::new();
        for input in inputs {
            ids.push(graph.input("", *input)?);
        }
        let output = graph.layer("", layer, &ids)?;
        graph.output(output);
        self.add(graph.build()?, 13, Worst::Any)
    }
}

/// Number `i` of an aggregate, for real numbers.
fn float_max(
    rng: &mut Rng,
    aggregate: Aggregate,
    (inputs, outputs): (usize, usize),
    i: usize,
) -> Result<FloatMax<'static>> {
    let splits = match i % 4 {
        _ if aggregate == Aggregate::Mean => 1,
        0 => inputs,
        1 => inputs.div_ceil(1 + rng.below(inputs)),
        _ => 1,
    };
    let aggregate = match aggregate {
        Aggregate::SoftAbsMax { .. } => {
            Aggregate::SoftAbsMax { alpha: rng.pick(&[0.01, 1.0, 30.0]) }
        }
        other => other,
    };
    let mut weights = rng.real_weights(inputs * outputs, 1.0);
    let pruned = i.is_multiple_of(3);
    if pruned {
        for row in weights.chunks_exact_mut(inputs) {
            let percent = rng.pick(&[0, 5, 40, 100]);
            row.iter_mut().for_each(|w| *w *= f32::from(u8::from(rng.below(100) < percent)));
        }
    }
    let new = if pruned { FloatMax::pruned } else { FloatMax::new };
    let max = new(aggregate, weights, WeightLayout::OutIn, outputs, inputs)?.splits(splits);
    let bias = rng.real_weights(outputs, 1.0);
    Ok(if rng.one_in(3) { max } else { max.bias(bias) })
}
