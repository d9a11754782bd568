//! AVX2: `vpmaddubsw` multiplies 32 unsigned bytes with 32 signed ones and adds pairs into 16
//! bits, with saturation. The positive product never saturates: a pair of |x| * (w ^ s) lies in
//! -32768..=32512.
//!
//! ```text
//! pairs = vpmaddubsw(|x|, w ^ s)        or |w|, x ^ s
//! sums += vpmaddwd(pairs, 1)
//! ```
//! 4 rows x 2 vectors: 8 registers of sums, 2 of weights, 2 of inputs, 1 of ones, 2 to work in.

use core::arch::x86_64::*;

use super::positive::{Split, SplitRows, UnsignedBySigned};
use super::vector256::{Features, V256};
use crate::kernels::GROUP;
use crate::kernels::vector::{Op, Vector};

/// The feature AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Features for Avx2 {
    const NEEDS: &'static [&'static str] = &["avx2"];

    #[inline(always)]
    fn vectorize<O: Op<V256<Self>>>(vector: V256<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx2")]
        fn compiled<O: Op<V256<Avx2>>>(vector: V256<Avx2>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the feature.
        unsafe { compiled(vector, op) }
    }
}

// SAFETY of every block below: a value of `V256<Avx2>` proves that the CPU has the instructions.

impl UnsignedBySigned for V256<Avx2> {
    const OPERATIONS: usize = 4;
    const ROWS: usize = 4;
    const IN_FLIGHT: usize = 2;
    const DIRECT_ROWS: usize = 2;

    #[inline(always)]
    fn multiply(
        self,
        sums: __m256i,
        magnitudes: __m256i,
        others: __m256i,
        signs: __m256i,
    ) -> __m256i {
        // SAFETY: see the top.
        unsafe {
            let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_xor_si256(others, signs));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

impl SplitRows for V256<Avx2> {
    #[inline(always)]
    fn split(self, row: &[u8], prepared: &mut [Split]) -> i32 {
        let mut missing = self.int(0);
        let (wholes, rest) = row.as_chunks::<32>();
        let mut to = prepared.as_chunks_mut().0.iter_mut();
        for (inputs, to) in wholes.iter().zip(to.by_ref()) {
            prepare_eight(self, self.load_groups(inputs), to, &mut missing);
        }
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            let last = match row.last_chunk::<32>() {
                Some(last) if rest.len().is_multiple_of(GROUP) => {
                    last_groups(self, self.load_groups(last), rest.len() / GROUP)
                }
                _ => self.load_few_groups(rest),
            };
            prepare_eight(self, last, to, &mut missing);
        }
        // SAFETY: see the top.
        let missing: [i64; 4] = unsafe { core::mem::transmute(missing) };
        missing.iter().sum::<i64>() as i32
    }
}

/// The last `n` of 8 groups, at most all, then zeros.
#[inline(always)]
fn last_groups(_: V256<Avx2>, groups: __m256i, n: usize) -> __m256i {
    // SAFETY: see the top.
    unsafe {
        let n = _mm256_set1_epi32(n as i32);
        let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        // Of the index only the last 3 bits count: 8 - n + number.
        let moved = _mm256_permutevar8x32_epi32(groups, _mm256_sub_epi32(numbers, n));
        _mm256_and_si256(moved, _mm256_cmpgt_epi32(n, numbers))
    }
}

/// Prepares 8 groups, and adds what their products lack onto four sums of 64 bits.
#[inline(always)]
fn prepare_eight(_: V256<Avx2>, inputs: __m256i, to: &mut [Split; 8], missing: &mut __m256i) {
    // SAFETY: see the top.
    unsafe {
        let zero = _mm256_setzero_si256();
        let (signs, magnitudes) = (_mm256_cmpgt_epi8(zero, inputs), _mm256_abs_epi8(inputs));
        let negative = _mm256_sad_epu8(_mm256_and_si256(signs, magnitudes), zero);
        *missing = _mm256_add_epi64(*missing, negative);
        // Magnitudes and signs in turn, but within each 128 bits: groups 0, 1, 4, 5 and 2, 3, 6, 7.
        let low = _mm256_unpacklo_epi32(magnitudes, signs);
        let high = _mm256_unpackhi_epi32(magnitudes, signs);
        let first = _mm256_permute2x128_si256::<0x20>(low, high);
        let second = _mm256_permute2x128_si256::<0x31>(low, high);
        *to = core::mem::transmute::<[__m256i; 2], [Split; 8]>([first, second]);
    }
}
