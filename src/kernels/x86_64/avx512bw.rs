//! AVX-512 BW: the positive product on vectors of 512 bits, for CPUs that have no VNNI; see
//! `avx2.rs`.
//!
//! 6 rows x 2 vectors: 12 of 32 registers hold sums, enough to keep the multipliers busy.

use core::arch::x86_64::*;

use super::positive::{Split, SplitRows, UnsignedBySigned};
use super::vector512::{Features, V512};
use crate::kernels::vector::{Op, Vector};

/// The features AVX-512 F and BW.
#[derive(Clone, Copy)]
pub(crate) struct Bw;

impl Features for Bw {
    const NEEDS: &'static [&'static str] = &["avx512f", "avx512bw"];

    #[inline(always)]
    fn vectorize<O: Op<V512<Self>>>(vector: V512<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn compiled<O: Op<V512<Bw>>>(vector: V512<Bw>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the features.
        unsafe { compiled(vector, op) }
    }
}

// SAFETY of every block below: a value of `V512<Bw>` proves that the CPU has the instructions.

impl UnsignedBySigned for V512<Bw> {
    const OPERATIONS: usize = 4;
    const ROWS: usize = 6;
    const IN_FLIGHT: usize = 2;
    const DIRECT_ROWS: usize = 4;

    #[inline(always)]
    fn multiply(
        self,
        sums: __m512i,
        magnitudes: __m512i,
        others: __m512i,
        signs: __m512i,
    ) -> __m512i {
        // SAFETY: see the top.
        unsafe {
            let pairs = _mm512_maddubs_epi16(magnitudes, _mm512_xor_si512(others, signs));
            _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}

impl SplitRows for V512<Bw> {
    #[inline(always)]
    fn split(self, row: &[u8], prepared: &mut [Split]) -> i32 {
        let mut missing = self.int(0);
        let mut to = prepared.chunks_mut(16);
        let (wholes, rest) = row.as_chunks::<64>();
        for (inputs, to) in wholes.iter().zip(to.by_ref()) {
            prepare_sixteen(self, self.load_groups(inputs), to, &mut missing);
        }
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            prepare_sixteen(self, self.load_few_groups(rest), to, &mut missing);
        }
        // SAFETY: both are 64 bytes of any bits.
        let missing: [i64; 8] = unsafe { core::mem::transmute(missing) };
        missing.iter().sum::<i64>() as i32
    }
}

/// Prepares 16 groups, of which those that there is room for are stored: half of them at least, as
/// what is prepared is whole cache lines long. Adds what their products lack onto eight sums of 64
/// bits.
#[inline(always)]
fn prepare_sixteen(_: V512<Bw>, inputs: __m512i, to: &mut [Split], missing: &mut __m512i) {
    // SAFETY: see the top.
    let halves: [[Split; 8]; 2] = unsafe {
        let negative = _mm512_movepi8_mask(inputs);
        let (signs, magnitudes) = (_mm512_movm_epi8(negative), _mm512_abs_epi8(inputs));
        let negative = _mm512_sad_epu8(_mm512_and_si512(signs, magnitudes), _mm512_setzero_si512());
        *missing = _mm512_add_epi64(*missing, negative);
        // Magnitudes and signs in turn: numbers from 16 on are those of the signs.
        let order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let first = _mm512_permutex2var_epi32(magnitudes, order, signs);
        let order = _mm512_add_epi32(order, _mm512_set1_epi32(8));
        let second = _mm512_permutex2var_epi32(magnitudes, order, signs);
        core::mem::transmute::<[__m512i; 2], [[Split; 8]; 2]>([first, second])
    };
    for (to, half) in to.as_chunks_mut().0.iter_mut().zip(halves) {
        *to = half;
    }
}
