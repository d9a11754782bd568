//! What is to be found in a row: its smallest and its largest element, and where that is.
//!
//! Comparisons are those of scalar code that goes through a row from its beginning and keeps an
//! element until it meets a better one. Lanes meet elements in another order, which changes
//! nothing but which of two equal elements is kept; so equal ones that differ, zeros of two signs,
//! are looked up again at the end.

use super::proven;
use super::vector::{Op, Vector};
use crate::quant::{select_max, select_min};

/// Smallest and largest element, the first of equal ones. NaN are passed over; of no other
/// elements it is +infinity and -infinity.
pub(crate) fn range<V: Vector>(row: &[f32]) -> (f32, f32) {
    proven::<V>().vectorize(Range { row })
}

struct Range<'a> {
    row: &'a [f32],
}

impl<V: Vector> Op<V> for Range<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self, vector: V) -> (f32, f32) {
        let (min, max) = (smallest(vector, self.row), largest(vector, self.row));
        if min != 0.0 && max != 0.0 {
            return (min, max);
        }
        let first_zero = self.row[first_equal(vector, self.row, 0.0)];
        let exact = |x: f32| if x == 0.0 { first_zero } else { x };
        (exact(min), exact(max))
    }
}

/// The position of the largest element, the first of equal ones. NaN are passed over, but for one
/// at the beginning, which nothing is greater than.
pub(crate) fn argmax<V: Vector>(row: &[f32]) -> u32 {
    proven::<V>().vectorize(Argmax { row })
}

struct Argmax<'a> {
    row: &'a [f32],
}

impl<V: Vector> Op<V> for Argmax<'_> {
    type Output = u32;

    #[inline(always)]
    fn run(self, vector: V) -> u32 {
        match self.row {
            [first, ..] if !first.is_nan() => {
                first_equal(vector, self.row, largest(vector, self.row)) as u32
            }
            _ => 0,
        }
    }
}

/// The position of the largest of `i8` values that were xor-ed with `flip`; the first of equal
/// ones.
pub(crate) fn argmax_bytes<V: Vector>(row: &[u8], flip: u8) -> u32 {
    proven::<V>().vectorize(ArgmaxBytes { row, flip })
}

struct ArgmaxBytes<'a> {
    row: &'a [u8],
    flip: u8,
}

impl<V: Vector> Op<V> for ArgmaxBytes<'_> {
    type Output = u32;

    #[inline(always)]
    fn run(self, vector: V) -> u32 {
        let Self { row, flip } = self;
        // As `u8`, all greater by 128.
        let flip = flip ^ 0x80;
        let bytes = 4 * V::LANES;
        let Some(last) = row.len().checked_sub(bytes) else {
            let mut best = (0, 0);
            for (i, byte) in (0..).zip(row) {
                if byte ^ flip > best.1 {
                    best = (i, byte ^ flip);
                }
            }
            return best.0;
        };
        let flips = vector.bytes(flip);
        let mut best = vector.xor_bytes(vector.load_quarters(&row[last..]), flips);
        for part in row.chunks_exact(bytes) {
            best = vector.max_bytes(best, vector.xor_bytes(vector.load_quarters(part), flips));
        }
        let mut bests = [0; 64];
        vector.store_half(best, 0, &mut bests);
        vector.store_half(best, 1, &mut bests[bytes / 2..]);
        let best = bests.into_iter().fold(0, u8::max);

        let wanted = vector.bytes(best ^ flip);
        for (i, part) in row.chunks_exact(bytes).enumerate() {
            let equal = vector.equal_bytes(vector.load_quarters(part), wanted);
            if equal != 0 {
                return (i * bytes) as u32 + equal.trailing_zeros();
            }
        }
        let equal = vector.equal_bytes(vector.load_quarters(&row[last..]), wanted);
        last as u32 + equal.trailing_zeros()
    }
}

/// The largest element. Which zero it is, if it is one, depends on the number of lanes.
#[inline(always)]
pub(super) fn largest<V: Vector>(vector: V, row: &[f32]) -> f32 {
    fold(vector, row, f32::NEG_INFINITY, V::max_float, select_max)
}

/// The smallest element. Which zero it is, if it is one, depends on the number of lanes.
#[inline(always)]
fn smallest<V: Vector>(vector: V, row: &[f32]) -> f32 {
    fold(vector, row, f32::INFINITY, V::min_float, select_min)
}

/// Joins all elements, each the first operand, some of them twice.
#[inline(always)]
fn fold<V: Vector>(
    vector: V,
    row: &[f32],
    start: f32,
    join: impl Fn(V, V::Float, V::Float) -> V::Float,
    join_lanes: impl Fn(f32, f32) -> f32,
) -> f32 {
    let lanes = V::LANES;
    // Four at a time, so as not to wait for each operation's result.
    let mut four = [vector.float(start); 4];
    let mut parts = row.chunks_exact(4 * lanes);
    for part in parts.by_ref() {
        for (best, part) in four.iter_mut().zip(part.chunks_exact(lanes)) {
            *best = join(vector, vector.load_float(part), *best);
        }
    }
    for (best, part) in four.iter_mut().zip(parts.remainder().chunks_exact(lanes)) {
        *best = join(vector, vector.load_float(part), *best);
    }
    four[3] = join(vector, end(vector, row), four[3]);
    let [a, b, c, d] = four;
    let best = join(vector, join(vector, a, b), join(vector, c, d));
    let mut all = [start; 16];
    vector.store_float(best, &mut all[..lanes]);
    let mut rest = lanes;
    while rest > 1 {
        rest /= 2;
        for i in 0..rest {
            all[i] = join_lanes(all[i], all[i + rest]);
        }
    }
    all[0]
}

/// The last elements of a row, and NaN if it is shorter than a vector.
#[inline(always)]
fn end<V: Vector>(vector: V, row: &[f32]) -> V::Float {
    match row.len().checked_sub(V::LANES) {
        Some(start) => vector.load_float(&row[start..]),
        None => vector.load_floats(row, f32::NAN),
    }
}

/// The position of the first element equal to `value`; 0 if there is none.
#[inline(always)]
fn first_equal<V: Vector>(vector: V, row: &[f32], value: f32) -> usize {
    let value = vector.float(value);
    for (i, part) in row.chunks_exact(V::LANES).enumerate() {
        let equal = vector.bits(vector.equal(vector.load_float(part), value));
        if equal != 0 {
            return i * V::LANES + equal.trailing_zeros() as usize;
        }
    }
    let equal = vector.bits(vector.equal(end(vector, row), value));
    match equal {
        0 => 0,
        _ => row.len().saturating_sub(V::LANES) + equal.trailing_zeros() as usize,
    }
}
