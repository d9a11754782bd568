//! x86-64: one file per instruction set.

pub(super) mod avx2;
pub(super) mod avx512vnni;
pub(super) mod avxvnni;
mod shorts256;
mod shorts512;
mod vector256;
mod vector512;

/// Whether the CPU has a feature that a kernel's `NEEDS` names. No is also the answer for a name that
/// is missing here, which the tests of the table notice.
pub(super) fn has(feature: &str) -> bool {
    macro_rules! among {
        ($($name:tt)*) => {
            match feature {
                $($name => is_x86_feature_detected!($name),)*
                _ => false,
            }
        };
    }
    among!("avx2" "avxvnni" "avx512f" "avx512bw" "avx512vnni")
}
