//! Concat: rows of several tensors, end to end.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::edges::{expect_f32, expect_int8};
use super::pointwise::table;
use super::{Activation, Kind, MAX_ARITY, Place, Pointwise};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{Kernel, Table};
use crate::quant::QuantParams;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{PerRow, Rows, RowsMut, Step};
use crate::tensor::{Element, TensorType, Values};

/// Row by row: the elements of each input, one input after the other.
///
/// All real, or all 8-bit: then each value is quantized anew where its quantization is not the
/// output's, `quantize(dequantize(q))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concat {
    /// How many tensors, from 2 to [`MAX_ARITY`].
    pub inputs: usize,
    /// The quantization of 8-bit outputs.
    pub output: Option<QuantParams>,
}

impl Concat {
    fn check_arity(&self) -> Result<()> {
        match self.inputs {
            2..=MAX_ARITY => Ok(()),
            other => {
                let message = format!("{other} inputs, but it takes 2 to {MAX_ARITY}");
                Err(Error::new(ErrorKind::Limit, message))
            }
        }
    }
}

/// What each input goes through.
fn requantize(output: QuantParams) -> Pointwise {
    Pointwise { activation: Activation::Identity, output: Some(output) }
}

impl Kind<'_> for Concat {
    fn arity(&self) -> usize {
        self.inputs
    }

    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        self.check_arity()?;
        let mut width = 0;
        for (i, input) in inputs.iter().enumerate() {
            match self.output {
                None => expect_f32(input),
                Some(_) => expect_int8(input).map(|_| ()),
            }
            .map_err(|e| e.at(format!("input {i}")))?;
            width += input.width;
        }
        Ok(match self.output {
            None => TensorType::f32(width),
            Some(params) => TensorType::int8(width, params),
        })
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.inputs);
        record.params(self.output.as_ref());
    }

    fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        let concat = Self { inputs: record.length()?, output: record.params()? };
        concat.check_arity().map(|()| concat)
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        match self.output {
            None => {
                let parts: Vec<_> = values.iter().map(|values| values.as_f32()).collect();
                Ok(join(inputs, &parts).into())
            }
            Some(output) => {
                let each = inputs.iter().zip(values);
                let parts = each.map(|(input, values)| {
                    let values = requantize(output).reference(&[*input], &[*values])?;
                    Ok(values.to_i8())
                });
                let parts = parts.collect::<Result<Vec<_>>>()?;
                let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
                Ok(Values::from_i8(join(inputs, &parts), &output))
            }
        }
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let part = |arrival: &super::Arrival| {
            let table = match (arrival.of.element, self.output) {
                (Element::Int8(input), Some(output)) => {
                    let of = requantize(output);
                    let entry = |value| of.entry(&input, &output, value);
                    Some(table(arrival.form, place.output_form, entry))
                }
                _ => None,
            };
            Part { bytes: arrival.of.row_bytes(), table }
        };
        let parts = place.inputs.iter().map(part).collect();
        steps.push(Box::new(ConcatStep { kernel: place.kernel, parts }));
        Ok(())
    }
}

/// Rows end to end.
fn join<T: Copy>(inputs: &[TensorType], parts: &[&[T]]) -> Vec<T> {
    let rows = parts[0].len() / inputs[0].width;
    let mut joined = Vec::new();
    for row in 0..rows {
        for (input, part) in inputs.iter().zip(parts) {
            joined.extend_from_slice(&part[row * input.width..][..input.width]);
        }
    }
    joined
}

#[derive(Debug)]
struct ConcatStep {
    kernel: &'static Kernel,
    parts: Vec<Part>,
}

/// What becomes of an input.
#[derive(Debug)]
struct Part {
    /// Those of a row.
    bytes: usize,
    /// Of 8-bit values; others are copied.
    table: Option<Table>,
}

impl Step for ConcatStep {
    fn name(&self) -> String {
        "concat".into()
    }

    fn row_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let (mut start, width) = (0, self.row_bytes());
        for (input, part) in inputs.iter().zip(&self.parts) {
            for (row, out) in input.iter::<u8>(part.bytes).zip(output.iter::<u8>(width)) {
                let out = &mut out[start..][..part.bytes];
                match &part.table {
                    None => out.copy_from_slice(row),
                    Some(table) => (self.kernel.look_up)(row, out, table),
                }
            }
            start += part.bytes;
        }
        Ok(())
    }
}
