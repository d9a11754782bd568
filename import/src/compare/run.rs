//! A model that shows some of its tensors, as real numbers.

use std::collections::BTreeMap;

use signfold::quant::Int8;
use signfold::{
    Element, Engine, Error, ErrorKind, Model, Output, Result, Scratch, TensorId, TensorType, Values,
};

/// A model compiled to show tensors.
pub(crate) struct Side {
    engine: Engine,
    scratch: Option<Scratch>,
    inputs: Vec<TensorType>,
    shown: Vec<(TensorId, TensorType)>,
}

impl Side {
    pub fn new(model: &Model<'_>, ids: &[TensorId]) -> Result<Self> {
        let inputs = model.inputs().map(|id| model.tensor_type(id)).collect();
        let shown = ids.iter().map(|&id| (id, model.tensor_type(id))).collect();
        let engine = Engine::new(&model.clone().with_outputs(ids)?)?;
        Ok(Self { engine, scratch: None, inputs, shown })
    }

    /// Bytes that a row's values take, as they are and as real numbers.
    pub fn row_bytes(&self) -> usize {
        let bytes = |of: &TensorType| of.width * (of.element.size() + size_of::<f32>());
        self.shown.iter().map(|(_, of)| bytes(of)).sum()
    }

    /// Whether rows depend on the others of their batch.
    pub fn whole_batch(&self) -> bool {
        self.engine.whole_batch()
    }

    /// Runs so many rows of each input; answers the values of each tensor. No call may have more rows
    /// than the first one if rows depend on each other.
    pub fn run(&mut self, inputs: &[&[f32]], rows: usize) -> Result<BTreeMap<TensorId, Vec<f32>>> {
        let inputs: Vec<_> =
            inputs.iter().zip(&self.inputs).map(|(reals, of)| arrival(reals, of)).collect();
        let zeros = self.shown.iter().map(|(_, of)| zeros(of, rows * of.width));
        let mut values = zeros.collect::<Result<Vec<_>>>()?;
        let mut outputs = values.iter_mut().map(place).collect::<Result<Vec<_>>>()?;
        let scratch = self.scratch.get_or_insert_with(|| match self.engine.whole_batch() {
            true => self.engine.scratch_for(rows),
            false => self.engine.scratch(),
        });
        self.engine.run_all(&inputs, &mut outputs, scratch)?;
        let shown = values.iter().zip(&self.shown);
        shown.map(|(values, (id, of))| Ok((*id, reals(values, of)?))).collect()
    }
}

/// Rows as a model takes them.
fn arrival<'v>(reals: &'v [f32], of: &TensorType) -> Values<'v> {
    match of.element {
        Element::Int8(params) => {
            let integers = reals.iter().map(|&x| params.quantize(x));
            match params.kind() {
                Int8::I8 => integers.map(|q| q as i8).collect::<Vec<_>>().into(),
                Int8::U8 => integers.map(|q| q as u8).collect::<Vec<_>>().into(),
            }
        }
        _ => reals.into(),
    }
}

pub(crate) fn zeros(of: &TensorType, len: usize) -> Result<Values<'static>> {
    Ok(match of.element {
        Element::F32 => vec![0_f32; len].into(),
        Element::Index => vec![0_u32; len].into(),
        Element::Int8(params) => match params.kind() {
            Int8::I8 => vec![0_i8; len].into(),
            Int8::U8 => vec![0_u8; len].into(),
        },
        _ => return Err(unknown(of.element.name())),
    })
}

pub(crate) fn place<'v>(values: &'v mut Values<'static>) -> Result<Output<'v>> {
    Ok(match values {
        Values::F32(v) => Output::F32(v.to_mut()),
        Values::U32(v) => Output::U32(v.to_mut()),
        Values::I8(v) => Output::I8(v.to_mut()),
        Values::U8(v) => Output::U8(v.to_mut()),
        other => return Err(unknown(other.element_name())),
    })
}

pub(crate) fn reals(values: &Values<'_>, of: &TensorType) -> Result<Vec<f32>> {
    let real = |q: i32| match of.element {
        Element::Int8(params) => params.dequantize(q),
        _ => q as f32,
    };
    Ok(match values {
        Values::F32(v) => v.to_vec(),
        Values::U32(v) => v.iter().map(|&x| x as f32).collect(),
        Values::I8(v) => v.iter().map(|&q| real(q.into())).collect(),
        Values::U8(v) => v.iter().map(|&q| real(q.into())).collect(),
        other => return Err(unknown(other.element_name())),
    })
}

/// The engine may learn element types that this module does not know yet.
pub(crate) fn unknown(element: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("elements of type {element} cannot be compared"))
}
