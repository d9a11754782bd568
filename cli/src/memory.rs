//! The levels of memory, and reading from each.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result};
use signfold::kernels;

use crate::timing::Call;

/// What is assumed where the system does not tell: sizes that most CPUs have at least.
const ASSUMED: [usize; 3] = [32 << 10, 512 << 10, 8 << 20];

/// Where Linux tells of the first core's caches.
const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";

/// Reading beyond the caches takes so much at least, and at most.
const DRAM_BYTES: [usize; 2] = [64 << 20, 2 << 30];

/// A call that reads takes this much, so that what it costs to make one does not show.
const CALL_BYTES: usize = 2 << 20;

/// Values of 512 bytes: what [`kernels::Kernel::read`] reads to the last one.
const WHOLE: usize = 128;

/// A cache, or what is beyond all of them.
pub struct Level {
    /// `L1`, `L2`, `L3`, `DRAM`.
    pub name: &'static str,
    /// Bytes that it holds, if that is limited.
    pub bytes: Option<usize>,
    /// Bytes that are read to measure it: they lie well inside, and well outside of the level before.
    pub set: usize,
}

/// All levels, the nearest first.
pub struct Memory {
    /// The levels.
    pub levels: Vec<Level>,
    /// Whether the system told the sizes, or they are assumed.
    pub detected: bool,
    values: Vec<i32>,
}

impl Memory {
    /// That of this machine.
    pub fn new() -> Self {
        let found = caches(Path::new(CACHES));
        let detected = !found.is_empty();
        let sizes = if detected { found } else { ASSUMED.to_vec() };
        Self { levels: levels(&sizes), detected, values: Vec::new() }
    }

    /// The nearest level that holds so many bytes.
    pub fn holding(&self, bytes: usize) -> usize {
        let holds = |level: &Level| level.bytes.is_none_or(|size| bytes <= size);
        self.levels.iter().position(holds).unwrap_or(self.levels.len() - 1)
    }

    /// A call that reads from this level with the vectors of the best kernel; its units are bytes.
    pub fn reader(&mut self, level: usize) -> Result<Call<'_>> {
        let bytes = self.levels[level].set;
        let len = bytes / size_of::<i32>();
        if self.values.len() < len + WHOLE {
            let more = len + WHOLE - self.values.len();
            let room = self.values.try_reserve_exact(more);
            room.with_context(|| format!("cannot have {bytes} bytes to read"))?;
            // Not zeros: pages that nothing was ever written to may all be the same one.
            self.values.resize(len + WHOLE, 1);
        }
        let first = self.values.as_ptr().align_offset(64).min(WHOLE);
        let values = &self.values[first..first + len];
        let (kernel, times) = (kernels::best(), CALL_BYTES.div_ceil(bytes));
        Ok(Call {
            units: (times * bytes) as f64,
            run: Box::new(move || {
                for _ in 0..times {
                    black_box(kernel.read(black_box(values)));
                }
                Ok(())
            }),
        })
    }
}

/// Sizes of the caches that hold data, the nearest first; none if the system does not tell.
fn caches(folder: &Path) -> Vec<usize> {
    let mut sizes = Vec::new();
    for index in 0..16 {
        let field = |name: &str| {
            let text = std::fs::read_to_string(folder.join(format!("index{index}/{name}"))).ok()?;
            Some(text.trim().to_string())
        };
        let Some(kind) = field("type") else { break };
        let level = field("level").and_then(|level| level.parse::<usize>().ok());
        let size = field("size").and_then(|size| bytes(&size));
        if let (Some(level), Some(size), true) = (level, size, kind != "Instruction") {
            sizes.push((level, size));
        }
    }
    sizes.sort_unstable();
    sizes.dedup_by_key(|&mut (level, _)| level);
    // Of a level that holds no more than the one before, nothing could be measured.
    let mut largest = 0;
    let rising = sizes.into_iter().map(|(_, size)| size).filter(|&size| {
        let more = size > largest;
        largest = largest.max(size);
        more
    });
    rising.take(3).collect()
}

/// A size as the system writes it: `512K`.
fn bytes(text: &str) -> Option<usize> {
    let unit = match text.bytes().last()? {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => 1 << 30,
        _ => 1,
    };
    let number = text.trim_end_matches(['K', 'M', 'G']).parse::<usize>().ok()?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0)
}

/// The levels of a machine with caches of these sizes.
fn levels(sizes: &[usize]) -> Vec<Level> {
    let whole = |bytes: usize| (bytes / 512).max(1) * 512;
    let mut levels: Vec<Level> = Vec::new();
    for (i, &size) in sizes.iter().enumerate() {
        let set = match i {
            0 | 1 => size / 2,
            // Others use a shared cache, too; but the level before must not hold the set.
            _ => (size / 4).max(2 * sizes[i - 1]).min(size / 4 * 3),
        };
        levels.push(Level { name: ["L1", "L2", "L3"][i], bytes: Some(size), set: whole(set) });
    }
    let last = sizes.last().copied().unwrap_or(0);
    let set = last.saturating_mul(4).clamp(DRAM_BYTES[0], DRAM_BYTES[1]);
    levels.push(Level { name: "DRAM", bytes: None, set: whole(set) });
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_the_system_writes_them() {
        for (text, size) in [
            ("32K", Some(32 << 10)),
            ("1M", Some(1 << 20)),
            ("4096", Some(4096)),
            ("0K", None),
            ("", None),
            ("K", None),
            ("many", None),
            ("99999999999999999999K", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    #[test]
    fn caches_are_found_or_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(caches(folder.path()).is_empty());
        let all = [
            ("1", "Data", "48K"),
            ("1", "Instruction", "64K"),
            ("2", "Unified", "2048K"),
            ("3", "Unified", "1024K"),
            ("4", "Unified", "nonsense"),
        ];
        for (i, (level, kind, size)) in all.into_iter().enumerate() {
            let index = folder.path().join(format!("index{i}"));
            std::fs::create_dir(&index).unwrap();
            for (name, text) in [("level", level), ("type", kind), ("size", size)] {
                std::fs::write(index.join(name), format!("{text}\n")).unwrap();
            }
        }
        assert_eq!(caches(folder.path()), [48 << 10, 2 << 20]);
    }

    #[test]
    fn each_set_lies_in_its_level_only() {
        for sizes in [
            &ASSUMED[..],
            &[32 << 10, 512 << 10, 32 << 20],
            &[48 << 10, 2 << 20, 5 << 20],
            &[32 << 10, 1 << 20],
            &[16 << 10],
        ] {
            let levels = levels(sizes);
            assert_eq!(levels.len(), sizes.len() + 1);
            for (i, level) in levels.iter().enumerate() {
                assert!(level.bytes.is_none_or(|size| level.set < size), "{}", level.name);
                assert!(i == 0 || level.set > sizes[i - 1], "{}", level.name);
                assert_eq!(level.set % 512, 0);
            }
        }
        let mut memory = Memory::new();
        assert_eq!(memory.levels[memory.holding(1)].name, "L1");
        assert_eq!(memory.levels[memory.holding(usize::MAX)].name, "DRAM");
        let mut call = memory.reader(0).unwrap();
        (call.run)().unwrap();
        assert!(call.units >= CALL_BYTES as f64);
    }
}
