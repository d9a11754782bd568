//! What the steps of layers with weights have in common: rows quantized as they arrive, rows
//! copied, and what becomes of the integers of an output.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Bias, Channels, DenseOutput, batch_params, row_params};
use crate::error::Result;
use crate::kernels::requantize::Requantize;
use crate::kernels::sum::Epilogue;
use crate::kernels::{Kernel, Narrow};
use crate::layers::edges::{quantizer, refuse_nan};
use crate::quant::{QuantParams, Rounding, multiplier, select_max, select_min};
use crate::step::{Form, PerRow, Rows, RowsMut, Step, map};

/// What an output's integer becomes, for all outputs.
#[derive(Debug)]
pub(in crate::layers) enum StepOutput {
    Bytes {
        multipliers: Vec<f32>,
        narrow: Narrow,
    },
    /// The integers as they are: a step of its own makes bytes of them.
    Sums,
    Float {
        /// Whether the inputs' scales are found per row, and are not part of these.
        per_row: bool,
        scales: Vec<f32>,
        bias: Option<Vec<f32>>,
        min: f32,
        max: f32,
    },
}

impl Channels<'_> {
    /// What a layer gives in bytes of this form; its arrays are `padded` outputs long. `params` are
    /// those of 8-bit inputs.
    pub fn step_output(
        &self,
        form: Form,
        padded: usize,
        params: Option<QuantParams>,
    ) -> StepOutput {
        match self.output {
            DenseOutput::Int8(output, Rounding::Nearest) => {
                let input = params.expect("validated: 8-bit outputs have 8-bit inputs");
                let by = |n| multiplier(input.scale(), self.weight_scale(n), output.scale());
                let (min, max) = self.bounds(&output, Rounding::Nearest);
                StepOutput::Bytes {
                    multipliers: self.per_output(padded, by),
                    narrow: Narrow::new(output.zero_point_i8(), min, max, form.flip),
                }
            }
            DenseOutput::Int8(..) => StepOutput::Sums,
            DenseOutput::F32 => {
                let input = params.map_or(1.0, |params| params.scale());
                let (min, max) = self.clamp();
                let bias = match &self.bias {
                    Bias::F32(bias) => Some(self.per_output(padded, |n| bias[n])),
                    _ => None,
                };
                let scales = self.per_output(padded, |n| input * self.weight_scale(n));
                StepOutput::Float { per_row: params.is_none(), scales, bias, min, max }
            }
        }
    }

    /// The step that makes bytes of [`StepOutput::Sums`], where those are what a layer gives.
    /// `params` are those of 8-bit inputs.
    pub fn requantize_step(
        &self,
        kernel: &'static Kernel,
        form: Form,
        params: Option<QuantParams>,
    ) -> Option<RequantizeStep> {
        let DenseOutput::Int8(output, rule) = self.output else { return None };
        if rule == Rounding::Nearest {
            return None;
        }
        let input = params.expect("validated: 8-bit outputs have 8-bit inputs");
        let by =
            (0..self.outputs).map(|n| self.requantizer(n, rule, input.scale(), output.scale()));
        let to_byte = Form::of(output.kind()).flip ^ form.flip;
        let by = Requantize::new(by, self.bounds(&output, rule), output.zero_point(), to_byte);
        Some(RequantizeStep { kernel, by })
    }

    /// One value per output, padded with zeros.
    pub fn per_output<T: Clone + Default>(&self, padded: usize, of: impl Fn(usize) -> T) -> Vec<T> {
        let mut values: Vec<T> = (0..self.outputs).map(of).collect();
        values.resize(padded, T::default());
        values
    }
}

impl StepOutput {
    /// Bytes of an output.
    pub fn bytes(&self) -> usize {
        match self {
            StepOutput::Bytes { .. } => 1,
            StepOutput::Sums | StepOutput::Float { .. } => 4,
        }
    }

    /// The epilogue for the outputs from `first` on, into rows that begin with that output.
    pub fn epilogue<'e>(
        &'e self,
        first: usize,
        output: RowsMut<'e>,
        per_row: &'e PerRow,
    ) -> Epilogue<'e> {
        let RowsMut { bytes, stride, width, .. } = output;
        match self {
            StepOutput::Bytes { multipliers, narrow } => Epilogue::Bytes {
                out: bytes,
                stride,
                width,
                multipliers: &multipliers[first..],
                narrow: *narrow,
            },
            StepOutput::Sums => Epilogue::Int {
                out: bytemuck::cast_slice_mut(bytes),
                stride: stride / 4,
                width: width / 4,
            },
            StepOutput::Float { per_row: scaled, scales, bias, min, max } => Epilogue::Float {
                out: bytemuck::cast_slice_mut(bytes),
                stride: stride / 4,
                width: width / 4,
                scales: &scales[first..],
                row_scales: scaled.then_some(&per_row.scales[..]),
                bias: bias.as_deref().map(|bias| &bias[first..]),
                min: *min,
                max: *max,
            },
        }
    }
}

/// Makes 8-bit values of sums, by a rule that epilogues do not have.
#[derive(Debug)]
pub(in crate::layers) struct RequantizeStep {
    kernel: &'static Kernel,
    by: Requantize,
}

impl Step for RequantizeStep {
    fn name(&self) -> String {
        "requantize".into()
    }

    fn row_bytes(&self) -> usize {
        self.by.outputs()
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let width = self.by.outputs();
        for (sums, out) in inputs[0].iter::<i32>(width).zip(output.iter::<u8>(width)) {
            (self.kernel.requantize)(sums, out, &self.by);
        }
        Ok(())
    }
}

/// Copies rows into the form and with the padding that a kernel reads.
#[derive(Debug)]
pub(in crate::layers) struct CopyStep {
    pub width: usize,
    pub row_bytes: usize,
    pub flip: u8,
}

impl Step for CopyStep {
    fn name(&self) -> String {
        "copy".into()
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        map(&input, &mut output, self.width, |byte: u8| byte ^ self.flip);
        Ok(())
    }
}

/// Finds scales and zero points, and quantizes with them.
#[derive(Debug)]
pub(in crate::layers) struct DynamicQuantizeStep {
    pub kernel: &'static Kernel,
    pub width: usize,
    pub form: Form,
    pub per_row: bool,
}

impl Step for DynamicQuantizeStep {
    fn name(&self) -> String {
        "quantize by range".into()
    }

    fn row_bytes(&self) -> usize {
        self.width
    }

    fn whole_batch(&self) -> bool {
        !self.per_row
    }

    fn run(
        &self,
        inputs: &[Rows<'_>],
        mut output: RowsMut<'_>,
        per_row: &mut PerRow,
    ) -> Result<()> {
        let input = inputs[0];
        // Of equal ones the first, as within a row: zeros have signs.
        let join = |a: (f32, f32), b: (f32, f32)| (select_min(b.0, a.0), select_max(b.1, a.1));
        let first = per_row.first;
        let batch = match self.per_row {
            true => None,
            false => input.iter::<f32>(self.width).map(self.kernel.range).reduce(join),
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
                None => row_params(first + row, (self.kernel.range)(real)).or_else(|error| {
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
