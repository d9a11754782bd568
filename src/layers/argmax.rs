//! Argmax: the end of a classifier that answers a class.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::edges::wrong_input;
use super::{Kind, Place};
use crate::error::Result;
use crate::kernels::Kernel;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Form, PerRow, Rows, RowsMut, Step};
use crate::tensor::{Element, TensorType, Values};

/// Row by row: the position of the largest element, the first one among equals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Argmax;

impl Kind<'_> for Argmax {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        match input.element {
            Element::F32 | Element::Int8(_) => Ok(TensorType { width: 1, element: Element::Index }),
            Element::Index => Err(wrong_input("f32 or 8-bit", input)),
        }
    }

    fn encode(&self, _: &mut RecordWriter) {}

    fn decode(_: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        let width = input.width;
        let positions: Vec<u32> = match values {
            Values::F32(values) => values.chunks_exact(width).map(position).collect(),
            _ => values.to_i8().chunks_exact(width).map(position).collect(),
        };
        Ok(positions.into())
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let form = match place.input().of.element {
            Element::F32 => None,
            _ => Some(place.input().form),
        };
        let (kernel, width) = (place.kernel, place.input().of.width);
        steps.push(Box::new(ArgmaxStep { kernel, width, form }));
        Ok(())
    }
}

#[derive(Debug)]
struct ArgmaxStep {
    kernel: &'static Kernel,
    width: usize,
    /// The form of 8-bit inputs; `None` for `f32`.
    form: Option<Form>,
}

impl Step for ArgmaxStep {
    fn name(&self) -> String {
        "argmax".into()
    }

    fn row_bytes(&self) -> usize {
        4
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        let outputs = output.iter::<u32>(1);
        match self.form {
            None => {
                for (row, out) in input.iter::<f32>(self.width).zip(outputs) {
                    out[0] = (self.kernel.argmax)(row);
                }
            }
            Some(form) => {
                for (row, out) in input.iter::<u8>(self.width).zip(outputs) {
                    out[0] = (self.kernel.argmax_bytes)(row, form.flip);
                }
            }
        }
        Ok(())
    }
}

fn position<T: PartialOrd>(row: &[T]) -> u32 {
    let mut best = 0;
    for (i, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = i;
        }
    }
    best as u32
}
