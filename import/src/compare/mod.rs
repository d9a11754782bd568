//! Two forms of a network beside each other: the same rows through both, tensor by tensor.
//!
//! ```text
//! rows --> A, all its tensors --\  tensors that belong together
//!      \-> B, all its tensors --/  --> SQNR, errors, clipping, agreement of classes
//! ```
//! A is what should be, most often the float network, B what became of it.

mod difference;
mod matching;
pub(crate) mod run;

use signfold::quant::QuantParams;
use signfold::{Element, Error, ErrorKind, Model, Result, TensorType};

pub use difference::Difference;
use difference::decibels;
use matching::{Pair, Plan};
use run::Side;

/// Points of an output that [`OutputComparison::points`] holds at most.
pub const MAX_POINTS: usize = 2000;

/// Bytes of values that are in memory together, where rows do not depend on each other.
const CHUNK_BYTES: usize = 32 << 20;

/// Bytes that all rows may take where they do depend on each other.
const MAX_BYTES: usize = 4 << 30;

/// How two models differ on some rows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// Rows that went through both.
    pub rows: usize,
    /// How tensors were found to belong together.
    pub matching: Matching,
    /// The tensors compared, in the order of the second model.
    pub tensors: Vec<TensorComparison>,
    /// The outputs, in their order.
    pub outputs: Vec<OutputComparison>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

/// How tensors of two models were found to belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// By their names.
    Names,
    /// By their places, for they share no name: what each layer with weights takes.
    Positions,
    /// Only outputs belong together.
    Outputs,
}

/// A tensor of both models.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TensorComparison {
    /// Its name in both, or its place.
    pub name: String,
    /// The kind of layer that gives it in the second model; `input` for an input.
    pub kind: &'static str,
    /// Elements in a row.
    pub width: usize,
    /// How it is quantized in the second model; `None` if it is real there.
    pub params: Option<QuantParams>,
    /// How far the second model is off.
    pub difference: Difference,
    /// The lowest SQNR, in dB, of the tensors compared before it that it is computed from; infinite
    /// if there is none.
    pub sqnr_before_db: f64,
}

/// An output of both models.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutputComparison {
    /// Its name, or its place.
    pub name: String,
    /// The share of rows, 0 to 1, of the same class: a position that the model answers itself, or that
    /// of a row's largest element. `None` for rows of one real number, and where widths differ.
    pub same_class: Option<f64>,
    /// Some pairs of values, first model and second, evenly spread over rows and columns; empty where
    /// one answers positions or widths differ.
    pub points: Vec<(f32, f32)>,
}

impl Comparison {
    /// The tensor at which most is lost: whose noise grows most, as a share of its signal, over that of
    /// what it is computed from. `None` if nothing is lost anywhere.
    pub fn largest_loss(&self) -> Option<&TensorComparison> {
        let loss = |of: &TensorComparison| {
            of.difference.noise_share() - 10_f64.powf(of.sqnr_before_db / -10.0)
        };
        let losses = self.tensors.iter().map(|of| (loss(of), of)).filter(|(loss, _)| *loss > 0.0);
        // Of equals the first.
        losses.reduce(|most, next| if next.0 > most.0 { next } else { most }).map(|(_, of)| of)
    }
}

/// Runs rows through two models and compares what they compute: tensors of the same name, or of the
/// same place where there are no names in common, and the outputs by their position.
///
/// `inputs` holds, for each input of the models, its rows of real numbers, one after the other; where a
/// model takes 8-bit rows they are quantized first.
///
/// # Errors
/// [`ErrorKind::Input`] if the models do not take the same inputs, if these are not whole rows of
/// numbers, as many for each input and one at least, or if a model cannot run them, which is named; if
/// nothing of the models can be compared. [`ErrorKind::Limit`] if a model quantizes whole batches and
/// this one needs too much memory.
pub fn compare(a: &Model<'_>, b: &Model<'_>, inputs: &[&[f32]]) -> Result<Comparison> {
    let widths = input_widths(a, b)?;
    let rows = count_rows(inputs, &widths)?;
    let Plan { matching, tensors: pairs, outputs: output_pairs, mut notes } = Plan::of(a, b);
    let ids = |side: fn(&Pair) -> signfold::TensorId| {
        let mut ids: Vec<_> = pairs.iter().chain(&output_pairs).map(side).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let first = |e: Error| e.at("the first model");
    let second = |e: Error| e.at("the second model");
    let (a_ids, b_ids) = (ids(|pair| pair.a), ids(|pair| pair.b));
    let mut a_side = Side::new(a, &a_ids).map_err(first)?;
    let mut b_side = Side::new(b, &b_ids).map_err(second)?;

    let mut tensors = tensors(b, &pairs);
    let mut outputs = Vec::new();
    for pair in &output_pairs {
        outputs.push(OutputPair::new(pair, a, b, rows, &mut notes));
    }
    if tensors.is_empty() && outputs.iter().all(|of| !of.classes && of.step == 0) {
        let message = format!("nothing of the two models can be compared: {}", notes.join("; "));
        return Err(Error::new(ErrorKind::Input, message));
    }

    let row_bytes = a_side.row_bytes() + b_side.row_bytes();
    let chunk = match a_side.whole_batch() || b_side.whole_batch() {
        false => (CHUNK_BYTES / row_bytes).clamp(1, rows),
        true if rows.checked_mul(row_bytes).is_some_and(|bytes| bytes <= MAX_BYTES) => rows,
        true => {
            let message = format!("{rows} rows, quantized together, take too much memory");
            return Err(Error::new(ErrorKind::Limit, message));
        }
    };
    for start in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - start);
        let part: Vec<&[f32]> = inputs
            .iter()
            .zip(&widths)
            .map(|(rows, width)| &rows[start * width..(start + count) * width])
            .collect();
        let at = |e: Error| if start > 0 { e.at(format!("rows from {start} on")) } else { e };
        let ours = a_side.run(&part, count).map_err(|e| first(at(e)))?;
        let theirs = b_side.run(&part, count).map_err(|e| second(at(e)))?;
        for (pair, of) in pairs.iter().zip(&mut tensors) {
            of.difference.add(&ours[&pair.a], &theirs[&pair.b], of.params);
        }
        for (pair, of) in output_pairs.iter().zip(&mut outputs) {
            of.add(&ours[&pair.a], &theirs[&pair.b]);
        }
    }
    note_before(b, &pairs, &mut tensors);
    let outputs = outputs.into_iter().map(|of| of.finish(rows)).collect();
    Ok(Comparison { rows, matching, tensors, outputs, notes })
}

/// The widths of the inputs, if both models take the same ones.
fn input_widths(a: &Model<'_>, b: &Model<'_>) -> Result<Vec<usize>> {
    let widths = |model: &Model<'_>| -> Vec<usize> {
        model.inputs().map(|id| model.tensor_type(id).width).collect()
    };
    let (ours, theirs) = (widths(a), widths(b));
    match ours == theirs {
        true => Ok(ours),
        false => Err(Error::new(
            ErrorKind::Input,
            format!("one model takes rows of {ours:?}, the other of {theirs:?}"),
        )),
    }
}

fn count_rows(inputs: &[&[f32]], widths: &[usize]) -> Result<usize> {
    let error = |message: String| Err(Error::new(ErrorKind::Input, message));
    if inputs.len() != widths.len() {
        let (found, expected) = (inputs.len(), widths.len());
        return error(format!("rows for {found} inputs, but the models have {expected}"));
    }
    let rows = inputs[0].len() / widths[0];
    for (i, (values, &width)) in inputs.iter().zip(widths).enumerate() {
        if rows == 0 || !values.len().is_multiple_of(width) || values.len() / width != rows {
            let found = values.len();
            return error(format!(
                "input {i} has {found} values, not some whole rows of {width}, as many as the others"
            ));
        }
        if let Some(at) = values.iter().position(|x| x.is_nan()) {
            return error(format!("input {i}: row {}, column {} is NaN", at / width, at % width));
        }
    }
    Ok(rows)
}

/// The tensors to compare, nothing seen of them yet.
fn tensors(b: &Model<'_>, pairs: &[Pair]) -> Vec<TensorComparison> {
    let kinds: Vec<_> = b.nodes().map(|node| (node.output, node.layer.name())).collect();
    let of = |pair: &Pair| {
        let TensorType { width, element } = b.tensor_type(pair.b);
        let params = match element {
            Element::Int8(params) => Some(params),
            _ => None,
        };
        TensorComparison {
            name: pair.name.clone(),
            kind: kinds.iter().find(|(id, _)| *id == pair.b).map_or("input", |(_, kind)| kind),
            width,
            params,
            difference: Difference::new(params),
            sqnr_before_db: f64::INFINITY,
        }
    };
    pairs.iter().map(of).collect()
}

/// Finds the SQNR of what each tensor is computed from.
fn note_before(b: &Model<'_>, pairs: &[Pair], tensors: &mut [TensorComparison]) {
    // Of each tensor of the model the share of noise, or, if it was not compared, that before it.
    let mut shares = vec![0.0; b.tensors().len()];
    let compared = |id| pairs.iter().position(|pair| pair.b == id);
    for id in b.inputs() {
        if let Some(i) = compared(id) {
            shares[id.index()] = tensors[i].difference.noise_share();
        }
    }
    for node in b.nodes() {
        let before = node.inputs.iter().map(|id| shares[id.index()]).fold(0.0, f64::max);
        shares[node.output.index()] = match compared(node.output) {
            Some(i) => {
                tensors[i].sqnr_before_db = decibels(before);
                tensors[i].difference.noise_share()
            }
            None => before,
        };
    }
}

/// An output while rows are compared.
struct OutputPair {
    name: String,
    widths: [usize; 2],
    /// Whether rows have classes, of these elements.
    classes: bool,
    elements: [Element; 2],
    same: usize,
    /// Every how manieth value becomes a point; 0 for none.
    step: usize,
    seen: usize,
    points: Vec<(f32, f32)>,
}

impl OutputPair {
    fn new(
        pair: &Pair,
        a: &Model<'_>,
        b: &Model<'_>,
        rows: usize,
        notes: &mut Vec<String>,
    ) -> Self {
        let (a, b) = (a.tensor_type(pair.a), b.tensor_type(pair.b));
        let answers = [a, b].map(|of| of.element == Element::Index);
        let comparable = match answers {
            [false, false] => a.width == b.width,
            [true, true] => true,
            // The class that one answers is found in the other's scores.
            _ => a.width.max(b.width) > 1,
        };
        if !comparable {
            let (name, ours, theirs) = (&pair.name, a.width, b.width);
            notes.push(format!("output {name:?} is not compared: rows of {ours} and of {theirs}"));
        }
        let reals = comparable && answers == [false; 2];
        Self {
            name: pair.name.clone(),
            widths: [a.width, b.width],
            classes: comparable && !(reals && a.width == 1),
            elements: [a.element, b.element],
            same: 0,
            step: if reals { step(rows, a.width) } else { 0 },
            seen: 0,
            points: Vec::new(),
        }
    }

    fn add(&mut self, ours: &[f32], theirs: &[f32]) {
        if self.classes {
            let rows = ours.chunks_exact(self.widths[0]).zip(theirs.chunks_exact(self.widths[1]));
            let class = |row: &[f32], element: Element| match element {
                Element::Index => row[0] as usize,
                _ => crate::agreement::argmax(row),
            };
            let [a, b] = self.elements;
            self.same += rows.filter(|(ours, theirs)| class(ours, a) == class(theirs, b)).count();
        }
        if self.step > 0 {
            let first = self.seen.next_multiple_of(self.step) - self.seen;
            let pairs = ours.iter().copied().zip(theirs.iter().copied());
            self.points.extend(pairs.skip(first).step_by(self.step));
            self.seen += ours.len();
        }
    }

    fn finish(self, rows: usize) -> OutputComparison {
        let same_class = self.classes.then(|| self.same as f64 / rows as f64);
        OutputComparison { name: self.name, same_class, points: self.points }
    }
}

/// A step over the values of all rows that leaves no more than [`MAX_POINTS`], and that shares no
/// divisor with the width, so that it meets all columns.
fn step(rows: usize, width: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let least = rows.saturating_mul(width).div_ceil(MAX_POINTS);
    (least..).find(|&step| gcd(step, width) == 1).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_few_and_meet_all_columns() {
        for (rows, width) in [(1, 1), (360, 10), (10_000, 10), (2000, 1), (3, 100_000), (777, 6)] {
            let step = step(rows, width);
            let points: Vec<_> = (0..rows * width).step_by(step).collect();
            assert!(points.len() <= MAX_POINTS && points.len() * 3 >= MAX_POINTS.min(rows * width));
            let mut columns: Vec<_> = points.iter().map(|at| at % width).collect();
            columns.sort();
            columns.dedup();
            assert!(columns.len() == width.min(points.len()), "{rows} x {width}: {step}");
        }
    }
}
