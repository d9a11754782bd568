//! ARM of 64 bits: one file per instruction set.

pub(super) mod dotprod;
pub(super) mod i8mm;
pub(super) mod neon;
mod vector128;

/// Whether the CPU has a feature that a kernel's `NEEDS` names. No is also the answer for a name that
/// is missing here, which the tests of the table notice.
#[inline(always)]
pub(super) fn has(feature: &str) -> bool {
    macro_rules! among {
        ($($name:tt)*) => {
            match feature {
                $(
                    #[cfg(feature = "std")]
                    $name => std::arch::is_aarch64_feature_detected!($name),
                    #[cfg(not(feature = "std"))]
                    $name => cfg!(target_feature = $name),
                )*
                _ => false,
            }
        };
    }
    among!("neon" "dotprod" "i8mm")
}
