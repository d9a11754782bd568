//! The soft maximum: how terms that are exponentials of integers are found and added up, so that
//! their sum is the same on every machine.
//!
//! ```text
//! |p_k| - m is an integer, -d; with decay = unit * alpha * log2(e), 2^30 stands for 1:
//! term(d) = trunc(2^30 * 2^(-d * decay))          0 where d * decay > 30
//! log     = ln(sum of terms / 2^30)
//! ```
//! The exponential is a table of eight steps times a polynomial of the third degree. Terms are
//! integers, so that their order does not matter, and those that vanish may be left out.

use crate::quant::{select_max, select_min};

/// What stands for 1.
const ONE: f32 = (1 << 30) as f32;

/// Exponents beyond this one are as good as it: their terms vanish.
const MOST: f32 = 64.0;

/// `2^30 * 2^(-i / 8)`
const EIGHTHS: [f32; 8] = [
    1_073_741_824.0,
    984_625_600.0,
    902_905_664.0,
    827_968_128.0,
    759_250_112.0,
    696_235_456.0,
    638_450_688.0,
    585_461_888.0,
];

/// `2^(-f / 8) = 1 + f * (C1 + f * (C2 + f * C3))` for f in -0.5..=0.5, from the series of exp:
/// within 2^-22.
const C: [f32; 3] = [-0.086_643_4, 0.003_753_539_2, -0.000_108_406_46];

/// 1.5 * 2^23: what adding and taking away rounds to whole numbers.
const MAGIC: f32 = 12_582_912.0;

/// The exponent of 2 that a step of products counts.
pub(crate) fn decay(unit: f32, alpha: f32) -> f32 {
    select_min(unit * (alpha * core::f32::consts::LOG2_E), MOST)
}

/// The exponential for a product that is `distance` less than the largest one.
pub(crate) fn term(distance: i32, decay: f32) -> i32 {
    let eighths = select_min(distance as f32 * decay, MOST) * 8.0;
    let whole = eighths + MAGIC - MAGIC;
    let f = eighths - whole;
    let whole = whole as i32;
    let power = ((C[2] * f + C[1]) * f + C[0]) * f + 1.0;
    let scaled = EIGHTHS[(whole & 7) as usize] * power;
    f32::from_bits(scaled.to_bits() - ((whole as u32 >> 3) << 23)) as i32
}

/// The natural logarithm of a sum of terms; of none it is 0.
pub(crate) fn log(sum: u64) -> f32 {
    libm::logf(select_max(sum as f32 * (1.0 / ONE), 1.0))
}
