//! Where real numbers become bytes: quantizing rows of `f32`.

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
    proven::<V>().vectorize(Quantize { real, bytes, by })
}

struct Quantize<'a> {
    real: &'a [f32],
    bytes: &'a mut [u8],
    by: &'a Quantizer,
}

impl<V: Vector> Op<V> for Quantize<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self, vector: V) -> bool {
        let mut nan = false;
        let mut real = self.real.chunks_exact(4 * V::LANES);
        let mut bytes = self.bytes[..self.real.len()].chunks_exact_mut(4 * V::LANES);
        for (real, bytes) in real.by_ref().zip(bytes.by_ref()) {
            let (narrowed, found) = quarters(vector, real, self.by);
            let (low, high) = bytes.split_at_mut(2 * V::LANES);
            vector.store_half(narrowed, 0, low);
            vector.store_half(narrowed, 1, high);
            nan |= found;
        }
        let (real, bytes) = (real.remainder(), bytes.into_remainder());
        if !real.is_empty() {
            let mut padded = [0.0; 64];
            padded[..real.len()].copy_from_slice(real);
            let (narrowed, found) = quarters(vector, &padded[..4 * V::LANES], self.by);
            for (i, bytes) in bytes.chunks_mut(V::LANES).enumerate() {
                vector.store_quarter(narrowed, i, bytes);
            }
            nan |= found;
        }
        nan
    }
}

/// Quantizes `4 * LANES` numbers; tells whether one is NaN.
#[inline(always)]
fn quarters<V: Vector>(vector: V, real: &[f32], by: &Quantizer) -> (V::Bytes, bool) {
    const { assert!(V::LANES <= 16) };
    let scale = vector.float(by.scale);
    let mut rounded = [vector.int(0); 4];
    let mut nan = false;
    for (rounded, real) in rounded.iter_mut().zip(real.chunks_exact(V::LANES)) {
        let real = vector.load_float(real);
        *rounded = vector.round(vector.div_float(real, scale));
        nan |= vector.any_nan(real);
    }
    (vector.narrow(rounded, &by.narrow), nan)
}
