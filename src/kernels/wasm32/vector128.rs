//! Vectors of 128 bits, in pairs.

use core::arch::wasm32::*;

use crate::kernels::pair::{Half, Pair};
use crate::kernels::vector::{Narrow, Op, Table};

/// Vectors of 128 bits. No relaxed instructions: their results depend on the machine.
#[derive(Clone, Copy)]
pub(crate) struct V128(());

impl Half for V128 {
    type Int = v128;
    type Float = v128;
    type Bytes = v128;
    type Short = v128;
    type Mask = v128;

    type Base = Self;

    const NEEDS: &'static [&'static str] = &["simd128"];

    #[inline(always)]
    fn detect() -> Option<Self> {
        // Without the feature this file is not there.
        Some(Self(()))
    }

    #[inline(always)]
    fn vectorize<O: Op<Pair<Self>>>(pair: Pair<Self>, op: O) -> O::Output {
        #[inline(never)]
        fn compiled<O: Op<Pair<V128>>>(pair: Pair<V128>, op: O) -> O::Output {
            op.run(pair)
        }
        compiled(pair, op)
    }

    #[inline(always)]
    fn int(self, value: i32) -> v128 {
        i32x4_splat(value)
    }

    #[inline(always)]
    fn load_int(self, values: &[i32; 4]) -> v128 {
        // SAFETY: the array holds what is loaded.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8; 16]) -> v128 {
        // SAFETY: the array holds what is loaded.
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn int_lanes(self, values: v128) -> [i32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        i32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        i32x4_mul(a, b)
    }

    #[inline(always)]
    fn totals(self, [a, b, c, d]: [v128; 4]) -> [i32; 4] {
        let (ab, cd) = (add_neighbours(a, b), add_neighbours(c, d));
        self.int_lanes(add_neighbours(ab, cd))
    }

    #[inline(always)]
    fn sum_groups(self, groups: v128) -> v128 {
        i32x4_extadd_pairwise_i16x8(i16x8_extadd_pairwise_i8x16(groups))
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [v128; 4]) -> [v128; 4] {
        let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
        let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a, b);
        let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c, d);
        [
            i64x2_shuffle::<0, 2>(ab, cd),
            i64x2_shuffle::<1, 3>(ab, cd),
            i64x2_shuffle::<0, 2>(ab_high, cd_high),
            i64x2_shuffle::<1, 3>(ab_high, cd_high),
        ]
    }

    #[inline(always)]
    fn float(self, value: f32) -> v128 {
        f32x4_splat(value)
    }

    #[inline(always)]
    fn load_float(self, values: &[f32; 4]) -> v128 {
        // SAFETY: the array holds what is loaded.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn float_lanes(self, values: v128) -> [f32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add_float(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub_float(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul_float(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn div_float(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    fn max_float(self, a: v128, b: v128) -> v128 {
        // `b < a ? a : b`
        f32x4_pmax(b, a)
    }

    #[inline(always)]
    fn min_float(self, a: v128, b: v128) -> v128 {
        // `a < b ? a : b`
        f32x4_pmin(b, a)
    }

    #[inline(always)]
    fn to_float(self, a: v128) -> v128 {
        // Rounding is always to nearest even.
        f32x4_convert_i32x4(a)
    }

    #[inline(always)]
    fn round(self, a: v128) -> v128 {
        // Adding 1.5 * 2^23 leaves no bit for a fraction: the addition itself rounds half to even, and
        // the integer is in the lowest bits of the sum. Fewer instructions than rounding and
        // converting, which must look for what an integer cannot hold. Of a NaN and the lower bound
        // the maximum is the bound.
        let (magic, limit) = (f32x4_splat(12_582_912.0), 65536.0);
        let bounded = self.max_float(a, f32x4_splat(-limit));
        let bounded = self.min_float(bounded, f32x4_splat(limit));
        i32x4_sub(f32x4_add(bounded, magic), magic)
    }

    #[inline(always)]
    fn truncate(self, a: v128) -> v128 {
        i32x4_trunc_sat_f32x4(a)
    }

    #[inline(always)]
    fn add_exponent(self, a: v128, by: v128) -> v128 {
        i32x4_add(a, i32x4_shl(by, 23))
    }

    #[inline(always)]
    fn greater(self, a: v128, b: v128) -> v128 {
        f32x4_gt(a, b)
    }

    #[inline(always)]
    fn equal(self, a: v128, b: v128) -> v128 {
        f32x4_eq(a, b)
    }

    #[inline(always)]
    fn unordered(self, a: v128, b: v128) -> v128 {
        v128_or(f32x4_ne(a, a), f32x4_ne(b, b))
    }

    #[inline(always)]
    fn either(self, a: v128, b: v128) -> v128 {
        v128_or(a, b)
    }

    #[inline(always)]
    fn mask_bits(self, mask: v128) -> u32 {
        i32x4_bitmask(mask).into()
    }

    #[inline(always)]
    fn select(self, mask: v128, a: v128, b: v128) -> v128 {
        v128_bitselect(a, b, mask)
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [v128; 4], by: &Narrow) -> v128 {
        let zero_point = i16x8_splat(i16::from(by.zero_point));
        let ab = i16x8_add_sat(i16x8_narrow_i32x4(a, b), zero_point);
        let cd = i16x8_add_sat(i16x8_narrow_i32x4(c, d), zero_point);
        let bytes = u8x16_max(u8x16_narrow_i16x8(ab, cd), u8x16_splat(by.min));
        v128_xor(u8x16_min(bytes, u8x16_splat(by.max)), u8x16_splat(by.flip))
    }

    #[inline(always)]
    fn byte_lanes(self, bytes: v128) -> [u8; 16] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(bytes) }
    }

    #[inline(always)]
    fn load_whole(self, bytes: &[u8; 16]) -> v128 {
        self.load_groups(bytes)
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: &[u8; 8], flip: u8) -> [v128; 2] {
        // SAFETY: the array holds what is loaded.
        let bytes = unsafe { u16x8_load_extend_u8x8(bytes.as_ptr()) };
        let bytes = v128_xor(bytes, u16x8_splat(flip.into()));
        [u32x4_extend_low_u16x8(bytes), u32x4_extend_high_u16x8(bytes)]
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> v128 {
        u8x16_splat(value)
    }

    #[inline(always)]
    fn xor_bytes(self, a: v128, b: v128) -> v128 {
        v128_xor(a, b)
    }

    #[inline(always)]
    fn max_bytes(self, a: v128, b: v128) -> v128 {
        u8x16_max(a, b)
    }

    #[inline(always)]
    fn equal_bytes(self, a: v128, b: v128) -> u32 {
        u8x16_bitmask(u8x16_eq(a, b)).into()
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: v128) -> v128 {
        // A shuffle answers 0 where its index is 16 or more, as it is in all rows but the byte's own.
        let (mut found, mut index) = (u8x16_splat(0), bytes);
        for row in table.entries.as_chunks().0 {
            found = v128_or(found, u8x16_swizzle(self.load_whole(row), index));
            index = u8x16_sub(index, u8x16_splat(16));
        }
        found
    }

    #[inline(always)]
    fn short(self, value: i16) -> v128 {
        i16x8_splat(value)
    }

    #[inline(always)]
    fn short_pairs(self, pair: i32) -> v128 {
        i32x4_splat(pair)
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8; 8]) -> v128 {
        // SAFETY: the array holds what is loaded.
        unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_short(self, values: &[i16; 8]) -> v128 {
        // SAFETY: the array holds what is loaded.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn short_lanes(self, values: v128) -> [i16; 8] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add_short(self, a: v128, b: v128) -> v128 {
        i16x8_add(a, b)
    }

    #[inline(always)]
    fn sub_short(self, a: v128, b: v128) -> v128 {
        i16x8_sub(a, b)
    }

    #[inline(always)]
    fn mul_short(self, a: v128, b: v128) -> v128 {
        i16x8_mul(a, b)
    }

    #[inline(always)]
    fn max_short(self, a: v128, b: v128) -> v128 {
        i16x8_max(a, b)
    }

    #[inline(always)]
    fn min_short(self, a: v128, b: v128) -> v128 {
        i16x8_min(a, b)
    }

    #[inline(always)]
    fn greater_short(self, a: v128, b: v128) -> v128 {
        i16x8_gt(a, b)
    }

    #[inline(always)]
    fn equal_short(self, a: v128, b: v128) -> v128 {
        i16x8_eq(a, b)
    }

    #[inline(always)]
    fn and_short(self, a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }

    #[inline(always)]
    fn or_short(self, a: v128, b: v128) -> v128 {
        v128_or(a, b)
    }

    #[inline(always)]
    fn any_short(self, a: v128) -> bool {
        v128_any_true(a)
    }

    #[inline(always)]
    fn excess(self, a: v128, b: v128) -> v128 {
        u16x8_sub_sat(a, b)
    }

    #[inline(always)]
    fn widen(self, a: v128) -> [v128; 2] {
        [i32x4_extend_low_i16x8(a), i32x4_extend_high_i16x8(a)]
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [v128; 2], a: v128) -> [v128; 2] {
        let low = v128_and(a, u64x2_splat(0xFFFF_FFFF));
        [i64x2_add(even, low), i64x2_add(odd, u64x2_shr(a, 32))]
    }

    #[inline(always)]
    fn wide_lanes(self, sums: v128) -> [u64; 2] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(sums) }
    }
}

/// The sums of neighbours: first those of `a`.
#[inline(always)]
fn add_neighbours(a: v128, b: v128) -> v128 {
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
}
