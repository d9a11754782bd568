//! What the product instructions can do at best, to measure kernels against.

use core::hint::black_box;
use core::marker::PhantomData;

use super::vector::{Op, Product, Vector};
use super::{GROUP, proven};

/// Sums of a tile: more than any instruction set keeps in registers would measure memory.
const TILES: [usize; 2] = [12, 4];

/// Runs `rounds` rounds of a tile's products; answers how many multiply-accumulates they are.
pub(crate) fn peak<P: Product>(rounds: usize) -> usize {
    let vector = proven::<P::Vector>();
    let [many, few] = TILES;
    let rows = if P::ROWS >= many {
        vector.vectorize(Peak::<P, 12> { product: PhantomData, rounds });
        many
    } else {
        vector.vectorize(Peak::<P, 4> { product: PhantomData, rounds });
        few
    };
    rounds * rows * 2 * P::Vector::LANES * GROUP
}

/// `R` rows times 2 vectors, as in the largest tiles, but always the same weights.
struct Peak<P, const R: usize> {
    product: PhantomData<P>,
    rounds: usize,
}

impl<P: Product, const R: usize> Op<P::Vector> for Peak<P, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: P::Vector) {
        let packed = black_box([1; 256]);
        let inputs = black_box([[3; GROUP]; R]);
        let weights = [0, P::WEIGHT_BYTES].map(|at| P::weights(vector, &packed[at..]));
        let mut sums = [[vector.int(0); 2]; R];
        for _ in 0..self.rounds {
            // Inputs are read anew each time, as a kernel must; loads have ports of their own.
            let inputs = black_box(&inputs);
            for (sums, &inputs) in sums.iter_mut().zip(inputs) {
                let inputs = P::inputs(vector, inputs);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = P::dot(vector, *sum, weights, inputs);
                }
            }
        }
        let mut out = [0; 16];
        for sum in sums.into_iter().flatten() {
            vector.store_int(sum, &mut out[..P::Vector::LANES]);
            black_box(out);
        }
    }
}
