//! Weights in the order in which the loops of maxima read them.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::PANEL;
use crate::pack::{Line, aligned};

/// Weights `[panel][input][output]`, and the largest magnitude of each output's in each block.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    lines: Vec<Line>,
    /// `[block][output]`, padded.
    widest: Vec<i16>,
    inputs: usize,
    outputs: usize,
    /// Outputs rounded up to whole vectors.
    padded: usize,
    block: usize,
    blocks: usize,
}

impl Packed {
    /// Packs weights `[output][input]` for vectors of `shorts` lanes and blocks of `block` inputs.
    pub fn new(weights: &[i8], inputs: usize, block: usize, shorts: usize) -> Self {
        let outputs = weights.len() / inputs;
        let padded = outputs.next_multiple_of(shorts);
        let mut lines = aligned(padded * inputs);
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut lines);
        let blocks = inputs.div_ceil(block);
        let mut widest = vec![0; blocks * padded];
        for (n, row) in weights.chunks_exact(inputs).enumerate() {
            let first = n - n % PANEL;
            let width = PANEL.min(padded - first);
            let panel = bytes[first * inputs..][..width * inputs].chunks_exact_mut(width);
            for (&w, panel) in row.iter().zip(panel) {
                panel[n % PANEL] = w;
            }
            for (block, row) in row.chunks(block).enumerate() {
                let magnitudes = row.iter().map(|w| i16::from(w.unsigned_abs()));
                widest[block * padded + n] = magnitudes.max().unwrap_or(0);
            }
        }
        Self { lines, widest, inputs, outputs, padded, block, blocks }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs of a block, but for the last.
    pub fn block_inputs(&self) -> usize {
        self.block
    }

    /// How many blocks the inputs are cut into.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        self.padded * self.inputs
    }

    /// Outputs of a panel, padded.
    pub(super) fn width(&self, panel: usize) -> usize {
        PANEL.min(self.padded - panel * PANEL)
    }

    /// A panel's weights for the inputs of a block, and which these are.
    pub(super) fn block(&self, panel: usize, block: usize) -> (&[u8], Range<usize>) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.lines);
        let inputs = block * self.block..self.inputs.min((block + 1) * self.block);
        let (first, width) = (panel * PANEL * self.inputs, self.width(panel));
        (&bytes[first + inputs.start * width..first + inputs.end * width], inputs)
    }

    /// The largest magnitudes of a panel's weights in a block.
    pub(super) fn widest(&self, panel: usize, block: usize) -> &[i16] {
        &self.widest[block * self.padded + panel * PANEL..][..self.width(panel)]
    }
}
