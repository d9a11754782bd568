//! Batches of rows of any type: making room for them, taking parts of them.

use std::ops::Range;

use anyhow::{Error, Result, anyhow, bail, ensure};
use signfold::layers::Layer;
use signfold::quant::Int8;
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

/// Refuses batches that need more memory than [`MAX_BYTES`].
pub fn check_size(model: &Model<'_>, rows: usize) -> Result<()> {
    let bytes = |id| row_bytes(model.tensor_type(id));
    let outputs: usize = model.outputs().iter().map(|&id| bytes(id)).sum();
    check_bytes(rows, model.tensors().map(bytes).fold(outputs, usize::max))
}

/// Bytes of a row.
pub fn row_bytes(of: TensorType) -> usize {
    of.width * of.element.size()
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
pub fn scratch(engine: &Engine, rows: usize) -> Result<Scratch> {
    let whole = engine.whole_batch();
    Ok(engine.try_scratch_for(if whole { rows } else { engine.chunk_rows() })?)
}

/// The types of a model's inputs.
pub fn input_types(model: &Model<'_>) -> Vec<TensorType> {
    model.inputs().map(|id| model.tensor_type(id)).collect()
}

/// The types of a model's outputs.
pub fn output_types(model: &Model<'_>) -> Vec<TensorType> {
    model.outputs().iter().map(|&id| model.tensor_type(id)).collect()
}

/// Rows of zeros.
fn zeros(of: TensorType, rows: usize) -> Result<Values<'static>> {
    let len = rows * of.width;
    Ok(match of.element.name() {
        "f32" => vec![0_f32; len].into(),
        "u32" => vec![0_u32; len].into(),
        "i8" => vec![0_i8; len].into(),
        "u8" => vec![0_u8; len].into(),
        other => return Err(unknown(other)),
    })
}

/// Rows of each output, to be written to.
pub fn room(of: &[TensorType], rows: usize) -> Result<Vec<Values<'static>>> {
    of.iter().map(|&of| zeros(of, rows)).collect()
}

/// Some rows of each of several values of these types, as places to write to.
pub fn places<'v>(
    values: &'v mut [Values<'static>],
    of: &[TensorType],
    rows: Range<usize>,
) -> Result<Vec<Output<'v>>> {
    let place = |(values, of): (&'v mut Values<'static>, &TensorType)| {
        let elements = rows.start * of.width..rows.end * of.width;
        Ok(match values {
            Values::F32(v) => Output::F32(&mut v.to_mut()[elements]),
            Values::U32(v) => Output::U32(&mut v.to_mut()[elements]),
            Values::I8(v) => Output::I8(&mut v.to_mut()[elements]),
            Values::U8(v) => Output::U8(&mut v.to_mut()[elements]),
            other => return Err(unknown(other.element_name())),
        })
    };
    values.iter_mut().zip(of).map(place).collect()
}

/// Some rows of each of several values of these types, borrowed.
pub fn rows<'v>(
    values: &'v [Values<'_>],
    of: &[TensorType],
    rows: Range<usize>,
) -> Result<Vec<Values<'v>>> {
    let part = |(values, of): (&'v Values<'_>, &TensorType)| {
        let elements = rows.start * of.width..rows.end * of.width;
        Ok(match values {
            Values::F32(v) => v[elements].into(),
            Values::U32(v) => v[elements].into(),
            Values::I8(v) => v[elements].into(),
            Values::U8(v) => v[elements].into(),
            other => return Err(unknown(other.element_name())),
        })
    };
    values.iter().zip(of).map(part).collect()
}

/// Rows over the whole range of each input: that of the 8-bit type which real rows become, or -1..1
/// where they stay real or that is found out at run time. The same rows each time.
pub fn random(model: &Model<'_>, rows: usize) -> Result<Vec<Values<'static>>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut values = Vec::new();
    for id in model.inputs() {
        let of = model.tensor_type(id);
        let len = rows * of.width;
        let quantized = model.nodes().find_map(|node| match node.layer {
            Layer::Quantize(quantize) if node.inputs == [id] => Some(quantize.output),
            _ => None,
        });
        values.push(match (of.element, quantized) {
            (Element::Int8(params), _) => match params.kind() {
                Int8::I8 => (0..len).map(|_| rng.i8(..)).collect::<Vec<_>>().into(),
                Int8::U8 => (0..len).map(|_| rng.u8(..)).collect::<Vec<_>>().into(),
            },
            (_, quantized) => {
                let (min, max) = quantized.map_or((-1.0, 127.0 / 128.0), |params| {
                    (params.dequantize(params.kind().min()), params.dequantize(params.kind().max()))
                });
                (0..len).map(|_| min + rng.f32() * (max - min)).collect::<Vec<_>>().into()
            }
        });
    }
    Ok(values)
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
