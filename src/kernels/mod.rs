//! Kernels: the loops that do the work, one table line per instruction set and technique.
//!
//! [`available`] lists what this CPU can run, fastest first. Every kernel computes the same bits;
//! `reference` holds the naive loops that say which.
//!
//! What this CPU can run is found out when the program runs, which takes the crate's feature `std`.
//! Without it a kernel is there if the program is compiled for CPUs that have all it needs
//! (`-C target-feature=+avx2`, `-C target-cpu=...`), and the portable one always.

/// Defines `has`: whether the CPU has a feature that a kernel's `NEEDS` names, by a macro of the standard
/// library; of all features but those listed, a function of their names answers. No is also the answer for
/// a name that is missing, which the tests of the table notice.
#[allow(unused_macros, reason = "some architectures have nothing to detect")]
macro_rules! detects {
    ($detected:ident, [$($name:tt)*], $other:expr) => {
        #[inline(always)]
        pub(super) fn has(feature: &str) -> bool {
            match feature {
                $(
                    #[cfg(feature = "std")]
                    $name => std::arch::$detected!($name),
                    #[cfg(not(feature = "std"))]
                    $name => cfg!(target_feature = $name),
                )*
                _ => ($other)(feature),
            }
        }
    };
}

// What a CPU lacks is not all that matters: without SSE2 or NEON a function takes no vectors.
#[cfg_attr(all(target_arch = "x86_64", target_feature = "sse2"), path = "x86_64/mod.rs")]
#[cfg_attr(
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"),
    path = "aarch64/mod.rs"
)]
#[cfg_attr(all(target_arch = "wasm32", target_feature = "simd128"), path = "wasm32/mod.rs")]
mod arch;
mod assemble;
#[allow(dead_code, reason = "each architecture needs some of it")]
mod bits;
#[cfg(test)]
mod check;
pub(crate) mod edges;
mod exp;
pub(crate) mod float;
pub(crate) mod map;
pub(crate) mod max;
pub(crate) mod pack;
#[allow(dead_code, reason = "each architecture needs some of it")]
mod pair;
mod peak;
mod portable;
pub mod reference;
pub(crate) mod requantize;
mod rows;
pub(crate) mod sum;
mod trial;
mod vector;

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use trial::Trial;
use vector::Vector;
pub(crate) use vector::{Narrow, Table};

use crate::error::{Error, ErrorKind, Result};

/// Inputs that meet their weights in one instruction's lane.
pub(crate) const GROUP: usize = 4;

/// How a kernel gets exact products of two signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technique {
    /// |w| as an unsigned byte times x with the sign of w folded in:
    /// `x*w = |w| * (x ^ s) + (w < 0 ? |w| : 0)`, where s is 0xFF for negative w.
    Positive,
    /// The same with the parts of x and w exchanged: |x| as an unsigned byte times w with the sign
    /// of x folded in, `x*w = |x| * (w ^ s) + (x < 0 ? |x| : 0)`, where s is 0xFF for negative x.
    PositiveInputs,
    /// x + 128 as an unsigned byte times w: `x*w = (x + 128)*w - 128*w`.
    Offset,
    /// Both factors widened, or an instruction that takes two signed bytes.
    Native,
}

impl Technique {
    /// What the sum of products lacks or has too much: a constant of the output channel, added
    /// to its bias. `weights` are the channel's, and `sum` is theirs. Wraps around, as sums do.
    pub(crate) fn correction(self, sum: i32, weights: &[i8]) -> i32 {
        match self {
            Technique::Positive => {
                weights.iter().fold(0, |sum, &w| sum.wrapping_sub(i32::from(w.min(0))))
            }
            Technique::Offset => sum.wrapping_mul(-128),
            Technique::PositiveInputs | Technique::Native => 0,
        }
    }

    /// The byte, before preparing, whose products are all 0, if there is one.
    pub(crate) const fn neutral(self) -> Option<u8> {
        match self {
            Technique::Positive => None,
            Technique::PositiveInputs | Technique::Offset | Technique::Native => Some(0),
        }
    }

    /// What is xor-ed onto an `i8` activation to get the byte this technique reads.
    pub(crate) const fn flip(self) -> u8 {
        match self {
            Technique::Offset => 0x80,
            Technique::Positive | Technique::PositiveInputs | Technique::Native => 0,
        }
    }
}

/// What the lanes of a vector of sums are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// An output each.
    Outputs,
    /// Inputs of one output.
    Inputs,
}

/// A set of loops for one instruction set and one technique. Only kernels that this CPU can run
/// are ever handed out.
#[derive(Debug)]
pub struct Kernel {
    name: &'static str,
    lanes: usize,
    vectors: usize,
    rows: usize,
    inputs: usize,
    needs: &'static [&'static str],
    trial: Option<&'static Trial>,
    by_outputs: Loops,
    by_inputs: Loops,
    pub(crate) sum_by_outputs:
        fn(&sum::Weights<'_>, &sum::Inputs<'_>, Option<sum::Skip<'_>>, sum::Epilogue<'_>),
    pub(crate) sum_by_inputs: fn(&sum::Weights<'_>, &sum::Inputs<'_>, sum::Epilogue<'_>),
    pub(crate) pack_by_outputs: fn(pack::Matrix<'_>, usize, &mut [u8], &mut [i32]),
    pub(crate) pack_by_inputs: fn(pack::Matrix<'_>, &mut [u8]),
    /// How rows are prepared for `sum_by_outputs`, unless they are read as they are.
    pub(crate) prepare: Option<Prepare>,
    /// Bytes of a prepared group of inputs.
    pub(crate) group_bytes: usize,
    pub(crate) quantize: fn(&[f32], &mut [u8], &edges::Quantizer) -> bool,
    pub(crate) dequantize: fn(&[u8], &mut [f32], &edges::Dequantizer),
    pub(crate) range: fn(&[f32]) -> (f32, f32),
    pub(crate) argmax: fn(&[f32]) -> u32,
    pub(crate) argmax_bytes: fn(&[u8], u8) -> u32,
    pub(crate) map: fn(&[f32], &mut [f32], &map::Function),
    pub(crate) look_up: fn(&[u8], &mut [u8], &Table),
    pub(crate) requantize: fn(&[i32], &mut [u8], &requantize::Requantize),
    pub(crate) softmax: fn(&[f32], &mut [f32]),
    pub(crate) max_prepare: fn(&[u8], i32, &max::Preparation, usize, &mut [i32]),
    pub(crate) max_products: MaxProducts,
    pub(crate) max_pruned: MaxPruned,
    pub(crate) float_sums: FloatSums,
    #[cfg(test)]
    exps: fn(&[f32], &mut [f32]),
    peak: fn(usize) -> usize,
    max_peak: fn(usize) -> usize,
    float_peak: fn(usize) -> usize,
    read: fn(&[i32]) -> i32,
}

/// Products that meet by a maximum; see [`max::products`].
pub(crate) type MaxProducts =
    fn(&max::Packed, &max::Joins<'_>, &max::Batch<'_>, Range<usize>, sum::Epilogue<'_>) -> u64;

/// The same with few connections; see [`max::pruned`].
pub(crate) type MaxPruned = fn(
    &max::Connections,
    &max::Joins<'_>,
    &max::Bytes<'_>,
    &mut [u32],
    Range<usize>,
    sum::Epilogue<'_>,
) -> u64;

/// Sums of products of real numbers; see [`float::sums`].
pub(crate) type FloatSums = fn(&float::Packed, Range<usize>, float::Rows<'_>, &mut [f32], usize);

/// Prepares a row; answers what is to be added to its sums.
pub(crate) type Prepare = fn(&[u8], &mut [u8]) -> i32;

/// How weights are packed for one meaning of the lanes.
#[derive(Debug)]
pub(crate) struct Loops {
    pub technique: Technique,
    /// Operations on vectors of one product.
    pub operations: usize,
    /// Bytes of one vector's weights for one group of inputs a lane.
    pub weight_bytes: usize,
}

/// The kernel that every CPU runs.
static PORTABLE: Kernel = assemble::one::<portable::Native>("portable");

/// All kernels of this architecture, fastest first.
fn table() -> impl Iterator<Item = &'static Kernel> {
    arch::KERNELS.iter().chain([&PORTABLE])
}

/// A line of the table of kernels, to be listed: only one that this CPU can run hands out its
/// [`Kernel`].
#[derive(Clone, Copy, Debug)]
pub struct Entry(&'static Kernel);

impl Entry {
    /// The kernel's name, as [`Kernel::name`] has it.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// How it gets exact signed products.
    pub fn technique(&self) -> Technique {
        self.0.technique()
    }

    /// The kernel, if this CPU can run it. One that was never seen on a real CPU must also compute what
    /// the reference does, for some products, the first time that it is asked for.
    pub fn kernel(&self) -> Option<&'static Kernel> {
        let Self(kernel) = *self;
        let can = has_all(kernel.needs) && kernel.trial.is_none_or(|trial| trial.passed(kernel));
        can.then_some(kernel)
    }

    /// The instruction sets that the kernel needs and this CPU lacks, as Rust names them.
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.needs.iter().copied().filter(|feature| !arch::has(feature)).collect()
    }
}

/// All kernels of this architecture, those that this CPU cannot run among them, fastest first.
pub fn all() -> impl Iterator<Item = Entry> {
    table().map(Entry)
}

/// The kernels that this CPU can run, fastest first. Never empty.
pub fn available() -> impl Iterator<Item = &'static Kernel> {
    all().filter_map(|entry| entry.kernel())
}

/// The fastest kernel that this CPU can run.
pub fn best() -> &'static Kernel {
    available().next().expect("the portable kernel runs everywhere")
}

/// The kernel that this CPU computes a dense layer of this shape with fastest, by
/// [`Kernel::cost`]; the first one of [`available`] among equals.
pub fn best_for(inputs: usize, outputs: usize) -> &'static Kernel {
    let cheapest = available().min_by_key(|kernel| kernel.cost(inputs, outputs));
    cheapest.expect("the portable kernel runs everywhere")
}

/// The kernel of this name.
///
/// # Errors
/// [`ErrorKind::Kernel`] if there is none, or this CPU cannot run it.
pub fn by_name(name: &str) -> Result<&'static Kernel> {
    let Some(kernel) = table().find(|kernel| kernel.name == name) else {
        let known: Vec<_> = table().map(|kernel| kernel.name).collect();
        let message = format!("no kernel is named {name:?}; there are {}", known.join(", "));
        return Err(Error::new(ErrorKind::Kernel, message));
    };
    Entry(kernel).kernel().ok_or_else(|| {
        let missing = Entry(kernel).missing();
        let why = match missing.is_empty() {
            true => "its products are not the reference's".into(),
            false => format!("it lacks {}", missing.join(", ")),
        };
        let message = format!("this CPU cannot run the kernel {name}: {why}");
        Error::new(ErrorKind::Kernel, message)
    })
}

impl Kernel {
    /// Architecture, instruction set and technique: `x86_64-avx512vnni-offset`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it gets exact signed products, where a layer has more than a few outputs.
    pub fn technique(&self) -> Technique {
        self.by_outputs.technique
    }

    /// MR, NR, KR: rows, outputs and inputs of its largest register tile.
    pub fn tile(&self) -> (usize, usize, usize) {
        (self.rows, self.vectors * self.lanes, self.inputs)
    }

    /// What a row of a dense layer costs, in operations on vectors: products of padded vectors,
    /// times the operations of a product. A model of the instructions, not a measurement.
    pub fn cost(&self, inputs: usize, outputs: usize) -> usize {
        self.lanes_for(inputs, outputs).1
    }

    /// What the lanes are to be for a shape, and what a row then costs.
    pub(crate) fn lanes_for(&self, inputs: usize, outputs: usize) -> (Lanes, usize) {
        let groups = inputs.div_ceil(GROUP);
        let by_outputs = outputs.div_ceil(self.lanes).saturating_mul(groups);
        let by_outputs = by_outputs.saturating_mul(self.by_outputs.operations);
        // To prepare a row is a step of its own.
        let prepare = if self.prepare.is_some() { groups + 16 } else { 0 };
        let by_outputs = by_outputs.saturating_add(prepare);
        // Adding up the lanes of a sum takes about as long as two products.
        let by_inputs = outputs.saturating_mul(groups.div_ceil(self.lanes) + 2);
        let by_inputs = by_inputs.saturating_mul(self.by_inputs.operations);
        match outputs <= sum::BY_INPUTS_MOST && by_inputs < by_outputs {
            true => (Lanes::Inputs, by_inputs),
            false => (Lanes::Outputs, by_outputs),
        }
    }

    /// Runs only the instructions of the products, `rounds` times over a whole tile, on data in
    /// registers and the first cache; answers how many multiply-accumulates that were. Their
    /// rate is the limit that no shape can beat with this technique.
    pub fn peak(&self, rounds: usize) -> usize {
        (self.peak)(rounds)
    }

    /// The same for products that meet by a maximum, of which the largest and the smallest are kept;
    /// answers how many products that were. A row that leaves early can do with fewer than it has.
    pub fn max_peak(&self, rounds: usize) -> usize {
        (self.max_peak)(rounds)
    }

    /// The same for products of real numbers that are summed.
    pub fn float_peak(&self, rounds: usize) -> usize {
        (self.float_peak)(rounds)
    }

    /// Reads `values` with the kernel's own vectors, but for a few at their ends; answers something
    /// that depends on each. The rate is the limit for a single row, whose every weight must be
    /// read once.
    pub fn read(&self, values: &[i32]) -> i32 {
        (self.read)(values)
    }

    /// `i32` sums in a vector.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Vectors in a whole panel.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors
    }

    /// How weights are packed for these lanes.
    pub(crate) fn loops(&self, lanes: Lanes) -> &Loops {
        match lanes {
            Lanes::Outputs => &self.by_outputs,
            Lanes::Inputs => &self.by_inputs,
        }
    }
}

/// Whether the CPU has all these features. Every call of a kernel's function asks: of a loop over a
/// list that the compiler knows, it leaves a look at the bits that the library keeps; of `all` it
/// does not.
#[inline(always)]
fn has_all(features: &[&str]) -> bool {
    for feature in features {
        if !arch::has(feature) {
            return false;
        }
    }
    true
}

/// The value of `I` that proves the CPU has it, inside a function of a kernel.
fn proven<V: Vector>() -> V {
    V::detect().expect("kernels are only handed out on CPUs that can run them")
}

/// Copies all of `from`, at most as long as `to`, to its beginning: few elements, so that a call
/// of the library's routine would take longer than the copy.
#[inline(always)]
fn copy_short<T: Copy>(to: &mut [T], from: &[T]) {
    let len = from.len();
    let to = &mut to[..len];
    // Pieces of a fixed length are single moves. The last one may overlap the one before.
    fn pieces<T: Copy, const N: usize>(to: &mut [T], from: &[T]) {
        for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0) {
            *to = *from;
        }
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
            *to = *from;
        }
    }
    match len {
        4.. => pieces::<T, 4>(to, from),
        2.. => pieces::<T, 2>(to, from),
        _ => pieces::<T, 1>(to, from),
    }
}
