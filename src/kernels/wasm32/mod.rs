//! wasm32 with vectors of 128 bits. A module either has them or not, and where an engine lacks them it
//! is refused as a whole: so these files are only there in builds with the target feature.

mod simd128;
mod vector128;

use super::Kernel;
use super::assemble::one;

pub(super) static KERNELS: &[Kernel] = &[one::<simd128::Native>("wasm32-simd128-native")];

/// Whether the build has a feature that a kernel's `NEEDS` names.
#[inline(always)]
pub(super) fn has(feature: &str) -> bool {
    feature == "simd128"
}
