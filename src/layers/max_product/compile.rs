//! A naive step, for the time being.

use super::MaxProduct;
use crate::error::Result;
use crate::layers::{DenseOutput, Kind, Place};
use crate::step::{Form, PerRow, Rows, RowsMut, Step};
use crate::tensor::{Element, TensorType, Values};

impl MaxProduct<'_> {
    pub(super) fn add_steps(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        steps.push(Box::new(NaiveStep {
            layer: self.clone().into_owned(),
            input: place.input,
            input_form: place.input_form,
            output_form: place.output_form,
        }));
        Ok(())
    }
}

#[derive(Debug)]
struct NaiveStep {
    layer: MaxProduct<'static>,
    input: TensorType,
    input_form: Form,
    output_form: Form,
}

impl Step for NaiveStep {
    fn name(&self) -> String {
        format!("{} {}x{}", self.layer.aggregate.name(), self.layer.inputs, self.layer.outputs())
    }

    fn row_bytes(&self) -> usize {
        match self.layer.output_kind() {
            DenseOutput::F32 => 4 * self.layer.outputs(),
            DenseOutput::Int8(..) => self.layer.outputs(),
        }
    }

    fn whole_batch(&self) -> bool {
        self.layer.input_kind() == crate::layers::DenseInput::PerTensor
    }

    fn run(&self, input: Rows<'_>, mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let width = self.input.width;
        let values = match self.input.element {
            Element::Int8(params) => {
                let row =
                    |row: &[u8]| row.iter().map(|&b| self.input_form.value(b)).collect::<Vec<_>>();
                Values::from_i8(input.iter::<u8>(width).flat_map(row).collect(), &params)
            }
            _ => input.iter::<f32>(width).flatten().copied().collect::<Vec<f32>>().into(),
        };
        let outputs = self.layer.outputs();
        match self.layer.reference(&self.input, &values)? {
            Values::F32(v) => {
                for (to, from) in output.iter::<f32>(outputs).zip(v.chunks(outputs)) {
                    to.copy_from_slice(from);
                }
            }
            v => {
                for (to, from) in output.iter::<u8>(outputs).zip(v.to_i8().chunks(outputs)) {
                    for (to, &from) in to.iter_mut().zip(from) {
                        *to = self.output_form.byte(from);
                    }
                }
            }
        }
        Ok(())
    }
}
