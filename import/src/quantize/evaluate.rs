//! How close a quantized model is to the network it was made of: each tensor, and the answers.

use signfold::quant::QuantParams;
use signfold::{Element, Model, Result, TensorId, TensorType, Values};

use super::Progress;
use super::calibrate::Seen;
use super::emit::Emitted;
use super::net::Net;
use super::report::{LayerReport, OutputReport, Report, TensorReport};
use crate::agreement::Meter;
use crate::compare::run::reals;
use crate::trace::{Rows, Trace};

/// The networks to compare.
pub(crate) struct Comparison<'c> {
    /// As it was given.
    pub original: &'c Net,
    /// As it was quantized, taken apart and whole.
    pub net: &'c Net,
    pub float: &'c Model<'static>,
    pub emitted: &'c Emitted,
    pub seen: Option<&'c Seen>,
    pub notes: Vec<String>,
}

impl Comparison<'_> {
    /// The report, with what is found on these rows.
    pub fn report(
        self,
        original: &Model<'_>,
        inputs: &[Values<'_>],
        rows: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report> {
        let Comparison { net, emitted, .. } = &self;
        let measured = match rows {
            0 => None,
            _ => Some(self.measure(original, inputs, rows, progress)?),
        };
        let tensor = |tensor: usize| {
            let measured = measured.as_ref().and_then(|(tensors, _)| tensors[tensor].as_ref());
            let seen = self.seen.and_then(|seen| seen.tensors[tensor].as_ref());
            TensorReport {
                name: net.tensor_name(tensor).to_owned(),
                range: seen.map(|seen| seen.range),
                params: emitted.params[tensor],
                clipped: measured.and_then(|measured| measured.meter.clipped()),
                agreement: measured.and_then(|measured| measured.meter.agreement()),
            }
        };
        let inputs = (0..net.inputs.len()).map(tensor).collect();
        let layer = |made: &super::emit::Made| LayerReport {
            kind: made.kind,
            activation: made.activation,
            weight_scales: made.weight_scales,
            output: tensor(made.tensor),
        };
        let layers = emitted.made.iter().map(layer).collect();
        let output = |(i, &tensor): (usize, &usize)| OutputReport {
            name: net.tensor_name(tensor).to_owned(),
            agreement: measured.as_ref().and_then(|(_, outputs)| outputs[i].agreement()),
        };
        let outputs = net.outputs.iter().enumerate().map(output).collect();
        Ok(Report { inputs, layers, outputs, notes: self.notes })
    }

    /// Compares every tensor that something stands for, and the answers.
    fn measure(
        &self,
        original: &Model<'_>,
        inputs: &[Values<'_>],
        rows: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Vec<Option<Measured>>, Vec<Meter>)> {
        let Comparison { net, float, emitted, .. } = *self;
        let quantized = &emitted.model;
        let (mut of_float, mut of_quantized, mut of_original) =
            (List::default(), List::default(), List::default());

        // For each tensor, where its values lie in the two traces.
        let mut tensors: Vec<Option<Measured>> = Vec::new();
        for id in float.tensors() {
            let tensor = id.index();
            let of = float.tensor_type(id);
            // The 8-bit form of a tensor shows what is lost; an input without one loses nothing.
            let real = net.maker(tensor).and_then(|_| emitted.tensors[tensor]);
            let stands = emitted.quantized[tensor].or(real).filter(|_| of.element == Element::F32);
            tensors.push(stands.map(|stands| Measured {
                expected: of_float.place(id),
                found: of_quantized.place(stands),
                meter: Meter::new(of.width, params_of(&quantized.tensor_type(stands))),
            }));
        }
        let id = |model: &Model<'_>, tensor: usize| model.tensors().nth(tensor);
        let mut outputs = Vec::new();
        for (&expected, &found) in self.original.outputs.iter().zip(&net.outputs) {
            let (expected, found) = (self.original.scores(expected), net.scores(found));
            if let (Some(expected), Some(found)) = (id(original, expected), emitted.tensors[found])
            {
                let meter = Meter::new(original.tensor_type(expected).width, None);
                outputs.push((of_original.place(expected), of_quantized.place(found), meter));
            }
        }

        let types = |model: &Model<'_>, list: &List| -> Vec<TensorType> {
            list.0.iter().map(|&id| model.tensor_type(id)).collect()
        };
        let (original_types, quantized_types) =
            (types(original, &of_original), types(quantized, &of_quantized));
        let mut traces = [
            Trace::new(original.clone(), &of_original.0)?,
            Trace::new(quantized.clone(), &of_quantized.0)?,
        ];
        let mut float_trace = match of_float.0.is_empty() {
            true => None,
            false => Some(Trace::new(float.clone(), &of_float.0)?),
        };
        let [original_trace, quantized_trace] = &mut traces;
        let part = quantized_trace.part(rows).min(original_trace.part(rows));
        let part = match quantized_trace.part(usize::MAX) {
            // All rows have one scale, so they stay together.
            usize::MAX => rows,
            _ => part.min(float_trace.as_ref().map_or(part, |trace| trace.part(rows))),
        };
        for part in Rows::parts(original, rows, part) {
            let expected = original_trace.run(inputs, &part)?;
            let found = quantized_trace.run(inputs, &part)?;
            for (e, f, meter) in &mut outputs {
                let expected = reals(&expected[*e], &original_types[*e])?;
                meter.add(&expected, &reals(&found[*f], &quantized_types[*f])?)?;
            }
            if let Some(trace) = &mut float_trace {
                let expected = trace.run(inputs, &part)?;
                for measured in tensors.iter_mut().flatten() {
                    let Values::F32(expected) = &expected[measured.expected] else { continue };
                    let at = measured.found;
                    measured.meter.add(expected, &reals(&found[at], &quantized_types[at])?)?;
                }
            }
            progress(Progress { stage: "comparing", done: part.part.end, total: rows });
        }
        Ok((tensors, outputs.into_iter().map(|(.., meter)| meter).collect()))
    }
}

fn params_of(of: &TensorType) -> Option<QuantParams> {
    match of.element {
        Element::Int8(params) => Some(params),
        _ => None,
    }
}

/// Tensors that a trace answers, each once.
#[derive(Default)]
struct List(Vec<TensorId>);

impl List {
    /// The place of a tensor in the list.
    fn place(&mut self, id: TensorId) -> usize {
        let at = self.0.iter().position(|&other| other == id);
        at.unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        })
    }
}

/// A tensor of the float network beside what stands for it.
struct Measured {
    /// Where their values lie in the traces.
    expected: usize,
    found: usize,
    meter: Meter,
}
