//! NEON: vectors of 128 bits, in pairs.

use core::arch::aarch64::*;
use core::arch::asm;
use core::marker::PhantomData;
use core::mem::transmute;

use super::neon::Neon;
use crate::kernels::has_all;
use crate::kernels::pair::{Half, Pair};
use crate::kernels::vector::{Narrow, Op, Table};

/// Vectors of 128 bits.
#[derive(Clone, Copy)]
pub(crate) struct V128<F>(PhantomData<F>);

/// A set of CPU features, NEON among them, whose vectors these are.
pub(crate) trait Features: Copy {
    /// Their names.
    const NEEDS: &'static [&'static str];

    /// Runs `op` compiled for them.
    fn vectorize<O: Op<Pair<V128<Self>>>>(pair: Pair<V128<Self>>, op: O) -> O::Output;
}

// SAFETY of every block below: a value of `V128` proves that the CPU has the instructions, and
// references to arrays hold what is loaded.
impl<F: Features> Half for V128<F> {
    type Int = int32x4_t;
    type Float = float32x4_t;
    type Bytes = uint8x16_t;
    type Short = int16x8_t;
    type Mask = uint32x4_t;

    type Base = V128<Neon>;

    const NEEDS: &'static [&'static str] = F::NEEDS;

    #[inline(always)]
    fn detect() -> Option<Self> {
        has_all(F::NEEDS).then_some(Self(PhantomData))
    }

    #[inline(always)]
    fn vectorize<O: Op<Pair<Self>>>(pair: Pair<Self>, op: O) -> O::Output {
        F::vectorize(pair, op)
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe {
            asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    fn int(self, value: i32) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    fn load_int(self, values: &[i32; 4]) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vld1q_s32(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8; 16]) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vreinterpretq_s32_u8(vld1q_u8(bytes.as_ptr())) }
    }

    #[inline(always)]
    fn int_lanes(self, values: int32x4_t) -> [i32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { transmute(values) }
    }

    #[inline(always)]
    fn add(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vaddq_s32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vsubq_s32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vmulq_s32(a, b) }
    }

    #[inline(always)]
    fn totals(self, [a, b, c, d]: [int32x4_t; 4]) -> [i32; 4] {
        // SAFETY: see the top.
        let totals = unsafe {
            // Adds neighbours: two lanes of each vector are left, at last one.
            vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
        };
        self.int_lanes(totals)
    }

    #[inline(always)]
    fn sum_groups(self, groups: int32x4_t) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vpaddlq_s16(vpaddlq_s8(vreinterpretq_s8_s32(groups))) }
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [int32x4_t; 4]) -> [int32x4_t; 4] {
        // SAFETY: see the top.
        unsafe {
            let ab_even = vreinterpretq_s64_s32(vtrn1q_s32(a, b));
            let ab_odd = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
            let cd_even = vreinterpretq_s64_s32(vtrn1q_s32(c, d));
            let cd_odd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
            [
                vreinterpretq_s32_s64(vtrn1q_s64(ab_even, cd_even)),
                vreinterpretq_s32_s64(vtrn1q_s64(ab_odd, cd_odd)),
                vreinterpretq_s32_s64(vtrn2q_s64(ab_even, cd_even)),
                vreinterpretq_s32_s64(vtrn2q_s64(ab_odd, cd_odd)),
            ]
        }
    }

    #[inline(always)]
    fn float(self, value: f32) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn load_float(self, values: &[f32; 4]) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vld1q_f32(values.as_ptr()) }
    }

    #[inline(always)]
    fn float_lanes(self, values: float32x4_t) -> [f32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { transmute(values) }
    }

    #[inline(always)]
    fn add_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn max_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top. `fmax` would answer NaN for NaN, and 0 for zeros of both signs.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn min_float(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top. `fmin` would answer NaN for NaN, and -0 for zeros of both signs.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn to_float(self, a: int32x4_t) -> float32x4_t {
        // SAFETY: see the top. The default rounding is to nearest even.
        unsafe { vcvtq_f32_s32(a) }
    }

    #[inline(always)]
    fn round(self, a: float32x4_t) -> int32x4_t {
        // SAFETY: see the top. The conversion rounds half to even, and saturates; but NaN gives 0.
        unsafe { vbslq_s32(vceqq_f32(a, a), vcvtnq_s32_f32(a), vdupq_n_s32(i32::MIN)) }
    }

    #[inline(always)]
    fn truncate(self, a: float32x4_t) -> int32x4_t {
        // SAFETY: see the top.
        unsafe { vcvtq_s32_f32(a) }
    }

    #[inline(always)]
    fn add_exponent(self, a: float32x4_t, by: int32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe {
            let sum = vaddq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32::<23>(by));
            vreinterpretq_f32_s32(sum)
        }
    }

    #[inline(always)]
    fn greater(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: see the top.
        unsafe { vcgtq_f32(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: see the top.
        unsafe { vceqq_f32(a, b) }
    }

    #[inline(always)]
    fn unordered(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        // SAFETY: see the top.
        unsafe { vmvnq_u32(vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b))) }
    }

    #[inline(always)]
    fn either(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: see the top.
        unsafe { vorrq_u32(a, b) }
    }

    #[inline(always)]
    fn mask_bits(self, mask: uint32x4_t) -> u32 {
        // SAFETY: see the top.
        unsafe { vaddvq_u32(vandq_u32(mask, vld1q_u32([1, 2, 4, 8].as_ptr()))) }
    }

    #[inline(always)]
    fn select(self, mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the top.
        unsafe { vbslq_f32(mask, a, b) }
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [int32x4_t; 4], by: &Narrow) -> uint8x16_t {
        // SAFETY: see the top.
        unsafe {
            let zero_point = vdupq_n_s16(i16::from(by.zero_point));
            let ab = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
            let cd = vcombine_s16(vqmovn_s32(c), vqmovn_s32(d));
            let ab = vqmovun_s16(vqaddq_s16(ab, zero_point));
            let cd = vqmovun_s16(vqaddq_s16(cd, zero_point));
            let bytes = vmaxq_u8(vcombine_u8(ab, cd), vdupq_n_u8(by.min));
            let bytes = vminq_u8(bytes, vdupq_n_u8(by.max));
            veorq_u8(bytes, vdupq_n_u8(by.flip))
        }
    }

    #[inline(always)]
    fn byte_lanes(self, bytes: uint8x16_t) -> [u8; 16] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { transmute(bytes) }
    }

    #[inline(always)]
    fn load_whole(self, bytes: &[u8; 16]) -> uint8x16_t {
        // SAFETY: see the top.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: &[u8; 8], flip: u8) -> [int32x4_t; 2] {
        // SAFETY: see the top.
        unsafe {
            let shorts = vmovl_u8(veor_u8(vld1_u8(bytes.as_ptr()), vdup_n_u8(flip)));
            let (low, high) = (vmovl_u16(vget_low_u16(shorts)), vmovl_high_u16(shorts));
            [vreinterpretq_s32_u32(low), vreinterpretq_s32_u32(high)]
        }
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> uint8x16_t {
        // SAFETY: see the top.
        unsafe { vdupq_n_u8(value) }
    }

    #[inline(always)]
    fn xor_bytes(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: see the top.
        unsafe { veorq_u8(a, b) }
    }

    #[inline(always)]
    fn max_bytes(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: see the top.
        unsafe { vmaxq_u8(a, b) }
    }

    #[inline(always)]
    fn equal_bytes(self, a: uint8x16_t, b: uint8x16_t) -> u32 {
        // SAFETY: see the top.
        unsafe {
            let places =
                vld1q_u8([1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128].as_ptr());
            let equal = vandq_u8(vceqq_u8(a, b), places);
            let (low, high) = (vaddv_u8(vget_low_u8(equal)), vaddv_u8(vget_high_u8(equal)));
            u32::from(low) | u32::from(high) << 8
        }
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: uint8x16_t) -> uint8x16_t {
        // `tbl` finds one of 64 entries, or 0 where there are not so many; `tbx` leaves in place what
        // was found before.
        //
        // SAFETY: see the top. The table has four times the 64 bytes that are loaded.
        unsafe {
            let (quarters, step) = (table.entries.as_chunks::<64>().0, vdupq_n_u8(64));
            let mut found = vqtbl4q_u8(vld1q_u8_x4(quarters[0].as_ptr()), bytes);
            let mut index = bytes;
            for quarter in &quarters[1..] {
                index = vsubq_u8(index, step);
                found = vqtbx4q_u8(found, vld1q_u8_x4(quarter.as_ptr()), index);
            }
            found
        }
    }

    #[inline(always)]
    fn short(self, value: i16) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vdupq_n_s16(value) }
    }

    #[inline(always)]
    fn short_pairs(self, pair: i32) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vreinterpretq_s16_s32(vdupq_n_s32(pair)) }
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8; 8]) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vmovl_s8(vreinterpret_s8_u8(vld1_u8(bytes.as_ptr()))) }
    }

    #[inline(always)]
    fn load_short(self, values: &[i16; 8]) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vld1q_s16(values.as_ptr()) }
    }

    #[inline(always)]
    fn short_lanes(self, values: int16x8_t) -> [i16; 8] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { transmute(values) }
    }

    #[inline(always)]
    fn add_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vaddq_s16(a, b) }
    }

    #[inline(always)]
    fn sub_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vsubq_s16(a, b) }
    }

    #[inline(always)]
    fn mul_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vmulq_s16(a, b) }
    }

    #[inline(always)]
    fn max_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vmaxq_s16(a, b) }
    }

    #[inline(always)]
    fn min_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vminq_s16(a, b) }
    }

    #[inline(always)]
    fn greater_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vreinterpretq_s16_u16(vcgtq_s16(a, b)) }
    }

    #[inline(always)]
    fn equal_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vreinterpretq_s16_u16(vceqq_s16(a, b)) }
    }

    #[inline(always)]
    fn and_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vandq_s16(a, b) }
    }

    #[inline(always)]
    fn or_short(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe { vorrq_s16(a, b) }
    }

    #[inline(always)]
    fn any_short(self, a: int16x8_t) -> bool {
        // SAFETY: see the top.
        unsafe { vmaxvq_u32(vreinterpretq_u32_s16(a)) != 0 }
    }

    #[inline(always)]
    fn excess(self, a: int16x8_t, b: int16x8_t) -> int16x8_t {
        // SAFETY: see the top.
        unsafe {
            let excess = vqsubq_u16(vreinterpretq_u16_s16(a), vreinterpretq_u16_s16(b));
            vreinterpretq_s16_u16(excess)
        }
    }

    #[inline(always)]
    fn widen(self, a: int16x8_t) -> [int32x4_t; 2] {
        // SAFETY: see the top.
        unsafe { [vmovl_s16(vget_low_s16(a)), vmovl_high_s16(a)] }
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [int32x4_t; 2], a: int32x4_t) -> [int32x4_t; 2] {
        // SAFETY: see the top.
        unsafe {
            let (even, odd) = (vreinterpretq_u64_s32(even), vreinterpretq_u64_s32(odd));
            let a = vreinterpretq_u64_s32(a);
            let even = vaddq_u64(even, vandq_u64(a, vdupq_n_u64(0xFFFF_FFFF)));
            let odd = vsraq_n_u64::<32>(odd, a);
            [vreinterpretq_s32_u64(even), vreinterpretq_s32_u64(odd)]
        }
    }

    #[inline(always)]
    fn wide_lanes(self, sums: int32x4_t) -> [u64; 2] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { transmute(sums) }
    }
}
