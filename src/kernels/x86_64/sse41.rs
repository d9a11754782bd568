//! SSE4.1 and SSSE3: `pmaddubsw` multiplies 16 unsigned bytes with 16 signed ones and adds pairs
//! into 16 bits, with saturation, which the positive product never reaches; see `avx2.rs`.
//!
//! 2 rows x 2 pairs of vectors: 8 registers of sums, 4 of weights, 2 of inputs, 1 of ones, 1 to work
//! in.

use core::arch::x86_64::*;

use super::vector128::V128;
use crate::kernels::pair::{Half, Pair};
use crate::kernels::vector::{Broadcast, Direct, Product, Vector};
use crate::kernels::{GROUP, Technique};

// SAFETY of every block below: a value of `V128` proves that the CPU has the instructions.
/// The positive product: |w| and the sign mask of w lie side by side in memory. For layers of few
/// outputs.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = Pair<V128>;

    const TECHNIQUE: Technique = Technique::Positive;
    const OPERATIONS: usize = 8;
    const WEIGHT_BYTES: usize = 64;

    /// |w|, and the mask of its sign.
    type Weights = [[__m128i; 2]; 2];
    type Inputs = [__m128i; 2];

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        super::pack_positive(weights, packed);
    }

    #[inline(always)]
    fn weights(pair: Pair<V128>, packed: &[u8]) -> [[__m128i; 2]; 2] {
        [pair.load_groups(packed), pair.load_groups(&packed[32..])]
    }

    #[inline(always)]
    fn dot(
        pair: Pair<V128>,
        sums: [__m128i; 2],
        [magnitudes, signs]: [[__m128i; 2]; 2],
        inputs: [__m128i; 2],
    ) -> [__m128i; 2] {
        let half = pair.half();
        [
            positive(half, sums[0], magnitudes[0], [inputs[0], signs[0]]),
            positive(half, sums[1], magnitudes[1], [inputs[1], signs[1]]),
        ]
    }
}

impl Direct for Positive {
    const ROWS: usize = 1;

    #[inline(always)]
    fn inputs(_: Pair<V128>, groups: [__m128i; 2]) -> [__m128i; 2] {
        groups
    }
}

/// The positive product with the factors' parts exchanged, |x| and the sign mask of x against w: a
/// byte of memory for each weight, half of what |w| and its sign take.
#[derive(Clone, Copy)]
pub(crate) struct PositiveInputs;

impl Product for PositiveInputs {
    type Vector = Pair<V128>;

    const TECHNIQUE: Technique = Technique::PositiveInputs;
    const OPERATIONS: usize = 8;
    const WEIGHT_BYTES: usize = 32;

    type Weights = [__m128i; 2];
    /// |x|, and the mask of its sign: the same for both halves.
    type Inputs = [__m128i; 2];

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(pair: Pair<V128>, packed: &[u8]) -> [__m128i; 2] {
        pair.load_groups(packed)
    }

    #[inline(always)]
    fn dot(
        pair: Pair<V128>,
        sums: [__m128i; 2],
        weights: [__m128i; 2],
        [magnitudes, signs]: [__m128i; 2],
    ) -> [__m128i; 2] {
        let half = pair.half();
        [
            positive(half, sums[0], magnitudes, [weights[0], signs]),
            positive(half, sums[1], magnitudes, [weights[1], signs]),
        ]
    }
}

impl Broadcast for PositiveInputs {
    const VECTORS: usize = 2;
    const ROWS: usize = 2;
    const IN_FLIGHT: usize = 2;

    /// |x|, and the masks of the signs.
    type Group = [[u8; GROUP]; 2];

    fn group(inputs: [u8; GROUP]) -> ([[u8; GROUP]; 2], i32) {
        super::positive_group(inputs)
    }

    #[inline(always)]
    fn prepare(pair: Pair<V128>, row: &[u8], prepared: &mut [[[u8; GROUP]; 2]]) -> i32 {
        let half = pair.half();
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

    #[inline(always)]
    fn broadcast(pair: Pair<V128>, [magnitudes, signs]: &[[u8; GROUP]; 2]) -> [__m128i; 2] {
        let half = pair.half();
        [half.int(i32::from_le_bytes(*magnitudes)), half.int(i32::from_le_bytes(*signs))]
    }
}

/// Prepares 4 groups, and adds what their products lack onto two sums of 64 bits.
#[inline(always)]
fn prepare_four(_: V128, inputs: __m128i, to: &mut [[[u8; GROUP]; 2]; 4], missing: &mut __m128i) {
    // SAFETY: see the top.
    unsafe {
        let zero = _mm_setzero_si128();
        let (signs, magnitudes) = (_mm_cmpgt_epi8(zero, inputs), _mm_abs_epi8(inputs));
        let negative = _mm_sad_epu8(_mm_and_si128(signs, magnitudes), zero);
        *missing = _mm_add_epi64(*missing, negative);
        let groups = [_mm_unpacklo_epi32(magnitudes, signs), _mm_unpackhi_epi32(magnitudes, signs)];
        *to = core::mem::transmute::<[__m128i; 2], [[[u8; GROUP]; 2]; 4]>(groups);
    }
}

/// `sums + magnitudes * (others ^ signs)`, the products of each 4 bytes added up.
#[inline(always)]
fn positive(_: V128, sums: __m128i, magnitudes: __m128i, [others, signs]: [__m128i; 2]) -> __m128i {
    // SAFETY: see the top.
    unsafe {
        let pairs = _mm_maddubs_epi16(magnitudes, _mm_xor_si128(others, signs));
        _mm_add_epi32(sums, _mm_madd_epi16(pairs, _mm_set1_epi16(1)))
    }
}
