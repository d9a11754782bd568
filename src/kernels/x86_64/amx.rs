//! AMX-INT8: a tile of 16 rows by 64 unsigned bytes times one of 64 signed bytes by 16 outputs, onto a
//! tile of 16 by 16 sums, in one instruction.
//!
//! ```text
//! offset:    tdpbusd(sums, x + 128, w)
//! ```
//! 2 x 2 tiles of sums, 2 of inputs, 2 of weights. A tile of weights is 16 groups of a vector of
//! `avx512vnni.rs`, as they lie in memory; that file's loops do what is left of a row.

use core::arch::asm;

use super::V512Vnni;
use super::dot::Dot;
use crate::kernels::sum::by_blocks::{BLOCK_OUTPUTS, BLOCK_ROWS, Block, MatrixUnit, Rows};
use crate::kernels::trial::Trial;

/// Rows and groups of a tile.
const TILE: usize = 16;

/// Bytes of a line of a tile: as many groups of inputs, or a group of as many outputs.
const LINE: usize = 64;

/// Bytes from one group of weights to the next, and from one row of sums to the next.
const STRIDE: usize = 2 * LINE;

/// Whether it computes what it should on this CPU.
pub(crate) static TRIAL: Trial = Trial::new();

/// The matrix unit.
#[derive(Clone, Copy)]
pub(crate) struct Amx;

impl MatrixUnit<Dot<V512Vnni>> for Amx {
    const NEEDS: &'static [&'static str] =
        &["avx512f", "avx512bw", "avx512vnni", "amx-tile", "amx-int8"];
    const ROWS: usize = 2 * TILE;
    // A guess: of fewer rows most of a tile would be idle.
    const FEWEST_ROWS: usize = 8;
    const INPUTS: usize = LINE;

    fn multiply(weights: &[u8], vectors: usize, rows: &Rows<'_>, block: &mut Block) -> usize {
        let steps = rows.groups / TILE;
        if steps == 0 || vectors != 2 {
            return 0;
        }
        let last_row = (rows.count - 1) * rows.stride;
        assert!((1..=BLOCK_ROWS).contains(&rows.count));
        assert!(weights.len() >= steps * TILE * STRIDE);
        assert!(rows.bytes.len() >= last_row + steps * LINE);
        let tiles = Tiles {
            steps,
            inputs: rows.bytes.as_ptr(),
            stride: rows.stride,
            weights: weights.as_ptr(),
            sums: block.as_flattened_mut().as_mut_ptr(),
        };
        // SAFETY: kernels are only handed out on CPUs that have the unit. Memory holds `steps` lines of
        // each row, and as many times 16 groups of two vectors of weights; a block has 32 rows.
        unsafe {
            match rows.count.checked_sub(TILE) {
                Some(more @ 1..) => {
                    tiles.four::<LINE, { TILE * STRIDE }>(&Config::new([TILE, more]))
                }
                _ => tiles.two(&Config::new([rows.count, 0])),
            }
        }
        steps * TILE
    }

    fn peak(rounds: usize) {
        let (inputs, weights) = ([3_u8; BLOCK_ROWS * LINE], [1_u8; TILE * STRIDE]);
        let mut block = [[0; BLOCK_OUTPUTS]; BLOCK_ROWS];
        let tiles = Tiles {
            steps: rounds.max(1),
            inputs: inputs.as_ptr(),
            stride: LINE,
            weights: weights.as_ptr(),
            sums: block.as_flattened_mut().as_mut_ptr(),
        };
        // SAFETY: as above, but all steps read the same.
        unsafe { tiles.four::<0, 0>(&Config::new([TILE, TILE])) }
        core::hint::black_box(block);
    }
}

/// The shapes of the tiles, as the CPU reads them.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    line_bytes: [u16; 16],
    lines: [u8; 16],
}

impl Config {
    /// Tiles 0, 1 (of the first rows) and 2, 3 (of the second) are sums, 4 and 5 the rows' inputs, 6
    /// and 7 weights.
    fn new([first, second]: [usize; 2]) -> Self {
        let mut config =
            Self { palette: 1, start: 0, reserved: [0; 14], line_bytes: [0; 16], lines: [0; 16] };
        let tiles = [first, first, second, second, first, second, TILE, TILE];
        for (tile, lines) in tiles.into_iter().enumerate().filter(|&(_, lines)| lines > 0) {
            config.line_bytes[tile] = LINE as u16;
            config.lines[tile] = lines as u8;
        }
        config
    }
}

/// What is multiplied, and where the sums go.
struct Tiles {
    /// Lines of each row, at least 1.
    steps: usize,
    inputs: *const u8,
    /// Bytes from one row to the next.
    stride: usize,
    weights: *const u8,
    sums: *mut i32,
}

impl Tiles {
    /// Up to 32 rows. Each step goes on by so many bytes of inputs and of weights.
    ///
    /// # Safety
    /// The CPU has the unit and lets this process use it; memory holds what is read and written.
    unsafe fn four<const INPUTS: usize, const WEIGHTS: usize>(&self, config: &Config) {
        // SAFETY: as above. The tiles are released, so that nobody else meets them.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{first} + {stride}]",
                "tileloadd tmm6, [{weights} + {line}]",
                "tileloadd tmm7, [{weights} + {line} + 64]",
                "tileloadd tmm5, [{second} + {stride}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {first}, {inputs_step}",
                "add {second}, {inputs_step}",
                "add {weights}, {weights_step}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {line}], tmm0",
                "tilestored [{sums} + {line} + 64], tmm1",
                "tilestored [{sums} + {line} + 2048], tmm2",
                "tilestored [{sums} + {line} + 2112], tmm3",
                "tilerelease",
                config = in(reg) config,
                first = inout(reg) self.inputs => _,
                second = inout(reg) self.inputs.wrapping_add(TILE * self.stride) => _,
                stride = in(reg) self.stride,
                weights = inout(reg) self.weights => _,
                line = in(reg) STRIDE,
                steps = inout(reg) self.steps => _,
                sums = in(reg) self.sums,
                inputs_step = const INPUTS,
                weights_step = const WEIGHTS,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Up to 16 rows.
    ///
    /// # Safety
    /// As for `four`.
    unsafe fn two(&self, config: &Config) {
        // SAFETY: as above.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{inputs} + {stride}]",
                "tileloadd tmm6, [{weights} + {line}]",
                "tileloadd tmm7, [{weights} + {line} + 64]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "add {inputs}, 64",
                "add {weights}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {line}], tmm0",
                "tilestored [{sums} + {line} + 64], tmm1",
                "tilerelease",
                config = in(reg) config,
                inputs = inout(reg) self.inputs => _,
                stride = in(reg) self.stride,
                weights = inout(reg) self.weights => _,
                line = in(reg) STRIDE,
                steps = inout(reg) self.steps => _,
                sums = in(reg) self.sums,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

/// Whether the CPU has a feature of the unit, and the system lets this process use tiles. Linux wants to
/// be asked for them, because they make a thread's state much larger.
#[cfg(all(target_os = "linux", feature = "std"))]
pub(super) fn has(feature: &str) -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    use std::sync::OnceLock;

    // To ask a virtual machine's CPU takes microseconds.
    static FOUND: OnceLock<[bool; 2]> = OnceLock::new();

    let [tiles, int8] = FOUND.get_or_init(|| {
        // SAFETY: every x86-64 CPU has the instruction. Compilers newer than our oldest know it.
        #[allow(unused_unsafe)]
        let features = unsafe { if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 } };
        let [tiles, int8] = [24, 25].map(|bit| features >> bit & 1 == 1);
        [tiles && permitted(), int8]
    });
    match feature {
        "amx-tile" => *tiles,
        "amx-int8" => *int8,
        _ => false,
    }
}

/// Asks Linux for tiles (<https://docs.kernel.org/arch/x86/xstate.html>).
#[cfg(all(target_os = "linux", feature = "std"))]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;

    let answer: i64;
    // SAFETY: the call takes two numbers, touches no memory of ours, and changes nothing but what this
    // process may do. The kernel overwrites rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Tiles are for systems that are asked for them as Linux is.
#[cfg(not(all(target_os = "linux", feature = "std")))]
pub(super) fn has(_feature: &str) -> bool {
    false
}
