//! ARM of 64 bits: one file per instruction set.

mod dotprod;
mod i8mm;
mod neon;
mod vector128;

use super::Kernel;
use super::assemble::{one, two, with_unit};

/// Fastest first.
pub(super) static KERNELS: &[Kernel] = &[
    with_unit::<dotprod::ByElement, i8mm::I8mm>(two::<dotprod::ByElement, dotprod::ByVector>(
        "aarch64-i8mm-native",
    )),
    two::<dotprod::ByElement, dotprod::ByVector>("aarch64-dotprod-native"),
    one::<neon::Native>("aarch64-neon-native"),
];

detects! { is_aarch64_feature_detected, ["neon" "dotprod" "i8mm"], |_| false }
