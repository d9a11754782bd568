//! Batches of any type: room for them, parts of them, and what real numbers they stand for.

use std::ops::Range;

use signfold::quant::Int8;
use signfold::{Element, Error, ErrorKind, Output, Result, TensorType, Values};

/// Real numbers as rows of this type.
pub(crate) fn typed(reals: Vec<f32>, of: &TensorType) -> Values<'static> {
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

/// Room for so many elements.
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

/// All elements as a place to write to.
pub(crate) fn place<'v>(values: &'v mut Values<'static>) -> Result<Output<'v>> {
    Ok(match values {
        Values::F32(v) => Output::F32(v.to_mut()),
        Values::U32(v) => Output::U32(v.to_mut()),
        Values::I8(v) => Output::I8(v.to_mut()),
        Values::U8(v) => Output::U8(v.to_mut()),
        other => return Err(unknown(other.element_name())),
    })
}

/// The real numbers that values of this type are, or stand for; positions as numbers.
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
    Error::new(ErrorKind::Unsupported, format!("elements of type {element} are not known"))
}

/// Some elements, borrowed.
pub(crate) fn slice<'v>(values: &'v Values<'_>, range: Range<usize>) -> Result<Values<'v>> {
    Ok(match values {
        Values::F32(values) => values[range].into(),
        Values::I8(values) => values[range].into(),
        Values::U8(values) => values[range].into(),
        Values::U32(values) => values[range].into(),
        other => return Err(unknown(other.element_name())),
    })
}
