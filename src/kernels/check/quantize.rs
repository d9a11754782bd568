//! Real numbers to bytes.

use quickcheck::{Arbitrary, Gen};

use super::{OFFSETS, byte, same, sample, scale, sign, thinned, up_to};
use crate::kernels::edges::Quantizer;
use crate::kernels::{Kernel, Narrow, available};
use crate::quant::{Int8, QuantParams};

/// Quantizes `real` at any alignment, and with both forms of bytes.
fn check_quantize(kernel: &Kernel, params: &QuantParams, real: &[f32], offset: usize) {
    let what = (params, real, offset);
    let name = kernel.name();
    let mut moved = vec![0.0; offset];
    moved.extend_from_slice(real);
    for flip in [0, 0x80] {
        let zero_point = params.zero_point_i8();
        let narrow = Narrow::new(zero_point, -128 - zero_point, 127 - zero_point, flip);
        let by = Quantizer { scale: params.scale(), narrow };
        let mut bytes = vec![0xA5; offset + real.len() + 64];
        let nan = (kernel.quantize)(&moved[offset..], &mut bytes[offset..], &by);
        assert_eq!(nan, real.iter().any(|x| x.is_nan()), "{name}, {what:?}: NaN");
        let (before, rest) = bytes.split_at(offset);
        let (got, after) = rest.split_at(real.len());
        let untouched = before.iter().chain(after).all(|&byte| byte == 0xA5);
        assert!(untouched, "{name}, {what:?}: bytes beside the row written");
        let shift = params.kind().shift();
        let wanted = real.iter().map(|&x| (params.quantize(x) - shift) as u8 ^ flip);
        same(kernel, &what, real.len().max(1), got.iter().copied(), wanted);
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
    let params = QuantParams::new(Int8::U8, 0.5, 3).expect("a valid scale");
    for kernel in available() {
        for length in thinned(0..=40) {
            let mut row: Vec<f32> = (0..length).map(|i| i as f32 * 1.75 - 30.0).collect();
            for offset in OFFSETS {
                check_quantize(kernel, &params, &row, offset);
            }
            for place in 0..length {
                let before = std::mem::replace(&mut row[place], f32::NAN);
                check_quantize(kernel, &params, &row, 1);
                row[place] = before;
            }
        }
    }
}
