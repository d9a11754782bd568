//! Where real numbers become bytes: quantizing rows of `f32`.

use super::proven;
use super::vector::{Op, Vector};

/// A static quantization, ready to apply: divide, clamp, round, add.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantizer {
    pub scale: f32,
    /// Bounds before the zero point is added.
    pub min: f32,
    pub max: f32,
    /// In the form the bytes are to have.
    pub zero_point: i32,
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
        let mut real = self.real.chunks_exact(V::LANES);
        let mut bytes = self.bytes[..self.real.len()].chunks_exact_mut(V::LANES);
        for (real, bytes) in real.by_ref().zip(bytes.by_ref()) {
            nan |= lanes(vector, real, bytes, self.by);
        }
        let (real, bytes) = (real.remainder(), bytes.into_remainder());
        if !real.is_empty() {
            let mut padded = [0.0; 16];
            padded[..real.len()].copy_from_slice(real);
            nan |= lanes(vector, &padded[..V::LANES], bytes, self.by);
        }
        nan
    }
}

/// Quantizes `LANES` numbers, of which as many are stored as `bytes` has room for.
#[inline(always)]
fn lanes<V: Vector>(vector: V, real: &[f32], bytes: &mut [u8], by: &Quantizer) -> bool {
    const { assert!(V::LANES <= 16) };
    let real = vector.load_float(real);
    let scaled = vector.div_float(real, vector.float(by.scale));
    let clamped =
        vector.min_float(vector.max_float(scaled, vector.float(by.min)), vector.float(by.max));
    vector.store_bytes(vector.add(vector.round(clamped), vector.int(by.zero_point)), bytes);
    vector.any_nan(real)
}
