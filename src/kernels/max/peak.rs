//! What the machine can do at best with products that meet by a maximum, to measure kernels against.

use core::hint::black_box;

use super::Shorts;
use super::extremes::{ROWS, VECTORS};
use crate::kernels::proven;
use crate::kernels::vector::Op;

/// Runs `rounds` rounds of a tile's products, of which the largest and the smallest are kept; answers
/// how many products they are.
pub(crate) fn peak<V: Shorts>(rounds: usize) -> usize {
    proven::<V>().vectorize(Peak { rounds });
    rounds * ROWS * VECTORS * V::SHORTS
}

/// A tile, but always with the same weights.
struct Peak {
    rounds: usize,
}

impl<V: Shorts> Op<V> for Peak {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: V) {
        let weights = black_box([1_u8; 128]);
        let inputs = black_box([3_i32 | 3 << 16; ROWS]);
        let mut w = [vector.short(0); VECTORS];
        for (w, weights) in w.iter_mut().zip(weights.chunks_exact(V::SHORTS)) {
            *w = vector.load_signed(weights);
        }
        let mut extremes = [[[vector.short(0); 2]; VECTORS]; ROWS];
        for _ in 0..self.rounds {
            // Inputs are read anew each time, as a kernel must; loads have ports of their own.
            let inputs = black_box(&inputs);
            for r in 0..ROWS {
                let x = vector.short_pairs(&inputs[r]);
                for v in 0..VECTORS {
                    let product = vector.mul_short(x, w[v]);
                    let [high, low] = extremes[r][v];
                    let (high, low) =
                        (vector.max_short(high, product), vector.min_short(low, product));
                    extremes[r][v] = [high, low];
                }
            }
        }
        let mut out = [0; 64];
        for extreme in extremes.into_iter().flatten().flatten() {
            vector.store_short(extreme, &mut out);
            black_box(out);
        }
    }
}
