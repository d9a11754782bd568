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

use super::join::Products;
use super::prepare::Order;
use super::{PANEL, Shorts};
use crate::kernels::vector::Op;
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
            let mut sums = Sums::new(vector, won, decays);
            match self.order {
                None => {
                    for k in 0..self.products.pairs.len() {
                        sums.add(vector, self.products.of(vector, k, at));
                    }
                }
                Some(order) => {
                    let widest = vector.load_short(&self.widest[at..]);
                    let mut used = 0;
                    for step in order.sorted.chunks(STEP).chain(order.rest.chunks(STEP)) {
                        let largest = order.largest_after(used, self.products.pairs);
                        let most = vector.mul_short(widest, vector.short(largest));
                        if sums.vanish(vector, most) {
                            break;
                        }
                        for &k in step {
                            sums.add(vector, self.products.of(vector, k as usize, at));
                        }
                        used += step.len();
                    }
                }
            }
            let zeros = self.order.map_or(0, |order| self.products.pairs.len() - order.len());
            sums.add_logs(vector, zeros, won, &mut self.logs[at..]);
        }
    }
}

/// Inputs between two looks at whether all that follow vanish.
const STEP: usize = 8;

/// Sums of terms, of one vector of outputs.
pub(super) struct Sums<V: Shorts> {
    largest: V::Short,
    /// Magnitudes up to this one have terms of 0.
    vanishing: V::Short,
    decays: [V::Float; 2],
    sums: [[V::Int; 2]; 2],
}

impl<V: Shorts> Sums<V> {
    /// For the products that won and the decays of all lanes.
    #[inline(always)]
    pub fn new(vector: V, won: V::Short, decays: &[f32]) -> Self {
        let largest = abs(vector, won);
        let mut distances = [0; 64];
        for (distance, &decay) in distances.iter_mut().zip(decays) {
            // A step and more beyond the exponent of 30, where the truncated term is 0.
            *distance = select_min(30.0 / decay + 2.0, 32767.0) as i16;
        }
        let distances = vector.load_short(&distances);
        Self {
            largest,
            vanishing: vector.sub_short(largest, distances),
            decays: [vector.load_float(decays), vector.load_float(&decays[V::LANES..])],
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
            *sums = vector.add_wide(*sums, terms(vector, distances, decays));
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
            let mut decays = [0.0; 64];
            for (decays, from) in decays.chunks_exact_mut(V::LANES).zip(self.decays) {
                vector.store_float(from, decays);
            }
            for ((sum, won), decay) in sums.iter_mut().zip(wins).zip(decays).take(V::SHORTS) {
                *sum += zeros as u64 * term(i32::from(won).abs(), decay) as u64;
            }
        }
        for ((to, sum), won) in to.iter_mut().zip(sums).zip(wins).take(V::SHORTS) {
            *to += f32::from(won.signum()) * log(sum);
        }
    }
}

/// [`term`] in each lane.
#[inline(always)]
fn terms<V: Shorts>(vector: V, distances: V::Int, decays: V::Float) -> V::Int {
    let eighths = vector.mul_float(vector.to_float(distances), decays);
    let eighths =
        vector.mul_float(vector.min_float(eighths, vector.float(MOST)), vector.float(8.0));
    let magic = vector.float(MAGIC);
    let whole = vector.sub_float(vector.add_float(eighths, magic), magic);
    let f = vector.sub_float(eighths, whole);
    let whole = vector.truncate(whole);
    let mut power = vector.float(C[2]);
    for c in [C[1], C[0], 1.0] {
        power = vector.add_float(vector.mul_float(power, f), vector.float(c));
    }
    let scaled = vector.mul_float(vector.look_up_8(&EIGHTHS, whole), power);
    let exponent = vector.sub(vector.int(0), vector.eighth(whole));
    vector.truncate(vector.add_exponent(scaled, exponent))
}

#[inline(always)]
fn abs<V: Shorts>(vector: V, a: V::Short) -> V::Short {
    vector.max_short(a, vector.sub_short(vector.short(0), a))
}
