//! Running a model on many rows, part by part, in memory of a fixed size.

use std::ops::Range;

use signfold::{Engine, Error, ErrorKind, Model, Result, Scratch, TensorId, TensorType, Values};

use crate::compare::run::{place, unknown, zeros};

/// About as many bytes does a part take, in all tensors that are looked at.
const PART_BYTES: usize = 8 << 20;

/// A model that answers some of its tensors.
pub(crate) struct Trace {
    engine: Engine,
    scratch: Scratch,
    types: Vec<TensorType>,
    /// Rows of a part; `None` where all rows belong together.
    part: Option<usize>,
}

impl Trace {
    /// A model that answers these tensors, each of them once.
    pub fn new(model: Model<'_>, tensors: &[TensorId]) -> Result<Self> {
        let types: Vec<_> = tensors.iter().map(|&tensor| model.tensor_type(tensor)).collect();
        let bytes: usize = types.iter().map(|of| of.width * of.element.size()).sum();
        let engine = Engine::new(&model.with_outputs(tensors)?)?;
        let part = (!engine.whole_batch()).then(|| (PART_BYTES / bytes.max(1)).max(1));
        Ok(Self { scratch: engine.scratch(), engine, types, part })
    }

    /// Rows that go through together, of so many.
    pub fn part(&self, rows: usize) -> usize {
        self.part.unwrap_or(rows).min(rows).max(1)
    }

    /// What the tensors hold for some of the rows.
    pub fn run(&mut self, inputs: &[Values<'_>], rows: &Rows) -> Result<Vec<Values<'static>>> {
        let count = rows.part.len();
        if self.part.is_none() {
            self.scratch = self.engine.scratch_for(count);
        }
        let inputs: Vec<_> = inputs
            .iter()
            .zip(&rows.widths)
            .map(|(values, width)| slice(values, rows.part.start * width..rows.part.end * width))
            .collect::<Result<_>>()?;
        let mut outputs: Vec<_> =
            self.types.iter().map(|of| zeros(of, count * of.width)).collect::<Result<_>>()?;
        let mut room = outputs.iter_mut().map(place).collect::<Result<Vec<_>>>()?;
        self.engine.run_all(&inputs, &mut room, &mut self.scratch)?;
        Ok(outputs)
    }
}

/// Some of the rows of each input.
pub(crate) struct Rows {
    widths: Vec<usize>,
    pub part: Range<usize>,
}

impl Rows {
    /// The parts of so many rows of a model's inputs.
    pub fn parts(
        model: &Model<'_>,
        rows: usize,
        part: usize,
    ) -> impl Iterator<Item = Rows> + use<> {
        let widths: Vec<_> = model.inputs().map(|id| model.tensor_type(id).width).collect();
        (0..rows)
            .step_by(part.max(1))
            .map(move |start| Rows { widths: widths.clone(), part: start..rows.min(start + part) })
    }
}

/// How many rows there are of each input, if they are rows of finite numbers, as many for each.
pub(crate) fn check_rows(model: &Model<'_>, inputs: &[Values<'_>]) -> Result<usize> {
    let fail = |message| Err(Error::new(ErrorKind::Input, message));
    let ids = model.inputs();
    if ids.len() != inputs.len() {
        return fail(format!("rows of {} inputs, but the model has {}", inputs.len(), ids.len()));
    }
    let mut count = None;
    for (id, values) in ids.zip(inputs) {
        let of = model.tensor_type(id);
        let mut rows = || {
            if values.element_name() != of.element.name() {
                let (found, wanted) = (values.element_name(), of.element.name());
                return fail(format!("elements are {found}, the model takes {wanted}"));
            }
            if !values.len().is_multiple_of(of.width) {
                let (found, width) = (values.len(), of.width);
                return fail(format!("{found} values are not a multiple of the row width {width}"));
            }
            if let Values::F32(values) = values
                && let Some(i) = values.iter().position(|x| !x.is_finite())
            {
                let (row, column) = (i / of.width, i % of.width);
                return fail(format!("row {row}, column {column} is {}", values[i]));
            }
            let rows = values.len() / of.width;
            match *count.get_or_insert(rows) {
                first if first == rows => Ok(rows),
                first => fail(format!("{rows} rows, but the first input has {first}")),
            }
        };
        rows().map_err(|e| match id.index() {
            0 => e,
            i => e.at(format!("input {i} {:?}", model.tensor_name(id))),
        })?;
    }
    Ok(count.unwrap_or(0))
}

/// The first rows of each input.
pub(crate) fn first_rows(
    model: &Model<'_>,
    inputs: &[Values<'_>],
    rows: usize,
) -> Result<Vec<Values<'static>>> {
    let widths = model.inputs().map(|id| model.tensor_type(id).width);
    let first =
        |(values, width): (&Values<'_>, usize)| Ok(slice(values, 0..rows * width)?.into_owned());
    inputs.iter().zip(widths).map(first).collect()
}

fn slice<'v>(values: &'v Values<'_>, range: Range<usize>) -> Result<Values<'v>> {
    Ok(match values {
        Values::F32(values) => values[range].into(),
        Values::I8(values) => values[range].into(),
        Values::U8(values) => values[range].into(),
        Values::U32(values) => values[range].into(),
        other => return Err(unknown(other.element_name())),
    })
}
