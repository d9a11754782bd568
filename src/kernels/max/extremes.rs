//! The largest product of each output, and perhaps the smallest: of a tile of rows with all inputs,
//! or of a single row with the largest inputs first, until nothing better can follow.
//!
//! ```text
//! high = max(high, x * w)
//! low  = min(low,  x * w)
//! ```

#![expect(clippy::needless_range_loop, reason = "r and v say which row and vector")]

use super::join::Products;
use super::prepare::Order;
use super::{Aggregate, Extremes, PANEL, Shorts};
use crate::kernels::vector::Op;

/// Rows of a tile.
pub(super) const ROWS: usize = 3;

/// Vectors of a tile.
pub(super) const VECTORS: usize = 2;

/// `R` rows with all inputs of a block. Of extremes, only the largest unless `BOTH`.
pub(super) struct Tile<'a, const R: usize, const BOTH: bool> {
    /// `[input][width]`
    pub weights: &'a [u8],
    pub width: usize,
    pub rows: [&'a [i32]; R],
    pub extremes: &'a mut [Extremes; ROWS],
}

impl<V: Shorts, const R: usize, const BOTH: bool> Op<V> for Tile<'_, R, BOTH> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, vector: V) {
        let vectors = self.width / V::SHORTS;
        for first in (0..vectors).step_by(VECTORS) {
            if first + 1 < vectors {
                self.vectors::<V, VECTORS>(vector, first * V::SHORTS);
            } else {
                self.vectors::<V, 1>(vector, first * V::SHORTS);
            }
        }
    }
}

impl<const R: usize, const BOTH: bool> Tile<'_, R, BOTH> {
    /// `N` vectors of outputs.
    #[inline(always)]
    fn vectors<V: Shorts, const N: usize>(&mut self, vector: V, first: usize) {
        let Self { weights, width, rows, extremes } = self;
        let inputs = weights.len() / *width;
        let rows: [&[i32]; R] = core::array::from_fn(|r| &rows[r][..inputs]);
        let mut high = [[vector.short(i16::MIN); N]; R];
        let mut low = [[vector.short(i16::MAX); N]; R];
        let mut weights = weights.chunks_exact(*width);
        for k in 0..inputs {
            let Some(weights) = weights.next() else { break };
            let weights = &weights[first..][..N * V::SHORTS];
            let mut w = [vector.short(0); N];
            for v in 0..N {
                w[v] = vector.load_signed(&weights[v * V::SHORTS..]);
            }
            for r in 0..R {
                let x = vector.short_pairs(&rows[r][k]);
                for v in 0..N {
                    let product = vector.mul_short(x, w[v]);
                    high[r][v] = vector.max_short(high[r][v], product);
                    if BOTH {
                        low[r][v] = vector.min_short(low[r][v], product);
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..N {
                let at = first + v * V::SHORTS;
                vector.store_short(high[r][v], &mut extremes[r].high[at..]);
                if BOTH {
                    vector.store_short(low[r][v], &mut extremes[r].low[at..]);
                }
            }
        }
    }
}

/// Inputs between two looks at whether better products can follow.
const STEP: usize = 32;

/// A single row, the largest inputs first. Answers how many were used.
pub(super) struct Sorted<'a, const BOTH: bool> {
    pub products: Products<'a>,
    pub order: Order<'a>,
    /// The largest magnitude of each output's weights.
    pub widest: &'a [i16],
    pub exit: Exit,
    pub extremes: &'a mut Extremes,
}

/// What must be certain before the rest of the inputs may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// No larger product.
    High,
    /// No larger product, and no smaller one.
    HighAndLow,
    /// No product of the same magnitude as the largest.
    Magnitude,
}

impl Exit {
    pub fn of(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Max | Aggregate::Min => Exit::High,
            Aggregate::Mam => Exit::HighAndLow,
            _ => Exit::Magnitude,
        }
    }
}

impl<V: Shorts, const BOTH: bool> Op<V> for Sorted<'_, BOTH> {
    type Output = usize;

    #[inline(always)]
    fn run(self, vector: V) -> usize {
        match self.products.width / V::SHORTS {
            1 => self.vectors::<V, 1>(vector),
            2 => self.vectors::<V, 2>(vector),
            3 => self.vectors::<V, 3>(vector),
            _ => self.vectors::<V, 4>(vector),
        }
    }
}

impl<const BOTH: bool> Sorted<'_, BOTH> {
    #[inline(always)]
    fn vectors<V: Shorts, const N: usize>(self, vector: V) -> usize {
        let Self { products, order, widest, exit, extremes } = self;
        let Products { weights, width, pairs } = products;
        assert!(width == N * V::SHORTS && width <= PANEL);
        // Inputs that are not listed have products of 0.
        let complete = order.listed.len() == pairs.len();
        let (least, most) = if complete { (i16::MIN, i16::MAX) } else { (0, 0) };
        let mut high = [vector.short(least); N];
        let mut low = [vector.short(most); N];
        let mut used = 0;
        'exit: for (listed, largest) in order.levels() {
            let largest = vector.short(largest);
            for step in listed.chunks(STEP) {
                if used > 0 && !open::<V, N>(vector, exit, [&high, &low], widest, largest) {
                    break 'exit;
                }
                for &k in step {
                    let k = k as usize;
                    let weights = &weights[k * width..][..N * V::SHORTS];
                    let x = vector.short_pairs(&pairs[k]);
                    for v in 0..N {
                        let w = vector.load_signed(&weights[v * V::SHORTS..]);
                        let product = vector.mul_short(x, w);
                        high[v] = vector.max_short(high[v], product);
                        if BOTH {
                            low[v] = vector.min_short(low[v], product);
                        }
                    }
                }
                used += step.len();
            }
        }
        for v in 0..N {
            vector.store_short(high[v], &mut extremes.high[v * V::SHORTS..]);
            if BOTH {
                vector.store_short(low[v], &mut extremes.low[v * V::SHORTS..]);
            }
        }
        used
    }
}

/// Whether inputs of this magnitude, with weights of at most these magnitudes, could still change
/// something.
#[inline(always)]
pub(super) fn open<V: Shorts, const N: usize>(
    vector: V,
    exit: Exit,
    [high, low]: [&[V::Short; N]; 2],
    widest: &[i16],
    magnitude: V::Short,
) -> bool {
    let zero = vector.short(0);
    let mut open = zero;
    for v in 0..N {
        let widest = vector.load_short(&widest[v * V::SHORTS..]);
        let mut bound = vector.mul_short(widest, magnitude);
        let best = match exit {
            Exit::High => vector.max_short(high[v], zero),
            Exit::HighAndLow => {
                let both = vector.min_short(high[v], vector.sub_short(zero, low[v]));
                vector.max_short(both, zero)
            }
            Exit::Magnitude => {
                // One more, where there is anything: equal ones must not follow either.
                bound = vector.add_short(bound, vector.min_short(widest, vector.short(1)));
                vector.max_short(high[v], vector.sub_short(zero, low[v]))
            }
        };
        open = vector.or_short(open, vector.excess(bound, best));
    }
    vector.any_short(open)
}
