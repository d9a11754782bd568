//! A function of each element: on real numbers as it is, on 8-bit integers as a table.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::edges::wrong_input;
use super::{Activation, Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::map::Function;
use crate::kernels::{Kernel, Table};
use crate::quant::QuantParams;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Form, PerRow, Rows, RowsMut, Step, map};
use crate::tensor::{Element, TensorType, Values};

/// A function of each element.
///
/// Of 8-bit inputs it makes 8-bit outputs: `quantize(function(dequantize(q)))`, for each of the
/// 256 values once, when the engine is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pointwise {
    /// The function.
    pub activation: Activation,
    /// The quantization of the result: for 8-bit inputs, and only for them.
    pub output: Option<QuantParams>,
}

impl Pointwise {
    /// The value for one 8-bit input, both in their `i8` form.
    pub(super) fn entry(&self, input: &QuantParams, output: &QuantParams, q: i8) -> i8 {
        let real = input.dequantize(i32::from(q) + input.kind().shift());
        (output.quantize(self.activation.apply(real)) - output.kind().shift()) as i8
    }
}

impl Kind<'_> for Pointwise {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        self.activation.validate()?;
        match (input.element, self.output) {
            (Element::F32, None) => Ok(*input),
            (Element::Int8(_), Some(params)) => Ok(TensorType::int8(input.width, params)),
            (Element::F32, Some(_)) => {
                Err(Error::model("f32 inputs give f32 outputs, which have no quantization"))
            }
            (Element::Int8(_), None) => {
                Err(Error::model("8-bit inputs give 8-bit outputs: their quantization is missing"))
            }
            (Element::Index, _) => Err(wrong_input("f32 or 8-bit", input)),
        }
    }

    fn encode(&self, record: &mut RecordWriter) {
        self.activation.encode(record);
        record.params(self.output.as_ref());
    }

    fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self { activation: Activation::decode(record)?, output: record.params()? })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        Ok(match (input.element, self.output) {
            (Element::Int8(input), Some(output)) => {
                let entry = |q| self.entry(&input, &output, q);
                Values::from_i8(values.to_i8().into_iter().map(entry).collect(), &output)
            }
            _ => {
                let apply = |&x: &f32| self.activation.apply(x);
                values.as_f32().iter().map(apply).collect::<Vec<f32>>().into()
            }
        })
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let (kernel, width) = (place.kernel, place.input().of.width);
        steps.push(match (place.input().of.element, self.output) {
            (Element::Int8(input), Some(output)) => {
                let entry = |value| self.entry(&input, &output, value);
                let table = table(place.input().form, place.output_form, entry);
                Box::new(TableStep { kernel, width, table })
            }
            _ => match self.activation.function() {
                Some(function) => Box::new(FunctionStep { kernel, width, function }),
                None => Box::new(FloatStep { width, activation: self.activation }),
            },
        });
        Ok(())
    }
}

/// A table of a function of 8-bit values, for bytes of these forms.
pub(super) fn table(from: Form, to: Form, entry: impl Fn(i8) -> i8) -> Table {
    Table::new(core::array::from_fn(|byte| to.byte(entry(from.value(byte as u8)))))
}

#[derive(Debug)]
pub(super) struct TableStep {
    pub kernel: &'static Kernel,
    pub width: usize,
    pub table: Table,
}

impl Step for TableStep {
    fn name(&self) -> String {
        "table".into()
    }

    fn row_bytes(&self) -> usize {
        self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        for (row, out) in input.iter::<u8>(self.width).zip(output.iter::<u8>(self.width)) {
            (self.kernel.look_up)(row, out, &self.table);
        }
        Ok(())
    }
}

/// A function that a kernel has.
#[derive(Debug)]
struct FunctionStep {
    kernel: &'static Kernel,
    width: usize,
    function: Function,
}

impl Step for FunctionStep {
    fn name(&self) -> String {
        "pointwise".into()
    }

    fn row_bytes(&self) -> usize {
        4 * self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        for (row, out) in input.iter::<f32>(self.width).zip(output.iter::<f32>(self.width)) {
            (self.kernel.map)(row, out, &self.function);
        }
        Ok(())
    }
}

/// Any other function.
#[derive(Debug)]
struct FloatStep {
    width: usize,
    activation: Activation,
}

impl Step for FloatStep {
    fn name(&self) -> String {
        self.activation.to_string()
    }

    fn row_bytes(&self) -> usize {
        4 * self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        map(&input, &mut output, self.width, |x: f32| self.activation.apply(x));
        Ok(())
    }
}
