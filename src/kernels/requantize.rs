//! Sums become bytes by the rules that are not part of an epilogue. Plain loops without branches,
//! compiled for each instruction set: `quant/rules.rs` has the same in the order of the formulas.

use alloc::vec::Vec;

use super::proven;
use super::vector::{Op, Vector};
use crate::quant::Requantizer;

/// A rule, for the outputs of a layer.
#[derive(Debug)]
pub(crate) struct Requantize {
    multipliers: Multipliers,
    /// Those of results, before the zero point is added.
    bounds: (i32, i32),
    zero_point: i32,
    /// What is added to a result, wrapping around, for its byte.
    to_byte: u8,
}

/// A rule's multipliers: one of everything for each output.
#[derive(Debug)]
enum Multipliers {
    /// Half to even, with the zero point.
    Even(Vec<f64>),
    /// Half away from zero.
    Away(Vec<f64>),
    /// Fixed point: the multiplier, how far a sum is shifted left, a product right.
    Twice(Vec<(i32, u32, u32)>),
    /// Fixed point: the multiplier, how far a product is shifted right.
    Once(Vec<(i32, u32)>),
}

impl Requantize {
    /// For outputs that all have the same rule, not that of epilogues; `to_byte` is what is added to
    /// the `u8` or `i8` of a result for the byte that is wanted.
    pub fn new(
        by: impl Iterator<Item = Requantizer>,
        bounds: (i32, i32),
        zero_point: i32,
        to_byte: u8,
    ) -> Self {
        let by: Vec<Requantizer> = by.collect();
        macro_rules! all {
            ($variant:ident($by:pat) => $value:expr) => {
                by.iter()
                    .map(|by| match *by {
                        Requantizer::$variant($by) => $value,
                        _ => unreachable!("outputs of a layer have one rule"),
                    })
                    .collect()
            };
        }
        let multipliers = match by[0] {
            Requantizer::Nearest(_) => unreachable!("epilogues have this rule"),
            Requantizer::OnnxReference(_) => {
                Multipliers::Even(all!(OnnxReference(by) => f64::from(by)))
            }
            Requantizer::TfLiteReference(_) => Multipliers::Away(all!(TfLiteReference(by) => by)),
            Requantizer::TfLite(_) => Multipliers::Twice(all!(TfLite(by) => {
                let (left, right) = (by.exponent.max(0), (-by.exponent).max(0));
                (by.multiplier, left as u32, right as u32)
            })),
            Requantizer::TfLiteSingleRounding(_) => {
                Multipliers::Once(all!(TfLiteSingleRounding(by) => {
                    (by.multiplier, (31 - by.exponent) as u32)
                }))
            }
        };
        Self { multipliers, bounds, zero_point, to_byte }
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        match &self.multipliers {
            Multipliers::Even(by) | Multipliers::Away(by) => by.len(),
            Multipliers::Twice(by) => by.len(),
            Multipliers::Once(by) => by.len(),
        }
    }
}

/// Makes bytes of the sums of one row.
pub(crate) fn requantize<V: Vector>(sums: &[i32], bytes: &mut [u8], by: &Requantize) {
    proven::<V>().vectorize(Row { sums, bytes, by });
}

struct Row<'a> {
    sums: &'a [i32],
    bytes: &'a mut [u8],
    by: &'a Requantize,
}

impl<V: Vector> Op<V> for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: V) {
        /// What is added and taken away leaves a whole number, rounded by the addition; its low bits
        /// before that are those of the number.
        const MAGIC: f64 = 6_755_399_441_055_744.0;

        let Requantize { multipliers, bounds: (min, max), zero_point, to_byte } = self.by;
        let (min, max, zero_point, to_byte) = (*min, *max, *zero_point, *to_byte);
        let byte = |result: i32| (result as u8).wrapping_add(to_byte);
        let clamped = |real: f64, min: f64, max: f64| {
            let real = if real > min { real } else { min };
            if real < max { real } else { max }
        };
        match multipliers {
            Multipliers::Even(by) => {
                let zero = f64::from(zero_point);
                let (min, max) = (f64::from(min + zero_point), f64::from(max + zero_point));
                each(self.sums, by, self.bytes, |sum, &by| {
                    let real = clamped(f64::from(sum) * by + zero, min, max);
                    byte((real + MAGIC).to_bits() as i32)
                });
            }
            Multipliers::Away(by) => {
                let (min, max) = (f64::from(min), f64::from(max));
                each(self.sums, by, self.bytes, |sum, &by| {
                    let real = clamped(f64::from(sum) * by, min, max);
                    // Half to even, then away from zero what went towards it.
                    let shifted = real + MAGIC;
                    let rest = real - (shifted - MAGIC);
                    let up = rest == 0.5 && real > 0.0;
                    let down = rest == -0.5 && real < 0.0;
                    let whole = shifted.to_bits() as i32;
                    byte(whole + i32::from(up) - i32::from(down) + zero_point)
                });
            }
            Multipliers::Twice(by) => {
                each(self.sums, by, self.bytes, |sum, &(multiplier, left, right)| {
                    let product = i64::from(sum << left) * i64::from(multiplier) + (1 << 30);
                    let high = (product as u64 >> 31) as i32;
                    let mask = ((1_u32 << right) - 1) as i32;
                    let rest = high & mask;
                    let most = (mask >> 1) + i32::from(high < 0);
                    let rounded = (high >> right) + i32::from(rest > most);
                    byte(rounded.max(min).min(max) + zero_point)
                });
            }
            Multipliers::Once(by) => {
                let (min, max) = (i64::from(min), i64::from(max));
                each(self.sums, by, self.bytes, |sum, &(multiplier, right)| {
                    let product = i64::from(sum) * i64::from(multiplier);
                    let rounded = (product + (1_i64 << right >> 1)) >> right;
                    byte(rounded.max(min).min(max) as i32 + zero_point)
                });
            }
        }
    }
}

#[inline(always)]
fn each<B>(sums: &[i32], by: &[B], bytes: &mut [u8], of: impl Fn(i32, &B) -> u8) {
    for ((&sum, by), byte) in sums.iter().zip(by).zip(bytes) {
        *byte = of(sum, by);
    }
}
