//! What the machine can do at best, to measure kernels against: products, and reading memory.

use core::hint::black_box;
use core::marker::PhantomData;

use super::vector::{Broadcast, Op, Vector};
use super::{GROUP, proven};

/// Runs `rounds` rounds of a tile's products; answers how many multiply-accumulates they are.
pub(crate) fn peak<P: Broadcast>(rounds: usize) -> usize {
    macro_rules! tiles {
        ($($rows:literal x $vectors:literal),*) => {
            match (P::ROWS, P::VECTORS) {
                $(($rows, $vectors) => {
                    let peak = Peak::<P, $rows, $vectors> { product: PhantomData, rounds };
                    proven::<P::Vector>().vectorize(peak);
                })*
                _ => unreachable!("a tile size that peak() does not know"),
            }
        };
    }
    tiles!(12 x 2, 6 x 2, 4 x 2, 4 x 1, 2 x 2);
    rounds * P::ROWS * P::VECTORS * P::Vector::LANES * GROUP
}

/// The largest tile, `R` rows times `V` vectors, but always with the same weights.
struct Peak<P, const R: usize, const V: usize> {
    product: PhantomData<P>,
    rounds: usize,
}

impl<P: Broadcast, const R: usize, const V: usize> Op<P::Vector> for Peak<P, R, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: P::Vector) {
        let packed = black_box([1; 256]);
        let inputs = black_box([P::group([3; GROUP]).0; R]);
        let mut weights = [P::weights(vector, &packed); V];
        for (v, weights) in weights.iter_mut().enumerate().skip(1) {
            *weights = P::weights(vector, &packed[v * P::WEIGHT_BYTES..]);
        }
        let mut sums = [[vector.int(0); V]; R];
        for _ in 0..self.rounds {
            // Inputs are read anew each time, as a kernel must; loads have ports of their own.
            let inputs = black_box(&inputs);
            // By number, which unrolls early enough for the sums to stay in registers.
            for r in 0..R {
                let inputs = P::broadcast(vector, &inputs[r]);
                for v in 0..V {
                    sums[r][v] = P::dot(vector, sums[r][v], weights[v], inputs);
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

/// Reads `values` from the first whole cache line on, up to 128 short of their end; answers
/// something that depends on each.
pub(crate) fn read<V: Vector>(values: &[i32]) -> i32 {
    proven::<V>().vectorize(Read { values })
}

/// Four streams, of two vectors each in turn: what fetches ahead of a load follows several at once,
/// and one stream alone waits for memory. Within the first two levels their number is all the same.
struct Read<'a> {
    values: &'a [i32],
}

impl<V: Vector> Op<V> for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn run(self, vector: V) -> i32 {
        let aligned = self.values.as_ptr().align_offset(64).min(self.values.len());
        let values = &self.values[aligned..];
        let quarter = values.len() / (8 * V::LANES) * (2 * V::LANES);
        let stream = |i: usize| values[i * quarter..][..quarter].chunks_exact(2 * V::LANES);
        let mut sums = [vector.int(0); 8];
        for (((a, b), c), d) in stream(0).zip(stream(1)).zip(stream(2)).zip(stream(3)) {
            let streams = [a, b, c, d];
            for i in 0..8 {
                let values = &streams[i / 2][i % 2 * V::LANES..];
                sums[i] = vector.add(sums[i], vector.load_int(values));
            }
        }
        let mut sum = sums[0];
        for &other in &sums[1..] {
            sum = vector.add(sum, other);
        }
        let mut lanes = [0; 16];
        vector.store_int(sum, &mut lanes[..V::LANES]);
        lanes.iter().fold(0, |a, &b| a.wrapping_add(b))
    }
}
