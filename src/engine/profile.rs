//! Where an engine's time goes: how long each of its steps takes.

use alloc::vec;
use alloc::vec::Vec;
use std::time::{Duration, Instant};

use super::{Engine, Scratch};
use crate::error::Result;
use crate::tensor::{Output, Values};

impl Engine {
    /// Runs the rows as [`Engine::run`] does, on one thread, and answers how long each of the
    /// [`Engine::steps`] took for all rows.
    ///
    /// Each step runs `repeats` times (at least once) between two looks at the clock, which take
    /// longer than a short step, before the next step has its turn; the answer is the time of all
    /// of them. What is repeated finds its weights and rows in the nearest cache that holds
    /// them, so the sum over the steps can be less than a run takes: repeat no more than it takes to
    /// hide the clock.
    ///
    /// The clock is the standard library's: this takes the crate's feature `std`.
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
