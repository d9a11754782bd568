//! What is found in rows: range and argmax.

use quickcheck::{Arbitrary, Gen};

use super::{OFFSETS, byte, lengths, moved, sample, up_to, wild_row};
use crate::kernels::{Kernel, available};
use crate::layers::{Argmax, Kind};
use crate::quant::{Int8, QuantParams, select_max, select_min};
use crate::tensor::{TensorType, Values};

fn check_floats(kernel: &Kernel, row: &[f32], offset: usize) {
    let what = (kernel.name(), row, offset);
    let row = &moved(row, offset)[offset..];
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    let join = |(min, max), &x| (select_min(x, min), select_max(x, max));
    let wanted = row.iter().fold(start, join);
    let bits = |(min, max): (f32, f32)| (min.to_bits(), max.to_bits());
    assert_eq!(bits((kernel.range)(row)), bits(wanted), "range, {what:?}");

    let wanted = match row {
        [] => 0,
        _ => argmax(&TensorType::f32(row.len()), row.to_vec().into()),
    };
    assert_eq!((kernel.argmax)(row), wanted, "argmax, {what:?}");
}

/// The layer's definition.
fn argmax(of: &TensorType, row: Values<'static>) -> u32 {
    match Argmax.reference(&[*of], &[&row]).expect("a valid row") {
        Values::U32(positions) => positions[0],
        _ => unreachable!("argmax answers positions"),
    }
}

#[test]
fn range_and_argmax_of_random_rows() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        for length in [up_to(g, 20), up_to(g, 300)] {
            let row = wild_row(g, length);
            let offset = up_to(g, *OFFSETS.end());
            available().for_each(|kernel| check_floats(kernel, &row, offset));
        }
    });
}

/// Each length; and the largest, the smallest and a NaN at each place, alone and twice.
#[test]
fn range_and_argmax_at_each_place() {
    let wild = [1.0, 9.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0];
    for kernel in available() {
        for length in lengths() {
            for usual in [0.0, -3.0, f32::NEG_INFINITY, f32::NAN] {
                let mut row = vec![usual; length];
                check_floats(kernel, &row, length % 5);
                for place in 0..length.min(150) {
                    let x = wild[place % wild.len()];
                    row[place] = x;
                    check_floats(kernel, &row, 0);
                    let second = (place * 7 + 3) % length;
                    let before = std::mem::replace(&mut row[second], x);
                    check_floats(kernel, &row, 0);
                    row[second] = before;
                    row[place] = usual;
                }
            }
        }
    }
}

/// Of zeros of two signs the first one counts, wherever the other is.
#[test]
fn range_of_zeros() {
    for kernel in available() {
        for length in lengths() {
            for sign in [1.0, -1.0] {
                for rest in [f32::NAN, 5.0, -5.0] {
                    let mut row = vec![0.0 * sign; length];
                    check_floats(kernel, &row, 0);
                    row.iter_mut().skip(length / 3).step_by(2).for_each(|x| *x = -*x);
                    check_floats(kernel, &row, 0);
                    row.iter_mut().take(length / 3).for_each(|x| *x = rest);
                    check_floats(kernel, &row, 0);
                }
            }
        }
    }
}

fn check_bytes(kernel: &Kernel, values: &[i8], offset: usize) {
    let params = QuantParams::new(Int8::I8, 1.0, 0).expect("a valid scale");
    let wanted = match values.len() {
        0 => 0,
        width => argmax(&TensorType::int8(width, params), values.to_vec().into()),
    };
    for flip in [0, 0x80] {
        let bytes: Vec<u8> = values.iter().map(|&value| value as u8 ^ flip).collect();
        let got = (kernel.argmax_bytes)(&moved(&bytes, offset)[offset..], flip);
        assert_eq!(got, wanted, "argmax, {}, {values:?}, {offset}, {flip}", kernel.name());
    }
}

#[test]
fn argmax_of_random_bytes() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let few = bool::arbitrary(g);
        let value = |g: &mut Gen| if few { up_to(g, 3) as i8 - 2 } else { byte(g) };
        for length in [up_to(g, 20), up_to(g, 300)] {
            let row: Vec<i8> = (0..length).map(|_| value(g)).collect();
            let offset = up_to(g, *OFFSETS.end());
            available().for_each(|kernel| check_bytes(kernel, &row, offset));
        }
    });
}

#[test]
fn argmax_of_bytes_at_each_place() {
    for kernel in available() {
        for length in lengths() {
            for (usual, best) in [(-128, -127), (-128, 127), (-1, 0), (126, 127)] {
                let mut row = vec![usual; length];
                check_bytes(kernel, &row, length % 5);
                for place in 0..length.min(150) {
                    row[place] = best;
                    check_bytes(kernel, &row, 0);
                    row[place] = usual;
                }
            }
        }
    }
}
