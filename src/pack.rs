//! Packed weights: a matrix in the order one kernel reads it.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};
use crate::kernels::pack::Matrix;
use crate::kernels::sum::{Epilogue, Inputs, Skip, Weights};
use crate::kernels::{GROUP, Kernel, Lanes, Loops, Prepare};

/// How a weight matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[out][in]`: the inputs of an output lie together, as PyTorch has it.
    OutIn,
    /// `[in][out]`: the outputs of an input lie together, as Keras has it.
    InOut,
}

impl WeightLayout {
    /// The matrix as `[out][in]`, transposed if need be.
    ///
    /// # Errors
    /// `weights` must hold `outputs * inputs` elements.
    pub fn to_out_in<'a, T: Copy>(
        self,
        weights: impl Into<Cow<'a, [T]>>,
        outputs: usize,
        inputs: usize,
    ) -> Result<Cow<'a, [T]>>
    where
        [T]: ToOwned<Owned = Vec<T>>,
    {
        let weights = weights.into();
        if outputs.checked_mul(inputs) != Some(weights.len()) {
            return Err(Error::model(format!(
                "{} weights do not make a matrix of {outputs} outputs and {inputs} inputs",
                weights.len()
            )));
        }
        Ok(match self {
            WeightLayout::OutIn => weights,
            WeightLayout::InOut => {
                let column = |n| weights.iter().skip(n).step_by(outputs.max(1)).copied();
                (0..outputs).flat_map(column).collect::<Vec<T>>().into()
            }
        })
    }
}

/// A cache line, so that a vector of them is aligned to 64 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// Zeroed, 64-byte-aligned memory for `bytes` bytes, rounded up to whole lines. It comes zeroed from
/// the system: what is never touched takes no memory.
pub(crate) fn aligned(bytes: usize) -> Vec<Line> {
    bytemuck::zeroed_vec(bytes.div_ceil(64))
}

/// The same, if the system has so much memory.
pub(crate) fn try_aligned(bytes: usize) -> Option<Vec<Line>> {
    bytemuck::try_zeroed_vec(bytes.div_ceil(64)).ok()
}

/// An int8 weight matrix packed for one kernel, which it carries along so that it cannot meet
/// another.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    kernel: &'static Kernel,
    lanes: Lanes,
    packed: Vec<Line>,
    packed_bytes: usize,
    inputs: usize,
    outputs: usize,
    /// One per output, padded: the sum of its weights, and what the technique's products lack.
    weight_sums: Vec<i32>,
    corrections: Vec<i32>,
}

impl PackedMatrix {
    /// Packs `weights`, `[outputs][inputs]`.
    ///
    /// # Errors
    /// `weights` must hold `outputs * inputs` elements, at least one.
    pub fn new(
        kernel: &'static Kernel,
        weights: &[i8],
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let weights = WeightLayout::OutIn.to_out_in(weights, outputs, inputs)?;
        if weights.is_empty() {
            return Err(Error::model("a weight matrix without elements"));
        }
        let (lanes, _) = kernel.lanes_for(inputs, outputs);
        let padded = outputs.next_multiple_of(kernel.lanes());
        let Loops { technique, weight_bytes, .. } = *kernel.loops(lanes);
        let groups = inputs.div_ceil(GROUP);
        let vectors = match lanes {
            Lanes::Outputs => padded / kernel.lanes() * groups,
            Lanes::Inputs => outputs * groups.div_ceil(kernel.lanes()),
        };
        let packed_bytes = vectors * weight_bytes;
        let mut packed = Vec::with_capacity(packed_bytes.div_ceil(64));
        let mut weight_sums = vec![0; padded];
        let matrix = Matrix { weights: &weights, inputs };
        match lanes {
            Lanes::Outputs => {
                // By way of a panel that stays in the cache: large memory that must come zeroed
                // would be written twice.
                let vector_bytes = groups * weight_bytes;
                let mut lines = aligned(kernel.vectors() * vector_bytes);
                let panel = kernel.vectors() * kernel.lanes();
                for (i, sums) in weight_sums.chunks_mut(panel).enumerate() {
                    let bytes = sums.len() / kernel.lanes() * vector_bytes;
                    let to = &mut bytemuck::cast_slice_mut(&mut lines)[..bytes];
                    (kernel.pack_by_outputs)(matrix, i * panel, to, sums);
                    packed.extend_from_slice(&lines[..bytes.div_ceil(64)]);
                }
            }
            Lanes::Inputs => {
                packed.extend(aligned(packed_bytes));
                let bytes = &mut bytemuck::cast_slice_mut(&mut packed)[..packed_bytes];
                (kernel.pack_by_inputs)(matrix, bytes);
                for (sum, row) in weight_sums.iter_mut().zip(weights.chunks_exact(inputs)) {
                    *sum = row.iter().fold(0, |sum, &w| sum.wrapping_add(w.into()));
                }
            }
        }
        let rows = weights.chunks_exact(inputs);
        let of_row = |(&sum, row): (&i32, &[i8])| technique.correction(sum, row);
        let mut corrections: Vec<i32> = weight_sums.iter().zip(rows).map(of_row).collect();
        corrections.resize(padded, 0);
        Ok(Self { kernel, lanes, packed, packed_bytes, inputs, outputs, weight_sums, corrections })
    }

    /// The kernel it was packed for.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// K: inputs of each output.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// N: outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        self.packed_bytes
    }

    /// Outputs rounded up to whole vectors: the length of all arrays per output.
    pub(crate) fn padded_outputs(&self) -> usize {
        self.corrections.len()
    }

    /// The sum of the weights of each output, padded.
    pub(crate) fn weight_sums(&self) -> &[i32] {
        &self.weight_sums
    }

    /// Bytes that the kernel reads of each input row, prepared if they must be.
    pub(crate) fn row_bytes(&self) -> usize {
        match self.lanes {
            // Whole cache lines, so that preparing need not end within one.
            Lanes::Outputs if self.prepare().is_some() => {
                (self.groups() * self.kernel.group_bytes).next_multiple_of(64)
            }
            Lanes::Outputs => self.groups() * GROUP,
            Lanes::Inputs => self.inputs,
        }
    }

    /// Groups of inputs that a row may pass over if they are zeros; none where it cannot.
    pub(crate) fn skippable_groups(&self) -> usize {
        match self.lanes {
            Lanes::Outputs => self.groups(),
            Lanes::Inputs => 0,
        }
    }

    fn groups(&self) -> usize {
        self.inputs.div_ceil(GROUP)
    }

    /// How rows are prepared, if they must be: into [`PackedMatrix::row_bytes`].
    pub(crate) fn prepare(&self) -> Option<Prepare> {
        self.kernel.prepare.filter(|_| self.lanes == Lanes::Outputs)
    }

    /// `constants` per output with the technique's corrections added, padded.
    pub(crate) fn constants(&self, constants: impl IntoIterator<Item = i32>) -> Vec<i32> {
        let mut padded = self.corrections.clone();
        for (padded, constant) in padded.iter_mut().zip(constants) {
            *padded = padded.wrapping_add(constant);
        }
        padded
    }

    /// Outputs of a panel: what is computed together.
    pub(crate) fn panel(&self) -> usize {
        match self.lanes {
            Lanes::Outputs => self.kernel.vectors() * self.kernel.lanes(),
            Lanes::Inputs => self.outputs,
        }
    }

    /// Runs the kernel on all panels; see [`PackedMatrix::run_panels`].
    pub(crate) fn run(
        &self,
        constants: &[i32],
        inputs: &Inputs<'_>,
        skip: Option<Skip<'_>>,
        epilogue: Epilogue<'_>,
    ) {
        self.run_panels(0..self.outputs.div_ceil(self.panel()), constants, inputs, skip, epilogue);
    }

    /// Runs the kernel on some panels. All arrays per output begin with the first panel's, and so do
    /// the output rows. Only a single row is ever looked at for zeros to skip.
    pub(crate) fn run_panels(
        &self,
        panels: Range<usize>,
        constants: &[i32],
        inputs: &Inputs<'_>,
        skip: Option<Skip<'_>>,
        epilogue: Epilogue<'_>,
    ) {
        let packed: &[u8] = &bytemuck::cast_slice(&self.packed)[..self.packed_bytes];
        let panel = self.panel();
        let outputs = panels.start * panel..self.outputs.min(panels.end * panel);
        let vectors = outputs.len().div_ceil(self.kernel.lanes());
        let constants = &constants[..vectors * self.kernel.lanes()];
        let packed = match self.lanes {
            Lanes::Inputs => packed,
            Lanes::Outputs => {
                let vector_bytes = self.groups() * self.kernel.loops(self.lanes).weight_bytes;
                let first = panels.start * self.kernel.vectors();
                &packed[first * vector_bytes..(first + vectors) * vector_bytes]
            }
        };
        let weights = Weights { packed, inputs: self.inputs, outputs: outputs.len(), constants };
        match self.lanes {
            Lanes::Outputs => (self.kernel.sum_by_outputs)(&weights, inputs, skip, epilogue),
            Lanes::Inputs => (self.kernel.sum_by_inputs)(&weights, inputs, epilogue),
        }
    }

    /// The exact sums `x * w`: GEMM, or GEMV for one row. `x` is `[rows][inputs]`, `out`
    /// `[rows][outputs]`. Sums that leave `i32` wrap around.
    ///
    /// This allocates a copy of `x`; an [`Engine`](crate::Engine) does not.
    ///
    /// # Errors
    /// The lengths must be multiples of the row lengths, for the same number of rows.
    pub fn matmul(&self, x: &[i8], out: &mut [i32]) -> Result<()> {
        let rows = x.len() / self.inputs;
        if x.len() != rows * self.inputs || out.len() != rows * self.outputs {
            return Err(Error::input(format!(
                "{} inputs and {} outputs are no batch of rows of {} and {}",
                x.len(),
                out.len(),
                self.inputs,
                self.outputs
            )));
        }
        let flip = self.kernel.technique().flip();
        let x: Vec<u8> = x.iter().map(|&x| x as u8 ^ flip).collect();
        let stride = self.row_bytes().max(1);
        let mut bytes = vec![0; rows * stride];
        let mut row_constants = vec![0; rows];
        let to = bytes.chunks_exact_mut(stride).zip(&mut row_constants);
        for ((bytes, constant), x) in to.zip(x.chunks_exact(self.inputs)) {
            match self.prepare() {
                Some(prepare) => *constant = prepare(x, bytes),
                None => bytes[..x.len()].copy_from_slice(x),
            }
        }
        let row_constants = self.prepare().map(|_| &row_constants[..]);
        let inputs = Inputs { bytes: &bytes, stride, rows, row_constants, corrections: [None; 2] };
        self.run(
            &self.corrections,
            &inputs,
            None,
            Epilogue::Int { out, stride: self.outputs, width: self.outputs },
        );
        Ok(())
    }
}
