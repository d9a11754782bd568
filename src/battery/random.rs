//! Numbers that are random, but the same in every run, on every machine.

use alloc::vec::Vec;

use crate::quant::{Int8, QuantParams};
use crate::tensor::{Element, TensorType, Values};

/// The generator SplitMix64 of Steele, Lea and Flood: a counter whose bits are mixed. Every number
/// below is made of its integers by single IEEE-754 operations.
pub(super) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Evenly between two numbers.
    pub fn float(&mut self, min: f32, max: f32) -> f32 {
        min + (max - min) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    /// Any byte; one in four is an extreme or zero.
    pub fn i8(&mut self) -> i8 {
        match self.below(4) {
            0 => self.pick(&[-128, -128, -127, -1, 0, 1, 127, 127]),
            _ => self.next() as i8,
        }
    }

    pub fn vec<T>(&mut self, len: usize, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..len).map(|_| of(self)).collect()
    }

    pub fn weights(&mut self, len: usize) -> Vec<i8> {
        self.vec(len, Self::i8)
    }

    /// Real weights up to this size; some are zeros, tiny, or of one magnitude.
    pub fn real_weights(&mut self, len: usize, size: f32) -> Vec<f32> {
        self.vec(len, |rng| match rng.below(8) {
            0 => rng.pick(&[0.0, -0.0, 1e-40, -1e-20]),
            1 => size * rng.pick(&[-1.0, -0.5, 0.5, 1.0]),
            _ => rng.float(-size, size),
        })
    }

    /// A quantization whose zero point may be anywhere.
    pub fn params(&mut self) -> QuantParams {
        let kind = self.pick(&[Int8::I8, Int8::U8]);
        self.params_of(kind)
    }

    /// One with room on both sides of its zero point: for outputs, which would else often be all the
    /// same where they may not be negative.
    pub fn output(&mut self) -> QuantParams {
        let params = self.params();
        let zero_point = params.kind().min() + 64 + self.below(129) as i32;
        QuantParams::new(params.kind(), params.scale(), zero_point).expect("a value of the type")
    }

    /// One of this type, whose zero point may be anywhere.
    pub fn params_of(&mut self, kind: Int8) -> QuantParams {
        let above = match self.below(3) {
            0 => self.pick(&[0, 255]),
            1 => 128,
            _ => self.below(256),
        };
        let scale = self.float(0.01, 0.05);
        QuantParams::new(kind, scale, kind.min() + above as i32).expect("a positive scale")
    }
}

/// What real rows may hold at worst.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Worst {
    /// Finite numbers, whose range sets a scale.
    Finite,
    /// The same, and all rows of a batch are of one kind, for they have one scale.
    FiniteBatch,
    /// Infinities too.
    Infinite,
    /// Any bits: NaN too.
    Any,
}

/// Rows of any type: bytes over their full range, in some rows mostly the zero point; real numbers
/// of moderate size, in some rows as bad as they may be.
pub(super) fn rows(rng: &mut Rng, of: TensorType, rows: usize, worst: Worst) -> Values<'static> {
    match of.element {
        Element::Int8(params) => {
            let zero = params.zero_point_i8() as i8;
            let mut values = Vec::new();
            for _ in 0..rows {
                let sparse = rng.one_in(3);
                let byte = |rng: &mut Rng| if sparse && !rng.one_in(8) { zero } else { rng.i8() };
                values.extend(rng.vec(of.width, byte));
            }
            Values::from_i8(values, &params)
        }
        Element::F32 | Element::Index => {
            let mut kind = rng.below(3);
            let mut values = Vec::new();
            for _ in 0..rows {
                values.extend(rng.vec(of.width, |rng| real(rng, kind, worst)));
                if worst != Worst::FiniteBatch {
                    kind = (kind + 1) % 3;
                }
            }
            values.into()
        }
    }
}

/// A real number for a row of kind 0, moderate; of kind 1, huge and tiny; or of kind 2, the worst.
fn real(rng: &mut Rng, kind: usize, worst: Worst) -> f32 {
    const TINY: [f32; 6] = [0.0, -0.0, 1e-45, -1e-40, f32::MIN_POSITIVE, -2e-38];
    const HUGE: [f32; 4] = [1e30, -1e30, 1e38, -1e38];
    const NAN: [u32; 4] = [0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0xFFFF_FFFF];
    match (kind, worst, rng.below(8)) {
        (0, _, 0) => rng.pick(&[0.0, -0.0, 300.0, -300.0]),
        // In the middle of two integers, for many a scale.
        (0, _, 1..=2) => f32::from(rng.i8()) * 0.5,
        (1, _, 0) => rng.pick(&HUGE),
        (1, _, 1) => rng.pick(&TINY),
        (2, Worst::Finite | Worst::FiniteBatch, _) => rng.pick(&TINY),
        (2, _, 0) => rng.pick(&[f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]),
        (2, Worst::Any, 1) => f32::from_bits(rng.pick(&NAN)),
        (2, Worst::Any, 2..=3) => f32::from_bits(rng.next() as u32),
        _ => rng.float(-4.0, 4.0),
    }
}
