//! Where an engine's time goes: its steps, and how long each takes.

use std::time::{Duration, Instant};

use super::{Engine, Scratch, Stage};
use crate::error::Result;
use crate::step::ProductKind;
use crate::tensor::{Output, Values};

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

    /// Runs the rows as [`Engine::run`] does, on one thread, and answers how long each of the
    /// [`Engine::steps`] took for all rows.
    ///
    /// Each step runs `repeats` times (at least once) between two looks at the clock, which take
    /// longer than a short step, before the next step has its turn; the answer is the time of all
    /// of them. What is repeated finds its weights and rows in the nearest cache that holds
    /// them, so the sum over the steps can be less than a run takes: repeat no more than it takes to
    /// hide the clock.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn profile<'i, 'o>(
        &self,
        input: impl Into<Values<'i>>,
        output: impl Into<Output<'o>>,
        scratch: &mut Scratch,
        repeats: u32,
    ) -> Result<Vec<Duration>> {
        let (input, mut output) = (input.into(), output.into());
        let batch = self.single(&input, &mut output, scratch)?;
        let mut times = vec![Duration::ZERO; self.stages.len()];
        let mut steps = (0..times.len()).cycle();
        self.chunks(batch, &mut scratch.arenas[0], |step, inputs, mut output, per_row| {
            let start = Instant::now();
            for _ in 0..repeats.max(1) {
                step.run(inputs, output.reborrow(), per_row)?;
            }
            times[steps.next().expect("endless")] += start.elapsed();
            Ok(())
        })?;
        Ok(times)
    }
}
