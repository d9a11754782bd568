//! x86-64: one file per instruction set.

mod amx;
mod avx2;
mod avx512bw;
mod avx512vnni;
mod avxvnni;
mod avxvnniint8;
mod dot;
mod positive;
mod shorts256;
mod shorts512;
mod sse41;
mod vector128;
mod vector256;
mod vector512;

use super::Kernel;
use super::assemble::{on_trial, one, two, with_unit};
use dot::Dot;
use positive::{Positive, PositiveInputs};

type V512Vnni = vector512::V512<avx512vnni::Vnni>;
type V512Bw = vector512::V512<avx512bw::Bw>;
type V256VnniInt8 = vector256::V256<avxvnniint8::VnniInt8>;
type V256Vnni = vector256::V256<avxvnni::Vnni>;
type V256Avx2 = vector256::V256<avx2::Avx2>;
type PairSse41 = super::pair::Pair<vector128::V128>;

/// Fastest first.
pub(super) static KERNELS: &[Kernel] = &[
    on_trial(
        with_unit::<Dot<V512Vnni>, amx::Amx>(one::<Dot<V512Vnni>>("x86_64-amx-offset")),
        &amx::TRIAL,
    ),
    one::<Dot<V512Vnni>>("x86_64-avx512vnni-offset"),
    on_trial(one::<Dot<V256VnniInt8>>("x86_64-avxvnniint8-native"), &avxvnniint8::TRIAL),
    one::<Dot<V256Vnni>>("x86_64-avxvnni-offset"),
    one::<Positive<V512Vnni>>("x86_64-avx512vnni-positive"),
    two::<PositiveInputs<V512Bw>, Positive<V512Bw>>("x86_64-avx512bw-positive"),
    two::<PositiveInputs<V256Avx2>, Positive<V256Avx2>>("x86_64-avx2-positive"),
    two::<PositiveInputs<PairSse41>, Positive<PairSse41>>("x86_64-sse41-positive"),
];

detects! {
    is_x86_feature_detected,
    ["ssse3" "sse4.1" "avx2" "avxvnni" "avxvnniint8" "avx512f" "avx512bw" "avx512vnni"],
    amx::has
}
