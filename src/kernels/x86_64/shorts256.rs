//! Vectors of 256 bits as lanes of 16 bits.

use core::arch::x86_64::*;

use super::vector256::{Features, V256};
use crate::kernels::bits::places;
use crate::kernels::vector::{Shorts, Vector};

// SAFETY of every block below: a value of `V256` proves that the CPU has the instructions, and
// the line before a load or store asserted that memory holds what it touches.
impl<F: Features> Shorts for V256<F> {
    type Short = __m256i;

    #[inline(always)]
    fn short(self, value: i16) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_set1_epi16(value) }
    }

    #[inline(always)]
    fn short_pairs(self, pair: &i32) -> __m256i {
        self.int(*pair)
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8]) -> __m256i {
        assert!(bytes.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_short(self, values: &[i16]) -> __m256i {
        assert!(values.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_short(self, values: __m256i, to: &mut [i16]) {
        assert!(to.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), values) }
    }

    #[inline(always)]
    fn sub_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn add_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn mul_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_mullo_epi16(a, b) }
    }

    #[inline(always)]
    fn max_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_max_epi16(a, b) }
    }

    #[inline(always)]
    fn min_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_min_epi16(a, b) }
    }

    #[inline(always)]
    fn greater_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_cmpgt_epi16(a, b) }
    }

    #[inline(always)]
    fn equal_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_cmpeq_epi16(a, b) }
    }

    #[inline(always)]
    fn and_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    fn or_short(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    fn any_short(self, a: __m256i) -> bool {
        // SAFETY: see the top.
        unsafe { _mm256_testz_si256(a, a) == 0 }
    }

    #[inline(always)]
    fn any_greater(self, a: __m256i, b: __m256i) -> bool {
        // SAFETY: see the top.
        unsafe { _mm256_movemask_epi8(_mm256_cmpgt_epi16(a, b)) != 0 }
    }

    #[inline(always)]
    fn excess(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see the top.
        unsafe { _mm256_subs_epu16(a, b) }
    }

    #[inline(always)]
    fn widen(self, a: __m256i) -> [__m256i; 2] {
        // SAFETY: see the top.
        unsafe {
            let high = _mm256_extracti128_si256::<1>(a);
            [_mm256_cvtepi16_epi32(_mm256_castsi256_si128(a)), _mm256_cvtepi16_epi32(high)]
        }
    }

    #[inline(always)]
    fn list_bits(self, bits: u32, first: u32, to: &mut [u32]) -> usize {
        let (places, count) = places(bits);
        assert!(to.len() >= 8);
        // SAFETY: see the top.
        unsafe {
            let places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(places.as_ptr().cast()));
            let places = _mm256_add_epi32(places, _mm256_set1_epi32(first as i32));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), places);
        }
        count
    }

    #[inline(always)]
    fn eighth_power(self, table: &[f32; 8], at: __m256) -> __m256 {
        // SAFETY: see the top. Of an index only the low three bits count.
        unsafe {
            let at = _mm256_castps_si256(at);
            let entry = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), at);
            let power = _mm256_sub_epi32(_mm256_castps_si256(entry), _mm256_slli_epi32::<20>(at));
            _mm256_castsi256_ps(power)
        }
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [__m256i; 2], a: __m256i) -> [__m256i; 2] {
        // SAFETY: see the top.
        unsafe {
            let low = _mm256_and_si256(a, _mm256_set1_epi64x(0xFFFF_FFFF));
            let high = _mm256_srli_epi64::<32>(a);
            [_mm256_add_epi64(even, low), _mm256_add_epi64(odd, high)]
        }
    }

    #[inline(always)]
    fn wide_sums(self, sums: [__m256i; 2], to: &mut [u64]) {
        // SAFETY: see the top.
        let [even, odd]: [[u64; 4]; 2] = unsafe { core::mem::transmute(sums) };
        for ((to, even), odd) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
            *to = [even, odd];
        }
    }
}
