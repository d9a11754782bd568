//! Rules that are not part of an epilogue.

use quickcheck::{Arbitrary, Gen};

use super::{guarded_row, lengths, same, sample, up_to};
use crate::kernels::requantize::Requantize;
use crate::kernels::{Kernel, available};
use crate::quant::{Requantizer, Rounding};

/// The rules that steps of their own apply.
const RULES: [Rounding; 4] = [
    Rounding::OnnxReference,
    Rounding::TfLite,
    Rounding::TfLiteSingleRounding,
    Rounding::TfLiteReference,
];

/// Scales whose products have few bits, so that there are ties, or many.
fn scale(g: &mut Gen) -> f32 {
    let power = 2.0_f32.powi(up_to(g, 12) as i32 - 11);
    match up_to(g, 2) {
        0 => power,
        1 => power * 1.5,
        _ => power * (1.0 + up_to(g, 1 << 20) as f32 / (1 << 20) as f32),
    }
}

/// A sum of up to so many bits.
fn sum(g: &mut Gen, bits: usize) -> i32 {
    let sum = i32::arbitrary(g) >> (31 - up_to(g, bits));
    *g.choose(&[sum, sum, sum, 0, 1, -1, i32::MAX >> (31 - bits), i32::MIN >> (31 - bits)])
        .expect("not empty")
}

fn check(kernel: &Kernel, length: usize, g: &mut Gen) {
    for rule in RULES {
        let output = scale(g);
        let per_output = bool::arbitrary(g);
        let by: Vec<Requantizer> = (0..length)
            .map(|_| Requantizer::new(rule, scale(g), scale(g), output, per_output))
            .collect();
        let zero_point = up_to(g, 255) as i32 - 128;
        let (mut min, mut max) = (-128 - zero_point, 127 - zero_point);
        if bool::arbitrary(g) {
            min += up_to(g, 255) as i32;
            max -= up_to(g, (max - min) as usize) as i32;
        }
        // Twice rounded, sums must not leave `i32` when they are shifted left.
        let bits = |by: &Requantizer| match by {
            Requantizer::TfLite(by) => 31 - by.exponent.max(0),
            _ => 31,
        };
        let sums: Vec<i32> = by.iter().map(|by| sum(g, bits(by) as usize)).collect();
        let to_byte = *g.choose(&[0, 0x80]).expect("not empty");
        let what = (rule, &by, &sums, zero_point, min, max);
        let all = Requantize::new(by.iter().copied(), (min, max), zero_point, to_byte);
        let got = guarded_row(kernel, &what, [0, length], 0xA5, |out| {
            (kernel.requantize)(&sums, out, &all);
        });
        let wanted = by
            .iter()
            .zip(&sums)
            .map(|(by, &sum)| (by.apply(sum, min, max, zero_point) as u8).wrapping_add(to_byte));
        same(kernel, &what, length, got, wanted);
    }
}

#[test]
fn rules_for_random_sums() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let length = 1 + up_to(g, 100);
        available().for_each(|kernel| check(kernel, length, g));
    });
}

#[test]
fn rules_for_rows_of_each_length() {
    let g = &mut Gen::from_size_and_seed(100, 1);
    for kernel in available() {
        lengths().filter(|&length| length > 0).for_each(|length| check(kernel, length, g));
    }
}
