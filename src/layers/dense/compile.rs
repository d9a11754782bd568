//! The steps that compute a dense layer: bring the inputs into the form the kernel reads, if they
//! are not in it, and multiply.

use super::{Bias, Dense, DenseInput, DenseOutput, batch_params, range, row_params};
use crate::error::Result;
use crate::kernels::sum::{Correction, Epilogue, Inputs};
use crate::kernels::{Kernel, Narrow};
use crate::layers::Place;
use crate::layers::edges::{expect_int8, quantizer, refuse_nan};
use crate::pack::PackedMatrix;
use crate::quant::{QuantParams, Rounding, multiplier, select_max, select_min};
use crate::step::{Form, PerRow, Rows, RowsMut, Step, crowded, map};

impl Dense<'_> {
    /// Adds the layer's steps.
    pub(super) fn add_steps(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let matrix = PackedMatrix::new(place.kernel, &self.weights, self.outputs, self.inputs)?;
        let form = Form { flip: place.kernel.technique().flip() };
        let row_bytes = matrix.row_bytes();
        let params = expect_int8(&place.input).ok();
        match params {
            None => steps.push(Box::new(DynamicQuantizeStep {
                kernel: place.kernel,
                width: self.inputs,
                row_bytes,
                form,
                per_row: self.input == DenseInput::PerRow,
            })),
            Some(_)
                if place.input_form != form
                    || (place.tight && (row_bytes != self.inputs || crowded(row_bytes))) =>
            {
                let flip = place.input_form.flip ^ form.flip;
                steps.push(Box::new(CopyStep { width: self.inputs, row_bytes, flip }));
            }
            Some(_) => {}
        }
        steps.push(Box::new(self.step(place, matrix, form, params)));
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
        let constant = |n: usize| {
            let bias = match &self.bias {
                Bias::I32(bias) => i64::from(bias[n]),
                _ => 0,
            };
            match params {
                Some(params) => bias - i64::from(params.zero_point_i8()) * self.weight_sum(n),
                None => bias,
            }
        };
        // Columns wrap around, as sums do.
        let input_zero = |n: usize| -self.weight_sum(n) as i32;
        let weight_zero = |n: usize| -i32::from(self.weight_zero_point(n));
        let has_zero_points = self.weight_zero_points.iter().any(|&zw| zw != 0);
        DenseStep {
            constants: matrix.constants((0..self.outputs).map(constant)),
            input_zero_columns: params.is_none().then(|| self.per_output(padded, input_zero)),
            weight_zero_columns: has_zero_points.then(|| self.per_output(padded, weight_zero)),
            output: self.step_output(place, padded, params),
            matrix,
            form,
        }
    }

    fn step_output(&self, place: &Place, padded: usize, params: Option<QuantParams>) -> StepOutput {
        match self.output {
            DenseOutput::Int8(output, Rounding::Nearest) => {
                let input = params.expect("validated: 8-bit outputs have 8-bit inputs");
                let by = |n| multiplier(input.scale(), self.weight_scale(n), output.scale());
                let (min, max) = self.bounds(&output);
                StepOutput::Bytes {
                    multipliers: self.per_output(padded, by),
                    narrow: Narrow::new(output.zero_point_i8(), min, max, place.output_form.flip),
                }
            }
            DenseOutput::F32 => {
                let input = params.map_or(1.0, |params| params.scale());
                let (min, max) = self.activation.clamp().expect("validated: a clamp");
                let bias = match &self.bias {
                    Bias::F32(bias) => Some(self.per_output(padded, |n| bias[n])),
                    _ => None,
                };
                let scales = self.per_output(padded, |n| input * self.weight_scale(n));
                StepOutput::Float { scales, bias, min, max }
            }
        }
    }

    /// One value per output, padded with zeros.
    fn per_output<T: Clone + Default>(&self, padded: usize, of: impl Fn(usize) -> T) -> Vec<T> {
        let mut values: Vec<T> = (0..self.outputs).map(of).collect();
        values.resize(padded, T::default());
        values
    }
}

/// Copies rows into the form and with the padding that a kernel reads.
#[derive(Debug)]
struct CopyStep {
    width: usize,
    row_bytes: usize,
    flip: u8,
}

impl Step for CopyStep {
    fn name(&self) -> String {
        "copy".into()
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    fn run(&self, input: Rows<'_>, mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        map(&input, &mut output, self.width, |byte: u8| byte ^ self.flip);
        Ok(())
    }
}

/// Finds scales and zero points, and quantizes with them.
#[derive(Debug)]
struct DynamicQuantizeStep {
    kernel: &'static Kernel,
    width: usize,
    row_bytes: usize,
    form: Form,
    per_row: bool,
}

impl Step for DynamicQuantizeStep {
    fn name(&self) -> String {
        "quantize by range".into()
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    fn whole_batch(&self) -> bool {
        !self.per_row
    }

    fn run(&self, input: Rows<'_>, mut output: RowsMut<'_>, per_row: &mut PerRow) -> Result<()> {
        // Of equal ones the first, as within a row: zeros have signs.
        let join = |a: (f32, f32), b: (f32, f32)| (select_min(b.0, a.0), select_max(b.1, a.1));
        let first = per_row.first;
        let batch = match self.per_row {
            true => None,
            false => input.iter::<f32>(self.width).map(range).reduce(join),
        };
        let batch = batch.map(batch_params).transpose().or_else(|error| {
            let mut rows = input.iter::<f32>(self.width).enumerate();
            rows.try_for_each(|(row, real)| refuse_nan(first + row, real))?;
            Err(error)
        })?;
        let rows = input.iter::<f32>(self.width).zip(output.iter::<u8>(self.width));
        for (row, (real, bytes)) in rows.enumerate() {
            let (scale, zero_point) = match batch {
                Some(params) => params,
                None => row_params(first + row, range(real)).or_else(|error| {
                    refuse_nan(first + row, real)?;
                    Err(error)
                })?,
            };
            (per_row.scales[row], per_row.zero_points[row]) = (scale, zero_point);
            let by = quantizer(scale, zero_point, self.form);
            if (self.kernel.quantize)(real, bytes, &by) {
                refuse_nan(first + row, real)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct DenseStep {
    matrix: PackedMatrix,
    /// The form of the input's bytes.
    form: Form,
    constants: Vec<i32>,
    /// For zero points found per row.
    input_zero_columns: Option<Vec<i32>>,
    /// For weights with zero points.
    weight_zero_columns: Option<Vec<i32>>,
    output: StepOutput,
}

#[derive(Debug)]
enum StepOutput {
    Bytes { multipliers: Vec<f32>, narrow: Narrow },
    Float { scales: Vec<f32>, bias: Option<Vec<f32>>, min: f32, max: f32 },
}

impl Step for DenseStep {
    fn name(&self) -> String {
        format!("dense {}x{}", self.matrix.inputs(), self.matrix.outputs())
    }

    fn row_bytes(&self) -> usize {
        match self.output {
            StepOutput::Bytes { .. } => self.matrix.outputs(),
            StepOutput::Float { .. } => 4 * self.matrix.outputs(),
        }
    }

    fn products(&self) -> usize {
        self.matrix.inputs() * self.matrix.outputs()
    }

    fn weight_bytes(&self) -> usize {
        self.matrix.bytes()
    }

    fn run(&self, input: Rows<'_>, output: RowsMut<'_>, per_row: &mut PerRow) -> Result<()> {
        if self.weight_zero_columns.is_some() {
            let rows = input.iter::<u8>(self.matrix.inputs());
            for (row, sum) in rows.zip(&mut per_row.sums) {
                *sum = row.iter().map(|&byte| i32::from(self.form.value(byte))).sum();
            }
        }
        fn correction<'a>(
            rows: &'a [i32],
            columns: &'a Option<Vec<i32>>,
        ) -> Option<Correction<'a>> {
            columns.as_ref().map(|columns| Correction { rows, columns })
        }
        let inputs = Inputs {
            bytes: input.bytes,
            stride: input.stride,
            rows: input.count,
            corrections: [
                correction(&per_row.zero_points, &self.input_zero_columns),
                correction(&per_row.sums, &self.weight_zero_columns),
            ],
        };
        let RowsMut { bytes, stride, width, .. } = output;
        let epilogue = match &self.output {
            StepOutput::Bytes { multipliers, narrow } => {
                Epilogue::Bytes { out: bytes, stride, width, multipliers, narrow: *narrow }
            }
            StepOutput::Float { scales, bias, min, max } => Epilogue::Float {
                out: bytemuck::cast_slice_mut(bytes),
                stride: stride / 4,
                width: width / 4,
                scales,
                row_scales: self.input_zero_columns.as_ref().map(|_| &per_row.scales[..]),
                bias: bias.as_deref(),
                min: *min,
                max: *max,
            },
        };
        self.matrix.run(&self.constants, &inputs, epilogue);
        Ok(())
    }
}
