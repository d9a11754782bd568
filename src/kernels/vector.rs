//! The two traits that kernels are written over. An ISA file implements them; the loops in
//! `sum.rs` and `edges.rs` are written once.

use super::{GROUP, Technique};

/// The vector operations of an instruction set. A value of the type is the proof that this CPU
/// has the instructions: only [`Vector::detect`] makes one.
pub(crate) trait Vector: Copy {
    /// Elements of 32 bits in a vector.
    const LANES: usize;

    /// `LANES` `i32`.
    type Int: Copy;
    /// `LANES` `f32`.
    type Float: Copy;
    /// `4 * LANES` bytes.
    type Bytes: Copy;

    /// The CPU features that [`Vector::detect`] looks for, as Rust names them, for listings.
    const NEEDS: &'static [&'static str] = &[];

    /// Whether this CPU can.
    fn detect() -> Option<Self>;

    /// Runs `op` compiled for this instruction set.
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output;

    /// Asks for the cache line at `at`, which need not be ours. Changes nothing but time.
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        let _ = at;
    }

    fn int(self, value: i32) -> Self::Int;
    fn load_int(self, values: &[i32]) -> Self::Int;
    /// Stores as many lanes as there is room for.
    fn store_int(self, values: Self::Int, to: &mut [i32]);
    /// Wraps around.
    fn add(self, a: Self::Int, b: Self::Int) -> Self::Int;
    /// The low halves of the products.
    fn mul(self, a: Self::Int, b: Self::Int) -> Self::Int;

    fn float(self, value: f32) -> Self::Float;
    fn load_float(self, values: &[f32]) -> Self::Float;
    /// Stores as many lanes as there is room for.
    fn store_float(self, values: Self::Float, to: &mut [f32]);
    fn add_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn mul_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn div_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a > b ? a : b`, also for NaN and zeros.
    fn max_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a < b ? a : b`, also for NaN and zeros.
    fn min_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// Whether any lane is NaN.
    fn any_nan(self, a: Self::Float) -> bool;
    /// Rounded to nearest even.
    fn to_float(self, a: Self::Int) -> Self::Float;
    /// Rounded half to even. What is beyond 16 bits stays beyond them, on its side; NaN goes
    /// below.
    fn round(self, a: Self::Float) -> Self::Int;

    /// Four vectors as bytes.
    fn narrow(self, values: [Self::Int; 4], by: &Narrow) -> Self::Bytes;
    /// Stores the bytes of one of the four vectors, as many as there is room for.
    fn store_quarter(self, bytes: Self::Bytes, quarter: usize, to: &mut [u8]);
    /// Stores the bytes of the first or the last two vectors.
    fn store_half(self, bytes: Self::Bytes, half: usize, to: &mut [u8]);
}

/// How integers become bytes: add the zero point, clamp, flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// Of `u8`.
    pub zero_point: u8,
    /// Bounds of the `u8`; `min <= max`.
    pub min: u8,
    pub max: u8,
    /// What is xor-ed onto the `u8` at last: 0, or 0x80 for `i8`.
    pub flip: u8,
}

impl Narrow {
    /// For a quantization whose `i8` form has this zero point, for values clamped to `min..=max`
    /// before the zero point is added; into bytes that are `i8` values xor-ed with `form`.
    pub(crate) fn new(zero_point: i32, min: i32, max: i32, form: u8) -> Self {
        let byte = |value: i32| (value + zero_point + 128).clamp(0, 255) as u8;
        Self { zero_point: byte(0), min: byte(min), max: byte(max), flip: form ^ 0x80 }
    }
}

/// A piece of work compiled once per instruction set, by [`Vector::vectorize`].
pub(crate) trait Op<V> {
    type Output;

    /// Must be `#[inline(always)]`, and so must all it calls.
    fn run(self, vector: V) -> Self::Output;
}

/// A technique for exact products on an instruction set, and the tile that suits it: what makes
/// a kernel.
pub(crate) trait Product: Copy {
    type Vector: Vector;

    /// As users name it: architecture, instruction set, technique.
    const NAME: &'static str;
    const TECHNIQUE: Technique;
    /// Vectors in a panel of packed weights: 1 or 2.
    const VECTORS: usize;
    /// Rows of the largest register tile: at most 12.
    const ROWS: usize;
    /// Vectors of sums that must be under way at once to keep the multiplier busy.
    const IN_FLIGHT: usize;
    /// Bytes that [`Product::pack`] makes of one vector's `LANES x 4` weights.
    const WEIGHT_BYTES: usize;

    /// `LANES` groups of 4 weights.
    type Weights: Copy;
    /// One group of 4 inputs, in every lane.
    type Inputs: Copy;

    /// Brings one vector's weights into the order and form that [`Product::weights`] loads.
    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]);

    fn weights(vector: Self::Vector, packed: &[u8]) -> Self::Weights;
    fn inputs(vector: Self::Vector, group: [u8; GROUP]) -> Self::Inputs;
    /// `sums + weights * inputs`, the 4 products of each lane added up; sums wrap around.
    fn dot(
        vector: Self::Vector,
        sums: <Self::Vector as Vector>::Int,
        weights: Self::Weights,
        inputs: Self::Inputs,
    ) -> <Self::Vector as Vector>::Int;
}
