//! Batches of rows of any type: making room for them, taking parts of them.

use std::ops::Range;

use anyhow::{Error, Result, anyhow, bail, ensure};
use signfold::layers::{DenseInput, Layer};
use signfold::{Element, Engine, Model, Output, Scratch, TensorType, Values};

/// Bytes that a batch may take between any two layers. A small file can ask for very much: a
/// million rows of one byte, for a layer with a million outputs.
const MAX_BYTES: u64 = 8 << 30;

/// How many rows of `width` an array of this shape holds. A flat array is one row; of more axes,
/// the first one counts the rows.
pub fn rows_of(shape: &[usize], width: usize) -> Result<usize> {
    let (rows, row) = match shape {
        [] => bail!("a single number, not rows of {width}"),
        [_] => (1, shape),
        [rows, row @ ..] => (*rows, row),
    };
    // Saturates for arrays without rows only: others have been held against their file.
    let found = row.iter().fold(1_usize, |product, &n| product.saturating_mul(n));
    ensure!(found == width, "shape {shape:?} has rows of {found}, the model takes {width}");
    Ok(rows)
}

/// Whether a row's result depends on the other rows, so that a batch must not be split.
pub fn is_whole(model: &Model<'_>) -> bool {
    let whole = |layer: &Layer<'_>| match layer {
        Layer::Dense(dense) => dense.input_kind() == DenseInput::PerTensor,
        Layer::MaxProduct(max) => max.input_kind() == DenseInput::PerTensor,
        _ => false,
    };
    model.layers().any(|(layer, ..)| whole(layer))
}

/// Refuses batches that need more memory than [`MAX_BYTES`].
pub fn check_size(model: &Model<'_>, rows: usize) -> Result<()> {
    let bytes = |of: TensorType| of.width * of.element.size();
    let outputs = model.layers().map(|(.., output)| bytes(output));
    check_bytes(rows, outputs.fold(bytes(model.input()), usize::max))
}

/// Refuses rows of so many bytes each that need more memory than [`MAX_BYTES`].
pub fn check_bytes(rows: usize, widest: usize) -> Result<()> {
    ensure!(
        (rows as u64).checked_mul(widest as u64).is_some_and(|bytes| bytes <= MAX_BYTES),
        "{rows} rows of up to {widest} bytes take more than {} GiB",
        MAX_BYTES >> 30
    );
    Ok(())
}

/// Working memory for batches of `rows` rows.
pub fn scratch(engine: &Engine, model: &Model<'_>, rows: usize) -> Scratch {
    match is_whole(model) {
        true => engine.scratch_for(rows),
        false => engine.scratch(),
    }
}

/// Rows of zeros.
pub fn zeros(of: TensorType, rows: usize) -> Result<Values<'static>> {
    let len = rows * of.width;
    Ok(match of.element.name() {
        "f32" => vec![0_f32; len].into(),
        "u32" => vec![0_u32; len].into(),
        "i8" => vec![0_i8; len].into(),
        "u8" => vec![0_u8; len].into(),
        other => return Err(unknown(other)),
    })
}

/// All values as a place to write to.
pub fn output<'a>(values: &'a mut Values<'static>) -> Result<Output<'a>> {
    let all = 0..values.len();
    output_part(values, all)
}

/// Some elements of values as a place to write to.
pub fn output_part<'a>(
    values: &'a mut Values<'static>,
    elements: Range<usize>,
) -> Result<Output<'a>> {
    Ok(match values {
        Values::F32(v) => Output::F32(&mut v.to_mut()[elements]),
        Values::U32(v) => Output::U32(&mut v.to_mut()[elements]),
        Values::I8(v) => Output::I8(&mut v.to_mut()[elements]),
        Values::U8(v) => Output::U8(&mut v.to_mut()[elements]),
        other => return Err(unknown(other.element_name())),
    })
}

/// All values, borrowed.
pub fn input<'a>(values: &'a Values<'_>) -> Result<Values<'a>> {
    input_part(values, 0..values.len())
}

/// Some elements of values, borrowed.
pub fn input_part<'a>(values: &'a Values<'_>, elements: Range<usize>) -> Result<Values<'a>> {
    Ok(match values {
        Values::F32(v) => v[elements].into(),
        Values::U32(v) => v[elements].into(),
        Values::I8(v) => v[elements].into(),
        Values::U8(v) => v[elements].into(),
        other => return Err(unknown(other.element_name())),
    })
}

/// Elements as `.npy` files hold them: little-endian.
pub fn le_bytes(values: &Values<'_>) -> Result<Vec<u8>> {
    Ok(match values {
        Values::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Values::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Values::I8(v) => v.iter().map(|&x| x as u8).collect(),
        Values::U8(v) => v.to_vec(),
        other => return Err(unknown(other.element_name())),
    })
}

/// Elements as real numbers. Integers of a quantized type are dequantized.
pub fn reals(values: &Values<'_>, of: &TensorType) -> Result<Vec<f64>> {
    let real = |q: i32| match of.element {
        Element::Int8(params) => f64::from(params.dequantize(q)),
        _ => f64::from(q),
    };
    Ok(match values {
        Values::F32(v) => v.iter().map(|&x| x.into()).collect(),
        Values::U32(v) => v.iter().map(|&x| x.into()).collect(),
        Values::I8(v) => v.iter().map(|&x| real(x.into())).collect(),
        Values::U8(v) => v.iter().map(|&x| real(x.into())).collect(),
        other => return Err(unknown(other.element_name())),
    })
}

/// The library may learn element types that this tool does not know yet.
fn unknown(element: &str) -> Error {
    anyhow!("elements of type {element} are not supported")
}
