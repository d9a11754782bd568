//! SSE4.1 and SSSE3: `pmaddubsw` multiplies 16 unsigned bytes with 16 signed ones and adds pairs
//! into 16 bits, with saturation, which the positive product never reaches; see `avx2.rs`.
//!
//! 2 rows x 2 pairs of vectors: 8 registers of sums, 4 of weights, 2 of inputs, 1 of ones, 1 to work
//! in.

use core::arch::x86_64::*;

use super::positive::{Split, SplitRows, UnsignedBySigned};
use super::vector128::V128;
use crate::kernels::pair::{Half, Pair};

// SAFETY of every block below: a value of `V128` proves that the CPU has the instructions.

impl UnsignedBySigned for Pair<V128> {
    const OPERATIONS: usize = 8;
    const ROWS: usize = 2;
    const IN_FLIGHT: usize = 2;
    const DIRECT_ROWS: usize = 1;

    #[inline(always)]
    fn multiply(
        self,
        sums: [__m128i; 2],
        magnitudes: [__m128i; 2],
        others: [__m128i; 2],
        signs: [__m128i; 2],
    ) -> [__m128i; 2] {
        let half = self.half();
        [
            multiply(half, sums[0], magnitudes[0], others[0], signs[0]),
            multiply(half, sums[1], magnitudes[1], others[1], signs[1]),
        ]
    }
}

impl SplitRows for Pair<V128> {
    #[inline(always)]
    fn split(self, row: &[u8], prepared: &mut [Split]) -> i32 {
        let half = self.half();
        let mut missing = half.int(0);
        let (wholes, rest) = row.as_chunks::<16>();
        let mut to = prepared.as_chunks_mut::<4>().0.iter_mut();
        for (inputs, to) in wholes.iter().zip(to.by_ref()) {
            prepare_four(half, half.load_groups(inputs), to, &mut missing);
        }
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            let mut last = [0; 16];
            crate::kernels::copy_short(&mut last, rest);
            prepare_four(half, half.load_groups(&last), to, &mut missing);
        }
        half.wide_lanes(missing).iter().sum::<u64>() as i32
    }
}

/// Prepares 4 groups, and adds what their products lack onto two sums of 64 bits.
#[inline(always)]
fn prepare_four(_: V128, inputs: __m128i, to: &mut [Split; 4], missing: &mut __m128i) {
    // SAFETY: see the top.
    unsafe {
        let zero = _mm_setzero_si128();
        let (signs, magnitudes) = (_mm_cmpgt_epi8(zero, inputs), _mm_abs_epi8(inputs));
        let negative = _mm_sad_epu8(_mm_and_si128(signs, magnitudes), zero);
        *missing = _mm_add_epi64(*missing, negative);
        let groups = [_mm_unpacklo_epi32(magnitudes, signs), _mm_unpackhi_epi32(magnitudes, signs)];
        *to = core::mem::transmute::<[__m128i; 2], [Split; 4]>(groups);
    }
}

/// [`UnsignedBySigned::multiply`] of half the lanes.
#[inline(always)]
fn multiply(
    _: V128,
    sums: __m128i,
    magnitudes: __m128i,
    others: __m128i,
    signs: __m128i,
) -> __m128i {
    // SAFETY: see the top.
    unsafe {
        let pairs = _mm_maddubs_epi16(magnitudes, _mm_xor_si128(others, signs));
        _mm_add_epi32(sums, _mm_madd_epi16(pairs, _mm_set1_epi16(1)))
    }
}
