//! The plan of an engine: which steps a model takes, and between which buffers.
//!
//! ```text
//! for each layer that some output depends on: its steps, from the tensors it takes to its own
//! an output that a layer reads, too, or that is an input: one step more, which copies it
//! for each step: a buffer that is free; those that no later step reads are free after it
//! ```
//! In a row of layers two buffers take turns.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::graph::TensorId;
use crate::kernels::{self, Kernel};
use crate::layers::{Arrival, EarlyExit, Layer, Place, copy};
use crate::limits::Limits;
use crate::model::Model;
use crate::step::{Form, Step, stride};
use crate::tensor::{Element, TensorType};

/// Where rows lie: in a tensor of the caller's, or in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Caller(usize),
    Buffer(usize),
}

/// Rows that a step reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub slot: Slot,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
}

/// A step, and between which rows it stands.
#[derive(Debug)]
pub(super) struct Stage {
    pub step: Box<dyn Step>,
    /// At least one.
    pub from: Vec<Source>,
    pub to: Slot,
    /// Bytes from one row that is written to the next.
    pub stride: usize,
}

/// See the top.
pub(super) struct Plan {
    /// One for each layer.
    pub kernels: Vec<&'static Kernel>,
    pub stages: Vec<Stage>,
    pub buffers: usize,
    /// Bytes that the steps hold, about.
    pub held: u64,
}

/// What is known of a tensor.
struct Known {
    /// The form of its bytes.
    form: Form,
    /// Layers and copies that are still to read it.
    readers: usize,
    /// Which output it is written to as it is made.
    output: Option<usize>,
    /// Where it lies, once it is made.
    source: Option<Source>,
}

impl Plan {
    /// Plans a model; for `kernel`, or for each layer the one that suits it best. What a layer's steps
    /// hold is a few times its weights, so it is enough to look at the limit after each layer.
    pub fn new(
        model: &Model<'_>,
        kernel: Option<&'static Kernel>,
        early_exit: EarlyExit,
        limits: &Limits,
    ) -> Result<Self> {
        let best = |(layer, input, output): (&Layer<'_>, TensorType, TensorType)| match layer {
            Layer::Dense(_) => kernels::best_for(input.width, output.width),
            _ => kernels::best(),
        };
        let kernels: Vec<_> = model.layers().map(|at| kernel.unwrap_or_else(|| best(at))).collect();
        let needed = model.needed(model.outputs());
        let mut known = survey(model, &kernels, &needed);
        let mut plan = Self { kernels, stages: Vec::new(), buffers: 0, held: 0 };
        let mut free = Vec::new();

        for (i, node) in model.nodes().enumerate().filter(|(i, _)| needed[*i]) {
            let arrival = |id: &TensorId| {
                let Known { form, source, .. } = &known[id.index()];
                let tight = matches!(source, Some(Source { slot: Slot::Caller(_), .. }));
                Arrival { of: model.tensor_type(*id), form: *form, tight }
            };
            let place = Place {
                kernel: plan.kernels[i],
                inputs: node.inputs.iter().map(arrival).collect(),
                output_form: known[node.output.index()].form,
                early_exit,
            };
            let mut steps = Vec::new();
            node.layer.compile(&place, &mut steps)?;
            let held = steps.iter().map(|step| step.held_bytes() as u64);
            plan.held = held.fold(plan.held, u64::saturating_add);
            let at = |e: Error| e.at(format!("layer {i} ({})", node.layer.name()));
            let what = "packed weights, with those of the layers before";
            limits.check_memory(Some(plan.held), what).map_err(at)?;
            let output = known[node.output.index()].output;
            plan.chain(steps, node.inputs, output, &mut known, &mut free);
            // What the last step wrote is the layer's tensor.
            let last = plan.stages.last().expect("a layer has a step");
            let (row_bytes, slot) = (last.step.row_bytes(), last.to);
            known[node.output.index()].source =
                Some(Source { slot, stride: stride(row_bytes), row_bytes });
        }
        for (i, &id) in model.outputs().iter().enumerate() {
            if known[id.index()].output.is_none() {
                let of = model.tensor_type(id);
                let flip = match of.element {
                    Element::Int8(params) => {
                        known[id.index()].form.flip ^ Form::of(params.kind()).flip
                    }
                    _ => 0,
                };
                plan.chain(vec![copy(of.row_bytes(), flip)], &[id], Some(i), &mut known, &mut free);
            }
        }
        Ok(plan)
    }

    /// Adds steps of which the first reads these tensors, each other one what the one before it
    /// wrote, and the last writes to an output or a buffer.
    fn chain(
        &mut self,
        steps: Vec<Box<dyn Step>>,
        inputs: &[TensorId],
        output: Option<usize>,
        known: &mut [Known],
        free: &mut Vec<usize>,
    ) {
        let source = |id: &TensorId| known[id.index()].source.expect("it was made before");
        let mut from: Vec<_> = inputs.iter().map(source).collect();
        let last = steps.len() - 1;
        for (i, step) in steps.into_iter().enumerate() {
            let to = match output {
                Some(output) if i == last => Slot::Caller(output),
                _ => Slot::Buffer(free.pop().unwrap_or_else(|| {
                    self.buffers += 1;
                    self.buffers - 1
                })),
            };
            let read = core::mem::take(&mut from);
            let row_bytes = step.row_bytes();
            from.push(Source { slot: to, stride: stride(row_bytes), row_bytes });
            if i > 0 {
                free.extend(buffer(read[0].slot));
            } else {
                for id in inputs {
                    let tensor = &mut known[id.index()];
                    tensor.readers -= 1;
                    if tensor.readers == 0 {
                        free.extend(tensor.source.and_then(|source| buffer(source.slot)));
                    }
                }
            }
            let stride = match to {
                Slot::Buffer(_) => stride(row_bytes),
                Slot::Caller(_) => row_bytes,
            };
            self.stages.push(Stage { step, from: read, to, stride });
        }
    }
}

/// What is to be known of tensors before any is made.
fn survey(model: &Model<'_>, kernels: &[&'static Kernel], needed: &[bool]) -> Vec<Known> {
    let inputs = model.inputs().len();
    let new = |id: TensorId| {
        let of = model.tensor_type(id);
        let (stride, row_bytes) = (of.row_bytes(), of.row_bytes());
        let source = Source { slot: Slot::Caller(id.index()), stride, row_bytes };
        Known {
            // That of callers. Of a tensor between layers it is what the first reader wants.
            form: match of.element {
                Element::Int8(params) => Form::of(params.kind()),
                _ => Form { flip: kernels[0].technique().flip() },
            },
            readers: 0,
            output: None,
            source: (id.index() < inputs).then_some(source),
        }
    };
    let mut known: Vec<Known> = model.tensors().map(new).collect();
    for (i, node) in model.nodes().enumerate().filter(|(i, _)| needed[*i]) {
        for id in node.inputs {
            let tensor = &mut known[id.index()];
            if tensor.readers == 0 && tensor.source.is_none() {
                tensor.form = Form { flip: kernels[i].technique().flip() };
            }
            tensor.readers += 1;
        }
    }
    for (i, id) in model.outputs().iter().enumerate() {
        let tensor = &mut known[id.index()];
        match tensor.readers == 0 && tensor.source.is_none() {
            true => tensor.output = Some(i),
            false => tensor.readers += 1,
        }
    }
    known
}

/// The buffer, if it is one.
fn buffer(slot: Slot) -> Option<usize> {
    match slot {
        Slot::Buffer(i) => Some(i),
        Slot::Caller(_) => None,
    }
}
