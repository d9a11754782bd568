//! x86-64: one file per instruction set.

pub(super) mod avx2;
pub(super) mod avx512vnni;
pub(super) mod avxvnni;
mod vector256;
mod vector512;
