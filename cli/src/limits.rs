//! `signfold kernels --limits`, and the same figures for those who compare with them: what one core
//! of this machine can do at best.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use signfold::kernels::{self, Kernel};

use crate::listing::{Unavailable, technique, unavailable, unavailable_text};
use crate::memory::Memory;
use crate::report::{self, Report};
use crate::timing::{self, Call};

/// Rounds of a call of [`Kernel::peak`]: some tens of microseconds.
const ROUNDS: usize = 1 << 14;

/// How long each limit is measured for, unless a user says otherwise.
const BUDGET: Duration = Duration::from_millis(50);

/// The share of all times that tells a limit: the fastest.
const FASTEST: f64 = 0.1;

/// Something that a core does no faster than at a certain rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The instructions of a kernel's products that are summed.
    Instructions,
    /// The instructions of a kernel's products that meet by a maximum.
    Maxima,
    /// The instructions of a kernel's products of real numbers.
    Floats,
    /// Reading from this level of memory.
    Memory(usize),
}

/// What this machine can do at best, measured when it is first asked for.
pub struct Limits {
    memory: Memory,
    budget: Duration,
    peaks: Vec<(Limit, &'static str, f64)>,
    bandwidths: Vec<Option<f64>>,
}

impl Limits {
    /// Nothing is measured yet.
    pub fn new() -> Self {
        Self::with_budget(BUDGET)
    }

    fn with_budget(budget: Duration) -> Self {
        let memory = Memory::new();
        let bandwidths = vec![None; memory.levels.len()];
        Self { memory, budget, peaks: Vec::new(), bandwidths }
    }

    /// How users know a limit.
    pub fn name(&self, limit: Limit) -> &'static str {
        match limit {
            Limit::Instructions | Limit::Maxima | Limit::Floats => "instructions",
            Limit::Memory(level) => self.memory.levels[level].name,
        }
    }

    /// The level of memory that so many bytes stay in.
    pub fn holding(&self, bytes: usize) -> Limit {
        Limit::Memory(self.memory.holding(bytes))
    }

    /// Units per second: products of this kernel, or bytes.
    pub fn rate(&mut self, limit: Limit, kernel: &'static Kernel) -> Result<f64> {
        let known = match limit {
            Limit::Memory(level) => self.bandwidths[level],
            _ => {
                let is = |of: &&(Limit, &str, f64)| (of.0, of.1) == (limit, kernel.name());
                self.peaks.iter().find(is).map(|&(.., rate)| rate)
            }
        };
        if let Some(rate) = known {
            return Ok(rate);
        }
        let budget = self.budget;
        let Call { units, run } = self.call(limit, kernel)?;
        // Where others use the machine, too, a median would be about them.
        let rate = units / timing::per_call(budget, FASTEST, run)?;
        match limit {
            Limit::Memory(level) => self.bandwidths[level] = Some(rate),
            _ => self.peaks.push((limit, kernel.name(), rate)),
        }
        Ok(rate)
    }

    /// A call that does what the limit is about, and nothing else.
    pub fn call(&mut self, limit: Limit, kernel: &'static Kernel) -> Result<Call<'_>> {
        let peak = match limit {
            Limit::Memory(level) => return self.memory.reader(level),
            Limit::Instructions => Kernel::peak,
            Limit::Maxima => Kernel::max_peak,
            Limit::Floats => Kernel::float_peak,
        };
        Ok(Call {
            units: peak(kernel, ROUNDS) as f64,
            run: Box::new(move || {
                black_box(peak(kernel, black_box(ROUNDS)));
                Ok(())
            }),
        })
    }
}

#[derive(Serialize)]
struct Measured {
    cpu: String,
    caches: &'static str,
    kernels: Vec<Peak>,
    unavailable: Vec<Unavailable>,
    /// The kernel whose vectors read.
    reader: &'static str,
    memory: Vec<Bandwidth>,
}

#[derive(Serialize)]
struct Peak {
    name: &'static str,
    technique: &'static str,
    gmacs: f64,
    /// Billions of products per second that meet by a maximum.
    maxima: f64,
    /// Billions of products of real numbers per second that are summed.
    floats: f64,
}

#[derive(Serialize)]
struct Bandwidth {
    level: &'static str,
    /// None for what no cache holds.
    bytes: Option<usize>,
    bytes_read: usize,
    gigabytes_per_second: f64,
}

/// Measures all limits, each for so long, and shows them.
pub fn run(budget: Duration, json: bool) -> Result<()> {
    let mut limits = Limits::with_budget(budget);
    let levels = limits.memory.levels.len();
    let bar = report::progress(kernels::available().count() + levels, json);
    let mut peaks = Vec::new();
    for kernel in kernels::available() {
        bar.set_message(kernel.name());
        let gmacs = limits.rate(Limit::Instructions, kernel)? / 1e9;
        let maxima = limits.rate(Limit::Maxima, kernel)? / 1e9;
        let floats = limits.rate(Limit::Floats, kernel)? / 1e9;
        let technique = technique(kernel.technique());
        peaks.push(Peak { name: kernel.name(), technique, gmacs, maxima, floats });
        bar.inc(1);
    }
    let mut memory = Vec::new();
    for i in 0..levels {
        bar.set_message(limits.memory.levels[i].name);
        let rate = limits.rate(Limit::Memory(i), kernels::best())?;
        let level = &limits.memory.levels[i];
        memory.push(Bandwidth {
            level: level.name,
            bytes: level.bytes,
            bytes_read: level.set,
            gigabytes_per_second: rate / 1e9,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let measured = Measured {
        cpu: cpu(),
        caches: if limits.memory.detected { "detected" } else { "assumed" },
        kernels: peaks,
        unavailable: unavailable(),
        reader: kernels::best().name(),
        memory,
    };
    report::show(&measured, json)
}

/// The CPU's name, as far as the system tells it.
fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name"));
    match name.and_then(|line| line.split_once(':')) {
        Some((_, name)) => name.trim().to_string(),
        None => format!("unknown {}", std::env::consts::ARCH),
    }
}

impl Report for Measured {
    fn text(&self) -> String {
        let mut kernels =
            report::table(["kernel", "technique", "GMAC/s", "max + min G/s", "f32 G/s"]);
        for peak in &self.kernels {
            let rates = [peak.gmacs, peak.maxima, peak.floats];
            let [gmacs, maxima, floats] = rates.map(|rate| format!("{rate:.1}"));
            kernels.add_row([peak.name, peak.technique, &gmacs, &maxima, &floats]);
        }
        let mut memory = report::table(["memory", "holds", "measured in", "GB/s"]);
        for level in &self.memory {
            memory.add_row([
                level.level.to_string(),
                level.bytes.map_or("-".to_string(), size),
                size(level.bytes_read),
                format!("{:.1}", level.gigabytes_per_second),
            ]);
        }
        let sizes = match self.caches {
            "detected" => "sizes of caches as the system tells them",
            _ => "sizes of caches assumed, for the system does not tell",
        };
        format!(
            "{}, one core, the fastest tenth of the time\n\nProducts, by instructions alone\n\n{kernels}\n\n{}Reading, \
             with the vectors of {}; {sizes}\n\n{memory}\n",
            self.cpu,
            unavailable_text(&self.unavailable),
            self.reader,
        )
    }
}

/// Bytes with a unit that fits.
fn size(bytes: usize) -> String {
    match bytes {
        b if b < 1 << 20 => format!("{} KiB", b >> 10),
        b if b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
    }
}
