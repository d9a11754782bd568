//! x86-64: one file per instruction set.

pub(super) mod amx;
pub(super) mod avx2;
pub(super) mod avx512bw;
pub(super) mod avx512vnni;
pub(super) mod avxvnni;
pub(super) mod avxvnniint8;
mod shorts256;
mod shorts512;
pub(super) mod sse41;
mod vector128;
mod vector256;
mod vector512;

use super::GROUP;

/// Whether the CPU has a feature that a kernel's `NEEDS` names. No is also the answer for a name that
/// is missing here, which the tests of the table notice.
#[inline(always)]
pub(super) fn has(feature: &str) -> bool {
    macro_rules! among {
        ($($name:tt)*) => {
            match feature {
                $(
                    #[cfg(feature = "std")]
                    $name => std::arch::is_x86_feature_detected!($name),
                    #[cfg(not(feature = "std"))]
                    $name => cfg!(target_feature = $name),
                )*
                _ => amx::has(feature),
            }
        };
    }
    among!("ssse3" "sse4.1" "avx2" "avxvnni" "avxvnniint8" "avx512f" "avx512bw" "avx512vnni")
}

/// |x| and the masks of the signs of a group of inputs, and what its positive products lack.
fn positive_group(inputs: [u8; GROUP]) -> ([[u8; GROUP]; 2], i32) {
    let inputs = inputs.map(|byte| byte as i8);
    let signs = inputs.map(|x| if x < 0 { 0xFF } else { 0 });
    let missing = inputs.map(|x| i32::from(x.min(0)).abs());
    ([inputs.map(i8::unsigned_abs), signs], missing.iter().sum())
}
