//! Two vectors of 128 bits as one of 256, for instruction sets that have no larger ones: the loops
//! and the layout of packed weights are those of eight lanes.

use bytemuck::cast;

use super::bits;
use super::vector::{Narrow, Op, Shorts, Table, Vector, store};

/// Two vectors, the first of which has the lower lanes.
#[derive(Clone, Copy)]
pub(crate) struct Pair<H>(H);

/// The operations on vectors of 128 bits. A value of the type is the proof that this CPU has them:
/// only [`Half::detect`] makes one. What an operation does is told by [`Vector`] and [`Shorts`].
pub(crate) trait Half: Copy {
    /// 4 `i32`, or 2 `u64`.
    type Int: Copy;
    /// 4 `f32`.
    type Float: Copy;
    /// 16 bytes.
    type Bytes: Copy;
    /// 8 `i16`.
    type Short: Copy;
    /// A yes or no for each of 4.
    type Mask: Copy;

    type Base: Half;

    const NEEDS: &'static [&'static str];

    fn detect() -> Option<Self>;

    /// Runs `op` compiled for this instruction set.
    fn vectorize<O: Op<Pair<Self>>>(pair: Pair<Self>, op: O) -> O::Output;

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        let _ = at;
    }

    fn int(self, value: i32) -> Self::Int;
    fn load_int(self, values: &[i32; 4]) -> Self::Int;
    fn load_groups(self, bytes: &[u8; 16]) -> Self::Int;
    fn int_lanes(self, values: Self::Int) -> [i32; 4];
    fn add(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn sub(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn mul(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn totals(self, values: [Self::Int; 4]) -> [i32; 4];
    fn sum_groups(self, groups: Self::Int) -> Self::Int;
    /// Lane n of vector m becomes lane m of vector n.
    fn transpose(self, square: [Self::Int; 4]) -> [Self::Int; 4];

    fn float(self, value: f32) -> Self::Float;
    fn load_float(self, values: &[f32; 4]) -> Self::Float;
    fn float_lanes(self, values: Self::Float) -> [f32; 4];
    fn add_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn sub_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn mul_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn div_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn max_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn min_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn to_float(self, a: Self::Int) -> Self::Float;
    fn round(self, a: Self::Float) -> Self::Int;
    fn truncate(self, a: Self::Float) -> Self::Int;
    fn add_exponent(self, a: Self::Float, by: Self::Int) -> Self::Float;

    fn greater(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    fn equal(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    fn unordered(self, a: Self::Float, b: Self::Float) -> Self::Mask;
    fn either(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The lowest four bits.
    fn mask_bits(self, mask: Self::Mask) -> u32;
    fn select(self, mask: Self::Mask, a: Self::Float, b: Self::Float) -> Self::Float;

    fn narrow(self, values: [Self::Int; 4], by: &Narrow) -> Self::Bytes;
    fn byte_lanes(self, bytes: Self::Bytes) -> [u8; 16];
    fn load_whole(self, bytes: &[u8; 16]) -> Self::Bytes;
    /// 8 bytes, xor-ed with `flip`, as numbers in 0..=255.
    fn widen_bytes(self, bytes: &[u8; 8], flip: u8) -> [Self::Int; 2];
    fn bytes(self, value: u8) -> Self::Bytes;
    fn xor_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn max_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The lowest sixteen bits.
    fn equal_bytes(self, a: Self::Bytes, b: Self::Bytes) -> u32;
    fn look_up(self, table: &Table, bytes: Self::Bytes) -> Self::Bytes;

    fn short(self, value: i16) -> Self::Short;
    fn short_pairs(self, pair: i32) -> Self::Short;
    fn load_signed(self, bytes: &[u8; 8]) -> Self::Short;
    fn load_short(self, values: &[i16; 8]) -> Self::Short;
    fn short_lanes(self, values: Self::Short) -> [i16; 8];
    fn add_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn sub_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn mul_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn max_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn min_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn greater_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn equal_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn and_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn or_short(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn any_short(self, a: Self::Short) -> bool;
    fn excess(self, a: Self::Short, b: Self::Short) -> Self::Short;
    fn widen(self, a: Self::Short) -> [Self::Int; 2];
    fn add_wide(self, sums: [Self::Int; 2], a: Self::Int) -> [Self::Int; 2];
    fn wide_lanes(self, sums: Self::Int) -> [u64; 2];
}

impl<H> Pair<H> {
    /// The proof for one of the two.
    #[inline(always)]
    pub fn half(self) -> H {
        self.0
    }
}

/// The first 2 x `N` of a slice, by halves.
#[inline(always)]
fn halves<T, const N: usize>(values: &[T]) -> [&[T; N]; 2] {
    let (first, second) = values.split_at(N);
    let first = first.first_chunk().expect("it was split off there");
    [first, second.first_chunk().expect("a whole vector is there")]
}

impl<H: Half> Vector for Pair<H> {
    const LANES: usize = 8;
    const SHUFFLES: bool = true;

    type Int = [H::Int; 2];
    type Float = [H::Float; 2];
    type Bytes = [H::Bytes; 2];
    type Mask = [H::Mask; 2];

    type Base = Pair<H::Base>;

    const NEEDS: &'static [&'static str] = H::NEEDS;

    #[inline(always)]
    fn detect() -> Option<Self> {
        H::detect().map(Self)
    }

    #[inline(always)]
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output {
        H::vectorize(self, op)
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        self.0.prefetch(at);
    }

    #[inline(always)]
    fn int(self, value: i32) -> Self::Int {
        [self.0.int(value); 2]
    }

    #[inline(always)]
    fn load_int(self, values: &[i32]) -> Self::Int {
        let [low, high] = halves(values);
        [self.0.load_int(low), self.0.load_int(high)]
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8]) -> Self::Int {
        let [low, high] = halves(bytes);
        [self.0.load_groups(low), self.0.load_groups(high)]
    }

    #[inline(always)]
    fn load_few_groups(self, bytes: &[u8]) -> Self::Int {
        let mut all = [0; 32];
        super::copy_short(&mut all, bytes);
        self.load_groups(&all)
    }

    #[inline(always)]
    fn store_int(self, [low, high]: Self::Int, to: &mut [i32]) {
        store::<i32>(to, cast([self.0.int_lanes(low), self.0.int_lanes(high)]));
    }

    #[inline(always)]
    fn add(self, a: Self::Int, b: Self::Int) -> Self::Int {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }

    #[inline(always)]
    fn sub(self, a: Self::Int, b: Self::Int) -> Self::Int {
        [self.0.sub(a[0], b[0]), self.0.sub(a[1], b[1])]
    }

    #[inline(always)]
    fn totals(self, [a, b, c, d]: [Self::Int; 4]) -> [i32; 4] {
        let half = self.0;
        let ab = [half.add(a[0], a[1]), half.add(b[0], b[1])];
        let cd = [half.add(c[0], c[1]), half.add(d[0], d[1])];
        half.totals([ab[0], ab[1], cd[0], cd[1]])
    }

    #[inline(always)]
    fn sum_groups(self, [low, high]: Self::Int) -> Self::Int {
        [self.0.sum_groups(low), self.0.sum_groups(high)]
    }

    #[inline(always)]
    fn transpose(self, square: &mut [Self::Int; 16]) {
        // Four squares of 4 x 4, of which the two beside the diagonal change places.
        let [a, b, c, d, e, f, g, h, ..] = *square;
        for half in 0..2 {
            let above = self.0.transpose([a[half], b[half], c[half], d[half]]);
            let below = self.0.transpose([e[half], f[half], g[half], h[half]]);
            for i in 0..4 {
                square[4 * half + i] = [above[i], below[i]];
            }
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::Int, b: Self::Int) -> Self::Int {
        [self.0.mul(a[0], b[0]), self.0.mul(a[1], b[1])]
    }

    #[inline(always)]
    fn float(self, value: f32) -> Self::Float {
        [self.0.float(value); 2]
    }

    #[inline(always)]
    fn load_float(self, values: &[f32]) -> Self::Float {
        let [low, high] = halves(values);
        [self.0.load_float(low), self.0.load_float(high)]
    }

    #[inline(always)]
    fn store_float(self, [low, high]: Self::Float, to: &mut [f32]) {
        store::<f32>(to, cast([self.0.float_lanes(low), self.0.float_lanes(high)]));
    }

    #[inline(always)]
    fn add_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.add_float(a[0], b[0]), self.0.add_float(a[1], b[1])]
    }

    #[inline(always)]
    fn mul_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.mul_float(a[0], b[0]), self.0.mul_float(a[1], b[1])]
    }

    #[inline(always)]
    fn div_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.div_float(a[0], b[0]), self.0.div_float(a[1], b[1])]
    }

    #[inline(always)]
    fn max_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.max_float(a[0], b[0]), self.0.max_float(a[1], b[1])]
    }

    #[inline(always)]
    fn min_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.min_float(a[0], b[0]), self.0.min_float(a[1], b[1])]
    }

    #[inline(always)]
    fn to_float(self, [low, high]: Self::Int) -> Self::Float {
        [self.0.to_float(low), self.0.to_float(high)]
    }

    #[inline(always)]
    fn round(self, [low, high]: Self::Float) -> Self::Int {
        [self.0.round(low), self.0.round(high)]
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [Self::Int; 4], by: &Narrow) -> Self::Bytes {
        let first = self.0.narrow([a[0], a[1], b[0], b[1]], by);
        [first, self.0.narrow([c[0], c[1], d[0], d[1]], by)]
    }

    #[inline(always)]
    fn store_quarter(self, bytes: Self::Bytes, quarter: usize, to: &mut [u8]) {
        let quarters: [[u8; 8]; 2] = cast(self.0.byte_lanes(bytes[quarter / 2]));
        store(to, quarters[quarter % 2]);
    }

    #[inline(always)]
    fn store_half(self, bytes: Self::Bytes, half: usize, to: &mut [u8]) {
        to[..16].copy_from_slice(&self.0.byte_lanes(bytes[half]));
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32], filler: f32) -> Self::Float {
        let mut all = [filler; 8];
        super::copy_short(&mut all, &values[..values.len().min(8)]);
        self.load_float(&all)
    }

    #[inline(always)]
    fn sub_float(self, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.sub_float(a[0], b[0]), self.0.sub_float(a[1], b[1])]
    }

    #[inline(always)]
    fn truncate(self, [low, high]: Self::Float) -> Self::Int {
        [self.0.truncate(low), self.0.truncate(high)]
    }

    #[inline(always)]
    fn add_exponent(self, a: Self::Float, by: Self::Int) -> Self::Float {
        [self.0.add_exponent(a[0], by[0]), self.0.add_exponent(a[1], by[1])]
    }

    #[inline(always)]
    fn add_eights(self, sums: Self::Float, values: Self::Float) -> Self::Float {
        self.add_float(sums, values)
    }

    #[inline(always)]
    fn greater(self, a: Self::Float, b: Self::Float) -> Self::Mask {
        [self.0.greater(a[0], b[0]), self.0.greater(a[1], b[1])]
    }

    #[inline(always)]
    fn equal(self, a: Self::Float, b: Self::Float) -> Self::Mask {
        [self.0.equal(a[0], b[0]), self.0.equal(a[1], b[1])]
    }

    #[inline(always)]
    fn unordered(self, a: Self::Float, b: Self::Float) -> Self::Mask {
        [self.0.unordered(a[0], b[0]), self.0.unordered(a[1], b[1])]
    }

    #[inline(always)]
    fn either(self, a: Self::Mask, b: Self::Mask) -> Self::Mask {
        [self.0.either(a[0], b[0]), self.0.either(a[1], b[1])]
    }

    #[inline(always)]
    fn bits(self, [low, high]: Self::Mask) -> u32 {
        self.0.mask_bits(low) | self.0.mask_bits(high) << 4
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::Float, b: Self::Float) -> Self::Float {
        [self.0.select(mask[0], a[0], b[0]), self.0.select(mask[1], a[1], b[1])]
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8], flip: u8) -> Self::Int {
        self.0.widen_bytes(bytes.first_chunk().expect("a byte for each lane"), flip)
    }

    #[inline(always)]
    fn load_quarters(self, bytes: &[u8]) -> Self::Bytes {
        let [low, high] = halves(bytes);
        [self.0.load_whole(low), self.0.load_whole(high)]
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> Self::Bytes {
        [self.0.bytes(value); 2]
    }

    #[inline(always)]
    fn xor_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [self.0.xor_bytes(a[0], b[0]), self.0.xor_bytes(a[1], b[1])]
    }

    #[inline(always)]
    fn max_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [self.0.max_bytes(a[0], b[0]), self.0.max_bytes(a[1], b[1])]
    }

    #[inline(always)]
    fn equal_bytes(self, a: Self::Bytes, b: Self::Bytes) -> u64 {
        let low = self.0.equal_bytes(a[0], b[0]);
        u64::from(low | self.0.equal_bytes(a[1], b[1]) << 16)
    }

    #[inline(always)]
    fn look_up(self, table: &Table, [low, high]: Self::Bytes) -> Self::Bytes {
        [self.0.look_up(table, low), self.0.look_up(table, high)]
    }
}

impl<H: Half> Shorts for Pair<H> {
    type Short = [H::Short; 2];

    #[inline(always)]
    fn short(self, value: i16) -> Self::Short {
        [self.0.short(value); 2]
    }

    #[inline(always)]
    fn short_pairs(self, &pair: &i32) -> Self::Short {
        [self.0.short_pairs(pair); 2]
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8]) -> Self::Short {
        let [low, high] = halves(bytes);
        [self.0.load_signed(low), self.0.load_signed(high)]
    }

    #[inline(always)]
    fn load_short(self, values: &[i16]) -> Self::Short {
        let [low, high] = halves(values);
        [self.0.load_short(low), self.0.load_short(high)]
    }

    #[inline(always)]
    fn store_short(self, [low, high]: Self::Short, to: &mut [i16]) {
        let all: [i16; 16] = cast([self.0.short_lanes(low), self.0.short_lanes(high)]);
        to[..16].copy_from_slice(&all);
    }

    #[inline(always)]
    fn sub_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.sub_short(a[0], b[0]), self.0.sub_short(a[1], b[1])]
    }

    #[inline(always)]
    fn add_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.add_short(a[0], b[0]), self.0.add_short(a[1], b[1])]
    }

    #[inline(always)]
    fn mul_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.mul_short(a[0], b[0]), self.0.mul_short(a[1], b[1])]
    }

    #[inline(always)]
    fn max_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.max_short(a[0], b[0]), self.0.max_short(a[1], b[1])]
    }

    #[inline(always)]
    fn min_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.min_short(a[0], b[0]), self.0.min_short(a[1], b[1])]
    }

    #[inline(always)]
    fn greater_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.greater_short(a[0], b[0]), self.0.greater_short(a[1], b[1])]
    }

    #[inline(always)]
    fn equal_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.equal_short(a[0], b[0]), self.0.equal_short(a[1], b[1])]
    }

    #[inline(always)]
    fn and_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.and_short(a[0], b[0]), self.0.and_short(a[1], b[1])]
    }

    #[inline(always)]
    fn or_short(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.or_short(a[0], b[0]), self.0.or_short(a[1], b[1])]
    }

    #[inline(always)]
    fn any_short(self, [low, high]: Self::Short) -> bool {
        self.0.any_short(self.0.or_short(low, high))
    }

    #[inline(always)]
    fn any_greater(self, a: Self::Short, b: Self::Short) -> bool {
        self.any_short(self.greater_short(a, b))
    }

    #[inline(always)]
    fn excess(self, a: Self::Short, b: Self::Short) -> Self::Short {
        [self.0.excess(a[0], b[0]), self.0.excess(a[1], b[1])]
    }

    #[inline(always)]
    fn widen(self, [low, high]: Self::Short) -> [Self::Int; 2] {
        [self.0.widen(low), self.0.widen(high)]
    }

    #[inline(always)]
    fn list_bits(self, bits: u32, first: u32, to: &mut [u32]) -> usize {
        bits::list(bits, first, to)
    }

    #[inline(always)]
    fn eighth_power(self, table: &[f32; 8], [low, high]: Self::Float) -> Self::Float {
        let at: [f32; 8] = cast([self.0.float_lanes(low), self.0.float_lanes(high)]);
        let mut powers = [0.0; 8];
        for (power, at) in powers.iter_mut().zip(at) {
            let (at, entry) = (at.to_bits(), table[(at.to_bits() & 7) as usize]);
            *power = f32::from_bits(entry.to_bits().wrapping_sub(at << 20));
        }
        self.load_float(&powers)
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [Self::Int; 2], a: Self::Int) -> [Self::Int; 2] {
        let [low_even, low_odd] = self.0.add_wide([even[0], odd[0]], a[0]);
        let [high_even, high_odd] = self.0.add_wide([even[1], odd[1]], a[1]);
        [[low_even, high_even], [low_odd, high_odd]]
    }

    #[inline(always)]
    fn wide_sums(self, [even, odd]: [Self::Int; 2], to: &mut [u64]) {
        for (half, to) in to.as_chunks_mut::<4>().0.iter_mut().take(2).enumerate() {
            let (even, odd) = (self.0.wide_lanes(even[half]), self.0.wide_lanes(odd[half]));
            *to = [even[0], odd[0], even[1], odd[1]];
        }
    }
}
