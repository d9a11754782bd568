//! x86-64: one file per instruction set.

mod amx;
mod avx2;
mod avx512bw;
mod avx512vnni;
mod avxvnni;
mod avxvnniint8;
mod shorts256;
mod shorts512;
mod sse41;
mod vector128;
mod vector256;
mod vector512;

use super::assemble::{on_trial, one, two, with_unit};
use super::{GROUP, Kernel};

/// Fastest first.
pub(super) static KERNELS: &[Kernel] = &[
    on_trial(
        with_unit::<avx512vnni::Offset, amx::Amx>(one::<avx512vnni::Offset>("x86_64-amx-offset")),
        &amx::TRIAL,
    ),
    one::<avx512vnni::Offset>("x86_64-avx512vnni-offset"),
    on_trial(one::<avxvnniint8::Native>("x86_64-avxvnniint8-native"), &avxvnniint8::TRIAL),
    one::<avxvnni::Offset>("x86_64-avxvnni-offset"),
    one::<avx512vnni::Positive>("x86_64-avx512vnni-positive"),
    two::<avx512bw::PositiveInputs, avx512bw::Positive>("x86_64-avx512bw-positive"),
    two::<avx2::PositiveInputs, avx2::Positive>("x86_64-avx2-positive"),
    two::<sse41::PositiveInputs, sse41::Positive>("x86_64-sse41-positive"),
];

detects! {
    is_x86_feature_detected,
    ["ssse3" "sse4.1" "avx2" "avxvnni" "avxvnniint8" "avx512f" "avx512bw" "avx512vnni"],
    amx::has
}

/// Packs for the positive product: the magnitudes of all weights, then the masks of their signs.
fn pack_positive(weights: &[[i8; GROUP]], packed: &mut [u8]) {
    let weights = weights.as_flattened();
    let (magnitudes, signs) = packed.split_at_mut(weights.len());
    for ((&w, magnitude), sign) in weights.iter().zip(magnitudes).zip(signs) {
        *magnitude = w.unsigned_abs();
        *sign = if w < 0 { 0xFF } else { 0 };
    }
}

/// |x| and the masks of the signs of a group of inputs, and what its positive products lack.
fn positive_group(inputs: [u8; GROUP]) -> ([[u8; GROUP]; 2], i32) {
    let inputs = inputs.map(|byte| byte as i8);
    let signs = inputs.map(|x| if x < 0 { 0xFF } else { 0 });
    let missing = inputs.map(|x| i32::from(x.min(0)).abs());
    ([inputs.map(i8::unsigned_abs), signs], missing.iter().sum())
}
