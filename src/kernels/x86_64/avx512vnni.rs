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

use super::dot::DotBytes;
use super::positive::UnsignedBySigned;
use super::vector512::{Features, V512};
use crate::kernels::Technique;
use crate::kernels::vector::Op;

/// The features AVX-512 F, BW and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni;

impl Features for Vnni {
    const NEEDS: &'static [&'static str] = &["avx512f", "avx512bw", "avx512vnni"];

    #[inline(always)]
    fn vectorize<O: Op<V512<Self>>>(vector: V512<Self>, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn compiled<O: Op<V512<Vnni>>>(vector: V512<Vnni>, op: O) -> O::Output {
            op.run(vector)
        }
        // SAFETY: `vector` proves the features.
        unsafe { compiled(vector, op) }
    }
}

/// The offset product: the one `xor` it needs was done when the inputs were stored.
impl DotBytes for V512<Vnni> {
    const TECHNIQUE: Technique = Technique::Offset;
    const ROWS: usize = 12;
    const DIRECT_ROWS: usize = 4;

    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(sums, inputs, weights) }
    }
}

impl UnsignedBySigned for V512<Vnni> {
    const OPERATIONS: usize = 2;
    const ROWS: usize = 12;
    const IN_FLIGHT: usize = 10;
    const DIRECT_ROWS: usize = 4;

    #[inline(always)]
    fn multiply(
        self,
        sums: __m512i,
        magnitudes: __m512i,
        others: __m512i,
        signs: __m512i,
    ) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(sums, magnitudes, _mm512_xor_si512(others, signs)) }
    }
}
