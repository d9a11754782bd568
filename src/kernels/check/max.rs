//! Maxima: what the engine's tests do not reach. That engines with any kernel compute what
//! [`reference::join`] says is tested in `tests/max.rs`.

use quickcheck::{Arbitrary, Gen};

use super::{Kernel, available, byte, sample, up_to};
use crate::kernels::max::{Aggregate, Preparation, SAMPLE, soft};
use crate::kernels::reference;

/// A term is the exponential, truncated to the grid; and 1 where there is no distance.
#[test]
fn terms_are_exponentials() {
    for bits in [18, 22, 26, 30] {
        let one = f64::from(1 << bits);
        for decay in [1e-6_f32, 0.001, 0.011, 0.3, 1.0, 17.0, 64.0] {
            assert_eq!(soft::term(0, decay, bits), 1 << bits);
            for distance in 0..=32640 {
                let exact = (-f64::from(distance) * f64::from(decay)).exp2() * one;
                let found = f64::from(soft::term(distance, decay, bits));
                // The exponent is rounded, too: by 2^-24 of itself, of which ln 2 counts.
                let allowed = 3.6e-6 + f64::from(distance) * f64::from(decay) * 5e-8;
                assert!(
                    found <= exact * (1.0 + allowed) && found > exact * (1.0 - allowed) - 1.0,
                    "{distance} * {decay}, {bits} bits: {found}, not {exact}"
                );
            }
        }
    }
}

/// The products of one block, and how sharply they are joined.
#[derive(Clone, Debug)]
struct Block {
    products: Vec<(usize, i32)>,
    unit: f32,
    alpha: f32,
}

impl Arbitrary for Block {
    fn arbitrary(g: &mut Gen) -> Self {
        let most = *g.choose(&[1, 3, 50, 3000]).expect("not empty");
        let count = 1 + up_to(g, most - 1);
        // Some blocks are of magnitudes that hardly differ, the worst case for truncated terms.
        let near = (up_to(g, 1) == 0).then(|| up_to(g, 32000) as i32);
        let product = |g: &mut Gen| match near {
            Some(near) => (near + up_to(g, 3) as i32) * if bool::arbitrary(g) { 1 } else { -1 },
            None => (i32::from(byte(g)) - 127) * i32::from(byte(g)),
        };
        let mut products: Vec<(usize, i32)> = (0..count).map(|k| (k, product(g))).collect();
        if up_to(g, 1) == 0 {
            // One that stands out.
            let at = up_to(g, count - 1);
            products[at].1 = 32640;
        }
        let unit = *g.choose(&[1.0, 1e-2, 3.7e-4, 1e-6]).expect("not empty");
        let alpha = *g.choose(&[1e-3, 0.1, 1.0, 3.0, 10.0, 100.0]).expect("not empty");
        Self { products, unit, alpha }
    }
}

/// The soft maximum on its grid is within 1e-5 of the formula.
#[test]
fn soft_maxima_are_close() {
    fn check(Block { products, unit, alpha }: Block) {
        let aggregate = Aggregate::SoftAbsMax { alpha };
        let (integer, log) = reference::join(aggregate, &products, products.len(), unit);
        let (unit, alpha) = (f64::from(unit), f64::from(alpha));
        let found = f64::from(integer) * unit + f64::from(log) / alpha;
        let m = products.iter().map(|(_, p)| p.abs()).max().expect("not empty");
        let winner = products.iter().find(|(_, p)| p.abs() == m).expect("there is one").1;
        let term = |p: i32| (alpha * unit * f64::from(p.abs() - m)).exp();
        let sum: f64 = products.iter().map(|&(_, p)| term(p)).sum();
        let wanted = (unit * f64::from(m) + sum.ln() / alpha) * f64::from(winner.signum());
        let error = (found - wanted).abs();
        assert!(error <= 1e-5 * wanted.abs(), "{found}, not {wanted}: {:e}", error / wanted.abs());
    }
    sample(check as fn(Block));
}

/// A prepared row holds each input less its zero point; in order there are all that are not zero, and
/// none has a larger magnitude than what is said to follow.
#[test]
fn rows_are_prepared() {
    fn check(seed: u64, long: bool) {
        let g = &mut Gen::from_size_and_seed(100, seed);
        let inputs = 32 + up_to(g, if long { 700 } else { 40 });
        let block = 32 + up_to(g, inputs - 32);
        let zero_point = i32::from(byte(g));
        let few = bool::arbitrary(g);
        let bytes: Vec<u8> =
            (0..inputs).map(|_| if few { zero_point as u8 } else { byte(g) as u8 }).collect();
        for aggregate in [Aggregate::Max, Aggregate::Min] {
            let by = Preparation {
                inputs,
                block,
                blocks: inputs.div_ceil(block),
                flip: 0,
                aggregate,
                order: true,
            };
            available().for_each(|kernel| one(kernel, &bytes, zero_point, &by));
        }
    }
    fn one(kernel: &Kernel, bytes: &[u8], zero_point: i32, by: &Preparation) {
        let mut words = vec![0x5A5A_5A5A; by.words()];
        (kernel.max_prepare)(bytes, zero_point, by, SAMPLE, &mut words);
        let sign = if by.aggregate == Aggregate::Min { -1 } else { 1 };
        let distance = |k: usize| (i32::from(bytes[k] as i8) - zero_point) * sign;
        let row = crate::kernels::max::Row::of(&words, by);
        for (k, &pair) in row.pairs.iter().enumerate() {
            assert_eq!((pair >> 16, pair as i16), (distance(k), distance(k) as i16), "input {k}");
        }
        assert!(row.is_sorted(), "{}: not in order", kernel.name());
        for (block, first) in (0..by.inputs).step_by(by.block).enumerate() {
            let pairs = &row.pairs[first..by.inputs.min(first + by.block)];
            let order = row.order(block, first);
            let mut before = i16::MAX;
            for (level, largest) in order.levels() {
                let small = |&k: &u32| distance(first + k as usize).abs() <= i32::from(largest);
                assert!(level.iter().all(small) && largest <= before, "{}", kernel.name());
                before = largest;
            }
            let mut listed = order.listed.to_vec();
            listed.sort_unstable();
            let nonzero = (0..pairs.len() as u32).filter(|&k| distance(first + k as usize) != 0);
            assert!(nonzero.eq(listed), "{}: block {block}", kernel.name());
        }
    }
    quickcheck::QuickCheck::new().tests(super::cases()).quickcheck(check as fn(u64, bool));
}
