//! Engines: a model compiled for the kernels of this CPU.
//!
//! ```text
//! for each part of the batch                    (one per thread)
//!   for each chunk of its rows                  (sized for the cache)
//!     for each step: buffers of rows -> another buffer
//! ```
//! Rows never meet, so neither split changes a bit of the result. A batch of few rows is split by
//! outputs instead, in `by_outputs.rs`.

mod by_outputs;
mod check;
mod plan;
#[cfg(feature = "std")]
mod profile;
mod scratch;
mod steps;

pub use scratch::Scratch;
pub use steps::StepInfo;

use alloc::format;
use alloc::vec::Vec;

use plan::{Plan, Slot, Source, Stage};
use scratch::Arena;

use crate::error::{Error, Result};
use crate::graph::TensorId;
use crate::kernels::{self, Kernel};
use crate::layers::{EarlyExit, MAX_ARITY};
use crate::limits::Limits;
use crate::model::{Golden, Model, count_rows, single};
use crate::step::{PerRow, Rows, RowsMut, Step, stride};
use crate::tensor::{Element, Output, TensorType, Values};

/// Work for a thread, in operations on vectors as [`Kernel::cost`] counts them. With less, waking
/// another thread, which takes some 8 microseconds, costs more than it saves.
const COST_PER_THREAD: usize = 192 << 10;

/// Threads that an engine uses at most.
pub const MAX_THREADS: usize = 1024;

/// Batches of fewer rows are split by outputs, larger ones by rows: a tile of few rows does not keep
/// the multipliers busy, and each thread would read all weights for it.
const ROWS_PER_THREAD: usize = 4;

/// Rows that go through the steps together take about this much: they stay in a second-level cache,
/// with room for a panel of weights, while all panels are applied to them. More only where weights
/// are so large that reading them again costs more than reading the rows from farther away.
const CHUNK_BYTES: usize = 512 << 10;

/// Chunks are whole tiles, for the tiles of any kernel.
const TILE_ROWS: usize = 12;

/// A [`Model`] compiled for the kernels of this CPU, ready to run. It is never changed by running,
/// so that any number of threads may share one, each with its own [`Scratch`].
///
/// ```
/// use signfold::layers::{Dense, Quantize};
/// use signfold::quant::{Int8, QuantParams};
/// use signfold::{Engine, Model, TensorType, WeightLayout};
///
/// let model = Model::builder("example", TensorType::f32(2))
///     .layer(Quantize { output: QuantParams::new(Int8::I8, 0.5, 0)? })
///     .layer(Dense::new(vec![1, -1], WeightLayout::OutIn, 1, 2)?)
///     .build()?;
/// let engine = Engine::new(&model)?;
/// let mut scratch = engine.scratch();
/// let mut output = [0.0; 2];
/// engine.run(&[1.0, 0.5, 3.0, 5.0], &mut output, &mut scratch)?; // two rows
/// assert_eq!(output, [0.5, -2.0]);
/// # Ok::<(), signfold::Error>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    /// One for each layer.
    kernels: Vec<&'static Kernel>,
    stages: Vec<Stage>,
    inputs: Vec<TensorType>,
    outputs: Vec<TensorType>,
    /// How many buffers lie between the steps.
    buffers: usize,
    threads: usize,
    /// Bytes of a row between steps, at the widest.
    row_bytes: usize,
    /// Rows that go through the steps together.
    chunk: usize,
    /// Whether a row's result depends on the other rows, so that they must stay together.
    whole_batch: bool,
    /// Multiplications per row.
    products: usize,
    /// Operations on vectors that they take.
    cost: usize,
    /// Words that a step may want for a list, or need for itself.
    listed: usize,
    /// Words that a step needs for itself.
    room: usize,
    limits: Limits,
    /// The model's, for [`Engine::self_check`].
    golden: Option<Golden<'static>>,
}

impl Engine {
    /// Compiles a model for the kernels of this CPU: for each layer the one that its shape suits
    /// best, by [`Kernel::cost`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the packed weights or the working memory of a
    /// thread exceed the default [`Limits::memory`]; else none for a model that this release can build
    /// or read.
    pub fn new(model: &Model<'_>) -> Result<Self> {
        Self::with_limits(model, &Limits::default())
    }

    /// Compiles a model as [`Engine::new`] does, to an engine that takes no more memory than
    /// [`Limits::memory`] for packed weights, and as much for a [`Scratch`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if that is too little for the weights, or for one
    /// thread's working memory.
    pub fn with_limits(model: &Model<'_>, limits: &Limits) -> Result<Self> {
        Self::compile(model, None, EarlyExit::Auto, limits)
    }

    /// Compiles a model for the kernel of this name. The results are the same bits.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) if there is no such kernel, or this CPU
    /// cannot run it; and those of [`Engine::new`].
    pub fn with_kernel(model: &Model<'_>, name: &str) -> Result<Self> {
        Self::compile(model, Some(kernels::by_name(name)?), EarlyExit::Auto, &Limits::default())
    }

    /// Compiles a model as [`Engine::new`] does, but for how max-product layers go about it: to
    /// measure what an early exit brings. The results are the same bits.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn with_early_exit(model: &Model<'_>, early_exit: EarlyExit) -> Result<Self> {
        Self::compile(model, None, early_exit, &Limits::default())
    }

    fn compile(
        model: &Model<'_>,
        kernel: Option<&'static Kernel>,
        early_exit: EarlyExit,
        limits: &Limits,
    ) -> Result<Self> {
        let plan = Plan::new(model, kernel, early_exit, limits)?;
        let Plan { kernels, stages, buffers, .. } = plan;
        let steps = || stages.iter().map(|stage| &stage.step);
        let between = stages.iter().filter(|stage| matches!(stage.to, Slot::Buffer(_)));
        let row_bytes = between.map(|stage| stride(stage.step.row_bytes())).max().unwrap_or(0);
        let products: usize = steps().map(|step| step.products()).sum();
        let types = |ids: &[TensorId]| ids.iter().map(|&id| model.tensor_type(id)).collect();
        let inputs: Vec<TensorType> = types(&model.inputs().collect::<Vec<_>>());
        let bytes = |input: &TensorType| match input.element {
            Element::Int8(_) => input.row_bytes(),
            _ => 0, // read once, by the step that quantizes
        };
        let input_bytes = inputs.iter().map(bytes).max().unwrap_or(0);
        let chunk_bytes = (products / 8).clamp(CHUNK_BYTES, 4 * CHUNK_BYTES);
        // Two buffers are under way in a network without branches.
        let chunk_bytes = chunk_bytes / buffers.div_ceil(2).max(1);
        let chunk = chunk_bytes / row_bytes.max(input_bytes).max(512);
        let engine = Self {
            threads: default_threads(),
            row_bytes,
            chunk: if chunk > TILE_ROWS { chunk - chunk % TILE_ROWS } else { chunk.max(1) },
            whole_batch: steps().any(|step| step.whole_batch()),
            products,
            cost: steps().map(|step| step.cost()).sum(),
            listed: steps().map(|step| step.listed().max(step.room())).max().unwrap_or(0),
            room: steps().map(|step| step.room()).max().unwrap_or(0),
            inputs,
            outputs: types(model.outputs()),
            golden: model.golden().cloned().map(Golden::into_owned),
            buffers,
            limits: *limits,
            kernels,
            stages,
        };
        engine.check_scratch(engine.chunk)?;
        Ok(engine)
    }

    /// The same engine, using at most this many threads for a batch; at least 1. The default is
    /// what `std::thread::available_parallelism` answers, or the number of threads of the rayon
    /// pool that the engine is made in; more than [`MAX_THREADS`] are as many. Batches with too little
    /// work for two threads use one.
    ///
    /// Work is split by `rayon::join`: in the caller's pool, if the caller runs in one. Without the
    /// crate's feature `rayon` there is one thread, whatever is asked for.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = if cfg!(feature = "rayon") { threads.clamp(1, MAX_THREADS) } else { 1 };
        self
    }

    /// The kernel of the first layer; most models have the same one for all.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernels[0]
    }

    /// The kernel of each layer.
    pub fn kernels(&self) -> &[&'static Kernel] {
        &self.kernels
    }

    /// The type of the input's rows; of several inputs, the first one's.
    pub fn input(&self) -> TensorType {
        self.inputs[0]
    }

    /// The type of the output's rows; of several outputs, the first one's.
    pub fn output(&self) -> TensorType {
        self.outputs[0]
    }

    /// How many threads a batch may use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether a row's results depend on the other rows of its batch: a layer quantizes per tensor.
    pub fn whole_batch(&self) -> bool {
        self.whole_batch
    }

    /// Multiplications that one row takes.
    pub fn products(&self) -> usize {
        self.products
    }

    /// Rows that go through the steps together: a batch of more is cut into chunks, and each chunk
    /// reads all weights once.
    pub fn chunk_rows(&self) -> usize {
        self.chunk
    }

    /// Runs the rows of `input` through the network, into `output`. Allocates nothing, but for
    /// what rayon does when a batch is large enough for more than one thread.
    ///
    /// Rows lie one after the other; their number follows from the lengths and may be 0.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) if element types or lengths are not the
    /// model's; if a NaN is to be quantized; or if a range that sets a scale is not finite.
    /// `output` then holds nothing to be relied on.
    ///
    /// Only quantizing refuses a NaN. A model that begins with a pointwise, softmax or argmax
    /// layer on `f32` passes it on, and what comes of it has the same bits everywhere.
    pub fn run<'i, 'o>(
        &self,
        input: impl Into<Values<'i>>,
        output: impl Into<Output<'o>>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (input, mut output) = (input.into(), output.into());
        self.run_batch(self.single(&input, &mut output, scratch)?, scratch)
    }

    /// Runs the rows of all inputs of a network through it, into all its outputs: what
    /// [`Engine::run`] does for one of each. All have the same number of rows.
    ///
    /// It allocates a list of the outputs, once for each chunk of rows, where there are several.
    ///
    /// # Errors
    /// Those of [`Engine::run`]; and there must be as many of both as the model has.
    pub fn run_all(
        &self,
        inputs: &[Values<'_>],
        outputs: &mut [Output<'_>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let rows = count_rows(&self.inputs, inputs, "input", |of, v, what| of.rows(v, what))?;
        let output_rows = count_rows(&self.outputs, outputs, "output", |of, output, what| {
            of.rows_of(output.rust_type(), output.len(), what)
        })?;
        self.check(rows, output_rows, scratch)?;
        let outputs = match outputs {
            [output] => Parts::One(output.bytes()),
            outputs => Parts::Several(outputs.iter_mut().map(Output::bytes).collect()),
        };
        self.run_batch(Batch { inputs, outputs, rows, first: 0 }, scratch)
    }

    fn run_batch(&self, batch: Batch<'_>, scratch: &mut Scratch) -> Result<()> {
        let threads = self.threads.min(scratch.arenas.len());
        let parts = (batch.rows.saturating_mul(self.cost) / COST_PER_THREAD).clamp(1, threads);
        if parts > 1 && (self.whole_batch || batch.rows < ROWS_PER_THREAD * parts) {
            let (arena, others) = scratch.arenas[..parts].split_first_mut().expect("one at least");
            return self.by_outputs(batch, arena, others);
        }
        self.parts(batch, &mut scratch.arenas[..parts])
    }

    /// What a caller gives to a network of one input and one output, checked.
    fn single<'b>(
        &self,
        input: &'b Values<'b>,
        output: &'b mut Output<'_>,
        scratch: &Scratch,
    ) -> Result<Batch<'b>> {
        let ([of_input], [of_output]) = (&self.inputs[..], &self.outputs[..]) else {
            return Err(single(self.inputs.len(), self.outputs.len()));
        };
        let rows = of_input.rows(input, "input")?;
        let output_rows = of_output.rows_of(output.rust_type(), output.len(), "output")?;
        self.check(rows, output_rows, scratch)?;
        let (inputs, outputs) = (core::slice::from_ref(input), Parts::One(output.bytes()));
        Ok(Batch { inputs, outputs, rows, first: 0 })
    }

    /// Checks numbers of rows against each other and the scratch.
    fn check(&self, rows: usize, output_rows: usize, scratch: &Scratch) -> Result<()> {
        if rows != output_rows {
            return Err(Error::input(format!(
                "{rows} input rows, but room for {output_rows} output rows"
            )));
        }
        let arena = &scratch.arenas[0];
        let fits = arena.buffers.len() >= self.buffers && arena.holds(1, self.row_bytes);
        if !fits || arena.per_row.own.list.len() < self.room {
            return Err(Error::input("the scratch was made by an engine with narrower rows"));
        }
        if self.whole_batch && !arena.holds(rows, self.row_bytes) {
            let capacity = arena.capacity(self.row_bytes);
            return Err(Error::input(format!(
                "a batch of {rows} rows is quantized per tensor, but the scratch holds {capacity}"
            )));
        }
        Ok(())
    }

    /// Splits a batch over as many threads as there are arenas.
    fn parts(&self, batch: Batch<'_>, arenas: &mut [Arena]) -> Result<()> {
        #[cfg(feature = "rayon")]
        if arenas.len() > 1 {
            let (a, b) = arenas.split_at_mut(arenas.len() / 2);
            let rows = batch.rows * a.len() / (a.len() + b.len());
            let (first, second) = self.split(batch, rows);
            let (first, second) = rayon::join(|| self.parts(first, a), || self.parts(second, b));
            return first.and(second);
        }
        self.chunks(batch, &mut arenas[0], |step, inputs, output, per_row| {
            step.run(inputs, output, per_row)
        })
    }

    /// Runs a batch in chunks that fit an arena. `each` runs a step.
    fn chunks(
        &self,
        batch: Batch<'_>,
        arena: &mut Arena,
        mut each: impl FnMut(&dyn Step, &[Rows<'_>], RowsMut<'_>, &mut PerRow) -> Result<()>,
    ) -> Result<()> {
        if arena.holds(batch.rows, self.row_bytes) {
            return self.chunk(batch, arena, &mut each);
        }
        let capacity = arena.capacity(self.row_bytes);
        let mut rest = batch;
        for chunks in (1..=rest.rows.div_ceil(capacity)).rev() {
            // As equal as can be: a chunk of a few rows would waste the weights it reads.
            let rows = rest.rows.div_ceil(chunks);
            let (chunk, after) = self.split(rest, rows);
            self.chunk(chunk, arena, &mut each)?;
            rest = after;
        }
        Ok(())
    }

    /// The first `rows` rows of a batch, and the others.
    fn split<'b>(&self, batch: Batch<'b>, rows: usize) -> (Batch<'b>, Batch<'b>) {
        let Batch { inputs, outputs, first, .. } = batch;
        let (outputs, rest_outputs) = outputs.split(rows, &self.outputs);
        let rest = batch.rows - rows;
        (
            Batch { inputs, outputs, rows, first },
            Batch { inputs, outputs: rest_outputs, rows: rest, first: first + rows },
        )
    }

    /// Runs all steps on rows that fit an arena.
    fn chunk(
        &self,
        mut batch: Batch<'_>,
        arena: &mut Arena,
        mut each: impl FnMut(&dyn Step, &[Rows<'_>], RowsMut<'_>, &mut PerRow) -> Result<()>,
    ) -> Result<()> {
        let count = batch.rows;
        arena.per_row.first = batch.first;
        // The buffer that is written changes places with this one: no step reads what it writes to.
        let mut written = Vec::new();
        for Stage { step, from, to, stride } in &self.stages {
            let bytes = match to {
                Slot::Buffer(i) => {
                    core::mem::swap(&mut arena.buffers[*i], &mut written);
                    bytemuck::cast_slice_mut(&mut written)
                }
                Slot::Caller(i) => batch.outputs.get(*i),
            };
            let output = RowsMut { bytes, stride: *stride, width: *stride, count };
            let rows = |source: &Source| {
                let bytes = match source.slot {
                    Slot::Buffer(i) => bytemuck::cast_slice(&arena.buffers[i]),
                    Slot::Caller(i) => &batch.inputs[i].bytes()[batch.first * source.stride..],
                };
                Rows { bytes, stride: source.stride, count }
            };
            let done = match &from[..] {
                [one] => each(&**step, &[rows(one)], output, &mut arena.per_row),
                many => {
                    let mut all = [rows(&many[0]); MAX_ARITY];
                    all.iter_mut().zip(many).for_each(|(all, source)| *all = rows(source));
                    each(&**step, &all[..many.len()], output, &mut arena.per_row)
                }
            };
            if let Slot::Buffer(i) = to {
                core::mem::swap(&mut arena.buffers[*i], &mut written);
            }
            done?;
        }
        Ok(())
    }
}

/// Rows of a caller's batch.
struct Batch<'a> {
    /// All rows of the caller's.
    inputs: &'a [Values<'a>],
    /// Those of the batch.
    outputs: Parts<'a>,
    rows: usize,
    /// The first row's place among the caller's.
    first: usize,
}

/// The rows of each output: a single one needs no list.
enum Parts<'a> {
    One(&'a mut [u8]),
    Several(Vec<&'a mut [u8]>),
}

impl<'a> Parts<'a> {
    fn get(&mut self, output: usize) -> &mut [u8] {
        match self {
            Parts::One(bytes) => bytes,
            Parts::Several(outputs) => outputs[output],
        }
    }

    /// The first `rows` rows of outputs of these types, and the others.
    fn split(self, rows: usize, types: &[TensorType]) -> (Self, Self) {
        match self {
            Parts::One(bytes) => {
                let (first, rest) = bytes.split_at_mut(rows * types[0].row_bytes());
                (Parts::One(first), Parts::One(rest))
            }
            Parts::Several(outputs) => {
                let of = outputs.into_iter().zip(types);
                let (first, rest) =
                    of.map(|(bytes, of)| bytes.split_at_mut(rows * of.row_bytes())).unzip();
                (Parts::Several(first), Parts::Several(rest))
            }
        }
    }
}

#[cfg(feature = "rayon")]
fn default_threads() -> usize {
    if rayon::current_thread_index().is_some() {
        return rayon::current_num_threads();
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(not(feature = "rayon"))]
fn default_threads() -> usize {
    1
}
