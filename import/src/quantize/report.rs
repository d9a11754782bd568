//! What the quantizer saw, and how close its model is to the float network.

use std::fmt;

use signfold::layers::Activation;
use signfold::quant::QuantParams;

use super::range::Range;
use crate::Agreement;

/// What the quantizer saw. Displays as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The inputs.
    pub inputs: Vec<TensorReport>,
    /// The layers of the quantized model, but for those that only quantize.
    pub layers: Vec<LayerReport>,
    /// The outputs.
    pub outputs: Vec<OutputReport>,
    /// What was done to the float network before.
    pub notes: Vec<String>,
}

impl Report {
    /// How close the first output's answers are; `None` without rows to compare.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.outputs.first().and_then(|output| output.agreement.as_ref())
    }
}

/// A layer of the quantized model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerReport {
    /// The layer's kind, as the model names it.
    pub kind: &'static str,
    /// The function of each element that it computes, or that is part of it.
    pub activation: Option<Activation>,
    /// The smallest and the largest scale of weights that became 8 bits.
    pub weight_scales: Option<(f32, f32)>,
    /// The tensor that it gives.
    pub output: TensorReport,
}

/// A tensor of the float network, and what stands for it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TensorReport {
    /// The name, which may be empty.
    pub name: String,
    /// The smallest and the largest value on the calibration rows; `None` without any.
    pub range: Option<Range>,
    /// How it was quantized; `None` where it stays real.
    pub params: Option<QuantParams>,
    /// The share of values, 0 to 1, that lie beyond what 8 bits reach, and so are clipped; `None` for
    /// a real tensor, or without rows.
    pub clipped: Option<f64>,
    /// How close the values are; `None` without rows.
    pub agreement: Option<Agreement>,
}

/// An output of the model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutputReport {
    /// The name, which may be empty.
    pub name: String,
    /// How close the answers are to those of the network as it was given; of an argmax, what it looks
    /// at. `None` without rows.
    pub agreement: Option<Agreement>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let mut row = |cells: [&str; 7]| {
            let [tensor, range, scale, zero, clipped, sqnr, weights] = cells;
            let line = format!(
                "{tensor:<34} {range:<22} {scale:<10} {zero:>5} {clipped:>9} {sqnr:>8}  {weights}"
            );
            writeln!(f, "{}", line.trim_end())
        };
        row(["tensor", "range", "scale", "zero", "clipped", "SQNR dB", "weight scales"])?;
        let mut tensor = |what: String, of: &TensorReport, weights: &str| {
            let text = |value: Option<String>| value.unwrap_or_default();
            let what = if of.name.is_empty() { what } else { format!("{}: {what}", of.name) };
            row([
                &what,
                &text(of.range.map(|range| range.to_string())),
                &text(of.params.map(|params| format!("{:.4e}", params.scale()))),
                &text(of.params.map(|params| params.zero_point().to_string())),
                &text(of.clipped.map(|share| format!("{:.3} %", 100.0 * share))),
                &text(of.agreement.map(|agreement| format!("{:.1}", agreement.sqnr_db))),
                weights,
            ])
        };
        for input in &self.inputs {
            tensor("input".to_owned(), input, "")?;
        }
        for layer in &self.layers {
            let weights = layer
                .weight_scales
                .map_or(String::new(), |(min, max)| format!("{min:.4e}..{max:.4e}"));
            let what = match layer.activation {
                None | Some(Activation::Identity) => layer.kind.to_owned(),
                Some(activation) if layer.kind == "pointwise" => activation.to_string(),
                Some(activation) => format!("{}, {activation}", layer.kind),
            };
            tensor(what, &layer.output, &weights)?;
        }
        for output in &self.outputs {
            if let Some(agreement) = &output.agreement {
                let of = match (&output.name[..], self.outputs.len()) {
                    ("", _) | (_, 1) => String::new(),
                    (name, _) => format!(" of {name:?}"),
                };
                writeln!(f, "agreement{of} with the float network on {agreement}")?;
            }
        }
        Ok(())
    }
}
