//! Networks of several layers, whose tensors take every way through an engine; and some that are
//! wide enough for threads to share them.

use alloc::format;
use alloc::vec;

use super::Cases;
use super::random::{Rng, Worst};
use super::weighted::clamp;
use crate::error::Result;
use crate::layers::{
    Activation, Aggregate, Argmax, Bias, Combine, CombineOp, Concat, Dense, DenseInput,
    DenseOutput, Dequantize, FloatDense, MaxProduct, Pointwise, Quantize, Softmax,
};
use crate::model::Model;
use crate::pack::WeightLayout;
use crate::quant::{QuantParams, Rounding};
use crate::tensor::TensorType;

impl Cases {
    pub(super) fn networks(&mut self) -> Result<()> {
        for widths in [[64, 33, 17, 10], [1, 5, 1, 3], [129, 100, 2, 31]] {
            self.row_of_layers(&widths)?;
            self.dynamic(&widths)?;
            self.branches(&widths)?;
            self.mixed(&widths)?;
        }
        self.inputs_as_outputs()?;
        // More work than for one thread: shared by rows, then by outputs.
        self.wide((600, 700), 64)?;
        self.wide((3001, 2801), 3)
    }

    /// Real rows, quantized; dense layers; a class.
    fn row_of_layers(&mut self, widths: &[usize]) -> Result<()> {
        let rng = &mut self.rng;
        let mut params = rng.params();
        let mut model = Model::builder(format!("mlp {widths:?}"), TensorType::f32(widths[0]))
            .layer(Quantize { output: params });
        for pair in widths.windows(2) {
            let output = rng.output();
            model = model.layer(dense(rng, (pair[0], pair[1]), params, output, Rounding::Nearest)?);
            params = output;
        }
        self.add(model.layer(Argmax).build()?, 29, Worst::Infinite)
    }

    /// Real rows between layers, each quantized when it arrives: largest products, then sums.
    fn dynamic(&mut self, widths: &[usize]) -> Result<()> {
        let rng = &mut self.rng;
        let mut model = Model::builder(format!("dynamic {widths:?}"), TensorType::f32(widths[0]));
        for (i, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let weights = rng.weights(inputs * outputs);
            let scales = vec![0.0005];
            if i == 1 {
                let aggregate = Aggregate::Mam;
                let layer =
                    MaxProduct::new(aggregate, weights, WeightLayout::OutIn, outputs, inputs)?;
                model = model.layer(layer.weight_scales(scales).input(DenseInput::PerRow));
            } else {
                let layer = Dense::new(weights, WeightLayout::InOut, outputs, inputs)?;
                let bias = Bias::F32(rng.real_weights(outputs, 1.0).into());
                let layer = layer.weight_scales(scales).input(DenseInput::PerRow).bias(bias);
                model = model.layer(layer.activation(Activation::Clip { min: -6.0, max: 6.0 }));
            }
        }
        self.add(model.layer(Softmax).build()?, 29, Worst::Finite)
    }

    /// 8-bit branches that meet again, tensors that are read and answered, a layer for nothing.
    fn branches(&mut self, widths: &[usize]) -> Result<()> {
        let rng = &mut self.rng;
        let (width, inner) = (widths[0], widths[1]);
        let mut graph = Model::graph(format!("branches {widths:?}"));
        let params = rng.params();
        let x = graph.input("x", TensorType::int8(width, params))?;
        for rule in [Rounding::Nearest, Rounding::OnnxReference, Rounding::TfLite] {
            let (p, q, sum) = (rng.output(), rng.output(), rng.output());
            let there = dense(rng, (width, inner), params, p, rule)?;
            let back = dense(rng, (inner, width), p, q, rule)?;
            let y = graph.layer("", there, &[x])?;
            let y = graph.layer("", back, &[y])?;
            let activation = clamp(rng);
            let add = Combine { op: CombineOp::Add, activation, output: Some((sum, rule)) };
            let sum = graph.layer("", add, &[y, x])?;
            let _ = graph.layer("", Argmax, &[sum])?;
            let real = graph.layer("", Dequantize, &[sum])?;
            graph.output(y);
            graph.output(sum);
            graph.output(real);
        }
        self.add(graph.build()?, 13, Worst::Any)
    }

    /// Real and 8-bit inputs, which meet in a concatenation, and outputs of all types.
    fn mixed(&mut self, widths: &[usize]) -> Result<()> {
        let rng = &mut self.rng;
        let mut graph = Model::graph(format!("mixed {widths:?}"));
        let (params, joined, output) = (rng.params(), rng.output(), rng.output());
        let x = graph.input("x", TensorType::f32(widths[0]))?;
        let y = graph.input("y", TensorType::int8(widths[1], params))?;
        let inputs = widths[0] + widths[1];
        let quantized = graph.layer("", Quantize { output: params }, &[x])?;
        let both = Concat { inputs: 2, output: Some(joined) };
        let both = graph.layer("both", both, &[quantized, y])?;
        let rule = Rounding::TfLiteSingleRounding;
        let bytes = dense(rng, (inputs, widths[2]), joined, output, rule)?;
        let bytes = graph.layer("bytes", bytes, &[both])?;
        let real = graph.layer("", Dequantize, &[bytes])?;
        let weights = rng.real_weights(widths[2] * widths[3], 1.0);
        let float = FloatDense::new(weights, WeightLayout::OutIn, widths[3], widths[2])?;
        let float = graph.layer("", float, &[real])?;
        let tanh = Pointwise { activation: Activation::Tanh, output: None };
        let tanh = graph.layer("tanh", tanh, &[float])?;
        let class = graph.layer("class", Argmax, &[tanh])?;
        graph.output(class);
        graph.output(tanh);
        graph.output(bytes);
        self.add(graph.build()?, 11, Worst::Infinite)
    }

    /// Inputs that are answered as they are, beside what a layer makes of them.
    fn inputs_as_outputs(&mut self) -> Result<()> {
        let mut graph = Model::graph("inputs as outputs");
        let x = graph.input("x", TensorType::f32(5))?;
        let y = graph.input("y", TensorType::int8(3, self.rng.params()))?;
        let softmax = graph.layer("softmax", Softmax, &[x])?;
        graph.output(y);
        graph.output(softmax);
        graph.output(x);
        self.add(graph.build()?, 7, Worst::Any)
    }

    /// One layer with much to do.
    fn wide(&mut self, (inputs, outputs): (usize, usize), rows: usize) -> Result<()> {
        let rng = &mut self.rng;
        let (params, output) = (rng.params(), rng.output());
        let layer = dense(rng, (inputs, outputs), params, output, Rounding::Nearest)?;
        let name = format!("wide {inputs}x{outputs}");
        let model = Model::builder(name, TensorType::int8(inputs, params)).layer(layer);
        self.add(model.build()?, rows, Worst::Any)
    }
}

/// A dense layer between 8-bit rows, most of whose outputs lie inside their range.
fn dense(
    rng: &mut Rng,
    (inputs, outputs): (usize, usize),
    input: QuantParams,
    output: QuantParams,
    rule: Rounding,
) -> Result<Dense<'static>> {
    let weights = rng.weights(inputs * outputs);
    let scale = output.scale() / (120 * inputs.isqrt()) as f32 / input.scale();
    let bias = Bias::I32(rng.vec(outputs, |rng| rng.next() as i32 >> 17).into());
    let dense = Dense::new(weights, WeightLayout::OutIn, outputs, inputs)?;
    Ok(dense.weight_scales(vec![scale]).bias(bias).output(DenseOutput::Int8(output, rule)))
}
