//! Bias correction: what quantization shifts, on average, is taken off the bias.
//!
//! Errors of weights and inputs do not average out in a layer whose inputs are not centred, as after
//! a ReLU: an output is then off by much the same for all rows. Layer by layer, with what is already
//! quantized before it, over the calibration rows:
//!
//! ```text
//! b'[n] = b[n] - (mean of the 8-bit layer's sums[n] - mean of the float layer's sums[n])
//! ```
//! Dense layers only: an abs_max that finds another winner may change its sign, and the mean of such
//! errors is that of a few rows, which all others would be shifted by.
//!
//! The correction is that of Nagel et al. (see equalization) and of R. Banner, Y. Nahshan, D. Soudry:
//! "Post training 4-bit quantization of convolutional networks for rapid-deployment", NeurIPS 2019,
//! with means that are measured rather than derived.

use signfold::layers::{Activation, Dense, DenseOutput, FloatDense};
use signfold::{GraphBuilder, Result, TensorId, Values};

use crate::trace::{Rows, Trace};

/// A layer at the end of a network that is not finished.
pub(crate) struct Probe<'p> {
    pub graph: &'p GraphBuilder<'static>,
    /// What the layer takes.
    pub input: TensorId,
    pub layer: &'p Dense<'static>,
}

impl Probe<'_> {
    /// The mean of each of the layer's sums, as real numbers and before they are clamped.
    pub fn means(&self, inputs: &[Values<'_>], rows: usize) -> Result<Vec<f64>> {
        let (identity, real) = (Activation::Identity, DenseOutput::F32);
        let layer = self.layer.clone().activation(identity).output(real);
        let mut graph = self.graph.clone();
        let sums = graph.layer("", layer, &[self.input])?;
        let mut means = vec![0.0; graph.tensor(sums).width];
        graph.output(sums);
        let model = graph.build()?;
        let mut trace = Trace::new(model.clone(), &[sums])?;
        let part = trace.part(rows);
        for part in Rows::parts(&model, rows, part) {
            let [Values::F32(values)] = &trace.run(inputs, &part)?[..] else { continue };
            for row in values.chunks_exact(means.len()) {
                means.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        }
        means.iter_mut().for_each(|sum| *sum /= rows as f64);
        Ok(means)
    }
}

/// The layer with a bias that makes up for what was found.
pub(crate) fn corrected(
    layer: &FloatDense<'static>,
    expected: &[f64],
    found: &[f64],
) -> FloatDense<'static> {
    let before = |n| layer.bias_values().map_or(0.0, |bias| f64::from(bias[n]));
    let shift = expected.iter().zip(found).map(|(expected, found)| expected - found);
    let bias: Vec<_> = shift.enumerate().map(|(n, shift)| (before(n) + shift) as f32).collect();
    layer.clone().bias(bias)
}
