//! Real numbers to bytes, and back.

use quickcheck::{Arbitrary, Gen};

use super::{
    OFFSETS, bits, byte, guarded_row, lengths, moved, same, sample, scale, sign, thinned, up_to,
};
use crate::kernels::edges::{Dequantizer, Quantizer};
use crate::kernels::{Kernel, Narrow, available};
use crate::quant::{Int8, QuantParams, round_clamped};

/// Quantizes `real` at any alignment, and with both forms of bytes.
fn check_quantize(kernel: &Kernel, params: &QuantParams, real: &[f32], offset: usize) {
    let what = (params, real, offset);
    let name = kernel.name();
    let moved = moved(real, offset);
    for flip in [0, 0x80] {
        let zero_point = params.zero_point_i8();
        let narrow = Narrow::new(zero_point, -128 - zero_point, 127 - zero_point, flip);
        let by = Quantizer { scale: params.scale(), narrow };
        let got = guarded_row(kernel, &what, [offset, real.len()], 0xA5, |bytes| {
            let nan = (kernel.quantize)(&moved[offset..], bytes, &by);
            assert_eq!(nan, real.iter().any(|x| x.is_nan()), "{name}, {what:?}: NaN");
        });
        let shift = params.kind().shift();
        let wanted = real.iter().map(|&x| (params.quantize(x) - shift) as u8 ^ flip);
        same(kernel, &what, real.len().max(1), got, wanted);
    }
}

fn real(g: &mut Gen, params: &QuantParams) -> f32 {
    let near = up_to(g, 700) as f32 - 350.0;
    match up_to(g, 3) {
        0 => *g
            .choose(&[f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1e-40])
            .expect("not empty"),
        1 => near * (params.scale() / 2.0), // exact ties where the scale is a power of two
        2 => near * params.scale() / 2.0 * (1.0 + f32::EPSILON),
        _ => Some(f32::from_bits(u32::arbitrary(g))).filter(|x| !x.is_nan()).unwrap_or(-1e-40),
    }
}

#[test]
fn quantized_rows() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let (kind, low) = if bool::arbitrary(g) { (Int8::I8, 0) } else { (Int8::U8, 128) };
        let zero_point = i32::from(byte(g)) + low;
        let params = QuantParams::new(kind, scale(g), zero_point).expect("a valid scale");
        let length = up_to(g, 40);
        let mut row: Vec<f32> = (0..length).map(|_| real(g, &params)).collect();
        if length > 0 && up_to(g, 3) == 0 {
            row[up_to(g, length - 1)] = f32::NAN * sign(g);
        }
        let offset = up_to(g, *OFFSETS.end());
        available().for_each(|kernel| check_quantize(kernel, &params, &row, offset));
    });
}

/// Each length at each alignment; and a NaN at each place, which one alone must be noticed.
#[test]
fn quantized_rows_of_each_length() {
    let params = QuantParams::new(Int8::U8, 0.75, 3).expect("a valid scale");
    for kernel in available() {
        for length in lengths() {
            let mut row: Vec<f32> = (0..length).map(|i| i as f32 * 1.75 - 30.0).collect();
            for offset in thinned(OFFSETS) {
                check_quantize(kernel, &params, &row, offset);
            }
            for place in 0..length.min(150) {
                let before = std::mem::replace(&mut row[place], f32::NAN);
                check_quantize(kernel, &params, &row, 1);
                row[place] = before;
            }
        }
    }
}

/// Each number divided by each power of two, smallest and largest among them: where a kernel
/// multiplies, it must get what the division gives.
#[test]
fn quantized_by_powers_of_two() {
    let one = f32::from_bits(1);
    let numbers = [0.0, one, 1e-40, 1.1e-38, 0.3, 0.5, 1.0, 1.5, 2.5, 1e10, 3e37, f32::MAX];
    for exponent in thinned(1..=254) {
        let scale = f32::from_bits(exponent << 23);
        let params = QuantParams::new(Int8::I8, scale, -7).expect("a valid scale");
        let near = (-40..40).map(|half| half as f32 * 0.5 * scale);
        let row: Vec<f32> = numbers.iter().flat_map(|&x| [x, -x]).chain(near).collect();
        available().for_each(|kernel| check_quantize(kernel, &params, &row, 0));
    }
}

/// Scales found for rows of tiny numbers need not be normal, and have no reciprocal.
#[test]
fn quantized_by_subnormal_scales() {
    let row: Vec<f32> = (-300..=300).map(|i| f32::from_bits(1 << 20) * i as f32).collect();
    let narrow = Narrow::new(0, -128, 127, 0);
    for bits in [1, 3, 1 << 20, 1 << 21, 1 << 22, 0x005A_5A5A, 0x007F_FFFF] {
        let scale = f32::from_bits(bits);
        let wanted: Vec<u8> =
            row.iter().map(|x| round_clamped(x / scale, -128, 127) as u8).collect();
        for kernel in available() {
            let mut got = vec![0; row.len()];
            assert!(!(kernel.quantize)(&row, &mut got, &Quantizer { scale, narrow }));
            same(kernel, &scale, row.len(), got, wanted.iter().copied());
        }
    }
}

fn check_dequantize(kernel: &Kernel, params: &QuantParams, values: &[i8], offset: usize) {
    let what = (params, values, offset);
    for flip in [0, 0x80] {
        let bytes: Vec<u8> = values.iter().map(|&value| value as u8 ^ flip).collect();
        let bytes = moved(&bytes, offset);
        let by = Dequantizer { scale: params.scale(), zero_point: params.zero_point_i8(), flip };
        let got = guarded_row(kernel, &what, [offset, values.len()], 1234.5, |real| {
            (kernel.dequantize)(&bytes[offset..], real, &by);
        });
        let shift = params.kind().shift();
        let wanted: Vec<f32> =
            values.iter().map(|&value| params.dequantize(i32::from(value) + shift)).collect();
        same(kernel, &what, values.len().max(1), bits(&got), bits(&wanted));
    }
}

#[test]
fn dequantized_rows() {
    sample(|seed: u64| {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let (kind, low) = if bool::arbitrary(g) { (Int8::I8, 0) } else { (Int8::U8, 128) };
        let zero_point = i32::from(byte(g)) + low;
        let params = QuantParams::new(kind, scale(g), zero_point).expect("a valid scale");
        let row: Vec<i8> = (0..up_to(g, 300)).map(|_| byte(g)).collect();
        let offset = up_to(g, *OFFSETS.end());
        available().for_each(|kernel| check_dequantize(kernel, &params, &row, offset));
    });
}

/// All bytes, and each length.
#[test]
fn dequantized_rows_of_each_length() {
    for kernel in available() {
        for zero_point in [-128, 0, 5, 127] {
            let params = QuantParams::new(Int8::I8, 0.1, zero_point).expect("a valid scale");
            let all: Vec<i8> = (-128..=127).collect();
            check_dequantize(kernel, &params, &all, 0);
            for length in lengths() {
                let row: Vec<i8> = (0..length).map(|i| (i * 83) as u8 as i8).collect();
                check_dequantize(kernel, &params, &row, length % 9);
            }
        }
    }
}
