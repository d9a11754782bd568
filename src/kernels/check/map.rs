//! Functions of each element.

use quickcheck::{Arbitrary, Gen};

use super::{
    OFFSETS, bits, guarded_row, lengths, moved, same, sample, thinned, up_to, wild, wild_row,
};
use crate::kernels::map::Function;
use crate::kernels::{Kernel, Table, available};
use crate::layers::Activation;

/// The functions that kernels have, as layers define them.
fn functions(g: &mut Gen) -> [(Function, Activation); 5] {
    let [a, b] = [(); 2].map(|()| Some(wild(g)).filter(|x| !x.is_nan()).unwrap_or(-0.0));
    let (min, max) = if a <= b { (a, b) } else { (b, a) };
    let alpha = Some(wild(g)).filter(|x| x.is_finite()).unwrap_or(0.01);
    [
        (Function::Identity, Activation::Identity),
        (Function::Clamp { min: 0.0, max: f32::INFINITY }, Activation::Relu),
        (Function::Clamp { min: 0.0, max: 6.0 }, Activation::Relu6),
        (Function::Clamp { min, max }, Activation::Clip { min, max }),
        (Function::LeakyRelu { alpha }, Activation::LeakyRelu { alpha }),
    ]
}

fn check_map(kernel: &Kernel, row: &[f32], offset: usize, g: &mut Gen) {
    for (function, activation) in functions(g) {
        let what = (activation, row, offset);
        let moved = moved(row, offset);
        let got = guarded_row(kernel, &what, [offset, row.len()], 1234.5, |out| {
            (kernel.map)(&moved[offset..], out, &function);
        });
        let wanted: Vec<f32> = row.iter().map(|&x| activation.apply(x)).collect();
        same(kernel, &what, row.len().max(1), bits(&got), bits(&wanted));
    }
}

#[test]
fn functions_of_random_rows() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let length = up_to(g, 100);
        let row = wild_row(g, length);
        let offset = up_to(g, *OFFSETS.end());
        available().for_each(|kernel| check_map(kernel, &row, offset, g));
    });
}

#[test]
fn functions_of_rows_of_each_length() {
    let g = &mut Gen::from_size_and_seed(100, 1);
    for kernel in available() {
        for length in lengths() {
            let row = wild_row(g, length);
            for offset in thinned(0..=8) {
                check_map(kernel, &row, offset, g);
            }
        }
    }
}

fn check_look_up(kernel: &Kernel, entries: [u8; 256], row: &[u8], offset: usize) {
    let what = (entries, row, offset);
    let moved = moved(row, offset);
    let got = guarded_row(kernel, &what, [offset, row.len()], 0xA5, |out| {
        (kernel.look_up)(&moved[offset..], out, &Table::new(entries));
    });
    let wanted = row.iter().map(|&byte| entries[usize::from(byte)]);
    same(kernel, &what, row.len().max(1), got, wanted);
}

#[test]
fn tables_of_random_entries() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let entries = std::array::from_fn(|_| u8::arbitrary(g));
        let row: Vec<u8> = (0..up_to(g, 300)).map(|_| u8::arbitrary(g)).collect();
        let offset = up_to(g, *OFFSETS.end());
        available().for_each(|kernel| check_look_up(kernel, entries, &row, offset));
    });
}

/// Each byte in each lane, by a table in which each byte has an entry of its own; each length.
#[test]
fn tables_of_distinct_entries() {
    let entries = std::array::from_fn(|i| (i * 167 + 13) as u8);
    for kernel in available() {
        for first in thinned(0..=255_u8) {
            let row: Vec<u8> = (0..64).map(|i| first.wrapping_add(i)).collect();
            check_look_up(kernel, entries, &row, 0);
        }
        for length in lengths() {
            let row: Vec<u8> = (0..length).map(|i| (i * 77) as u8).collect();
            check_look_up(kernel, entries, &row, length % 9);
        }
    }
}
