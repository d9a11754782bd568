//! Kernels: the loops that do the work, one table line per instruction set and technique.
//!
//! [`available`] lists what this CPU can run, fastest first. Every kernel computes the same bits;
//! `reference` holds the naive loops that say which.

#[cfg(test)]
mod check;
pub(crate) mod edges;
mod peak;
mod portable;
pub mod reference;
pub(crate) mod sum;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use vector::Narrow;
use vector::{Product, Vector};

use crate::error::{Error, ErrorKind, Result};

/// Inputs that meet their weights in one instruction's lane.
pub(crate) const GROUP: usize = 4;

/// How a kernel gets exact products of two signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technique {
    /// |w| as an unsigned byte times x with the sign of w folded in:
    /// `x*w = |w| * (x ^ s) + (w < 0 ? |w| : 0)`, where s is 0xFF for negative w.
    Positive,
    /// x + 128 as an unsigned byte times w: `x*w = (x + 128)*w - 128*w`.
    Offset,
    /// Both factors widened, or an instruction that takes two signed bytes.
    Native,
}

impl Technique {
    /// What the sum of products lacks or has too much: a constant of the output channel, added
    /// to its bias. `weights` are the channel's.
    pub(crate) fn correction(self, weights: &[i8]) -> i64 {
        let sum = |f: fn(i64) -> i64| weights.iter().map(|&w| f(i64::from(w))).sum::<i64>();
        match self {
            Technique::Positive => sum(|w| (-w).max(0)),
            Technique::Offset => sum(|w| -128 * w),
            Technique::Native => 0,
        }
    }

    /// What is xor-ed onto an `i8` activation to get the byte this technique reads.
    pub(crate) const fn flip(self) -> u8 {
        match self {
            Technique::Offset => 0x80,
            Technique::Positive | Technique::Native => 0,
        }
    }
}

/// A set of loops for one instruction set and one technique. Only kernels that this CPU can run
/// are ever handed out.
#[derive(Debug)]
pub struct Kernel {
    name: &'static str,
    technique: Technique,
    lanes: usize,
    vectors: usize,
    rows: usize,
    weight_bytes: usize,
    detect: fn() -> bool,
    needs: &'static [&'static str],
    pack: fn(&[[i8; GROUP]], &mut [u8]),
    pub(crate) sum: fn(&sum::Panels<'_>, &sum::Inputs<'_>, sum::Epilogue<'_>),
    pub(crate) quantize: fn(&[f32], &mut [u8], &edges::Quantizer) -> bool,
    peak: fn(usize) -> usize,
    read: fn(&[i32]) -> i32,
}

/// All kernels of this architecture, fastest first. One line each.
static KERNELS: &[Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel::of::<x86_64::avx512vnni::Offset>(),
    #[cfg(target_arch = "x86_64")]
    Kernel::of::<x86_64::avxvnni::Offset>(),
    #[cfg(target_arch = "x86_64")]
    Kernel::of::<x86_64::avx512vnni::Positive>(),
    #[cfg(target_arch = "x86_64")]
    Kernel::of::<x86_64::avx2::Positive>(),
    Kernel::of::<portable::Native>(),
];

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
        self.0.technique
    }

    /// The kernel, if this CPU can run it.
    pub fn kernel(&self) -> Option<&'static Kernel> {
        (self.0.detect)().then_some(self.0)
    }

    /// The instruction sets that the kernel needs and this CPU lacks, as Rust names them.
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.needs.iter().copied().filter(|feature| !has(feature)).collect()
    }
}

/// All kernels of this architecture, those that this CPU cannot run among them, fastest first.
pub fn all() -> impl Iterator<Item = Entry> {
    KERNELS.iter().map(Entry)
}

/// The kernels that this CPU can run, fastest first. Never empty.
pub fn available() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().filter(|kernel| (kernel.detect)())
}

/// The fastest kernel that this CPU can run.
pub fn best() -> &'static Kernel {
    available().next().expect("the portable kernel runs everywhere")
}

/// The kernel of this name.
///
/// # Errors
/// [`ErrorKind::Kernel`] if there is none, or this CPU cannot run it.
pub fn by_name(name: &str) -> Result<&'static Kernel> {
    let Some(kernel) = KERNELS.iter().find(|kernel| kernel.name == name) else {
        let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        let message = format!("no kernel is named {name:?}; there are {}", known.join(", "));
        return Err(Error::new(ErrorKind::Kernel, message));
    };
    match (kernel.detect)() {
        true => Ok(kernel),
        false => {
            let missing = Entry(kernel).missing().join(", ");
            let message = format!("this CPU cannot run the kernel {name}: it lacks {missing}");
            Err(Error::new(ErrorKind::Kernel, message))
        }
    }
}

impl Kernel {
    const fn of<P: Product>() -> Self {
        Self {
            name: P::NAME,
            technique: P::TECHNIQUE,
            lanes: P::Vector::LANES,
            vectors: P::VECTORS,
            rows: P::ROWS,
            weight_bytes: P::WEIGHT_BYTES,
            detect: || P::Vector::detect().is_some(),
            needs: P::Vector::NEEDS,
            pack: P::pack,
            sum: sum::sum::<P>,
            quantize: edges::quantize::<P::Vector>,
            peak: peak::peak::<P>,
            read: peak::read::<P::Vector>,
        }
    }

    /// Architecture, instruction set and technique: `x86_64-avx512vnni-offset`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it gets exact signed products.
    pub fn technique(&self) -> Technique {
        self.technique
    }

    /// MR, NR, KR: rows, outputs and inputs of its largest register tile.
    pub fn tile(&self) -> (usize, usize, usize) {
        (self.rows, self.vectors * self.lanes, GROUP)
    }

    /// Runs only the instructions of the products, `rounds` times over a whole tile, on data in
    /// registers and the first cache; answers how many multiply-accumulates that were. Their
    /// rate is the limit that no shape can beat with this technique.
    pub fn peak(&self, rounds: usize) -> usize {
        (self.peak)(rounds)
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

    /// Bytes of one vector's weights for one group of inputs.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// Brings `lanes` groups of weights into the form the kernel loads.
    pub(crate) fn pack(&self, weights: &[[i8; GROUP]], packed: &mut [u8]) {
        (self.pack)(weights, packed);
    }
}

/// Whether the CPU has an instruction set that some kernel needs.
fn has(feature: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = x86_64::has(feature);
    #[cfg(not(target_arch = "x86_64"))]
    let has = {
        let _ = feature; // nothing is needed here
        false
    };
    has
}

/// The value of `I` that proves the CPU has it, inside a function of a kernel.
fn proven<V: Vector>() -> V {
    V::detect().expect("kernels are only handed out on CPUs that can run them")
}

/// Packs for the positive product: the magnitudes of all weights, then the masks of their signs.
#[cfg(target_arch = "x86_64")]
fn pack_positive(weights: &[[i8; GROUP]], packed: &mut [u8]) {
    let weights = weights.as_flattened();
    let (magnitudes, signs) = packed.split_at_mut(weights.len());
    for ((&w, magnitude), sign) in weights.iter().zip(magnitudes).zip(signs) {
        *magnitude = w.unsigned_abs();
        *sign = if w < 0 { 0xFF } else { 0 };
    }
}
