//! CPUs that have no kernels of their own.

use super::Kernel;

pub(super) static KERNELS: &[Kernel] = &[];

/// Whether the CPU has a feature that a kernel needs: none needs one.
pub(super) fn has(_: &str) -> bool {
    false
}
