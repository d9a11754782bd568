//! AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned bytes with 64 signed ones and adds groups of
//! 4 onto 16 sums, exactly, in one instruction.
//!
//! ```text
//! offset:    sums = vpdpbusd(sums, x + 128, w)
//! positive:  sums = vpdpbusd(sums, |w|, x ^ s)
//! ```
//! 12 rows x 2 vectors fill 24 of the 32 registers with sums: per group of inputs 2 loads of
//! weights, 12 broadcasts, 24 products.

use core::arch::x86_64::*;

use crate::kernels::vector::{Op, Product, Vector};
use crate::kernels::{GROUP, Technique};

/// Vectors of 512 bits.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// The first `n` lanes.
#[inline(always)]
fn mask(n: usize) -> u16 {
    0xFFFF_u16 >> (16 - n.min(16))
}

// SAFETY of every block below: a value of `Avx512` proves that the CPU has the instructions, and
// the line before a load or store asserted, or a mask ensures, that memory holds what it touches.
impl Vector for Avx512 {
    const LANES: usize = 16;

    type Int = __m512i;
    type Float = __m512;

    #[inline(always)]
    fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<O: Op<Self>>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn compiled<O: Op<Avx512>>(vector: Avx512, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `self` proves the features.
        unsafe { compiled(self, op) }
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_int(self, values: &[i32]) -> __m512i {
        assert!(values.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_epi32(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_int(self, values: __m512i, to: &mut [i32]) {
        // SAFETY: see the top.
        unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr(), mask(to.len()), values) }
    }

    #[inline(always)]
    fn store_bytes(self, values: __m512i, to: &mut [u8]) {
        // SAFETY: see the top.
        unsafe {
            if to.len() >= 16 {
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(values));
            } else {
                let (to, mask) = (to.as_mut_ptr().cast(), mask(to.len()));
                _mm512_mask_cvtepi32_storeu_epi8(to, mask, values);
            }
        }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn float(self, value: f32) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load_float(self, values: &[f32]) -> __m512 {
        assert!(values.len() >= 16);
        // SAFETY: see the top.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store_float(self, values: __m512, to: &mut [f32]) {
        // SAFETY: see the top.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), values) }
    }

    #[inline(always)]
    fn add_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn max_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min_float(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the top. The instruction answers b for NaN and for equal zeros.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn any_nan(self, a: __m512) -> bool {
        // SAFETY: see the top.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) != 0 }
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        // SAFETY: see the top. The default rounding is to nearest even.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        // SAFETY: see the top. The default rounding is half to even.
        unsafe { _mm512_cvtps_epi32(a) }
    }
}

/// The offset product: the one `xor` it needs was done when the inputs were stored.
#[derive(Clone, Copy)]
pub(crate) struct Offset;

impl Product for Offset {
    type Vector = Avx512;

    const NAME: &'static str = "x86_64-avx512vnni-offset";
    const TECHNIQUE: Technique = Technique::Offset;
    const VECTORS: usize = 2;
    const ROWS: usize = 12;
    const IN_FLIGHT: usize = 10;
    const WEIGHT_BYTES: usize = 64;

    type Weights = __m512i;
    type Inputs = __m512i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        packed.copy_from_slice(bytemuck::cast_slice(weights));
    }

    #[inline(always)]
    fn weights(_: Avx512, packed: &[u8]) -> __m512i {
        load(packed)
    }

    #[inline(always)]
    fn inputs(_: Avx512, group: [u8; GROUP]) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_set1_epi32(i32::from_le_bytes(group)) }
    }

    #[inline(always)]
    fn dot(_: Avx512, sums: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_dpbusd_epi32(sums, inputs, weights) }
    }
}

/// The positive product: |w| and the sign mask of w lie side by side in memory.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl Product for Positive {
    type Vector = Avx512;

    const NAME: &'static str = "x86_64-avx512vnni-positive";
    const TECHNIQUE: Technique = Technique::Positive;
    const VECTORS: usize = 2;
    const ROWS: usize = 12;
    const IN_FLIGHT: usize = 10;
    const WEIGHT_BYTES: usize = 128;

    /// |w|, and the mask of its sign.
    type Weights = (__m512i, __m512i);
    type Inputs = __m512i;

    fn pack(weights: &[[i8; GROUP]], packed: &mut [u8]) {
        crate::kernels::pack_positive(weights, packed);
    }

    #[inline(always)]
    fn weights(_: Avx512, packed: &[u8]) -> (__m512i, __m512i) {
        (load(packed), load(&packed[64..]))
    }

    #[inline(always)]
    fn inputs(vector: Avx512, group: [u8; GROUP]) -> __m512i {
        Offset::inputs(vector, group)
    }

    #[inline(always)]
    fn dot(
        _: Avx512,
        sums: __m512i,
        (magnitudes, signs): (__m512i, __m512i),
        inputs: __m512i,
    ) -> __m512i {
        // SAFETY: see the top.
        unsafe { _mm512_dpbusd_epi32(sums, magnitudes, _mm512_xor_si512(inputs, signs)) }
    }
}

#[inline(always)]
fn load(packed: &[u8]) -> __m512i {
    assert!(packed.len() >= 64);
    // SAFETY: see the top.
    unsafe { _mm512_loadu_epi8(packed.as_ptr().cast()) }
}
