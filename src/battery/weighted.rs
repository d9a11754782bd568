//! Layers with 8-bit weights: sums under each rule, and what meets by a maximum.

use alloc::format;
use alloc::vec::Vec;

use super::random::{Rng, Worst};
use super::{Cases, ROWS, WIDTHS};
use crate::error::Result;
use crate::layers::{
    Activation, Aggregate, Bias, Dense, DenseInput, DenseOutput, Layer, MaxProduct,
};
use crate::model::Model;
use crate::pack::WeightLayout;
use crate::quant::{Int8, QuantParams, Rounding};
use crate::tensor::{Element, TensorType};

/// Beside pairs of widths: many inputs for few outputs, few for many, long odd ones.
const SHAPES: [(usize, usize); 8] =
    [(513, 1), (1000, 10), (300, 3), (255, 2), (1, 300), (257, 131), (784, 33), (2, 257)];

impl Cases {
    pub(super) fn weighted(&mut self) -> Result<()> {
        for (r, rule) in Rounding::ALL.into_iter().enumerate() {
            for (i, &inputs) in WIDTHS.iter().enumerate() {
                let outputs = WIDTHS[(8 * i + 5 * r + 3) % WIDTHS.len()];
                self.dense((inputs, outputs), ROWS[(i + 3 * r) % ROWS.len()], Some(rule))?;
            }
            for (i, shape) in SHAPES.into_iter().enumerate() {
                self.dense(shape, ROWS[(i + 5 * r) % ROWS.len()], Some(rule))?;
            }
        }
        for (i, &inputs) in WIDTHS.iter().enumerate() {
            let outputs = WIDTHS[(5 * i + 1) % WIDTHS.len()];
            self.dense((inputs, outputs), ROWS[i % ROWS.len()], None)?;
            for input in [DenseInput::PerTensor, DenseInput::PerRow] {
                self.dynamic_dense((inputs, outputs), ROWS[(i + 1) % ROWS.len()], input)?;
            }
        }
        for aggregate in AGGREGATES {
            for (i, &inputs) in WIDTHS.iter().enumerate() {
                let outputs = WIDTHS[(13 * i + 7) % WIDTHS.len()];
                self.max_product(aggregate, (inputs, outputs), i)?;
            }
            for (i, shape) in SHAPES.into_iter().enumerate() {
                self.max_product(aggregate, shape, i)?;
            }
        }
        Ok(())
    }

    /// 8-bit rows to 8-bit ones by a rule, or to real ones.
    fn dense(
        &mut self,
        (inputs, outputs): (usize, usize),
        rows: usize,
        rule: Option<Rounding>,
    ) -> Result<()> {
        let rng = &mut self.rng;
        let params = rng.params();
        let output = rule.map(|rule| (rng.output(), rule));
        let to = output.map_or(params.scale(), |(output, _)| output.scale());
        let scale = to / (120 * inputs.isqrt()) as f32 / params.scale();
        let dense = weights(rng, inputs, outputs, scale)?
            .bias(bias(rng, outputs, rule.is_none()))
            .activation(clamp(rng))
            .output(output.map_or(DenseOutput::F32, |(of, rule)| DenseOutput::Int8(of, rule)));
        let to = rule.map_or("f32", Rounding::name);
        let name = format!("dense {inputs}x{outputs} {to}");
        let model = Model::builder(name, TensorType::int8(inputs, params)).layer(dense);
        self.add(model.build()?, rows, Worst::Any)
    }

    /// Real rows, quantized when they arrive.
    fn dynamic_dense(
        &mut self,
        (inputs, outputs): (usize, usize),
        rows: usize,
        input: DenseInput,
    ) -> Result<()> {
        let rng = &mut self.rng;
        let real = Bias::F32(rng.real_weights(outputs, 1.0).into());
        let dense = weights(rng, inputs, outputs, 0.01)?
            .bias(if rng.one_in(3) { Bias::None } else { real })
            .activation(clamp(rng))
            .input(input);
        let name = format!("dense {inputs}x{outputs} {input:?}");
        let model = Model::builder(name, TensorType::f32(inputs)).layer(dense);
        self.add(model.build()?, rows, finite(input))
    }

    /// Number `i` of an aggregate, of any options.
    fn max_product(
        &mut self,
        aggregate: Aggregate,
        (inputs, outputs): (usize, usize),
        i: usize,
    ) -> Result<()> {
        let rng = &mut self.rng;
        let mean = aggregate == Aggregate::Mean;
        let pruned = i % 3 == 2 && !mean;
        let splits = match i % 4 {
            1 if !mean => inputs,
            2 if !mean => inputs.div_ceil(1 + rng.below(inputs)),
            _ => 1,
        };
        let (input, of) = match i % 5 {
            0 => (DenseInput::PerTensor, TensorType::f32(inputs)),
            1 => (DenseInput::PerRow, TensorType::f32(inputs)),
            _ => (DenseInput::Int8, TensorType::int8(inputs, rng.params())),
        };
        let from = match of.element {
            Element::Int8(params) => params,
            _ => QuantParams::new(Int8::I8, 0.03, 0)?,
        };
        let int8 = input == DenseInput::Int8 && i.is_multiple_of(2);
        let output = rng.output();
        let to = if int8 { output.scale() } else { from.scale() };
        let largest = if mean { 120.0 / inputs.isqrt() as f32 } else { 400.0 * splits as f32 };
        let scale = to / largest / from.scale();
        let scales = [1, outputs][i % 2];
        let scales = rng.vec(scales, |rng| scale * rng.float(0.5, 2.0));
        let aggregate = match aggregate {
            // From one with which all terms count to one with which the winner does.
            Aggregate::SoftAbsMax { .. } => {
                let unit = from.scale() * scales[0];
                let power = [1.0 / 32.0, 1.0, 4.0, 512.0][i % 4];
                Aggregate::SoftAbsMax { alpha: power / (1024.0 * unit) }
            }
            other => other,
        };
        let mut weights = weights_that_tie(rng, inputs * outputs);
        let layer = if pruned {
            for row in weights.chunks_exact_mut(inputs) {
                let percent = rng.pick(&[0, 5, 40, 100]);
                row.iter_mut().for_each(|w| *w *= i8::from(rng.below(100) < percent));
            }
            MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, outputs, inputs)
        } else {
            let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
            MaxProduct::new(aggregate, weights, layout, outputs, inputs)
        };
        let bias = match input {
            DenseInput::Int8 => bias(rng, outputs, !int8),
            _ => Bias::F32(rng.real_weights(outputs, 1.0).into()),
        };
        let layer = layer?
            .splits(splits)
            .weight_scales(scales)
            .bias(bias)
            .activation(clamp(rng))
            .input(input)
            .output(if int8 {
                DenseOutput::Int8(output, Rounding::Nearest)
            } else {
                DenseOutput::F32
            });
        let kind = if pruned { "pruned " } else { "" };
        let name = format!("{kind}{} {inputs}x{outputs} in {splits}, {input:?}", aggregate.name());
        let model = Model::builder(name, of).layer(Layer::from(layer)).build()?;
        self.add(model, ROWS[i % ROWS.len()], finite(input))
    }
}

/// Every aggregate. An alpha is chosen for each layer.
pub(super) const AGGREGATES: [Aggregate; 6] = [
    Aggregate::Max,
    Aggregate::Min,
    Aggregate::AbsMax,
    Aggregate::SoftAbsMax { alpha: 1.0 },
    Aggregate::Mean,
    Aggregate::Mam,
];

/// What rows may hold whose range sets a scale, of a row or of a batch.
fn finite(input: DenseInput) -> Worst {
    match input {
        DenseInput::PerTensor => Worst::FiniteBatch,
        _ => Worst::Finite,
    }
}

/// A dense layer with weights of about this scale, and with zero points or without.
fn weights(rng: &mut Rng, inputs: usize, outputs: usize, scale: f32) -> Result<Dense<'static>> {
    let layout = rng.pick(&[WeightLayout::OutIn, WeightLayout::InOut]);
    let dense = Dense::new(rng.weights(inputs * outputs), layout, outputs, inputs)?;
    let scales = rng.pick(&[1, outputs]);
    let scales = rng.vec(scales, |rng| scale * rng.float(0.5, 2.0));
    let zero_points = rng.pick(&[0, 0, 1, outputs]);
    // Small but for a few: with large ones most outputs would be the smallest or the largest.
    let zero_point = |rng: &mut Rng| if rng.one_in(6) { rng.i8() } else { rng.i8() >> 5 };
    Ok(dense.weight_scales(scales).weight_zero_points(rng.vec(zero_points, zero_point)))
}

/// Weights whose products do or do not tie.
fn weights_that_tie(rng: &mut Rng, len: usize) -> Vec<i8> {
    let magnitude = rng.i8().saturating_abs();
    match rng.below(6) {
        0 => rng.vec(len, |rng| rng.pick(&[-1, 0, 1])),
        1 => rng.vec(len, |rng| rng.pick(&[-128, 127])),
        2 => rng.vec(len, |rng| rng.pick(&[magnitude, -magnitude])),
        3 => rng.vec(len, |rng| if rng.one_in(40) { rng.i8() } else { rng.i8() >> 5 }),
        _ => rng.weights(len),
    }
}

fn bias(rng: &mut Rng, outputs: usize, real: bool) -> Bias<'static> {
    match rng.below(3) {
        0 => Bias::None,
        1 if real => Bias::F32(rng.real_weights(outputs, 1.0).into()),
        _ => Bias::I32(rng.vec(outputs, |rng| rng.next() as i32 >> 17).into()),
    }
}

/// Any of the functions that are part of other layers.
pub(super) fn clamp(rng: &mut Rng) -> Activation {
    match rng.below(6) {
        0 => Activation::Relu,
        1 => Activation::Relu6,
        2 => Activation::Clip { min: rng.float(-2.0, 0.5), max: rng.float(0.5, 2.0) },
        _ => Activation::Identity,
    }
}
