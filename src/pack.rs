//! Packed weights: a matrix in the order one kernel reads it.

use std::borrow::Cow;

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};
use crate::kernels::sum::{Epilogue, Inputs, Panels};
use crate::kernels::{GROUP, Kernel};

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

/// An int8 weight matrix packed for one kernel, which it carries along so that it cannot meet
/// another.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    kernel: &'static Kernel,
    packed: Vec<Line>,
    packed_bytes: usize,
    inputs: usize,
    outputs: usize,
    /// One per padded output: what the technique's products lack.
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
        let (lanes, groups) = (kernel.lanes(), inputs.div_ceil(GROUP));
        let padded = outputs.next_multiple_of(lanes);
        let packed_bytes = padded / lanes * groups * kernel.weight_bytes();
        let mut packed = aligned(packed_bytes);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut packed);
        let mut vector_bytes = bytes[..packed_bytes].chunks_exact_mut(kernel.weight_bytes());
        let panel = kernel.vectors() * lanes;
        let mut vector = vec![[0; GROUP]; lanes];
        for first in (0..padded).step_by(panel) {
            let last = padded.min(first + panel);
            let rows: Vec<_> = (first..last).map(|n| Row::new(&weights, inputs, n)).collect();
            for group in 0..groups {
                for rows in rows.chunks_exact(lanes) {
                    for (to, row) in vector.iter_mut().zip(rows) {
                        *to = row.group(group);
                    }
                    let to = vector_bytes.next().expect("as many as were counted");
                    kernel.pack(&vector, to);
                }
            }
        }
        let mut corrections: Vec<i32> = weights
            .chunks_exact(inputs)
            .map(|row| kernel.technique().correction(row) as i32) // sums wrap around
            .collect();
        corrections.resize(padded, 0);
        Ok(Self { kernel, packed, packed_bytes, inputs, outputs, corrections })
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

    /// Bytes that the kernel reads of each input row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.inputs.next_multiple_of(GROUP)
    }

    /// `constants` per output with the technique's corrections added, padded.
    pub(crate) fn constants(&self, constants: impl IntoIterator<Item = i64>) -> Vec<i32> {
        let mut padded = self.corrections.clone();
        for (padded, constant) in padded.iter_mut().zip(constants) {
            *padded = padded.wrapping_add(constant as i32);
        }
        padded
    }

    /// Runs the kernel.
    pub(crate) fn run(&self, constants: &[i32], inputs: &Inputs<'_>, epilogue: Epilogue<'_>) {
        let packed = &bytemuck::cast_slice(&self.packed)[..self.packed_bytes];
        let groups = self.inputs.div_ceil(GROUP);
        (self.kernel.sum)(&Panels { packed, groups, constants }, inputs, epilogue);
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
        let stride = self.row_bytes();
        let mut bytes = vec![0; rows * stride];
        for (row, x) in bytes.chunks_exact_mut(stride).zip(x.chunks_exact(self.inputs)) {
            for (byte, &x) in row.iter_mut().zip(x) {
                *byte = x as u8 ^ self.kernel.technique().flip();
            }
        }
        let inputs = Inputs { bytes: &bytes, stride, rows, corrections: [None; 2] };
        self.run(&self.corrections, &inputs, Epilogue::Int { out, width: self.outputs });
        Ok(())
    }
}

/// The weights of one output, in groups.
struct Row<'a> {
    whole: &'a [[i8; GROUP]],
    /// What follows the whole groups, filled up with zeros.
    last: [i8; GROUP],
}

impl<'a> Row<'a> {
    /// A row of zeros where the matrix has no such output.
    fn new(weights: &'a [i8], inputs: usize, output: usize) -> Self {
        let row = weights.chunks_exact(inputs).nth(output).unwrap_or_default();
        let (whole, rest) = row.as_chunks();
        let mut last = [0; GROUP];
        last[..rest.len()].copy_from_slice(rest);
        Self { whole, last }
    }

    fn group(&self, group: usize) -> [i8; GROUP] {
        *self.whole.get(group).unwrap_or(&self.last)
    }
}
