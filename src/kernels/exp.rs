//! The exponential of many numbers at once, and softmax, which is made of it.
//!
//! The formula is that of FreeBSD's `msun` (`e_expf.c`, by Sun Microsystems), which `musl` and the
//! `libm` crate follow as well:
//!
//! ```text
//! exp(x) = 2^k * exp(r),  k = round(x / ln 2),  r = x - k * ln 2      (ln 2 in two parts)
//! c = r - r^2 * (P1 + r^2 * P2)
//! exp(r) = 1 + (r*c / (2 - c) - low part of r + high part of r)
//! ```
//! Each step is the same single operation as there, so that the bits are the same. What branches
//! there is one path here, because for numbers that are not positive the paths meet:
//!
//! - k is never taken from a table of small cases. The conversion finds another k than that table
//!   for two numbers only, at its borders, with the same result.
//! - `k = 0` subtracts zeros, which changes nothing.
//! - What underflows is treated like -104, whose exponential is less than half of the smallest
//!   number.
//! - 2^k is applied as 2^(k + 64), which is exact, and then 2^-64, which rounds once, also to a
//!   subnormal number.
//!
//! A test compares all numbers that are not positive.

use super::map::one_nan;
use super::proven;
use super::rows::largest;
use super::vector::{Op, Vector};

/// ln 2, with zeros at its end, so that products with k are exact; and the rest of it.
const LN_2: [f32; 2] = [f32::from_bits(0x3F31_7200), f32::from_bits(0x35BF_BE8E)];
const INVERSE_LN_2: f32 = f32::from_bits(0x3FB8_AA3B);
const P1: f32 = f32::from_bits(0x3E2A_AA8F);
const P2: f32 = f32::from_bits(0xBB35_5215);
/// From here to 0 the exponential is `1 + x`, rounded: 2^-13.
const LINEAR: f32 = -1.0 / 8192.0;

/// The bits of `libm::expf(x)`, for `x <= 0`. A NaN remains one.
#[inline(always)]
fn exp<V: Vector>(vector: V, x: V::Float) -> V::Float {
    let (add, sub, mul) = (V::add_float, V::sub_float, V::mul_float);
    let one = vector.float(1.0);

    // A NaN gives -104 here, and is a number until the end.
    let bounded = vector.max_float(x, vector.float(-104.0));
    let k = vector.truncate(sub(
        vector,
        mul(vector, vector.float(INVERSE_LN_2), bounded),
        vector.float(0.5),
    ));
    let k_float = vector.to_float(k);
    let high = sub(vector, bounded, mul(vector, k_float, vector.float(LN_2[0])));
    let low = mul(vector, k_float, vector.float(LN_2[1]));
    let r = sub(vector, high, low);

    let rr = mul(vector, r, r);
    let polynomial = add(vector, vector.float(P1), mul(vector, rr, vector.float(P2)));
    let c = sub(vector, r, mul(vector, rr, polynomial));
    let quotient = vector.div_float(mul(vector, r, c), sub(vector, vector.float(2.0), c));
    let y = add(vector, one, add(vector, sub(vector, quotient, low), high));

    let above = vector.add_exponent(y, vector.add(k, vector.int(64)));
    let scaled = mul(vector, above, vector.float(1.0 / (1_u128 << 64) as f32));
    vector.select(vector.greater(vector.float(LINEAR), x), scaled, add(vector, one, x))
}

/// The exponential of each element, none of them positive, or NaN.
#[cfg(test)]
pub(crate) fn exps<V: Vector>(row: &[f32], out: &mut [f32]) {
    struct Exps<'a>(&'a [f32], &'a mut [f32]);
    impl<V: Vector> Op<V> for Exps<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self, vector: V) {
            let parts = self.0.chunks_exact(V::LANES).zip(self.1.chunks_exact_mut(V::LANES));
            for (row, out) in parts {
                vector.store_float(exp(vector, vector.load_float(row)), out);
            }
        }
    }
    proven::<V>().vectorize(Exps(row, out));
}

/// `exp(x - max) / sum(exp(x - max))` of one row, added up as the layer defines it.
pub(crate) fn softmax<V: Vector>(row: &[f32], out: &mut [f32]) {
    let out = &mut out[..row.len()];
    proven::<V>().vectorize(Softmax { row, out });
}

struct Softmax<'a> {
    row: &'a [f32],
    /// As many.
    out: &'a mut [f32],
}

impl<V: Vector> Op<V> for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let Self { row, out } = self;
        let (len, lanes) = (row.len(), V::LANES);
        // A zero's sign does not matter: the exponential of a zero is 1.
        let max = vector.float(largest(vector, row));
        let mut sums = vector.float(0.0);

        // What lies past the end of the row is -infinity: it adds zeros, which change no sum.
        let rest = &row[len - len % lanes..];
        let rest = vector.load_floats(rest, f32::NEG_INFINITY);
        for (row, out) in row.chunks_exact(lanes).zip(out.chunks_exact_mut(lanes)) {
            let exps = exp(vector, vector.sub_float(vector.load_float(row), max));
            vector.store_float(exps, out);
            sums = vector.add_eights(sums, exps);
        }
        let rest = exp(vector, vector.sub_float(rest, max));
        sums = vector.add_eights(sums, rest);
        let sum = vector.float(total(vector, sums));
        let mut outs = out.chunks_exact_mut(lanes);
        for out in outs.by_ref() {
            let share = vector.div_float(vector.load_float(out), sum);
            vector.store_float(one_nan(vector, share), out);
        }
        let share = vector.div_float(rest, sum);
        vector.store_float(one_nan(vector, share), outs.into_remainder());
    }
}

/// The eight partial sums, added up by halves.
#[inline(always)]
fn total<V: Vector>(vector: V, sums: V::Float) -> f32 {
    let mut all = [0.0; 16];
    vector.store_float(sums, &mut all[..V::LANES]);
    let [a, b, c, d, e, f, g, h, ..] = all;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
