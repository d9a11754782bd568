//! The specification: naive loops that anyone can check. Every kernel is held to them bit by bit.

use alloc::vec;
use alloc::vec::Vec;

use super::max::{Aggregate, soft};

/// Sums of products with zero points, the definition of a dense layer before its bias:
/// `out[m][n] = sum_k (x[m][k] - zx) * (w[n][k] - zw[n])`, exact.
///
/// `x` is `[m][k]`, `w` is `[n][k]`, `zw` has one value per output, the answer is `[m][n]`.
/// The sums are computed in 64 bits.
pub fn sums(x: &[i8], w: &[i8], k: usize, zx: i32, zw: &[i32]) -> Vec<i64> {
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        for (w, &zw) in w.chunks_exact(k).zip(zw) {
            let product = |(&x, &w): (&i8, &i8)| {
                (i64::from(x) - i64::from(zx)) * (i64::from(w) - i64::from(zw))
            };
            out.push(x.iter().zip(w).map(product).sum());
        }
    }
    out
}

/// The positive product of two bytes as a CPU computes it: an unsigned factor, a signed one, and
/// the correction that goes into the bias. Equals `x * w` for all 65,536 pairs.
pub fn positive_product(x: i8, w: i8) -> i32 {
    let magnitude = w.unsigned_abs();
    let sign = if w < 0 { -1 } else { 0 };
    let correction = if w < 0 { i32::from(magnitude) } else { 0 };
    i32::from(magnitude) * i32::from(x ^ sign) + correction
}

/// The pipeline that the positive product grew out of: absolute values of both sides, signs
/// multiplied, products summed. It needs the sign of every product; the positive product folds
/// one sign into the data before it multiplies.
pub fn origin_sums(x: &[i8], w: &[i8], k: usize) -> Vec<i32> {
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        for w in w.chunks_exact(k) {
            let mut sum = 0_i32;
            for (&x, &w) in x.iter().zip(w) {
                let sign = i32::from(x.signum()) * i32::from(w.signum());
                sum += sign * (i32::from(x.unsigned_abs()) * i32::from(w.unsigned_abs()));
            }
            out.push(sum);
        }
    }
    out
}

/// How the products of a block meet, the definition of a max-product layer before its bias: an
/// integer, and for [`Aggregate::SoftAbsMax`] the logarithm of the sum of exponentials, with the
/// winner's sign. Each product comes with the number of its input; a block has `block` inputs, connected or
/// not; `unit` is the real number that
/// 1 stands for. Without products both are 0.
///
/// # Panics
/// For [`Aggregate::Mean`], which is a sum.
pub fn join(
    aggregate: Aggregate,
    products: &[(usize, i32)],
    block: usize,
    unit: f32,
) -> (i32, f32) {
    let value = |at: usize| products.iter().find(|(k, _)| *k == at).map_or(0, |&(_, p)| p);
    let won: Vec<i32> = winners(aggregate, products)
        .into_iter()
        .filter(|&at| at != NO_WINNER)
        .map(|at| value(at as usize))
        .collect();
    let integer = won.iter().sum();
    let Aggregate::SoftAbsMax { alpha } = aggregate else { return (integer, 0.0) };
    let decay = soft::decay(unit, alpha);
    let bits = soft::bits(block);
    let term = |&(_, p): &(usize, i32)| soft::term(integer.abs() - p.abs(), decay, bits) as u64;
    let log = soft::log(products.iter().map(term).sum(), bits);
    (integer, integer.signum() as f32 * log)
}

/// What stands for the winner of a block without connections.
pub const NO_WINNER: u32 = u32::MAX;

/// The inputs whose products decide a block, the lowest ones among equals: the largest, for
/// [`Aggregate::Mam`] also the smallest.
pub fn winners(aggregate: Aggregate, products: &[(usize, i32)]) -> Vec<u32> {
    let first = |of: fn(i32) -> i32| {
        let better = |best: Option<(usize, i32)>, &(k, p): &(usize, i32)| match best {
            Some((_, value)) if value >= of(p) => best,
            _ => Some((k, of(p))),
        };
        products.iter().fold(None, better).map_or(NO_WINNER, |(k, _)| k as u32)
    };
    match aggregate {
        Aggregate::Max => vec![first(|p| p)],
        Aggregate::Min => vec![first(|p| -p)],
        Aggregate::AbsMax | Aggregate::SoftAbsMax { .. } => vec![first(i32::abs)],
        Aggregate::Mam => vec![first(|p| p), first(|p| -p)],
        Aggregate::Mean => panic!("nothing wins a mean"),
    }
}
