//! The borders between real numbers and 8-bit integers.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::edges::{Dequantizer, Quantizer};
use crate::kernels::{Kernel, Narrow};
use crate::quant::QuantParams;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Form, PerRow, Rows, RowsMut, Step};
use crate::tensor::{Element, TensorType, Values};

/// Real numbers to 8-bit integers, with parameters fixed beforehand: divide by the scale, clamp,
/// round half to even, add the zero point. Infinities clamp; a NaN is an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantize {
    /// Type, scale and zero point of the integers.
    pub output: QuantParams,
}

impl Kind<'_> for Quantize {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        expect_f32(input)?;
        Ok(TensorType::int8(input.width, self.output))
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.params(Some(&self.output));
    }

    fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        let output = record.params()?.ok_or_else(|| Error::format("no output parameters"))?;
        Ok(Self { output })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        for (row, values) in values.as_f32().chunks_exact(input.width).enumerate() {
            refuse_nan(row, values)?;
        }
        let shift = self.output.kind().shift();
        let quantize = |&x: &f32| (self.output.quantize(x) - shift) as i8;
        Ok(Values::from_i8(values.as_f32().iter().map(quantize).collect(), &self.output))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let (zero_point, form) = (self.output.zero_point_i8(), place.output_form);
        steps.push(Box::new(QuantizeStep {
            kernel: place.kernel,
            width: place.input().of.width,
            by: quantizer(self.output.scale(), zero_point, form),
        }));
        Ok(())
    }
}

/// Quantizes to the whole range of `i8` with this zero point, in bytes of this form.
pub(super) fn quantizer(scale: f32, zero_point: i32, form: Form) -> Quantizer {
    let narrow = Narrow::new(zero_point, -128 - zero_point, 127 - zero_point, form.flip);
    Quantizer { scale, narrow }
}

#[derive(Debug)]
struct QuantizeStep {
    kernel: &'static Kernel,
    width: usize,
    by: Quantizer,
}

impl Step for QuantizeStep {
    fn name(&self) -> String {
        "quantize".into()
    }

    fn row_bytes(&self) -> usize {
        self.width
    }

    fn run(
        &self,
        inputs: &[Rows<'_>],
        mut output: RowsMut<'_>,
        per_row: &mut PerRow,
    ) -> Result<()> {
        let input = inputs[0];
        let rows = input.iter::<f32>(self.width).zip(output.iter::<u8>(self.width));
        for (row, (real, bytes)) in rows.enumerate() {
            if (self.kernel.quantize)(real, bytes, &self.by) {
                refuse_nan(per_row.first + row, real)?;
            }
        }
        Ok(())
    }
}

/// 8-bit integers to real numbers: `(q - zero_point) * scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dequantize;

impl Kind<'_> for Dequantize {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        expect_int8(input)?;
        Ok(TensorType::f32(input.width))
    }

    fn encode(&self, _: &mut RecordWriter) {}

    fn decode(_: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        let params = expect_int8(input)?;
        let shift = params.kind().shift();
        let real = |q: i8| params.dequantize(i32::from(q) + shift);
        Ok(values.to_i8().into_iter().map(real).collect::<Vec<f32>>().into())
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let params = expect_int8(&place.input().of)?;
        let by = Dequantizer {
            scale: params.scale(),
            zero_point: params.zero_point_i8(),
            flip: place.input().form.flip,
        };
        let (kernel, width) = (place.kernel, place.input().of.width);
        steps.push(Box::new(DequantizeStep { kernel, width, by }));
        Ok(())
    }
}

#[derive(Debug)]
struct DequantizeStep {
    kernel: &'static Kernel,
    width: usize,
    by: Dequantizer,
}

impl Step for DequantizeStep {
    fn name(&self) -> String {
        "dequantize".into()
    }

    fn row_bytes(&self) -> usize {
        4 * self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        for (bytes, real) in input.iter::<u8>(self.width).zip(output.iter::<f32>(self.width)) {
            (self.kernel.dequantize)(bytes, real, &self.by);
        }
        Ok(())
    }
}

pub(super) fn expect_f32(input: &TensorType) -> Result<()> {
    match input.element {
        Element::F32 => Ok(()),
        _ => Err(wrong_input("f32", input)),
    }
}

pub(super) fn expect_int8(input: &TensorType) -> Result<QuantParams> {
    match input.element {
        Element::Int8(params) => Ok(params),
        _ => Err(wrong_input("8-bit", input)),
    }
}

pub(super) fn wrong_input(wanted: &str, input: &TensorType) -> Error {
    Error::model(format!("its input is {input}, but it takes {wanted} rows"))
}

/// Names the first NaN of a row.
pub(super) fn refuse_nan(row: usize, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| x.is_nan()) {
        Some(column) => Err(Error::input(format!("row {row}, column {column} is NaN"))),
        None => Ok(()),
    }
}
