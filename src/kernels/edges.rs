//! Where real numbers become bytes, and bytes real numbers.

use super::proven;
use super::vector::{Narrow, Op, Vector};

/// A quantization, ready to apply: divide, round, narrow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantizer {
    pub scale: f32,
    pub narrow: Narrow,
}

/// Quantizes one row; answers whether it held a NaN.
pub(crate) fn quantize<V: Vector>(real: &[f32], bytes: &mut [u8], by: &Quantizer) -> bool {
    let bytes = &mut bytes[..real.len()];
    let Quantizer { scale, narrow } = *by;
    // A power of two has an exact reciprocal: both operations round the same real number, once.
    // (A subnormal scale, as a range may give, has a lower bit and is divided by.)
    let power_of_two = scale.to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - 1;
    if power_of_two {
        let by = 1.0 / scale;
        proven::<V>().vectorize(Quantize::<false> { real, bytes, by, narrow })
    } else {
        proven::<V>().vectorize(Quantize::<true> { real, bytes, by: scale, narrow })
    }
}

/// Divides, or multiplies.
struct Quantize<'a, const DIVIDE: bool> {
    real: &'a [f32],
    /// As many.
    bytes: &'a mut [u8],
    by: f32,
    narrow: Narrow,
}

impl<const DIVIDE: bool> Quantize<'_, DIVIDE> {
    #[inline(always)]
    fn rounded<V: Vector>(vector: V, real: V::Float, by: V::Float) -> V::Int {
        vector.round(match DIVIDE {
            true => vector.div_float(real, by),
            false => vector.mul_float(real, by),
        })
    }
}

impl<V: Vector, const DIVIDE: bool> Op<V> for Quantize<'_, DIVIDE> {
    type Output = bool;

    #[inline(always)]
    fn run(self, vector: V) -> bool {
        let Self { real, bytes, by, narrow } = self;
        let (len, lanes) = (real.len(), V::LANES);
        let by = vector.float(by);
        // One answer for all of the row: where a NaN was is asked by whoever must tell.
        let zero = vector.float(0.0);
        let mut nan = vector.unordered(zero, zero);

        let mut reals = real.chunks_exact(4 * lanes);
        for (real, bytes) in reals.by_ref().zip(bytes.chunks_exact_mut(4 * lanes)) {
            let mut loaded = [zero; 4];
            for (loaded, real) in loaded.iter_mut().zip(real.chunks_exact(lanes)) {
                *loaded = vector.load_float(real);
            }
            let [a, b, c, d] = loaded;
            nan = vector.either(nan, vector.unordered(a, b));
            nan = vector.either(nan, vector.unordered(c, d));
            let mut whole = [vector.int(0); 4];
            for (whole, loaded) in whole.iter_mut().zip(loaded) {
                *whole = Self::rounded(vector, loaded, by);
            }
            let narrowed = vector.narrow(whole, &narrow);
            let (low, high) = bytes.split_at_mut(2 * lanes);
            vector.store_half(narrowed, 0, low);
            vector.store_half(narrowed, 1, high);
        }
        let rest = reals.remainder().len();
        if rest > 0 && len >= lanes {
            // Whole vectors still, of which the last begins early enough to end with the row.
            let start = |i: usize| (len - rest + i * lanes).min(len - lanes);
            let count = rest.div_ceil(lanes);
            let mut quarters = [vector.int(0); 4];
            for (i, quarter) in quarters.iter_mut().enumerate().take(count) {
                let real = vector.load_float(&real[start(i)..]);
                nan = vector.either(nan, vector.unordered(real, real));
                *quarter = Self::rounded(vector, real, by);
            }
            let narrowed = vector.narrow(quarters, &narrow);
            for i in 0..count {
                vector.store_quarter(narrowed, i, &mut bytes[start(i)..][..lanes]);
            }
        } else if rest > 0 {
            let real = vector.load_floats(real, 0.0);
            nan = vector.either(nan, vector.unordered(real, real));
            let zero = vector.int(0);
            let narrowed =
                vector.narrow([Self::rounded(vector, real, by), zero, zero, zero], &narrow);
            vector.store_quarter(narrowed, 0, bytes);
        }
        vector.bits(nan) != 0
    }
}

/// The way back: `(q - zero_point) * scale`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dequantizer {
    pub scale: f32,
    /// Of `i8`.
    pub zero_point: i32,
    /// What is xor-ed onto the `i8` values.
    pub flip: u8,
}

/// Makes real numbers of one row.
pub(crate) fn dequantize<V: Vector>(bytes: &[u8], real: &mut [f32], by: &Dequantizer) {
    let real = &mut real[..bytes.len()];
    proven::<V>().vectorize(Dequantize { bytes, real, by });
}

struct Dequantize<'a> {
    bytes: &'a [u8],
    /// As many.
    real: &'a mut [f32],
    by: &'a Dequantizer,
}

impl<V: Vector> Op<V> for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { bytes, real, by } = self;
        let (len, lanes) = (bytes.len(), V::LANES);
        let by = (vector.int(-(by.zero_point + 128)), vector.float(by.scale), by.flip ^ 0x80);
        for (bytes, real) in bytes.chunks_exact(lanes).zip(real.chunks_exact_mut(lanes)) {
            vector.store_float(Self::dequantized(vector, bytes, by), real);
        }
        if !len.is_multiple_of(lanes) {
            let mut padded = [0; 16];
            let (bytes, real) = match len.checked_sub(lanes) {
                Some(start) => (&bytes[start..], &mut real[start..]),
                None => {
                    super::copy_short(&mut padded, bytes);
                    (&padded[..], real)
                }
            };
            vector.store_float(Self::dequantized(vector, bytes, by), real);
        }
    }
}

impl Dequantize<'_> {
    /// As `u8`, greater by 128 than the `i8`, bytes are widened without regard to signs.
    #[inline(always)]
    fn dequantized<V: Vector>(
        vector: V,
        bytes: &[u8],
        (minus_zero_point, scale, flip): (V::Int, V::Float, u8),
    ) -> V::Float {
        let distance = vector.add(vector.load_bytes(bytes, flip), minus_zero_point);
        vector.mul_float(vector.to_float(distance), scale)
    }
}
