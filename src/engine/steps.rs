//! The steps of an engine, for listings.

use alloc::string::String;

use super::{Engine, Stage};
use crate::step::ProductKind;

/// What an engine executes for a layer, or for a part of one; see [`Engine::steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepInfo {
    /// What it does: `dense 784x256`.
    pub name: String,
    /// Multiplications per row.
    pub products: usize,
    /// What becomes of the products; each kind has a limit of its own.
    pub product_kind: ProductKind,
    /// Bytes of packed weights, which each chunk of rows reads once.
    pub weight_bytes: usize,
    /// Bytes of an input row; of one of each input, if there are several.
    pub input_bytes: usize,
    /// Bytes of an output row.
    pub output_bytes: usize,
}

impl Engine {
    /// The steps that rows go through, in order. A layer that begins with other rows than the kernel
    /// reads has one more, which makes them; how a layer is cut may change from release to release.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = StepInfo> {
        self.stages.iter().map(|Stage { step, from, .. }| StepInfo {
            name: step.name(),
            products: step.products(),
            product_kind: step.product_kind(),
            weight_bytes: step.weight_bytes(),
            input_bytes: from.iter().map(|source| source.row_bytes).sum(),
            output_bytes: step.row_bytes(),
        })
    }
}
