//! The soft maximum: how terms that are exponentials of integers are found and added up, so that
//! their sum is the same on every machine.
//!
//! ```text
//! |p_k| - m is an integer, -d; with decay = unit * alpha * log2(e), 2^bits stands for 1:
//! term(d) = trunc(2^bits * 2^(-d * decay))        0 where d * decay > bits
//! log     = ln(sum of terms / 2^bits)
//! ```
//! The exponential is a table of eight steps times a polynomial of the second degree. Terms are
//! integers, so that their order does not matter, and those that vanish may be left out. The more
//! inputs, the finer the grid; see [`bits`].

use super::join::Products;
use super::prepare::Order;
use super::{PANEL, Shorts};
use crate::kernels::vector::Op;
use crate::quant::{select_max, select_min};

/// Exponents beyond this one are as good as it: their terms vanish.
const MOST: f32 = 64.0;

/// `2^(-i / 8)`, with `i << 20` added to the bits: what taking `whole << 20` away from them leaves is
/// `2^(-whole / 8)`, for any whole number whose lowest three bits are i.
const EIGHTHS: [u32; 8] = {
    let eighths: [f32; 8] = [
        1.0,
        0.917_004_05,
        0.840_896_4,
        0.771_105_4,
        0.707_106_77,
        0.648_419_8,
        0.594_603_54,
        0.545_253_9,
    ];
    let mut bits = [0; 8];
    let mut i = 0;
    while i < 8 {
        bits[i] = eighths[i].to_bits() + ((i as u32) << 20);
        i += 1;
    }
    bits
};

/// `2^(-f / 8) = 1 + f * (C[0] + f * C[1])` for f in -0.5..=0.5, within 3.5e-6; exact for 0.
const C: [f32; 2] = [-0.086_663_72, 0.003_753_539_2];

/// 1.5 * 2^23: adding it rounds to a whole number, which the lowest bits then hold.
const MAGIC: f32 = 12_582_912.0;

/// The power of two that stands for 1, for blocks of so many inputs: what truncated terms lack
/// together, `inputs * 2^-bits`, is to be a small part of their sum's logarithm.
pub(crate) fn bits(inputs: usize) -> u32 {
    (18 + inputs.next_power_of_two().ilog2()).min(30)
}

/// The exponent of 2 that a step of products counts.
pub(crate) fn decay(unit: f32, alpha: f32) -> f32 {
    select_min(unit * (alpha * core::f32::consts::LOG2_E), MOST)
}

/// The exponential for a product that is `distance` less than the largest one.
pub(crate) fn term(distance: i32, decay: f32, bits: u32) -> i32 {
    let eighths = select_min(distance as f32 * (decay * 8.0), MOST * 8.0);
    let sum = eighths + MAGIC;
    let f = eighths - (sum - MAGIC);
    let eighth = EIGHTHS[(sum.to_bits() & 7) as usize] + (bits << 23);
    let eighth = f32::from_bits(eighth.wrapping_sub(sum.to_bits() << 20));
    (eighth * ((C[1] * f + C[0]) * f + 1.0)) as i32
}

/// The natural logarithm of a sum of terms; of none it is 0.
pub(crate) fn log(sum: u64, bits: u32) -> f32 {
    let one = f32::from_bits((127 - bits) << 23);
    libm::logf(select_max(sum as f32 * one, 1.0))
}

/// Adds the logarithms of a block's outputs, for one row.
pub(super) struct Soft<'a> {
    pub products: Products<'a>,
    /// The largest inputs first, if they are in order.
    pub order: Option<Order<'a>>,
    /// The largest magnitude of each output's weights.
    pub widest: &'a [i16],
    /// The products that won.
    pub won: &'a [i16],
    /// The scale of the inputs, and the weights'.
    pub unit: f32,
    pub scales: &'a [f32],
    pub alpha: f32,
    pub bits: u32,
    pub logs: &'a mut [f32],
}

impl<V: Shorts> Op<V> for Soft<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        for at in (0..self.products.width.min(PANEL)).step_by(V::SHORTS) {
            let mut decays = [0.0; 64];
            let decays = &mut decays[..V::SHORTS];
            for (decay, scale) in decays.iter_mut().zip(&self.scales[at..]) {
                *decay = self::decay(self.unit * scale, self.alpha);
            }
            let won = vector.load_short(&self.won[at..]);
            let mut sums = Sums::new(vector, won, decays, self.bits);
            match self.order {
                None => {
                    for k in 0..self.products.pairs.len() {
                        sums.add(vector, self.products.of(vector, k, at));
                    }
                }
                Some(order) => {
                    let widest = vector.load_short(&self.widest[at..]);
                    for (listed, largest) in order.levels() {
                        let most = vector.mul_short(widest, vector.short(largest));
                        if sums.vanish(vector, most) {
                            break;
                        }
                        for &k in listed {
                            sums.add(vector, self.products.of(vector, k as usize, at));
                        }
                    }
                }
            }
            let zeros =
                self.order.map_or(0, |order| self.products.pairs.len() - order.listed.len());
            sums.add_logs(vector, zeros, won, &mut self.logs[at..]);
        }
    }
}

/// Sums of terms, of one vector of outputs.
pub(super) struct Sums<V: Shorts> {
    largest: V::Short,
    /// Magnitudes up to this one have terms of 0.
    vanishing: V::Short,
    /// Times 8.
    decays: [V::Float; 2],
    /// [`EIGHTHS`] for the power of two that stands for 1.
    eighths: [f32; 8],
    bits: u32,
    sums: [[V::Int; 2]; 2],
}

impl<V: Shorts> Sums<V> {
    /// For the products that won and the decays of all lanes.
    #[inline(always)]
    pub fn new(vector: V, won: V::Short, decays: &[f32], bits: u32) -> Self {
        let largest = abs(vector, won);
        let (mut distances, mut eighths) = ([0; 64], [0.0; 64]);
        for ((distance, eighth), &decay) in distances.iter_mut().zip(&mut eighths).zip(decays) {
            // A step and more beyond the exponent where the truncated term is 0.
            *distance = select_min(bits as f32 / decay + 2.0, 32767.0) as i16;
            *eighth = decay * 8.0;
        }
        let distances = vector.load_short(&distances);
        Self {
            largest,
            vanishing: vector.sub_short(largest, distances),
            decays: [vector.load_float(&eighths), vector.load_float(&eighths[V::LANES..])],
            eighths: EIGHTHS.map(|eighth| f32::from_bits(eighth + (bits << 23))),
            bits,
            sums: [[vector.int(0); 2]; 2],
        }
    }

    /// Whether products of these magnitudes and less all vanish.
    #[inline(always)]
    pub fn vanish(&self, vector: V, magnitudes: V::Short) -> bool {
        !vector.any_greater(magnitudes, self.vanishing)
    }

    /// Adds the terms of one product in each lane.
    #[inline(always)]
    pub fn add(&mut self, vector: V, products: V::Short) {
        let magnitudes = abs(vector, products);
        if self.vanish(vector, magnitudes) {
            return;
        }
        let distances = vector.widen(vector.sub_short(self.largest, magnitudes));
        for ((sums, distances), decays) in self.sums.iter_mut().zip(distances).zip(self.decays) {
            let terms = terms(vector, distances, decays, &self.eighths);
            *sums = vector.add_wide(*sums, terms);
        }
    }

    /// Adds the logarithms with the signs of what won, for as many products of 0 more.
    #[inline(always)]
    pub fn add_logs(&self, vector: V, zeros: usize, won: V::Short, to: &mut [f32]) {
        let (mut sums, mut wins) = ([0; 64], [0; 64]);
        for (sums, wide) in sums.chunks_exact_mut(V::LANES).zip(self.sums) {
            vector.wide_sums(wide, sums);
        }
        vector.store_short(won, &mut wins);
        if zeros > 0 {
            let distances = vector.widen(self.largest);
            for (i, (distances, decays)) in distances.into_iter().zip(self.decays).enumerate() {
                let mut of_zero = [0; 16];
                let of_zero = &mut of_zero[..V::LANES];
                vector.store_int(terms(vector, distances, decays, &self.eighths), of_zero);
                for (sum, &term) in sums[i * V::LANES..].iter_mut().zip(&*of_zero) {
                    *sum += zeros as u64 * term as u64;
                }
            }
        }
        for ((to, sum), won) in to.iter_mut().zip(sums).zip(wins).take(V::SHORTS) {
            *to += f32::from(won.signum()) * log(sum, self.bits);
        }
    }
}

/// [`term`] in each lane.
#[inline(always)]
fn terms<V: Shorts>(vector: V, distances: V::Int, decays: V::Float, eighths: &[f32; 8]) -> V::Int {
    let exponents = vector.mul_float(vector.to_float(distances), decays);
    let exponents = vector.min_float(exponents, vector.float(MOST * 8.0));
    let magic = vector.float(MAGIC);
    let sum = vector.add_float(exponents, magic);
    let f = vector.sub_float(exponents, vector.sub_float(sum, magic));
    let power = vector.add_float(vector.mul_float(vector.float(C[1]), f), vector.float(C[0]));
    let power = vector.add_float(vector.mul_float(power, f), vector.float(1.0));
    vector.truncate(vector.mul_float(vector.eighth_power(eighths, sum), power))
}

#[inline(always)]
fn abs<V: Shorts>(vector: V, a: V::Short) -> V::Short {
    vector.max_short(a, vector.sub_short(vector.short(0), a))
}
