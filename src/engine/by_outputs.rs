//! A batch of few rows on several threads: each computes some of the outputs of a step.
//!
//! ```text
//! for each step
//!   if it has work for several threads
//!     in parallel: each thread computes its outputs, the first one in place, the others apart
//!     copy theirs to their places
//!   else run it
//! ```

use core::ops::Range;

use super::{Arena, Batch, COST_PER_THREAD, Engine};
use crate::error::Result;
use crate::step::{PerRow, Rows, RowsMut, SplitStep, stride};

impl Engine {
    /// Runs a batch on this thread and as many as there are others.
    pub(super) fn by_outputs(
        &self,
        batch: Batch<'_>,
        arena: &mut Arena,
        others: &mut [Arena],
    ) -> Result<()> {
        self.chunks(batch, arena, |step, inputs, output, per_row| {
            let input = inputs[0];
            let worth = input.count.saturating_mul(step.cost()) / COST_PER_THREAD;
            let Some(split) = step.split().filter(|_| worth > 1) else {
                return step.run(inputs, output, per_row);
            };
            let most = others.len().min(worth - 1).min(split.panels() - 1);
            let stride = stride(step.row_bytes());
            let fits = |other: &&Arena| other.holds(input.count, stride);
            let threads = 1 + others[..most].iter().take_while(fits).count();
            let shares = Shares { step: split, threads, stride };
            shares.run(input, output, per_row, &mut others[..threads - 1]);
            Ok(())
        })
    }
}

/// A step that is split into shares, one for each thread.
#[derive(Clone, Copy)]
struct Shares<'a> {
    step: &'a dyn SplitStep,
    threads: usize,
    /// Bytes from one row to the next where shares lie apart.
    stride: usize,
}

impl Shares<'_> {
    /// The panels of the share with this number.
    fn panels(&self, i: usize) -> Range<usize> {
        let panels = self.step.panels();
        i * panels / self.threads..(i + 1) * panels / self.threads
    }

    /// All of the step: the first share in place, the next ones in these arenas.
    fn run(
        &self,
        input: Rows<'_>,
        mut output: RowsMut<'_>,
        per_row: &mut PerRow,
        others: &mut [Arena],
    ) {
        self.step.before(&input, per_row);
        let mut own = core::mem::take(&mut per_row.own);
        let shared = &*per_row;
        join(
            || self.step.run_panels(input, output.reborrow(), shared, &mut own, self.panels(0)),
            || self.apart(input, shared, others, 1),
        );
        per_row.own = own;
        for (i, other) in others.iter().enumerate() {
            let place = self.step.bytes_of(self.panels(i + 1));
            let bytes = bytemuck::cast_slice(&other.buffers[0]);
            let rows = Rows { bytes, stride: self.stride, count: input.count };
            let from = rows.iter::<u8>(place.len());
            for (from, to) in from.zip(output.iter::<u8>(place.end)) {
                to[place.clone()].copy_from_slice(from);
            }
        }
    }

    /// The shares from the one with number `first` on, each in its own arena.
    fn apart(&self, input: Rows<'_>, per_row: &PerRow, arenas: &mut [Arena], first: usize) {
        match arenas {
            [] => {}
            [Arena { buffers, per_row: PerRow { own, .. } }] => {
                let (bytes, stride) = (bytemuck::cast_slice_mut(&mut buffers[0]), self.stride);
                let output = RowsMut { bytes, stride, width: stride, count: input.count };
                let panels = self.panels(first);
                self.step.run_panels(input, output, per_row, own, panels);
            }
            _ => {
                let (a, b) = arenas.split_at_mut(arenas.len() / 2);
                let second = first + a.len();
                join(
                    || self.apart(input, per_row, a, first),
                    || self.apart(input, per_row, b, second),
                );
            }
        }
    }
}

/// Both, at once if there are threads.
fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    #[cfg(feature = "rayon")]
    rayon::join(a, b);
    #[cfg(not(feature = "rayon"))]
    {
        a();
        b();
    }
}
