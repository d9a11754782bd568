//! Functions of each element of a row.

use super::proven;
use super::vector::{Op, Table, Vector};

/// What `one_nan` of `quant.rs` makes of every NaN.
const NAN: f32 = f32::from_bits(0x7FC0_0000);

/// A function of real numbers that takes a few operations. Every NaN becomes the same one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    /// x
    Identity,
    /// The larger of x and `min`, then the smaller of that and `max`.
    Clamp { min: f32, max: f32 },
    /// x where it is positive, else alpha * x
    LeakyRelu { alpha: f32 },
}

/// Applies a function to one row.
pub(crate) fn map<V: Vector>(row: &[f32], out: &mut [f32], function: &Function) {
    let out = &mut out[..row.len()];
    let vector = proven::<V>();
    match *function {
        Function::Identity => vector.vectorize(Map { row, out, of: Identity }),
        Function::Clamp { min, max } => vector.vectorize(Map { row, out, of: Clamp { min, max } }),
        Function::LeakyRelu { alpha } => {
            vector.vectorize(Map { row, out, of: LeakyRelu { alpha } });
        }
    }
}

/// A function, for the elements of a vector.
trait Of<V: Vector> {
    fn of(&self, vector: V, x: V::Float) -> V::Float;
}

struct Identity;

impl<V: Vector> Of<V> for Identity {
    #[inline(always)]
    fn of(&self, vector: V, x: V::Float) -> V::Float {
        one_nan(vector, x)
    }
}

struct Clamp {
    min: f32,
    max: f32,
}

impl<V: Vector> Of<V> for Clamp {
    #[inline(always)]
    fn of(&self, vector: V, x: V::Float) -> V::Float {
        // A NaN becomes `min`, which is none.
        let (min, max) = (vector.float(self.min), vector.float(self.max));
        vector.min_float(vector.max_float(x, min), max)
    }
}

struct LeakyRelu {
    alpha: f32,
}

impl<V: Vector> Of<V> for LeakyRelu {
    #[inline(always)]
    fn of(&self, vector: V, x: V::Float) -> V::Float {
        let sloped = vector.mul_float(vector.float(self.alpha), x);
        let positive = vector.greater(x, vector.float(0.0));
        one_nan(vector, vector.select(positive, x, sloped))
    }
}

/// `one_nan` of `quant.rs`.
#[inline(always)]
pub(super) fn one_nan<V: Vector>(vector: V, x: V::Float) -> V::Float {
    vector.select(vector.unordered(x, x), vector.float(NAN), x)
}

struct Map<'a, F> {
    row: &'a [f32],
    /// As many.
    out: &'a mut [f32],
    of: F,
}

impl<V: Vector, F: Of<V>> Op<V> for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { row, out, of } = self;
        let (len, lanes) = (row.len(), V::LANES);
        for (row, out) in row.chunks_exact(lanes).zip(out.chunks_exact_mut(lanes)) {
            vector.store_float(of.of(vector, vector.load_float(row)), out);
        }
        if !len.is_multiple_of(lanes) {
            // The last vector begins early enough to end with the row, if there is room for it.
            let (x, out) = match len.checked_sub(lanes) {
                Some(start) => (vector.load_float(&row[start..]), &mut out[start..]),
                None => (vector.load_floats(row, 0.0), out),
            };
            vector.store_float(of.of(vector, x), out);
        }
    }
}

/// Looks each byte of a row up in a table.
pub(crate) fn look_up<V: Vector>(row: &[u8], out: &mut [u8], table: &Table) {
    let out = &mut out[..row.len()];
    proven::<V>().vectorize(LookUp { row, out, table });
}

struct LookUp<'a> {
    row: &'a [u8],
    /// As many.
    out: &'a mut [u8],
    table: &'a Table,
}

impl<V: Vector> Op<V> for LookUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { row, out, table } = self;
        let (len, bytes) = (row.len(), 4 * V::LANES);
        let last = match len.checked_sub(bytes) {
            Some(last) if V::SHUFFLES => last,
            _ => {
                for (&byte, out) in row.iter().zip(out) {
                    *out = table.entries[usize::from(byte)];
                }
                return;
            }
        };
        for (row, out) in row.chunks_exact(bytes).zip(out.chunks_exact_mut(bytes)) {
            look_up_quarters(vector, row, out, table);
        }
        if !len.is_multiple_of(bytes) {
            look_up_quarters(vector, &row[last..], &mut out[last..], table);
        }
    }
}

/// Four vectors of bytes.
#[inline(always)]
fn look_up_quarters<V: Vector>(vector: V, row: &[u8], out: &mut [u8], table: &Table) {
    let found = vector.look_up(table, vector.load_quarters(row));
    let (low, high) = out.split_at_mut(2 * V::LANES);
    vector.store_half(found, 0, low);
    vector.store_half(found, 1, high);
}
