//! Calibration: what values each tensor of a network takes on sample rows.

use signfold::{Element, Error, ErrorKind, Model, Result, Values};

use super::histogram::Histogram;
use super::method::CalibrationMethod;
use super::net::Net;
use super::range::{ActivationRange, Range};
use super::{Progress, QuantizeOptions};
use crate::trace::{Rows, Trace};

/// What a network was seen to do with the calibration rows; for each tensor, `None` where it holds
/// no real numbers.
pub(crate) struct Seen {
    pub tensors: Vec<Option<Observed>>,
}

/// The values of a tensor.
#[derive(Clone)]
pub(crate) struct Observed {
    /// From the smallest to the largest.
    pub range: Range,
    /// The range that 8-bit values are to have.
    pub chosen: Range,
    /// The mean of each column.
    pub means: Vec<f64>,
}

/// Runs a network, taken apart and whole, on rows that have been checked: once for the ranges, and
/// once more where the method looks at how values are spread in them.
pub(crate) fn calibrate(
    net: &Net,
    model: &Model<'static>,
    inputs: &[Values<'_>],
    rows: usize,
    options: &QuantizeOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Seen> {
    let real = |id| model.tensor_type(id).element == Element::F32;
    let ids: Vec<_> = model.tensors().filter(|&id| real(id)).collect();
    let mut trace = Trace::new(model.clone(), &ids)?;
    let spread = options.method != CalibrationMethod::MinMax;
    let total = rows * (1 + usize::from(spread));
    let part = trace.part(rows);

    let new =
        |width| Observed { range: Range::EMPTY, chosen: Range::EMPTY, means: vec![0.0; width] };
    let mut seen: Vec<_> = ids.iter().map(|&id| new(model.tensor_type(id).width)).collect();
    for part in Rows::parts(model, rows, part) {
        let values = trace.run(inputs, &part)?;
        for ((values, seen), id) in values.iter().zip(&mut seen).zip(&ids) {
            let Values::F32(values) = values else { continue };
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                let row = part.part.start + at / seen.means.len();
                let message = format!("calibration row {row} leads to the value {}", values[at]);
                let place = net.maker(id.index()).map(|node| net.place(node));
                return Err(Error::new(ErrorKind::Input, message).at(place.unwrap_or_default()));
            }
            seen.range.include(values);
            for row in values.chunks_exact(seen.means.len()) {
                seen.means.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        }
        progress(Progress { stage: "calibrating", done: part.part.end, total });
    }
    for seen in &mut seen {
        seen.means.iter_mut().for_each(|sum| *sum /= rows as f64);
        seen.chosen = seen.range;
    }
    if spread {
        let symmetric = options.activations == ActivationRange::Symmetric;
        let of = |seen: &Observed| match symmetric {
            true => Histogram::new(seen.range.magnitude()),
            false => Histogram::new(seen.range),
        };
        let mut histograms: Vec<_> = seen.iter().map(of).collect();
        for part in Rows::parts(model, rows, part) {
            let values = trace.run(inputs, &part)?;
            for (values, histogram) in values.iter().zip(&mut histograms) {
                let Values::F32(values) = values else { continue };
                match symmetric {
                    true => histogram.add(values.iter().map(|x| x.abs())),
                    false => histogram.add(values.iter().copied()),
                }
            }
            progress(Progress { stage: "calibrating", done: rows + part.part.end, total });
        }
        for (seen, histogram) in seen.iter_mut().zip(&histograms) {
            seen.chosen = options.method.choose(seen.range, histogram, options.activations);
        }
    }
    let mut tensors = vec![None; model.tensors().len()];
    ids.iter().zip(seen).for_each(|(id, seen)| tensors[id.index()] = Some(seen));
    Ok(Seen { tensors })
}
