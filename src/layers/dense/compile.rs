//! The steps that compute a dense layer: bring the inputs into the form the kernel reads, if they
//! are not in it, and multiply.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::Dense;
use crate::error::Result;
use crate::kernels::Prepare;
use crate::kernels::sum::{Correction, Inputs, Skip};
use crate::layers::channels::steps::{CopyStep, DynamicQuantizeStep, StepOutput};
use crate::layers::edges::expect_int8;
use crate::layers::{DenseInput, Place};
use crate::pack::PackedMatrix;
use crate::quant::QuantParams;
use crate::step::{BYTES_PER_OUTPUT, Form, Own, PerRow, Rows, RowsMut, SplitStep, Step, crowded};

impl Dense<'_> {
    /// Adds the layer's steps.
    pub(super) fn add_steps(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let matrix = PackedMatrix::new(place.kernel, &self.weights, self.outputs(), self.inputs)?;
        let form = Form { flip: place.kernel.technique().flip() };
        let (width, row_bytes) = (self.inputs, matrix.row_bytes());
        let params = expect_int8(&place.input().of).ok();
        let (kernel, per_row) = (place.kernel, self.input_kind() == DenseInput::PerRow);
        let flip = place.input().form.flip ^ form.flip;
        let tight = place.input().tight && (row_bytes != width || crowded(row_bytes));
        match (params, matrix.prepare()) {
            (None, _) => {
                steps.push(Box::new(DynamicQuantizeStep { kernel, width, form, per_row }));
            }
            (Some(_), None) if flip != 0 || tight => {
                steps.push(Box::new(CopyStep { width, row_bytes, flip }));
            }
            (Some(_), Some(_)) if flip != 0 => {
                steps.push(Box::new(CopyStep { width, row_bytes: width, flip }));
            }
            _ => {}
        }
        if let Some(prepare) = matrix.prepare() {
            let sums = self.has_weight_zero_points().then_some(form);
            steps.push(Box::new(PrepareStep { width, row_bytes, prepare, sums }));
        }
        steps.push(Box::new(self.step(place, matrix, form, params)));
        if let Some(step) = self.channels.requantize_step(kernel, place.output_form, params) {
            steps.push(Box::new(step));
        }
        Ok(())
    }

    /// The step that multiplies; `params` are those of 8-bit inputs.
    fn step(
        &self,
        place: &Place,
        matrix: PackedMatrix,
        form: Form,
        params: Option<QuantParams>,
    ) -> DenseStep {
        let padded = matrix.padded_outputs();
        let (channels, outputs) = (&self.channels, self.outputs());
        let bias = |n: usize| channels.integer_bias(n);
        // All wraps around, as sums do.
        let sum = |n: usize| {
            let zeros = i32::from(self.weight_zero_point(n)).wrapping_mul(self.inputs as i32);
            matrix.weight_sums()[n].wrapping_sub(zeros)
        };
        let zero_point = params.map_or(0, |params| params.zero_point_i8());
        let constant = |n: usize| bias(n).wrapping_sub(zero_point.wrapping_mul(sum(n)));
        let input_zero = |n: usize| sum(n).wrapping_neg();
        let weight_zero = |n: usize| -i32::from(self.weight_zero_point(n));
        let has_zero_points = self.has_weight_zero_points();
        DenseStep {
            constants: matrix.constants((0..outputs).map(constant)),
            skip: (!has_zero_points && matrix.skippable_groups() > 0).then(|| SkipZeros {
                zero: params.map(|_| form.byte(zero_point as i8)),
                constants: channels.per_output(padded, bias),
            }),
            input_zero_columns: params.is_none().then(|| channels.per_output(padded, input_zero)),
            weight_zero_columns: has_zero_points.then(|| channels.per_output(padded, weight_zero)),
            output: channels.step_output(place.output_form, padded, params),
            matrix,
            form,
        }
    }

    fn has_weight_zero_points(&self) -> bool {
        self.weight_zero_points.iter().any(|&zw| zw != 0)
    }
}

/// Brings rows into the form that a kernel prepares them in.
#[derive(Debug)]
struct PrepareStep {
    width: usize,
    row_bytes: usize,
    prepare: Prepare,
    /// The form of the bytes, if their sums are wanted, too.
    sums: Option<Form>,
}

impl Step for PrepareStep {
    fn name(&self) -> String {
        "prepare".into()
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    fn run(
        &self,
        inputs: &[Rows<'_>],
        mut output: RowsMut<'_>,
        per_row: &mut PerRow,
    ) -> Result<()> {
        let input = inputs[0];
        if let Some(form) = self.sums {
            sum_rows(&input, self.width, form, per_row);
        }
        let rows = input.iter::<u8>(self.width).zip(output.iter::<u8>(self.row_bytes));
        for ((row, prepared), constant) in rows.zip(&mut per_row.constants) {
            *constant = (self.prepare)(row, prepared);
        }
        Ok(())
    }
}

/// Finds the sum of each row.
fn sum_rows(rows: &Rows<'_>, width: usize, form: Form, per_row: &mut PerRow) {
    for (row, sum) in rows.iter::<u8>(width).zip(&mut per_row.sums) {
        *sum = row.iter().map(|&byte| i32::from(form.value(byte))).sum();
    }
}

#[derive(Debug)]
struct DenseStep {
    matrix: PackedMatrix,
    /// The form of the input's bytes.
    form: Form,
    constants: Vec<i32>,
    /// For a single row with many zeros.
    skip: Option<SkipZeros>,
    /// For zero points found per row.
    input_zero_columns: Option<Vec<i32>>,
    /// For weights with zero points.
    weight_zero_columns: Option<Vec<i32>>,
    output: StepOutput,
}

#[derive(Debug)]
struct SkipZeros {
    /// The byte that stands for zero, unless it is found per row.
    zero: Option<u8>,
    constants: Vec<i32>,
}

impl Step for DenseStep {
    fn name(&self) -> String {
        format!("dense {}x{}", self.matrix.inputs(), self.matrix.outputs())
    }

    fn row_bytes(&self) -> usize {
        self.output.bytes() * self.matrix.outputs()
    }

    fn products(&self) -> usize {
        self.matrix.inputs() * self.matrix.outputs()
    }

    fn cost(&self) -> usize {
        self.matrix.kernel().cost(self.matrix.inputs(), self.matrix.outputs())
    }

    fn listed(&self) -> usize {
        self.matrix.skippable_groups()
    }

    fn weight_bytes(&self) -> usize {
        self.matrix.bytes()
    }

    fn held_bytes(&self) -> usize {
        self.weight_bytes() + BYTES_PER_OUTPUT * self.matrix.padded_outputs()
    }

    fn split(&self) -> Option<&dyn SplitStep> {
        (self.panels() > 1).then_some(self)
    }

    fn run(&self, inputs: &[Rows<'_>], output: RowsMut<'_>, per_row: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        self.run_all(input, output, per_row);
        Ok(())
    }
}

impl DenseStep {
    /// The outputs of some panels.
    fn outputs_of(&self, panels: &Range<usize>) -> Range<usize> {
        let end = |panels: usize| (panels * self.matrix.panel()).min(self.matrix.outputs());
        end(panels.start)..end(panels.end)
    }
}

impl SplitStep for DenseStep {
    fn panels(&self) -> usize {
        self.matrix.outputs().div_ceil(self.matrix.panel())
    }

    fn bytes_of(&self, panels: Range<usize>) -> Range<usize> {
        let Range { start, end } = self.outputs_of(&panels);
        let bytes = self.output.bytes();
        start * bytes..end * bytes
    }

    fn before(&self, input: &Rows<'_>, per_row: &mut PerRow) {
        if self.weight_zero_columns.is_some() && self.matrix.prepare().is_none() {
            sum_rows(input, self.matrix.inputs(), self.form, per_row);
        }
    }

    fn run_panels(
        &self,
        input: Rows<'_>,
        output: RowsMut<'_>,
        per_row: &PerRow,
        own: &mut Own,
        panels: Range<usize>,
    ) {
        // All arrays per output begin with the first panel's.
        let first = self.outputs_of(&panels).start;
        fn correction<'a>(
            rows: &'a [i32],
            columns: &'a Option<Vec<i32>>,
            first: usize,
        ) -> Option<Correction<'a>> {
            columns.as_ref().map(|columns| Correction { rows, columns: &columns[first..] })
        }
        let inputs = Inputs {
            bytes: input.bytes,
            stride: input.stride,
            rows: input.count,
            row_constants: self.matrix.prepare().map(|_| &per_row.constants[..]),
            corrections: [
                correction(&per_row.zero_points, &self.input_zero_columns, first),
                correction(&per_row.sums, &self.weight_zero_columns, first),
            ],
        };
        let epilogue = self.output.epilogue(first, output, per_row);
        let zero_points = &per_row.zero_points;
        // A scratch that another engine made may have too little room for a list.
        let skips = input.count == 1 && own.list.len() >= self.matrix.skippable_groups();
        let skip = self.skip.as_ref().filter(|_| skips).map(|skip| Skip {
            zero: skip.zero.unwrap_or_else(|| self.form.byte(zero_points[0] as i8)),
            constants: &skip.constants[first..],
            list: &mut own.list,
        });
        self.matrix.run_panels(panels, &self.constants[first..], &inputs, skip, epilogue);
    }
}
