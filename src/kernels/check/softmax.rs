//! The exponential, and softmax.

use quickcheck::{Arbitrary, Gen};

use super::{
    OFFSETS, bits, cases, guarded_row, lengths, moved, same, sample, thinned, up_to, wild_row,
};
use crate::kernels::{Kernel, available};
use crate::layers::{Kind, Softmax};
use crate::quant::one_nan;
use crate::tensor::TensorType;

/// What begins with these bits is -0, negative, or a NaN.
const NEGATIVE: u32 = 0x8000_0000;
const POSITIVE_NAN: std::ops::RangeInclusive<u32> = 0x7F80_0001..=0x7FFF_FFFF;

/// Holds the exponentials of all kernels to `libm`. Each number must lie in a whole vector.
fn check_exp(numbers: &mut Vec<f32>, wanted: &mut Vec<f32>, got: &mut Vec<f32>) {
    numbers.resize(numbers.len().next_multiple_of(16), 0.0);
    wanted.clear();
    wanted.extend(numbers.iter().map(|&x| libm::expf(x)));
    got.clear();
    got.resize(numbers.len(), -1.0);
    for kernel in available() {
        got.fill(-1.0);
        (kernel.exps)(numbers, got);
        let results = numbers.iter().zip(wanted.iter().zip(got.iter()));
        for (x, (wanted, got)) in results {
            let same = one_nan(*got).to_bits() == one_nan(*wanted).to_bits();
            assert!(same, "{}: exp({x:e}) is {wanted:e}, not {got:e}", kernel.name());
        }
    }
}

/// All these bit patterns.
fn check_exp_of(patterns: impl Iterator<Item = u32>) {
    let mut patterns = patterns.peekable();
    let [mut numbers, mut wanted, mut got] = [(); 3].map(|()| Vec::new());
    while patterns.peek().is_some() {
        numbers.clear();
        numbers.extend(patterns.by_ref().take(4096).map(f32::from_bits));
        check_exp(&mut numbers, &mut wanted, &mut got);
    }
}

/// Numbers spread over all that are not positive, also subnormal ones, and NaN.
#[test]
fn exponentials_of_spread_numbers() {
    let step = (1_000_003 / cases().max(1)) as usize;
    check_exp_of((NEGATIVE..=u32::MAX).step_by(step));
    check_exp_of(POSITIVE_NAN.step_by(step));
    check_exp_of(0..=0);
}

/// Where the formula's parts meet, where k changes, and where results become subnormal and zero.
#[test]
fn exponentials_around_borders() {
    let borders = [
        NEGATIVE,    // zero
        0xB900_0000, // the exponential is no longer 1 + x
        0xBEB1_7218, // ln 2 / 2
        0xBF85_1592, // 3 ln 2 / 2
        0xC2AE_AC50, // results become subnormal
        0xC2CF_F1B5, // and zero
        0xC2D0_0000, // -104
        0xFF80_0000, // -infinity, and NaN behind it
    ];
    let halves = (1..320).map(|half| (-half as f32 * 0.5 * core::f32::consts::LN_2).to_bits());
    let near = |border: u32| border.saturating_sub(500).max(NEGATIVE)..=border.saturating_add(500);
    check_exp_of(thinned(borders.into_iter().chain(halves)).flat_map(near));
}

/// All 2^31 numbers that are not positive, and all NaN: some minutes in a release build.
#[test]
#[ignore = "takes minutes: cargo test --release --lib -- --ignored exponentials"]
fn exponentials_of_all_numbers() {
    std::thread::scope(|scope| {
        for part in 0..8 {
            let size = (1 << 31) / 8;
            let first = NEGATIVE + part * size;
            scope.spawn(move || check_exp_of(first..=first + (size - 1)));
        }
    });
    check_exp_of(POSITIVE_NAN);
    check_exp_of(0..=0);
}

fn check_softmax(kernel: &Kernel, row: &[f32], offset: usize) {
    let what = (row, offset);
    let moved = moved(row, offset);
    let got = guarded_row(kernel, &what, [offset, row.len()], 1234.5, |out| {
        (kernel.softmax)(&moved[offset..], out);
    });
    if !row.is_empty() {
        let wanted = Softmax.reference(&[TensorType::f32(row.len())], &[&row.to_vec().into()]);
        let wanted = wanted.expect("a valid row");
        same(kernel, &what, row.len(), bits(&got), bits(wanted.as_f32()));
    }
}

/// Usual scores, of any spread.
fn scores(g: &mut Gen, length: usize) -> Vec<f32> {
    let spread = *g.choose(&[1e-7, 0.01, 1.0, 10.0, 100.0, 1e6]).expect("not empty");
    (0..length).map(|_| (i32::arbitrary(g) as f32 / i32::MAX as f32) * spread).collect()
}

#[test]
fn softmax_of_random_rows() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        for length in [up_to(g, 20), up_to(g, 300)] {
            let wild = up_to(g, 3) == 0;
            let row = if wild { wild_row(g, length) } else { scores(g, length) };
            let offset = up_to(g, *OFFSETS.end());
            available().for_each(|kernel| check_softmax(kernel, &row, offset));
        }
    });
}

#[test]
fn softmax_of_rows_of_each_length() {
    let g = &mut Gen::from_size_and_seed(100, 1);
    for kernel in available() {
        for length in lengths() {
            for offset in thinned(0..=8) {
                check_softmax(kernel, &scores(g, length), offset);
            }
            for x in [0.0, -0.0, 1.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                check_softmax(kernel, &vec![x; length], 0);
            }
        }
    }
}
