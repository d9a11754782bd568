//! One digest for all machines: a fixed set of models and rows, whose outputs must have the same
//! bits on every CPU, with every kernel, any number of threads, and by the reference.
//!
//! The models have all kinds of layers, with all functions, aggregates and rules, in shapes around
//! the borders of tiles; rows go over the full range of bytes, real ones as far as the layers take
//! them, to infinities and NaN. A unit test counts that nothing is missing.
//!
//! ```
//! use signfold::battery::{Battery, DIGEST};
//! use signfold::{Engine, kernels};
//!
//! let battery = Battery::new()?;
//! assert_eq!(battery.digest(), DIGEST);
//! for kernel in kernels::available() {
//!     assert_eq!(battery.run(|model| Engine::with_kernel(model, kernel.name()))?, DIGEST);
//! }
//! # Ok::<(), signfold::Error>(())
//! ```

#[cfg(test)]
mod coverage;
mod networks;
mod random;
mod real;
mod weighted;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::Engine;
use crate::error::Result;
use crate::model::Model;
use crate::tensor::Values;
use random::{Rng, Worst, rows};

/// The digest of all outputs. It changes with the models of the battery, or where the arithmetic of
/// a layer does: then files that were made before no longer give the bits they gave.
pub const DIGEST: u64 = 0x3564_90AC_5E93_A96F;

/// The models with their rows, and with what the reference makes of them.
#[derive(Debug)]
pub struct Battery {
    cases: Vec<Case>,
}

#[derive(Debug)]
struct Case {
    model: Model<'static>,
    inputs: Vec<Values<'static>>,
    outputs: Vec<Values<'static>>,
}

impl Battery {
    /// Makes the models and their rows, and computes their outputs by [`Model::reference_all`].
    ///
    /// # Errors
    /// None, unless a layer refuses what it took when this release was made.
    pub fn new() -> Result<Self> {
        let mut cases = Cases { rng: Rng::new(1), cases: Vec::new() };
        cases.weighted()?;
        cases.real()?;
        cases.networks()?;
        Ok(Self { cases: cases.cases })
    }

    /// The models.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Model<'static>> {
        self.cases.iter().map(|case| &case.model)
    }

    /// The digest of what the reference computed, to be held against [`DIGEST`].
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.cases.iter().for_each(|case| digest.add(&case.outputs));
        digest.0.digest()
    }

    /// Runs all models with engines that are made like this, in working memory of their own; answers
    /// the digest of their outputs, which is the reference's.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) at the first output that is not the
    /// reference's: model, kernels, row and column are named, and both values. Also what an engine
    /// refuses that the reference took.
    pub fn run(&self, engine: impl Fn(&Model<'static>) -> Result<Engine>) -> Result<u64> {
        let mut digest = Digest::default();
        for Case { model, inputs, outputs } in &self.cases {
            let engine = engine(model).map_err(|e| e.at(model.name()))?;
            let found = engine.expect(inputs, outputs);
            let at = || format!("model {:?}, {}", model.name(), kernels_of(&engine));
            digest.add(&found.map_err(|e| e.at(at()))?);
        }
        Ok(digest.0.digest())
    }
}

/// The names of an engine's kernels, each once.
fn kernels_of(engine: &Engine) -> String {
    let mut names: Vec<_> = engine.kernels().iter().map(|kernel| kernel.name()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// XXH3 over elements as files hold them, little-endian, whatever the machine is.
#[derive(Default)]
struct Digest(Xxh3);

impl Digest {
    fn add(&mut self, outputs: &[Values<'_>]) {
        outputs.iter().for_each(|values| self.0.update(&values.to_le_bytes()));
    }
}

/// Cases as they are made. One generator goes through all.
struct Cases {
    rng: Rng,
    cases: Vec<Case>,
}

impl Cases {
    /// Adds a model, with so many rows for each input.
    fn add(&mut self, model: Model<'static>, count: usize, worst: Worst) -> Result<()> {
        let types = model.inputs().map(|id| model.tensor_type(id));
        let inputs: Vec<_> = types.map(|of| rows(&mut self.rng, of, count, worst)).collect();
        let outputs = model.reference_all(&inputs).map_err(|e| e.at(model.name()))?;
        self.cases.push(Case { model, inputs, outputs });
        Ok(())
    }
}

/// Numbers of inputs, or of outputs: 1, odd ones, and the borders of groups, vectors and panels.
const WIDTHS: [usize; 21] =
    [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129];

/// Numbers of rows: a single one, and the borders of tiles.
const ROWS: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 24, 25];
