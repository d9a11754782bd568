//! AVX-512 BW: the positive product on vectors of 512 bits, for CPUs that have no VNNI; see
//! `avx2.rs`.
//!
//! 6 rows x 2 vectors: 12 of 32 registers hold sums, enough to keep the multipliers busy.

use core::arch::x86_64::*;

use super::vector512::{Features, V512};
use crate::kernels::vector::{Broadcast, Direct, Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

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
/// The positive product: |w| and the sign mask of w lie side by side in memory. For layers of few
/// outputs.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = V512<Bw>;

    const TECHNIQUE: Technique = Technique::Positive;
    const OPERATIONS: usize = 4;
    const WEIGHT_BYTES: usize = 128;

    /// |w|, and the mask of its sign.
    type Weights = (__m512i, __m512i);
    type Inputs = __m512i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        super::pack_positive(weights, packed);
    }

    #[inline(always)]
    fn weights(vector: V512<Bw>, packed: &[u8]) -> (__m512i, __m512i) {
        (vector.load_groups(packed), vector.load_groups(&packed[64..]))
    }

    #[inline(always)]
    fn dot(
        vector: V512<Bw>,
        sums: __m512i,
        (magnitudes, signs): (__m512i, __m512i),
        inputs: __m512i,
    ) -> __m512i {
        positive(vector, sums, magnitudes, [inputs, signs])
    }
}

impl Direct for Positive {
    const ROWS: usize = 4;

    #[inline(always)]
    fn inputs(_: V512<Bw>, groups: __m512i) -> __m512i {
        groups
    }
}

/// The positive product with the factors' parts exchanged, |x| and the sign mask of x against w: a
/// byte of memory for each weight, half of what |w| and its sign take.
#[derive(Clone, Copy)]
pub(crate) struct PositiveInputs;

impl Product for PositiveInputs {
    type Vector = V512<Bw>;

    const TECHNIQUE: Technique = Technique::PositiveInputs;
    const OPERATIONS: usize = 4;
    const WEIGHT_BYTES: usize = 64;

    type Weights = __m512i;
    /// |x|, and the mask of its sign.
    type Inputs = (__m512i, __m512i);

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(vector: V512<Bw>, packed: &[u8]) -> __m512i {
        vector.load_groups(packed)
    }

    #[inline(always)]
    fn dot(
        vector: V512<Bw>,
        sums: __m512i,
        weights: __m512i,
        (magnitudes, signs): (__m512i, __m512i),
    ) -> __m512i {
        positive(vector, sums, magnitudes, [weights, signs])
    }
}

impl Broadcast for PositiveInputs {
    const VECTORS: usize = 2;
    const ROWS: usize = 6;
    const IN_FLIGHT: usize = 2;

    /// |x|, and the masks of the signs.
    type Group = [[u8; GROUP]; 2];

    fn group(inputs: [u8; GROUP]) -> ([[u8; GROUP]; 2], i32) {
        super::positive_group(inputs)
    }

    #[inline(always)]
    fn prepare(vector: V512<Bw>, row: &[u8], prepared: &mut [[[u8; GROUP]; 2]]) -> i32 {
        let mut missing = vector.int(0);
        let mut to = prepared.chunks_mut(16);
        let (wholes, rest) = row.as_chunks::<64>();
        for (inputs, to) in wholes.iter().zip(to.by_ref()) {
            prepare_sixteen(vector, vector.load_groups(inputs), to, &mut missing);
        }
        if let Some(to) = to.next().filter(|_| !rest.is_empty()) {
            prepare_sixteen(vector, vector.load_few_groups(rest), to, &mut missing);
        }
        // SAFETY: both are 64 bytes of any bits.
        let missing: [i64; 8] = unsafe { core::mem::transmute(missing) };
        missing.iter().sum::<i64>() as i32
    }

    #[inline(always)]
    fn broadcast(vector: V512<Bw>, [magnitudes, signs]: &[[u8; GROUP]; 2]) -> (__m512i, __m512i) {
        let magnitudes = i32::from_le_bytes(*magnitudes);
        let signs = i32::from_le_bytes(*signs);
        (vector.int(magnitudes), vector.int(signs))
    }
}

/// Prepares 16 groups, of which those that there is room for are stored: half of them at least, as
/// what is prepared is whole cache lines long. Adds what their products lack onto eight sums of 64
/// bits.
#[inline(always)]
fn prepare_sixteen(
    _: V512<Bw>,
    inputs: __m512i,
    to: &mut [[[u8; GROUP]; 2]],
    missing: &mut __m512i,
) {
    // SAFETY: see the top.
    let halves: [[[[u8; GROUP]; 2]; 8]; 2] = unsafe {
        let negative = _mm512_movepi8_mask(inputs);
        let (signs, magnitudes) = (_mm512_movm_epi8(negative), _mm512_abs_epi8(inputs));
        let negative = _mm512_sad_epu8(_mm512_and_si512(signs, magnitudes), _mm512_setzero_si512());
        *missing = _mm512_add_epi64(*missing, negative);
        // Magnitudes and signs in turn: numbers from 16 on are those of the signs.
        let order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let first = _mm512_permutex2var_epi32(magnitudes, order, signs);
        let order = _mm512_add_epi32(order, _mm512_set1_epi32(8));
        let second = _mm512_permutex2var_epi32(magnitudes, order, signs);
        core::mem::transmute::<[__m512i; 2], [[[[u8; GROUP]; 2]; 8]; 2]>([first, second])
    };
    for (to, half) in to.as_chunks_mut().0.iter_mut().zip(halves) {
        *to = half;
    }
}

/// `sums + magnitudes * (others ^ signs)`, the products of each 4 bytes added up.
#[inline(always)]
fn positive(
    _: V512<Bw>,
    sums: __m512i,
    magnitudes: __m512i,
    [others, signs]: [__m512i; 2],
) -> __m512i {
    // SAFETY: see the top.
    unsafe {
        let pairs = _mm512_maddubs_epi16(magnitudes, _mm512_xor_si512(others, signs));
        _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
    }
}
