//! Vectors of 128 bits, in pairs.

use core::arch::x86_64::*;

use crate::kernels::has_all;
use crate::kernels::pair::{Half, Pair};
use crate::kernels::vector::{Narrow, Op, Table};

/// Vectors of 128 bits, with SSE4.1 (and SSSE3, which all CPUs with SSE4.1 have).
#[derive(Clone, Copy)]
pub(crate) struct V128(());

// SAFETY of every block below: a value of `V128` proves that the CPU has the instructions, and
// references to arrays hold what is loaded.
impl Half for V128 {
    type Int = __m128i;
    type Float = __m128;
    type Bytes = __m128i;
    type Short = __m128i;
    type Mask = __m128;

    type Base = Self;

    const NEEDS: &'static [&'static str] = &["ssse3", "sse4.1"];

    #[inline(always)]
    fn detect() -> Option<Self> {
        has_all(Self::NEEDS).then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<O: Op<Pair<Self>>>(pair: Pair<Self>, op: O) -> O::Output {
        #[target_feature(enable = "ssse3,sse4.1")]
        fn compiled<O: Op<Pair<V128>>>(pair: Pair<V128>, op: O) -> O::Output {
            op.run(pair)
        }
        // SAFETY: `pair` proves the features.
        unsafe { compiled(pair, op) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_int(self, values: &[i32; 4]) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_groups(self, bytes: &[u8; 16]) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn int_lanes(self, values: __m128i) -> [i32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn totals(self, [a, b, c, d]: [__m128i; 4]) -> [i32; 4] {
        // SAFETY: see the top.
        let totals = unsafe {
            // Adds neighbours: two lanes of each vector are left, at last one.
            _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d))
        };
        self.int_lanes(totals)
    }

    #[inline(always)]
    fn sum_groups(self, groups: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), groups), _mm_set1_epi16(1)) }
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [__m128i; 4]) -> [__m128i; 4] {
        // SAFETY: see the top.
        unsafe {
            let (ab, cd) = (_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
            let (ab_high, cd_high) = (_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
            [
                _mm_unpacklo_epi64(ab, cd),
                _mm_unpackhi_epi64(ab, cd),
                _mm_unpacklo_epi64(ab_high, cd_high),
                _mm_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    fn float(self, value: f32) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_set1_ps(value) }
    }

    #[inline(always)]
    fn load_float(self, values: &[f32; 4]) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn float_lanes(self, values: __m128) -> [f32; 4] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_div_ps(a, b) }
    }

    #[inline(always)]
    fn max_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm_max_ps(a, b) }
    }

    #[inline(always)]
    fn min_float(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm_min_ps(a, b) }
    }

    #[inline(always)]
    fn to_float(self, a: __m128i) -> __m128 {
        // SAFETY: see the top. The default rounding is to nearest even.
        unsafe { _mm_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m128) -> __m128i {
        // SAFETY: see the top. The default rounding is half to even. What the conversion cannot
        // hold gives the smallest integer, wrong only above: so there it is bounded first. Of
        // two operands the minimum answers the second for NaN.
        unsafe { _mm_cvtps_epi32(_mm_min_ps(_mm_set1_ps(32767.0), a)) }
    }

    #[inline(always)]
    fn truncate(self, a: __m128) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_cvttps_epi32(a) }
    }

    #[inline(always)]
    fn add_exponent(self, a: __m128, by: __m128i) -> __m128 {
        // SAFETY: see the top.
        unsafe {
            let sum = _mm_add_epi32(_mm_castps_si128(a), _mm_slli_epi32::<23>(by));
            _mm_castsi128_ps(sum)
        }
    }

    #[inline(always)]
    fn greater(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_cmpgt_ps(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_cmpeq_ps(a, b) }
    }

    #[inline(always)]
    fn unordered(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_cmpunord_ps(a, b) }
    }

    #[inline(always)]
    fn either(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_or_ps(a, b) }
    }

    #[inline(always)]
    fn mask_bits(self, mask: __m128) -> u32 {
        // SAFETY: see the top.
        unsafe { _mm_movemask_ps(mask) as u32 }
    }

    #[inline(always)]
    fn select(self, mask: __m128, a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the top.
        unsafe { _mm_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m128i; 4], by: &Narrow) -> __m128i {
        // SAFETY: see the top.
        unsafe {
            let zero_point = _mm_set1_epi16(i16::from(by.zero_point));
            let ab = _mm_adds_epi16(_mm_packs_epi32(a, b), zero_point);
            let cd = _mm_adds_epi16(_mm_packs_epi32(c, d), zero_point);
            let bytes = _mm_max_epu8(_mm_packus_epi16(ab, cd), _mm_set1_epi8(by.min as i8));
            let bytes = _mm_min_epu8(bytes, _mm_set1_epi8(by.max as i8));
            _mm_xor_si128(bytes, _mm_set1_epi8(by.flip as i8))
        }
    }

    #[inline(always)]
    fn byte_lanes(self, bytes: __m128i) -> [u8; 16] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(bytes) }
    }

    #[inline(always)]
    fn load_whole(self, bytes: &[u8; 16]) -> __m128i {
        self.load_groups(bytes)
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: &[u8; 8], flip: u8) -> [__m128i; 2] {
        // SAFETY: see the top.
        unsafe {
            let bytes = _mm_loadl_epi64(bytes.as_ptr().cast());
            let bytes = _mm_xor_si128(bytes, _mm_set1_epi8(flip as i8));
            [_mm_cvtepu8_epi32(bytes), _mm_cvtepu8_epi32(_mm_srli_si128::<4>(bytes))]
        }
    }

    #[inline(always)]
    fn bytes(self, value: u8) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_set1_epi8(value as i8) }
    }

    #[inline(always)]
    fn xor_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_xor_si128(a, b) }
    }

    #[inline(always)]
    fn max_bytes(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_max_epu8(a, b) }
    }

    #[inline(always)]
    fn equal_bytes(self, a: __m128i, b: __m128i) -> u32 {
        // SAFETY: see the top.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) as u32 }
    }

    #[inline(always)]
    fn look_up(self, table: &Table, bytes: __m128i) -> __m128i {
        // As with 256 bits: a shuffle answers 0 where its index is negative, else looks at four bits.
        //
        // SAFETY: see the top. Each row has the 16 bytes that are loaded.
        unsafe {
            let mut found = _mm_setzero_si128();
            let half = _mm_set1_epi8(-128);
            for (mut index, steps) in
                [bytes, _mm_xor_si128(bytes, half)].into_iter().zip(table.steps.chunks_exact(8))
            {
                for step in steps {
                    let step = _mm_loadu_si128(step.as_ptr().cast());
                    found = _mm_xor_si128(found, _mm_shuffle_epi8(step, index));
                    index = _mm_subs_epi8(index, _mm_set1_epi8(16));
                }
            }
            found
        }
    }

    #[inline(always)]
    fn short(self, value: i16) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_set1_epi16(value) }
    }

    #[inline(always)]
    fn short_pairs(self, pair: i32) -> __m128i {
        self.int(pair)
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8; 8]) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_cvtepi8_epi16(_mm_loadl_epi64(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_short(self, values: &[i16; 8]) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn short_lanes(self, values: __m128i) -> [i16; 8] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(values) }
    }

    #[inline(always)]
    fn add_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_add_epi16(a, b) }
    }

    #[inline(always)]
    fn sub_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn mul_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_mullo_epi16(a, b) }
    }

    #[inline(always)]
    fn max_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_max_epi16(a, b) }
    }

    #[inline(always)]
    fn min_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_min_epi16(a, b) }
    }

    #[inline(always)]
    fn greater_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_cmpgt_epi16(a, b) }
    }

    #[inline(always)]
    fn equal_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_cmpeq_epi16(a, b) }
    }

    #[inline(always)]
    fn and_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_and_si128(a, b) }
    }

    #[inline(always)]
    fn or_short(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_or_si128(a, b) }
    }

    #[inline(always)]
    fn any_short(self, a: __m128i) -> bool {
        // SAFETY: see the top.
        unsafe { _mm_testz_si128(a, a) == 0 }
    }

    #[inline(always)]
    fn excess(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: see the top.
        unsafe { _mm_subs_epu16(a, b) }
    }

    #[inline(always)]
    fn widen(self, a: __m128i) -> [__m128i; 2] {
        // SAFETY: see the top.
        unsafe { [_mm_cvtepi16_epi32(a), _mm_cvtepi16_epi32(_mm_srli_si128::<8>(a))] }
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [__m128i; 2], a: __m128i) -> [__m128i; 2] {
        // SAFETY: see the top.
        unsafe {
            let low = _mm_and_si128(a, _mm_set1_epi64x(0xFFFF_FFFF));
            [_mm_add_epi64(even, low), _mm_add_epi64(odd, _mm_srli_epi64::<32>(a))]
        }
    }

    #[inline(always)]
    fn wide_lanes(self, sums: __m128i) -> [u64; 2] {
        // SAFETY: both are 16 bytes of any bits.
        unsafe { core::mem::transmute(sums) }
    }
}
