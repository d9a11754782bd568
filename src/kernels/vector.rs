//! The traits that kernels are written over. An ISA file implements them; the loops in the files
//! beside this one are written once.

use super::{GROUP, Technique};

/// The vector operations of an instruction set. A value of the type is the proof that this CPU
/// has the instructions: only [`Vector::detect`] makes one.
pub(crate) trait Vector: Copy {
    /// Elements of 32 bits in a vector.
    const LANES: usize;
    /// Whether [`Vector::look_up`] is worth calling: bytes are shuffled, not extracted.
    const SHUFFLES: bool;

    /// `LANES` `i32`.
    type Int: Copy;
    /// `LANES` `f32`.
    type Float: Copy;
    /// `4 * LANES` bytes.
    type Bytes: Copy;
    /// A yes or no for each of `LANES`.
    type Mask: Copy;

    /// The same vectors of a CPU with no more than these operations, which [`Product`]s may add to:
    /// loops without products are compiled once for all of them.
    type Base: Shorts;

    /// The CPU features that [`Vector::detect`] looks for, as Rust names them.
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
    /// `4 * LANES` bytes.
    fn load_groups(self, bytes: &[u8]) -> Self::Int;
    /// Fewer bytes than that, then zeros.
    fn load_few_groups(self, bytes: &[u8]) -> Self::Int;
    /// Stores as many lanes as there is room for.
    fn store_int(self, values: Self::Int, to: &mut [i32]);
    /// Wraps around.
    fn add(self, a: Self::Int, b: Self::Int) -> Self::Int;
    /// Wraps around.
    fn sub(self, a: Self::Int, b: Self::Int) -> Self::Int;
    /// The lanes of each vector added up, wrapping around.
    fn totals(self, values: [Self::Int; 4]) -> [i32; 4];
    /// Four signed bytes of each lane, added up.
    fn sum_groups(self, groups: Self::Int) -> Self::Int;
    /// Lane n of vector m becomes lane m of vector n, for the first `LANES` vectors.
    fn transpose(self, square: &mut [Self::Int; 16]);
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

    // What is needed outside of products.

    /// Loads as many lanes as there are values; the others hold `filler`.
    fn load_floats(self, values: &[f32], filler: f32) -> Self::Float;
    fn sub_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// Rounded towards zero; what `i32` cannot hold gives any number.
    fn truncate(self, a: Self::Float) -> Self::Int;
    /// `a * 2^by`, if that and `a` are normal numbers: adds to the exponent's bits.
    fn add_exponent(self, a: Self::Float, by: Self::Int) -> Self::Float;
    /// Adds the first eight lanes of `values` onto those of `sums`, then the next eight, as many
    /// as there are. Further lanes of the answer mean nothing.
    fn add_eights(self, sums: Self::Float, values: Self::Float) -> Self::Float;

    /// `a > b`
    fn greater(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    /// `a == b`
    fn equal(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    /// Whether `a` or `b` is NaN.
    fn unordered(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    fn either(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// A bit for each lane, the first one lowest.
    fn bits(self, mask: Self::Mask) -> u32;
    /// `mask ? a : b`
    fn select(self, mask: Self::Mask, a: Self::Float, b: Self::Float) -> Self::Float;

    /// `LANES` bytes, xor-ed with `flip`, as numbers in 0..=255.
    fn load_bytes(self, bytes: &[u8], flip: u8) -> Self::Int;
    /// `4 * LANES` bytes.
    fn load_quarters(self, bytes: &[u8]) -> Self::Bytes;
    /// The same byte everywhere.
    fn bytes(self, value: u8) -> Self::Bytes;
    fn xor_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn max_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// A bit for each pair of equal bytes, the first one lowest.
    fn equal_bytes(self, a: Self::Bytes, b: Self::Bytes) -> u64;
    /// The entry of a table for each byte.
    fn look_up(self, table: &Table, bytes: Self::Bytes) -> Self::Bytes;
}

/// The same on lanes of 16 bits, twice as many: for products that meet by a maximum.
pub(crate) trait Shorts: Vector {
    /// Lanes of 16 bits.
    const SHORTS: usize = 2 * Self::LANES;

    /// `SHORTS` `i16`.
    type Short: Copy;

    fn short(self, value: i16) -> Self::Short;
    /// The two halves of `pair` in turn; from memory, a single load.
    fn short_pairs(self, pair: &i32) -> Self::Short;
    /// `SHORTS` signed bytes, widened.
    fn load_signed(self, bytes: &[u8]) -> Self::Short;
    fn load_short(self, values: &[i16]) -> Self::Short;
    fn store_short(self, values: Self::Short, to: &mut [i16]);
    /// Wraps around.
    fn sub_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// Wraps around.
    fn add_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// The low halves of the products.
    fn mul_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn max_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn min_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// All bits of a lane where `a > b`, else none.
    fn greater_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// All bits of a lane where `a == b`, else none.
    fn equal_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn and_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn or_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// Whether any bit is set.
    fn any_short(self, a: Self::Short) -> bool;
    /// Whether `a > b` in any lane.
    fn any_greater(self, a: Self::Short, b: Self::Short) -> bool;
    /// `a - b` where `a > b`, else 0; neither is negative.
    fn excess(self, a: Self::Short, b: Self::Short) -> Self::Short;
    /// The first half of the lanes in 32 bits, then the second.
    fn widen(self, a: Self::Short) -> [Self::Int; 2];

    /// Lists `first` plus the places of the bits that are set among the lowest `LANES`; answers how
    /// many these are. Writes `LANES` numbers, of which the others mean nothing.
    fn list_bits(self, bits: u32, first: u32, to: &mut [u32]) -> usize;

    // What the exponentials of a soft maximum need.

    /// The entry for the lowest three bits of each lane, from whose bits those of the lane are taken
    /// away, moved up by 20 places.
    fn eighth_power(self, table: &[f32; 8], at: Self::Float) -> Self::Float;
    /// Adds the lanes with even numbers to the 64-bit lanes of the first sum, those with odd ones to
    /// those of the second. Lanes are not negative.
    fn add_wide(self, sums: [Self::Int; 2], a: Self::Int) -> [Self::Int; 2];
    /// The sums of [`Shorts::add_wide`] by lanes.
    fn wide_sums(self, sums: [Self::Int; 2], to: &mut [u64]);
}

/// Stores eight elements, or as many of them as there is room for.
#[inline(always)]
pub(super) fn store<T: Copy>(to: &mut [T], values: [T; 8]) {
    match to.first_chunk_mut() {
        Some(to) => *to = values,
        None => {
            let len = to.len();
            super::copy_short(to, &values[..len]);
        }
    }
}

/// A function of one byte, in forms to load and to shuffle.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub entries: [u8; 256],
    /// Rows of 16 entries, each xor-ed with the one before it in the same half of the table: a
    /// byte's entry is the xor of all rows up to its own, at the place of its low four bits.
    #[allow(dead_code, reason = "few architectures need it")]
    pub steps: [[u8; 16]; 16],
}

impl Table {
    pub(crate) fn new(entries: [u8; 256]) -> Self {
        let rows = entries.as_chunks::<16>().0;
        let before =
            |row: usize, i: usize| if row.is_multiple_of(8) { 0 } else { rows[row - 1][i] };
        let step = |row: usize| core::array::from_fn(|i| rows[row][i] ^ before(row, i));
        Self { entries, steps: core::array::from_fn(step) }
    }
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

/// A technique for exact products on an instruction set.
pub(crate) trait Product: Copy {
    type Vector: Vector;

    const TECHNIQUE: Technique;
    /// Operations of [`Product::dot`], counted in vectors of the instruction set: what the choice
    /// among kernels goes by.
    const OPERATIONS: usize;
    /// Bytes that [`Product::pack`] makes of one vector's `LANES x 4` weights.
    const WEIGHT_BYTES: usize;

    /// `LANES` groups of 4 weights.
    type Weights: Copy;
    /// As many groups of inputs.
    type Inputs: Copy;

    /// Brings one vector's weights into the form that [`Product::weights`] loads: unless it says
    /// otherwise, as they are.
    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    fn weights(vector: Self::Vector, packed: &[u8]) -> Self::Weights;
    /// `sums + weights * inputs`, the 4 products of each lane added up; sums wrap around.
    fn dot(
        vector: Self::Vector,
        sums: <Self::Vector as Vector>::Int,
        weights: Self::Weights,
        inputs: Self::Inputs,
    ) -> <Self::Vector as Vector>::Int;
}

/// A product for lanes that are outputs, which all meet the same inputs, and the tile that suits it.
pub(crate) trait Broadcast: Product {
    /// Vectors in a panel of packed weights: 1 or 2.
    const VECTORS: usize;
    /// Rows of the largest register tile: at most 12.
    const ROWS: usize;
    /// Vectors of sums that must be under way at once to keep the multiplier busy.
    const IN_FLIGHT: usize;

    /// A group of 4 inputs as it is read: prepared, unless it is 4 bytes.
    type Group: bytemuck::Pod + PartialEq;

    /// Prepares one group. Answers also what its products lack, the same for all outputs: it is
    /// added to the sums.
    fn group(inputs: [u8; GROUP]) -> (Self::Group, i32);

    /// Prepares a row, which may end within a group, as [`Broadcast::group`] does with each group.
    /// Only where groups are not read as they are. What is prepared is whole cache lines long.
    #[inline(always)]
    fn prepare(vector: Self::Vector, row: &[u8], prepared: &mut [Self::Group]) -> i32 {
        let _ = (vector, row, prepared);
        0
    }

    /// One group, in every lane. By reference, for its parts are to be loaded one by one.
    fn broadcast(vector: Self::Vector, group: &Self::Group) -> Self::Inputs;
}

/// A product for lanes that are inputs, read as they lie in memory.
pub(crate) trait Direct: Product {
    /// Rows of a tile, at most 4: as many as registers can hold the sums of, for 4 outputs.
    const ROWS: usize;

    fn inputs(vector: Self::Vector, groups: <Self::Vector as Vector>::Int) -> Self::Inputs;
}
