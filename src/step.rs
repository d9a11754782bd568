//! Steps: what an engine executes, each from buffers of rows into another.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Result;
use crate::quant::Int8;

/// How bytes in a buffer stand for `i8` values. Kernels differ in what they want to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// What is xor-ed onto the `i8` value: 0, or 0x80, which makes it a `u8` greater by 128.
    pub flip: u8,
}

impl Form {
    /// How callers see values of this type.
    pub(crate) fn of(kind: Int8) -> Self {
        Self { flip: (kind.shift() & 0xFF) as u8 }
    }

    /// The value that a byte stands for.
    pub(crate) fn value(self, byte: u8) -> i8 {
        (byte ^ self.flip) as i8
    }

    /// The byte for a value.
    pub(crate) fn byte(self, value: i8) -> u8 {
        value as u8 ^ self.flip
    }
}

/// Rows of a batch, as bytes: of 8-bit values, or of 32-bit ones, then aligned for them.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// The rows, each cut to `width` elements.
    pub(crate) fn iter<T: bytemuck::Pod>(&self, width: usize) -> impl Iterator<Item = &'a [T]> {
        let values: &[T] = bytemuck::cast_slice(self.bytes);
        values.chunks(self.stride / size_of::<T>()).take(self.count).map(move |row| &row[..width])
    }
}

/// Rows to be written.
pub(crate) struct RowsMut<'a> {
    pub bytes: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Bytes of a row that may be written.
    pub width: usize,
    pub count: usize,
}

impl RowsMut<'_> {
    /// The same rows, to be written more than once.
    pub(crate) fn reborrow(&mut self) -> RowsMut<'_> {
        RowsMut { bytes: self.bytes, ..*self }
    }

    /// The rows, each cut to `width` elements.
    pub(crate) fn iter<T: bytemuck::Pod>(
        &mut self,
        width: usize,
    ) -> impl Iterator<Item = &mut [T]> {
        let values: &mut [T] = bytemuck::cast_slice_mut(self.bytes);
        let rows = values.chunks_mut(self.stride / size_of::<T>());
        rows.take(self.count).map(move |row| &mut row[..width])
    }
}

/// The distance of rows between steps: whole cache lines, so that a kernel may read and write a
/// little past a row's end, and never one at which rows crowd the cache.
pub(crate) fn stride(row_bytes: usize) -> usize {
    let stride = row_bytes.next_multiple_of(64);
    if crowded(stride) { stride + 64 } else { stride }
}

/// Whether the rows of a tile, at this distance, fall on so few sets of a first-level cache that
/// they push each other out.
pub(crate) fn crowded(stride: usize) -> bool {
    stride.is_multiple_of(2048)
}

/// Computes each element of the output from the one in its place of the input.
pub(crate) fn map<T: bytemuck::Pod, U: bytemuck::Pod>(
    input: &Rows<'_>,
    output: &mut RowsMut<'_>,
    width: usize,
    f: impl Fn(T) -> U,
) {
    for (input, output) in input.iter::<T>(width).zip(output.iter::<U>(width)) {
        for (&input, output) in input.iter().zip(output) {
            *output = f(input);
        }
    }
}

/// Bytes that a step with weights holds for each output, at most: constants, scales, corrections.
pub(crate) const BYTES_PER_OUTPUT: usize = 48;

/// One number per row, for what belongs to whole rows.
#[derive(Debug, Default)]
pub(crate) struct PerRow {
    /// Where in the caller's batch the first row stands.
    pub first: usize,
    /// Scales found by dynamic quantization.
    pub scales: Vec<f32>,
    /// Zero points found by dynamic quantization, as `i8`.
    pub zero_points: Vec<i32>,
    /// Sums of `i8` inputs.
    pub sums: Vec<i32>,
    /// What preparing rows found is missing in their sums.
    pub constants: Vec<i32>,
    /// Not per row.
    pub own: Own,
}

/// What each thread has for itself.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Room for what [`Step::listed`] and [`Step::room`] ask for.
    pub list: Vec<u32>,
    /// How many products of max-product layers have been looked at.
    pub looked: u64,
}

/// What becomes of a step's products: which instructions they take, and so which limit they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProductKind {
    /// Sums of integers.
    Sum,
    /// Integers that meet by a maximum.
    Maximum,
    /// Sums of real numbers; and their maxima, which take no less.
    Float,
}

/// One piece of a compiled network.
pub(crate) trait Step: Send + Sync + core::fmt::Debug {
    /// What it does, for those who look where time goes: `dense 784x256`.
    fn name(&self) -> String;

    /// Bytes of an output row.
    fn row_bytes(&self) -> usize;

    /// Whether all rows of a batch must be there at once.
    fn whole_batch(&self) -> bool {
        false
    }

    /// Multiplications per row.
    fn products(&self) -> usize {
        0
    }

    /// What becomes of the products.
    fn product_kind(&self) -> ProductKind {
        ProductKind::Sum
    }

    /// Operations on vectors that they take per row, for deciding whether threads pay.
    fn cost(&self) -> usize {
        0
    }

    /// How many numbers the step may want to list; it can do with less room.
    fn listed(&self) -> usize {
        0
    }

    /// How many words of memory of its own the step must have, in the list's place.
    fn room(&self) -> usize {
        0
    }

    /// Bytes that a run reads once, however many rows there are.
    fn weight_bytes(&self) -> usize {
        0
    }

    /// Bytes of memory that the step holds, give or take what every step has.
    fn held_bytes(&self) -> usize {
        self.weight_bytes()
    }

    /// The step as one that several threads can share, if they can.
    fn split(&self) -> Option<&dyn SplitStep> {
        None
    }

    /// Computes the rows from those of each input. `per_row` has room for as many rows as there are.
    ///
    /// # Errors
    /// What is wrong with a row names its place in the caller's batch.
    fn run(&self, inputs: &[Rows<'_>], output: RowsMut<'_>, per_row: &mut PerRow) -> Result<()>;
}

/// A step of one input whose outputs can be computed some here, some there: they come in panels.
pub(crate) trait SplitStep: Sync {
    /// How many panels there are, at least one.
    fn panels(&self) -> usize;

    /// Where the outputs of some panels lie in an output row.
    fn bytes_of(&self, panels: Range<usize>) -> Range<usize>;

    /// What must be done once before panels are computed.
    fn before(&self, input: &Rows<'_>, per_row: &mut PerRow) {
        let _ = (input, per_row);
    }

    /// Computes the outputs of some panels of all rows, and puts them at the beginning of the output
    /// rows. `own` is the thread's.
    fn run_panels(
        &self,
        input: Rows<'_>,
        output: RowsMut<'_>,
        per_row: &PerRow,
        own: &mut Own,
        panels: Range<usize>,
    );

    /// Computes all panels: what [`Step::run`] does.
    fn run_all(&self, input: Rows<'_>, output: RowsMut<'_>, per_row: &mut PerRow) {
        self.before(&input, per_row);
        let mut own = core::mem::take(&mut per_row.own);
        self.run_panels(input, output, per_row, &mut own, 0..self.panels());
        per_row.own = own;
    }
}
