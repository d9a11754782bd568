//! The steps that compute a max-product layer: take the zero point from the inputs, and perhaps
//! sort them, then multiply. A pruned layer does all in one step.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::{MaxProduct, Weights};
use crate::error::Result;
use crate::kernels::Kernel;
use crate::kernels::max::{
    Aggregate, Batch, Bytes, Connections, Joins, PANEL, Packed, Preparation, SAMPLE,
};
use crate::layers::channels::steps::{DynamicQuantizeStep, StepOutput};
use crate::layers::edges::expect_int8;
use crate::layers::{DenseInput, EarlyExit, Place};
use crate::step::{
    BYTES_PER_OUTPUT, Form, Own, PerRow, ProductKind, Rows, RowsMut, SplitStep, Step,
};

impl MaxProduct<'_> {
    /// Adds the layer's steps.
    pub(super) fn add_steps(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let (kernel, width) = (place.kernel, self.inputs);
        let params = expect_int8(&place.input().of).ok();
        let form = match params {
            Some(_) => place.input().form,
            None => Form { flip: 0 },
        };
        if params.is_none() {
            let per_row = self.input_kind() == DenseInput::PerRow;
            steps.push(Box::new(DynamicQuantizeStep { kernel, width, form, per_row }));
        }
        let zero_point = params.map(|params| params.zero_point_i8());
        let source = match &self.weights {
            Weights::Pruned(_) => {
                let of = |n| self.connections(n);
                let connections = Connections::new(width, self.outputs(), self.block(), of);
                Source::Pruned { connections, flip: form.flip, zero_point }
            }
            Weights::All(weights) => {
                let prepared = Preparation {
                    inputs: self.inputs,
                    block: self.block(),
                    blocks: width.div_ceil(self.block()),
                    flip: form.flip,
                    aggregate: self.aggregate,
                    order: place.early_exit != EarlyExit::Never,
                };
                let (outputs, early_exit) = (self.outputs(), place.early_exit);
                let prepare = PrepareStep { kernel, by: prepared, zero_point, outputs, early_exit };
                steps.push(Box::new(prepare));
                let packed = Packed::new(weights, width, self.block(), 2 * kernel.lanes());
                Source::All { packed, prepared }
            }
        };
        let padded = self.outputs().next_multiple_of(2 * kernel.lanes());
        let channels = &self.channels;
        steps.push(Box::new(MaxStep {
            kernel,
            source,
            aggregate: self.aggregate,
            constants: channels.per_output(padded, |n| channels.integer_bias(n)),
            scales: channels.per_output(padded, |n| channels.weight_scale(n)),
            input_scale: params.map(|params| params.scale()),
            log_scale: self.real_log(),
            output: channels.step_output(place.output_form, padded, params),
            outputs: self.outputs(),
        }));
        Ok(())
    }
}

/// Takes the zero point from the inputs, and sorts them where that pays.
#[derive(Debug)]
struct PrepareStep {
    kernel: &'static Kernel,
    by: Preparation,
    /// Unless it is found per row.
    zero_point: Option<i32>,
    outputs: usize,
    early_exit: EarlyExit,
}

impl Step for PrepareStep {
    fn name(&self) -> String {
        "prepare".into()
    }

    fn row_bytes(&self) -> usize {
        4 * self.by.words()
    }

    fn run(
        &self,
        inputs: &[Rows<'_>],
        mut output: RowsMut<'_>,
        per_row: &mut PerRow,
    ) -> Result<()> {
        let input = inputs[0];
        let large = match self.early_exit {
            EarlyExit::Never => 0,
            EarlyExit::Always => SAMPLE,
            EarlyExit::Auto => self.by.large(input.count, self.outputs),
        };
        let rows = input.iter::<u8>(self.by.inputs).zip(output.iter::<i32>(self.by.words()));
        for (row, (bytes, words)) in rows.enumerate() {
            let zero_point = self.zero_point.unwrap_or_else(|| per_row.zero_points[row]);
            (self.kernel.max_prepare)(bytes, zero_point, &self.by, large, words);
        }
        Ok(())
    }
}

/// Multiplies and joins.
#[derive(Debug)]
struct MaxStep {
    kernel: &'static Kernel,
    source: Source,
    aggregate: Aggregate,
    constants: Vec<i32>,
    scales: Vec<f32>,
    /// Unless it is found per row.
    input_scale: Option<f32>,
    log_scale: f32,
    output: StepOutput,
    outputs: usize,
}

/// Weights, and how the rows come that they meet.
#[derive(Debug)]
enum Source {
    /// Prepared rows.
    All { packed: Packed, prepared: Preparation },
    /// Bytes, with their zero point unless it is found per row.
    Pruned { connections: Connections, flip: u8, zero_point: Option<i32> },
}

impl Step for MaxStep {
    fn name(&self) -> String {
        let (name, outputs) = (self.aggregate.name(), self.outputs);
        match &self.source {
            Source::All { packed, .. } => format!("{name} {}x{outputs}", packed.inputs()),
            Source::Pruned { connections, .. } => {
                format!("{name} {}x{outputs} pruned", connections.inputs())
            }
        }
    }

    fn row_bytes(&self) -> usize {
        self.output.bytes() * self.outputs
    }

    fn products(&self) -> usize {
        match &self.source {
            Source::All { packed, .. } => packed.inputs() * packed.outputs(),
            Source::Pruned { connections, .. } => connections.count(),
        }
    }

    fn product_kind(&self) -> ProductKind {
        ProductKind::Maximum
    }

    fn cost(&self) -> usize {
        // Four operations on vectors of 16-bit lanes.
        let products = match &self.source {
            Source::All { packed, .. } => packed.bytes(),
            Source::Pruned { connections, .. } => connections.count(),
        };
        4 * products / (2 * self.kernel.lanes())
    }

    fn room(&self) -> usize {
        match &self.source {
            Source::All { .. } => 0,
            Source::Pruned { connections, .. } => connections.room(2 * self.kernel.lanes()),
        }
    }

    fn weight_bytes(&self) -> usize {
        match &self.source {
            Source::All { packed, .. } => packed.bytes(),
            Source::Pruned { connections, .. } => connections.bytes(),
        }
    }

    fn held_bytes(&self) -> usize {
        self.weight_bytes() + BYTES_PER_OUTPUT * self.outputs
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

impl SplitStep for MaxStep {
    fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    fn bytes_of(&self, panels: Range<usize>) -> Range<usize> {
        let byte = |panel: usize| (panel * PANEL).min(self.outputs) * self.output.bytes();
        byte(panels.start)..byte(panels.end)
    }

    fn run_panels(
        &self,
        input: Rows<'_>,
        output: RowsMut<'_>,
        per_row: &PerRow,
        own: &mut Own,
        panels: Range<usize>,
    ) {
        let joins = Joins {
            aggregate: self.aggregate,
            constants: &self.constants,
            scales: &self.scales,
            log_scale: self.log_scale,
        };
        let Rows { bytes, stride, count: rows } = input;
        let scales = self.input_scale.as_ref().map_or(&per_row.scales[..], core::slice::from_ref);
        let epilogue = self.output.epilogue(panels.start * PANEL, output, per_row);
        own.looked += match &self.source {
            Source::All { packed, prepared } => {
                let (words, stride) = (bytemuck::cast_slice(bytes), stride / 4);
                let batch = Batch { words, prepared, stride, rows, scales };
                (self.kernel.max_products)(packed, &joins, &batch, panels, epilogue)
            }
            Source::Pruned { connections, flip, zero_point } => {
                let each = &per_row.zero_points[..];
                let zero_points = zero_point.as_ref().map_or(each, core::slice::from_ref);
                let batch = Bytes { bytes, stride, rows, flip: *flip, zero_points, scales };
                let room = &mut own.list;
                (self.kernel.max_pruned)(connections, &joins, &batch, room, panels, epilogue)
            }
        };
    }
}
