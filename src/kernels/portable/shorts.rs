//! Vectors of any CPU as lanes of 16 bits.

use bytemuck::{cast, pod_read_unaligned};
use wide::{f32x8, i8x16, i16x8, i16x16, i32x8, u16x16, u64x4};

use super::Wide;
use crate::kernels::vector::Shorts;

impl Shorts for Wide {
    type Short = i16x16;

    #[inline(always)]
    fn short(self, value: i16) -> i16x16 {
        i16x16::splat(value)
    }

    #[inline(always)]
    fn short_pairs(self, pair: &i32) -> i16x16 {
        cast(i32x8::splat(*pair))
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8]) -> i16x16 {
        i16x16::from_i8x16(pod_read_unaligned::<i8x16>(&bytes[..16]))
    }

    #[inline(always)]
    fn load_short(self, values: &[i16]) -> i16x16 {
        pod_read_unaligned(bytemuck::cast_slice(&values[..16]))
    }

    #[inline(always)]
    fn store_short(self, values: i16x16, to: &mut [i16]) {
        to[..16].copy_from_slice(&values.to_array());
    }

    #[inline(always)]
    fn sub_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a - b
    }

    #[inline(always)]
    fn add_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a + b
    }

    #[inline(always)]
    fn mul_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a * b
    }

    #[inline(always)]
    fn max_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a.max(b)
    }

    #[inline(always)]
    fn min_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a.min(b)
    }

    #[inline(always)]
    fn greater_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a.simd_gt(b)
    }

    #[inline(always)]
    fn equal_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a.simd_eq(b)
    }

    #[inline(always)]
    fn and_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a & b
    }

    #[inline(always)]
    fn or_short(self, a: i16x16, b: i16x16) -> i16x16 {
        a | b
    }

    #[inline(always)]
    fn any_short(self, a: i16x16) -> bool {
        cast::<_, [u64; 4]>(a) != [0; 4]
    }

    #[inline(always)]
    fn any_greater(self, a: i16x16, b: i16x16) -> bool {
        self.any_short(a.simd_gt(b))
    }

    #[inline(always)]
    fn excess(self, a: i16x16, b: i16x16) -> i16x16 {
        let (a, b): (u16x16, u16x16) = (cast(a), cast(b));
        cast(a.saturating_sub(b))
    }

    #[inline(always)]
    fn widen(self, a: i16x16) -> [i32x8; 2] {
        let [low, high]: [i16x8; 2] = cast(a);
        [i32x8::from_i16x8(low), i32x8::from_i16x8(high)]
    }

    #[inline(always)]
    fn list_bits(self, bits: u32, first: u32, to: &mut [u32]) -> usize {
        let to = &mut to[..8];
        let mut listed = 0;
        for place in 0..8 {
            to[listed & 7] = first + place;
            listed += (bits >> place & 1) as usize;
        }
        listed
    }

    #[inline(always)]
    fn eighth_power(self, table: &[f32; 8], at: f32x8) -> f32x8 {
        let at: i32x8 = cast(at);
        let mut entries = [0.0; 8];
        for (entry, at) in entries.iter_mut().zip(at.to_array()) {
            *entry = table[(at & 7) as usize];
        }
        cast(cast::<_, i32x8>(entries) - (at << 20))
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [i32x8; 2], a: i32x8) -> [i32x8; 2] {
        // Lanes with even numbers come first in memory: they are the low halves, but on a big-endian
        // machine.
        let a: u64x4 = cast(a);
        let (low, high) = (a & u64x4::splat(0xFFFF_FFFF), a >> 32);
        let (first, second) =
            if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        [cast(cast::<_, u64x4>(even) + first), cast(cast::<_, u64x4>(odd) + second)]
    }

    #[inline(always)]
    fn wide_sums(self, sums: [i32x8; 2], to: &mut [u64]) {
        let [even, odd]: [[u64; 4]; 2] = cast(sums);
        for ((to, even), odd) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
            *to = [even, odd];
        }
    }
}
