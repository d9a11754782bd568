//! The specification: naive loops that anyone can check. Every kernel is held to them bit by bit.

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
