//! Vectors of 512 bits as lanes of 16 bits.

use core::arch::x86_64::*;

use super::vector512::{Features, V512};
use crate::kernels::vector::{Shorts, Vector};

// SAFETY of every block below: a value of `V512` proves that the CPU has the instructions, AVX-512
// BW among them, and the line before a load or store asserted that memory holds what it touches.
impl<F: Features> Shorts for V512<F> {
    type Short = __m512i;

    #[inline(always)]
    fn short(self, value: i16) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_set1_epi16(value) }
    }

    #[inline(always)]
    fn short_pairs(self, pair: &i32) -> __m512i {
        self.int(*pair)
    }

    #[inline(always)]
    fn load_signed(self, bytes: &[u8]) -> __m512i {
        assert!(bytes.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_short(self, values: &[i16]) -> __m512i {
        assert!(values.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_epi16(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_short(self, values: __m512i, to: &mut [i16]) {
        assert!(to.len() >= 32);
        // SAFETY: see the top.
        unsafe { _mm512_storeu_epi16(to.as_mut_ptr(), values) }
    }

    #[inline(always)]
    fn sub_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn add_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_add_epi16(a, b) }
    }

    #[inline(always)]
    fn mul_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_mullo_epi16(a, b) }
    }

    #[inline(always)]
    fn max_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_max_epi16(a, b) }
    }

    #[inline(always)]
    fn min_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_min_epi16(a, b) }
    }

    #[inline(always)]
    fn greater_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_movm_epi16(_mm512_cmpgt_epi16_mask(a, b)) }
    }

    #[inline(always)]
    fn equal_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(a, b)) }
    }

    #[inline(always)]
    fn and_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn or_short(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn any_short(self, a: __m512i) -> bool {
        // SAFETY: see the top.
        unsafe { _mm512_test_epi16_mask(a, a) != 0 }
    }

    #[inline(always)]
    fn any_greater(self, a: __m512i, b: __m512i) -> bool {
        // SAFETY: see the top.
        unsafe { _mm512_cmpgt_epi16_mask(a, b) != 0 }
    }

    #[inline(always)]
    fn excess(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_subs_epu16(a, b) }
    }

    #[inline(always)]
    fn widen(self, a: __m512i) -> [__m512i; 2] {
        // SAFETY: see the top.
        unsafe {
            let high = _mm512_extracti64x4_epi64::<1>(a);
            [_mm512_cvtepi16_epi32(_mm512_castsi512_si256(a)), _mm512_cvtepi16_epi32(high)]
        }
    }

    #[inline(always)]
    fn list_bits(self, bits: u32, first: u32, to: &mut [u32]) -> usize {
        assert!(to.len() >= 16);
        let bits = bits as u16;
        // SAFETY: see the top.
        unsafe {
            let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let places = _mm512_maskz_compress_epi32(bits, places);
            let places = _mm512_add_epi32(places, _mm512_set1_epi32(first as i32));
            _mm512_storeu_epi32(to.as_mut_ptr().cast(), places);
        }
        bits.count_ones() as usize
    }

    #[inline(always)]
    fn eighth_power(self, table: &[f32; 8], at: __m512) -> __m512 {
        // SAFETY: see the top. Of an index four bits count: the table is there twice.
        unsafe {
            let at = _mm512_castps_si512(at);
            let half = _mm512_castps256_ps512(_mm256_loadu_ps(table.as_ptr()));
            let entry = _mm512_permutexvar_ps(at, _mm512_shuffle_f32x4::<0b0100_0100>(half, half));
            let power = _mm512_sub_epi32(_mm512_castps_si512(entry), _mm512_slli_epi32::<20>(at));
            _mm512_castsi512_ps(power)
        }
    }

    #[inline(always)]
    fn add_wide(self, [even, odd]: [__m512i; 2], a: __m512i) -> [__m512i; 2] {
        // SAFETY: see the top.
        unsafe {
            let low = _mm512_and_si512(a, _mm512_set1_epi64(0xFFFF_FFFF));
            let high = _mm512_srli_epi64::<32>(a);
            [_mm512_add_epi64(even, low), _mm512_add_epi64(odd, high)]
        }
    }

    #[inline(always)]
    fn wide_sums(self, sums: [__m512i; 2], to: &mut [u64]) {
        // SAFETY: see the top.
        let [even, odd]: [[u64; 8]; 2] = unsafe { core::mem::transmute(sums) };
        for ((to, even), odd) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
            *to = [even, odd];
        }
    }
}
