//! Two forms of a network beside each other: the same rows through both, tensor by tensor.
//!
//! ```text
//! rows --> A, all its tensors --\  tensors that belong together
//!      \-> B, all its tensors --/  --> SQNR, errors, clipping, agreement of classes
//! ```
//! A is what should be, most often the float network, B what became of it.

mod difference;
mod matching;
mod outputs;

use std::collections::BTreeMap;

use signfold::quant::QuantParams;
use signfold::{Element, Error, ErrorKind, Model, Result, TensorId, TensorType, Values};

pub use difference::Difference;
use difference::decibels;
use matching::{Pair, Plan};
use outputs::OutputPair;

use crate::trace::{Rows, Trace, check_rows};
use crate::values::{reals, slice, typed};

/// Points of an output that [`OutputComparison::points`] holds at most.
pub const MAX_POINTS: usize = 2000;

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
/// `inputs` holds rows for each input of the first model. The second one is given the real numbers that
/// they stand for, quantized where it takes 8-bit rows.
///
/// # Errors
/// [`ErrorKind::Input`] if the models do not take the same inputs, if these are not whole rows of finite
/// numbers, as many for each input and one at least, or if a model cannot run them, which is named; if
/// nothing of the models can be compared. [`ErrorKind::Limit`] if a model quantizes whole batches and
/// this one needs too much memory.
pub fn compare(a: &Model<'_>, b: &Model<'_>, inputs: &[Values<'_>]) -> Result<Comparison> {
    let input = |message: String| Error::new(ErrorKind::Input, message);
    let types = [a, b].map(|model| input_types(model));
    let [ours, theirs] =
        types.each_ref().map(|types| types.iter().map(|of| of.width).collect::<Vec<_>>());
    if ours != theirs {
        let message = format!("one model takes rows of {ours:?}, the other of {theirs:?}");
        return Err(input(message));
    }
    let rows = check_rows(a, inputs)?;
    if rows == 0 {
        return Err(input("there are no rows to compare with".into()));
    }
    let plan = Plan::of(a, b);
    let mut notes = plan.notes;
    let mut tensors = tensors(b, &plan.tensors);
    let outputs = plan.outputs.iter().map(|pair| OutputPair::new(pair, a, b, rows, &mut notes));
    let mut outputs: Vec<_> = outputs.collect();
    if tensors.is_empty() && outputs.iter().all(OutputPair::is_empty) {
        let message = format!("nothing of the two models can be compared: {}", notes.join("; "));
        return Err(input(message));
    }

    let pairs = || plan.tensors.iter().chain(&plan.outputs);
    let mut a_side = Side::new(a, pairs().map(|pair| pair.a), rows, "the first model")?;
    let mut b_side = Side::new(b, pairs().map(|pair| pair.b), rows, "the second model")?;
    let b_inputs = inputs.iter().zip(types[0].iter().zip(&types[1]));
    let b_inputs: Vec<_> =
        b_inputs.map(|(values, (a, b))| converted(values, a, b)).collect::<Result<_>>()?;
    let part = match a_side.trace.is_whole() || b_side.trace.is_whole() {
        true => rows,
        false => a_side.trace.part(rows).min(b_side.trace.part(rows)),
    };
    for part in Rows::parts(a, rows, part) {
        let (ours, theirs) = (a_side.run(inputs, &part)?, b_side.run(&b_inputs, &part)?);
        for (pair, of) in plan.tensors.iter().zip(&mut tensors) {
            of.difference.add(&ours[&pair.a], &theirs[&pair.b], of.params);
        }
        for (pair, of) in plan.outputs.iter().zip(&mut outputs) {
            of.add(&ours[&pair.a], &theirs[&pair.b]);
        }
    }
    note_before(b, &plan.tensors, &mut tensors);
    let outputs = outputs.into_iter().map(|of| of.finish(rows)).collect();
    Ok(Comparison { rows, matching: plan.matching, tensors, outputs, notes })
}

fn input_types(model: &Model<'_>) -> Vec<TensorType> {
    model.inputs().map(|id| model.tensor_type(id)).collect()
}

/// Rows of one type as rows of another.
fn converted<'v>(values: &'v Values<'_>, from: &TensorType, to: &TensorType) -> Result<Values<'v>> {
    match from == to {
        true => slice(values, 0..values.len()),
        false => Ok(typed(reals(values, from)?, to)),
    }
}

/// A model that shows tensors as real numbers.
struct Side {
    trace: Trace,
    shown: Vec<(TensorId, TensorType)>,
    place: &'static str,
}

impl Side {
    fn new(
        model: &Model<'_>,
        shown: impl Iterator<Item = TensorId>,
        rows: usize,
        place: &'static str,
    ) -> Result<Self> {
        let mut ids: Vec<_> = shown.collect();
        ids.sort();
        ids.dedup();
        let trace = Trace::new(model.clone(), &ids).map_err(|e| e.at(place))?;
        let shown: Vec<_> = ids.into_iter().map(|id| (id, model.tensor_type(id))).collect();
        let bytes = |of: &TensorType| of.width * (of.element.size() + size_of::<f32>());
        let row_bytes: usize = shown.iter().map(|(_, of)| bytes(of)).sum();
        let fits = rows.checked_mul(row_bytes).is_some_and(|bytes| bytes <= MAX_BYTES);
        if trace.is_whole() && !fits {
            let message = format!("{rows} rows, quantized together, take too much memory");
            return Err(Error::new(ErrorKind::Limit, message).at(place));
        }
        Ok(Self { trace, shown, place })
    }

    fn run(&mut self, inputs: &[Values<'_>], rows: &Rows) -> Result<BTreeMap<TensorId, Vec<f32>>> {
        let start = rows.part.start;
        let values = self.trace.run(inputs, rows).map_err(|e| match start {
            0 => e.at(self.place),
            _ => e.at(format!("rows from {start} on")).at(self.place),
        })?;
        let shown = values.iter().zip(&self.shown);
        shown.map(|(values, (id, of))| Ok((*id, reals(values, of)?))).collect()
    }
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
