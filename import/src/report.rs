//! What the quantizer saw, and how close its model is to the float network.

use std::fmt;

use signfold::layers::Activation;
use signfold::quant::QuantParams;
use signfold::{Error, ErrorKind, Result};

use crate::float::argmax;
use crate::range::Range;

/// What the quantizer saw. Displays as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The input rows; `None` without calibration rows.
    pub input: Option<Observed>,
    /// The network's layers.
    pub layers: Vec<LayerReport>,
    /// How close the answers for the calibration rows are; `None` without such rows.
    pub agreement: Option<Agreement>,
}

/// A layer of the network.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerReport {
    /// The layer's kind: dense, softmax, argmax, or the aggregate of a max-product layer.
    pub kind: &'static str,
    /// The activation of a layer with weights.
    pub activation: Option<Activation>,
    /// The smallest and the largest scale of the weights.
    pub weight_scales: Option<(f32, f32)>,
    /// The tensor before an activation that has a table of its own.
    pub sums: Option<Observed>,
    /// The tensor that the layer gives.
    pub output: Option<Observed>,
}

/// A tensor, as the calibration rows show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Its smallest and its largest value, in the float network.
    pub range: Range,
    /// How it was quantized; `None` where it stays real.
    pub params: Option<QuantParams>,
}

/// How close some answers are to the expected ones.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// Rows compared.
    pub rows: usize,
    /// The largest distance of an element.
    pub max_abs_error: f64,
    /// The mean distance of an element.
    pub mean_abs_error: f64,
    /// Signal to quantization noise, `10 log10(sum expected^2 / sum error^2)`, in dB; infinite
    /// without any error.
    pub sqnr_db: f64,
    /// The share of rows, 0 to 1, whose largest element is at the same place; `None` for rows of
    /// one element.
    pub argmax: Option<f64>,
}

impl Agreement {
    /// Compares rows of `width` elements with those expected.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the lengths differ, or there is no whole row.
    pub fn between(expected: &[f32], found: &[f32], width: usize) -> Result<Self> {
        let len = expected.len();
        if len != found.len() || len == 0 || width == 0 || !len.is_multiple_of(width) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("cannot compare {} values with {len} in rows of {width}", found.len()),
            ));
        }
        let pairs = expected.iter().zip(found).map(|(&e, &f)| (f64::from(e), f64::from(f)));
        let (mut max, mut sum, mut noise, mut signal) = (0.0_f64, 0.0, 0.0, 0.0);
        for (expected, found) in pairs {
            let error = (expected - found).abs();
            max = max.max(error);
            sum += error;
            noise += error * error;
            signal += expected * expected;
        }
        let rows = expected.chunks_exact(width).zip(found.chunks_exact(width));
        let same = rows.filter(|(expected, found)| argmax(expected) == argmax(found)).count();
        let rows = len / width;
        Ok(Self {
            rows,
            max_abs_error: max,
            mean_abs_error: sum / len as f64,
            sqnr_db: if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() },
            argmax: (width > 1).then(|| same as f64 / rows as f64),
        })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, max_abs_error, mean_abs_error, sqnr_db, .. } = self;
        write!(f, "{rows} rows: max error {max_abs_error:.5}, mean error {mean_abs_error:.5}")?;
        write!(f, ", SQNR {sqnr_db:.1} dB")?;
        match self.argmax {
            Some(share) => write!(f, ", same argmax {:.2} %", 100.0 * share),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |cells: [&str; 5]| {
            let [tensor, range, scale, zero, weights] = cells;
            let line = format!("{tensor:<26} {range:<22} {scale:<10} {zero:>5}  {weights}");
            writeln!(f, "{}", line.trim_end())
        };
        row(["tensor", "range", "scale", "zero", "weight scales"])?;
        let mut tensor = |name: &str, observed: &Option<Observed>, weights: &str| {
            let range = observed.map_or(String::new(), |observed| observed.range.to_string());
            let params = observed.and_then(|observed| observed.params);
            let scale = params.map_or(String::new(), |params| format!("{:.4e}", params.scale()));
            let zero = params.map_or(String::new(), |params| params.zero_point().to_string());
            row([name, &range, &scale, &zero, weights])
        };
        tensor("input", &self.input, "")?;
        for (i, layer) in self.layers.iter().enumerate() {
            let name = format!("{i} {}", layer.kind);
            let weights = layer
                .weight_scales
                .map_or(String::new(), |(min, max)| format!("{min:.4e}..{max:.4e}"));
            match (layer.activation, layer.sums) {
                (Some(activation), Some(_)) => {
                    tensor(&name, &layer.sums, &weights)?;
                    tensor(&format!("{i} {activation}"), &layer.output, "")?;
                }
                (Some(activation), None) if activation != Activation::Identity => {
                    tensor(&format!("{name}, {activation}"), &layer.output, &weights)?;
                }
                _ => tensor(&name, &layer.output, &weights)?,
            }
        }
        match &self.agreement {
            Some(agreement) => writeln!(f, "agreement with the float network on {agreement}"),
            None => Ok(()),
        }
    }
}
