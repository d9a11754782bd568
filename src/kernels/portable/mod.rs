//! Any CPU, through the `wide` crate: bytes widened to 16 bits, multiplied and added in pairs.
//!
//! ```text
//! sums += dot(w02, x02) + dot(w13, x13)         (i16 x i16 pairs -> i32)
//! ```
//! Weights are widened when they are packed. No sign trick: it pays only where the hardware
//! multiplies unsigned bytes by signed ones.

mod shorts;

use bytemuck::{cast, pod_read_unaligned};
use wide::{f32x8, i16x8, i16x16, i32x8, u8x16, u16x8};

use super::vector::{Broadcast, Direct, Narrow, Op, Product, Table, Vector, store};
use super::{GROUP, Technique, copy_short};

/// Vectors of 8 lanes, of whatever the compiler has.
#[derive(Clone, Copy)]
pub(crate) struct Wide(());

impl Vector for Wide {
    const LANES: usize = 8;
    const SHUFFLES: bool = false;

    type Int = i32x8;
    type Float = f32x8;
    type Bytes = [[u8; 8]; 4];
    type Mask = f32x8;

    type Base = Self;

    #[inline(always)]
    fn detect() -> Option<Self> {
        Some(Self(()))
    }

    #[inline(always)]
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output {
        #[inline(never)]
        fn compiled<O: Op<Wide>>(vector: Wide, op: O) -> O::Output {
            op.run(vector)
        }
        compiled(self, op)
    }

    #[inline(always)]
    fn int(self, value: i32) -> i32x8 {
        i32x8::splat(value)
    }

    #[inline(always)]
    fn load_int(self, values: &[i32]) -> i32x8 {
        pod_read_unaligned(bytemuck::cast_slice(&values[..8]))
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8]) -> i32x8 {
        pod_read_unaligned(&bytes[..32])
    }

    #[inline(always)]
    fn load_few_groups(self, bytes: &[u8]) -> i32x8 {
        let mut all = [0; 32];
        all[..bytes.len()].copy_from_slice(bytes);
        cast(all)
    }

    #[inline(always)]
    fn store_int(self, values: i32x8, to: &mut [i32]) {
        store(to, values.to_array());
    }

    #[inline(always)]
    fn add(self, a: i32x8, b: i32x8) -> i32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: i32x8, b: i32x8) -> i32x8 {
        a - b
    }

    #[inline(always)]
    fn totals(self, values: [i32x8; 4]) -> [i32; 4] {
        values.map(|values| values.to_array().into_iter().fold(0, i32::wrapping_add))
    }

    #[inline(always)]
    fn sum_groups(self, groups: i32x8) -> i32x8 {
        // Shifts to the left and back leave one byte, with its sign.
        (groups << 24 >> 24) + (groups << 16 >> 24) + (groups << 8 >> 24) + (groups >> 24)
    }

    #[inline(always)]
    fn transpose(self, square: &mut [i32x8; 16]) {
        let rows: [i32x8; 8] = square.first_chunk().copied().unwrap_or_default();
        square[..8].copy_from_slice(&i32x8::transpose(rows));
    }

    #[inline(always)]
    fn mul(self, a: i32x8, b: i32x8) -> i32x8 {
        a * b
    }

    #[inline(always)]
    fn float(self, value: f32) -> f32x8 {
        f32x8::splat(value)
    }

    #[inline(always)]
    fn load_float(self, values: &[f32]) -> f32x8 {
        pod_read_unaligned(bytemuck::cast_slice(&values[..8]))
    }

    #[inline(always)]
    fn store_float(self, values: f32x8, to: &mut [f32]) {
        store(to, values.to_array());
    }

    #[inline(always)]
    fn add_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn mul_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn max_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).select(a, b)
    }

    #[inline(always)]
    fn min_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).select(a, b)
    }

    #[inline(always)]
    fn to_float(self, a: i32x8) -> f32x8 {
        a.round_float()
    }

    #[inline(always)]
    fn round(self, a: f32x8) -> i32x8 {
        // Adding 1.5 * 2^23 leaves no bit for a fraction: the addition itself rounds half to
        // even, for all numbers of 16 bits.
        let magic = f32x8::splat(12_582_912.0);
        let limit = f32x8::splat(32768.0);
        let clamped = self.min_float(self.max_float(a, -limit), limit);
        (clamped + magic - magic).fast_trunc_int()
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [i32x8; 4], by: &Narrow) -> [[u8; 8]; 4] {
        cast([narrow(a, b, by), narrow(c, d, by)])
    }

    #[inline(always)]
    fn store_quarter(self, bytes: [[u8; 8]; 4], quarter: usize, to: &mut [u8]) {
        store(to, bytes[quarter]);
    }

    #[inline(always)]
    fn store_half(self, bytes: [[u8; 8]; 4], half: usize, to: &mut [u8]) {
        to[..16].copy_from_slice(bytes[2 * half..][..2].as_flattened());
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32], filler: f32) -> f32x8 {
        let mut lanes = [filler; 8];
        copy_short(&mut lanes, values);
        f32x8::from(lanes)
    }

    #[inline(always)]
    fn sub_float(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn truncate(self, a: f32x8) -> i32x8 {
        a.fast_trunc_int()
    }

    #[inline(always)]
    fn add_exponent(self, a: f32x8, by: i32x8) -> f32x8 {
        cast(cast::<_, i32x8>(a) + (by << 23))
    }

    #[inline(always)]
    fn add_eights(self, sums: f32x8, values: f32x8) -> f32x8 {
        sums + values
    }

    #[inline(always)]
    fn greater(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b)
    }

    #[inline(always)]
    fn equal(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }

    #[inline(always)]
    fn unordered(self, a: f32x8, b: f32x8) -> f32x8 {
        a.is_nan() | b.is_nan()
    }

    #[inline(always)]
    fn either(self, a: f32x8, b: f32x8) -> f32x8 {
        a | b
    }

    #[inline(always)]
    fn bits(self, mask: f32x8) -> u32 {
        mask.to_bitmask()
    }

    #[inline(always)]
    fn select(self, mask: f32x8, a: f32x8, b: f32x8) -> f32x8 {
        mask.select(a, b)
    }

    #[inline(always)]
    fn load_bytes(self, bytes: &[u8], flip: u8) -> i32x8 {
        let bytes: [u8; 8] = pod_read_unaligned(&bytes[..8]);
        let bytes = cast::<_, u8x16>([bytes, [0; 8]]) ^ u8x16::splat(flip);
        i32x8::from_u16x8(u16x8::from_u8x16_low(bytes))
    }

    #[inline(always)]
    fn load_quarters(self, bytes: &[u8]) -> [[u8; 8]; 4] {
        pod_read_unaligned(&bytes[..32])
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> [[u8; 8]; 4] {
        [[value; 8]; 4]
    }

    #[inline(always)]
    fn xor_bytes(self, a: [[u8; 8]; 4], b: [[u8; 8]; 4]) -> [[u8; 8]; 4] {
        let ([a, c], [b, d]): ([u8x16; 2], [u8x16; 2]) = (cast(a), cast(b));
        cast([a ^ b, c ^ d])
    }

    #[inline(always)]
    fn max_bytes(self, a: [[u8; 8]; 4], b: [[u8; 8]; 4]) -> [[u8; 8]; 4] {
        let ([a, c], [b, d]): ([u8x16; 2], [u8x16; 2]) = (cast(a), cast(b));
        cast([a.max(b), c.max(d)])
    }

    #[inline(always)]
    fn equal_bytes(self, a: [[u8; 8]; 4], b: [[u8; 8]; 4]) -> u64 {
        let ([a, c], [b, d]): ([u8x16; 2], [u8x16; 2]) = (cast(a), cast(b));
        u64::from(a.simd_eq(b).to_bitmask()) | u64::from(c.simd_eq(d).to_bitmask()) << 16
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: [[u8; 8]; 4]) -> [[u8; 8]; 4] {
        bytes.map(|bytes| bytes.map(|byte| table.entries[usize::from(byte)]))
    }
}

/// Two vectors as bytes.
#[inline(always)]
fn narrow(a: i32x8, b: i32x8, by: &Narrow) -> u8x16 {
    let zero_point = i16x8::splat(i16::from(by.zero_point));
    let a = i16x8::from_i32x8_saturate(a).saturating_add(zero_point);
    let b = i16x8::from_i32x8_saturate(b).saturating_add(zero_point);
    let clamped = u8x16::narrow_i16x8(a, b).max(u8x16::splat(by.min)).min(u8x16::splat(by.max));
    clamped ^ u8x16::splat(by.flip)
}

/// Both factors widened to 16 bits.
#[derive(Clone, Copy)]
pub(crate) struct Native;

impl Product for Native {
    type Vector = Wide;

    const TECHNIQUE: Technique = Technique::Native;
    const OPERATIONS: usize = 12;
    const WEIGHT_BYTES: usize = 64;

    /// Weights 0 and 2 of all lanes, weights 1 and 3 of all lanes.
    type Weights = [i16x16; 2];
    type Inputs = [i16x16; 2];

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        super::pack::widened(weights, packed);
    }

    #[inline(always)]
    fn weights(_: Wide, packed: &[u8]) -> [i16x16; 2] {
        [pod_read_unaligned(&packed[..32]), pod_read_unaligned(&packed[32..64])]
    }

    #[inline(always)]
    fn dot(_: Wide, sums: i32x8, weights: [i16x16; 2], inputs: [i16x16; 2]) -> i32x8 {
        sums + weights[0].dot(inputs[0]) + weights[1].dot(inputs[1])
    }
}

impl Broadcast for Native {
    const VECTORS: usize = 1;
    const ROWS: usize = 4;
    const IN_FLIGHT: usize = 2;

    type Group = [u8; GROUP];

    fn group(inputs: [u8; GROUP]) -> ([u8; GROUP], i32) {
        (inputs, 0)
    }

    #[inline(always)]
    fn broadcast(vector: Wide, &group: &[u8; GROUP]) -> [i16x16; 2] {
        Self::inputs(vector, i32x8::splat(i32::from_ne_bytes(group)))
    }
}

impl Direct for Native {
    const ROWS: usize = 1;

    #[inline(always)]
    fn inputs(_: Wide, groups: i32x8) -> [i16x16; 2] {
        // Two bytes in each 16-bit lane: shifts by 8 leave one or the other, widened. Groups lie in
        // lanes as in memory: which byte is the low one depends on the machine.
        let both: i16x16 = cast(groups);
        let (low, high) = ((both << 8) >> 8, both >> 8);
        if cfg!(target_endian = "little") { [low, high] } else { [high, low] }
    }
}
