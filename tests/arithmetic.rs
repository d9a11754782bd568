//! What the kernels rely on: that signed products fit unsigned-times-signed instructions exactly,
//! and that the rules of rounding are those of their sources. Exhaustive wherever a pair of bytes
//! is all there is.

use quickcheck::{Arbitrary, Gen, QuickCheck};
use signfold::kernels::reference::{origin_sums, positive_product, sums};
use signfold::quant::{Int8, QuantParams, dynamic_params, multiplier, requantize_nearest};

fn pairs() -> impl Iterator<Item = (i8, i8)> {
    (i8::MIN..=i8::MAX).flat_map(|a| (i8::MIN..=i8::MAX).map(move |b| (a, b)))
}

/// The two bytes that the positive product multiplies: |w| unsigned, x with the sign of w signed.
fn factors(x: i8, w: i8) -> (u8, i8) {
    (w.unsigned_abs(), x ^ if w < 0 { -1 } else { 0 })
}

/// Each product lies in -16384..=16256, and both ends are reached. So the sum of any two lies in
/// -32768..=32512 and is no matter for the saturation of `vpmaddubsw`, which adds pairs in `i16`.
/// With an offset of 128 on the inputs, they would go up to 2 * 255 * 127 = 64770.
#[test]
fn a_pair_of_positive_products_fits_i16() {
    let products = pairs().map(|(x, w)| {
        let (magnitude, folded) = factors(x, w);
        let product = i32::from(magnitude) * i32::from(folded);
        let correction = if w < 0 { i32::from(magnitude) } else { 0 };
        assert_eq!(positive_product(x, w), product + correction, "{x} * {w}");
        product
    });
    let (min, max) = products.fold((0, 0), |(min, max), p| (p.min(min), p.max(max)));
    assert_eq!((min, max), (-16_384, 16_256));
}

#[test]
fn the_positive_product_is_the_product() {
    for (x, w) in pairs() {
        assert_eq!(positive_product(x, w), i32::from(x) * i32::from(w), "{x} * {w}");
    }
}

/// Matrices `[rows][k]` and `[outputs][k]`.
#[derive(Clone, Debug)]
struct Matrices {
    x: Vec<i8>,
    w: Vec<i8>,
    k: usize,
    outputs: usize,
}

impl Arbitrary for Matrices {
    fn arbitrary(g: &mut Gen) -> Self {
        let [rows, outputs, k] = [9, 9, 300].map(|most| 1 + usize::arbitrary(g) % most);
        let mut values = |len| (0..len).map(|_| i8::arbitrary(g)).collect();
        Self { x: values(rows * k), w: values(outputs * k), k, outputs }
    }
}

impl Matrices {
    fn sums(&self) -> Vec<i64> {
        sums(&self.x, &self.w, self.k, 0, &vec![0; self.outputs])
    }

    /// Sums of the same products in another type, one by one in order.
    fn in_floats<F: From<i8> + std::ops::Mul<Output = F>>(
        &self,
        add: impl Fn(F, F) -> F,
    ) -> Vec<F> {
        let rows = self.x.chunks_exact(self.k);
        let sum = |(x, w): (&[i8], &[i8])| {
            let products = x.iter().zip(w).map(|(&x, &w)| F::from(x) * F::from(w));
            products.fold(F::from(0), &add)
        };
        rows.flat_map(|x| self.w.chunks_exact(self.k).map(move |w| (x, w))).map(sum).collect()
    }
}

#[test]
fn the_origin_computes_the_same_sums() {
    fn property(of: Matrices) -> bool {
        let origin = origin_sums(&of.x, &of.w, of.k);
        origin.into_iter().map(i64::from).eq(of.sums())
    }
    QuickCheck::new().quickcheck(property as fn(Matrices) -> bool);
}

#[test]
fn f64_computes_the_same_sums() {
    fn property(of: Matrices) -> bool {
        of.in_floats::<f64>(|a, b| a + b).into_iter().eq(of.sums().iter().map(|&sum| sum as f64))
    }
    QuickCheck::new().quickcheck(property as fn(Matrices) -> bool);
}

/// Below 1024 inputs no sum on the way leaves the integers that `f32` holds exactly.
#[test]
fn f32_computes_the_same_short_sums() {
    fn property(of: Matrices) -> bool {
        assert!(of.k * 16_384 < 1 << 24);
        of.in_floats::<f32>(|a, b| a + b).into_iter().eq(of.sums().iter().map(|&sum| sum as f32))
    }
    QuickCheck::new().quickcheck(property as fn(Matrices) -> bool);
}

/// The definition with zero points, multiplied out as kernels compute it.
#[test]
fn zero_points_multiply_out() {
    fn property(of: Matrices, zx: i8, zw: Vec<i8>) -> bool {
        let zw: Vec<i32> = (0..of.outputs).map(|n| zw.get(n).map_or(0, |&z| z.into())).collect();
        let zx = i32::from(zx);
        let direct = sums(&of.x, &of.w, of.k, zx, &zw);
        let total = |of: &[i8]| of.iter().map(|&v| i64::from(v)).sum::<i64>();
        let (k, zx) = (of.k as i64, i64::from(zx));
        let outputs = of.w.chunks_exact(of.k).zip(&zw);
        let rows = of.x.chunks_exact(of.k);
        let terms = rows.flat_map(|x| {
            let term =
                move |(w, &zw)| k * zx * i64::from(zw) - zx * total(w) - i64::from(zw) * total(x);
            outputs.clone().map(term)
        });
        direct.into_iter().eq(of.sums().iter().zip(terms).map(|(sum, term)| sum + term))
    }
    QuickCheck::new().quickcheck(property as fn(Matrices, i8, Vec<i8>) -> bool);
}

/// `x / 2^shift`, rounded half to even, in integers.
fn shift_half_to_even(x: i64, shift: u32) -> i64 {
    let (floor, rest) = (x >> shift, x & ((1 << shift) - 1));
    let half = 1 << (shift - 1);
    floor + i64::from(rest > half || (rest == half && floor & 1 == 1))
}

#[test]
fn ties_go_to_the_even_integer() {
    for shift in 1..=10 {
        let by = 1.0 / (1 << shift) as f32;
        for sum in -(300 << shift)..=300 << shift {
            // Every sum near the ties, and of those between them one in seven.
            if sum % (1 << (shift - 1)) != 0 && sum % 7 != 0 {
                continue;
            }
            for (min, max, zero_point) in [(-128, 127, 0), (0, 6, -128), (-255, 0, 127)] {
                let whole = shift_half_to_even(i64::from(sum), shift) as i32;
                assert_eq!(
                    requantize_nearest(sum, by, min, max, zero_point),
                    whole.clamp(min, max) + zero_point,
                    "{sum} / 2^{shift}"
                );
            }
        }
    }
}

/// The same rule in `f64`: sum and product rounded to `f32` once each, all else without loss.
#[test]
fn requantizing_rounds_once_per_operation() {
    fn property(sum: i32, bits: u32, small: bool) -> bool {
        let by = f32::from_bits(0x0080_0000 + bits % 0x7F00_0000);
        let by = if small { 1e-6 + by.fract().abs() * 1e-5 } else { by };
        let rounded_sum = f64::from(sum as f32);
        let product = f64::from((rounded_sum * f64::from(by)) as f32);
        let wanted = product.clamp(-100.0, 50.0).round_ties_even() as i32 + 28;
        requantize_nearest(sum, by, -100, 50, 28) == wanted
    }
    QuickCheck::new().tests(10_000).quickcheck(property as fn(i32, u32, bool) -> bool);
}

#[test]
fn requantizing_extremes() {
    for sum in [i32::MIN, -1, 0, 1, i32::MAX] {
        let clamped = if sum < 0 { -128 } else { 127 };
        assert_eq!(
            requantize_nearest(sum, f32::MAX, -128, 127, 0),
            if sum == 0 { 0 } else { clamped },
            "{sum} times a huge multiplier"
        );
        assert_eq!(requantize_nearest(sum, f32::MIN_POSITIVE, -128, 127, 0), 0, "{sum}, tiny");
    }
    // An odd sum of 25 bits is rounded to f32 before it is multiplied: to 2^24, not 2^24 + 1.
    assert_eq!(requantize_nearest((1 << 24) + 1, 1.0 / 33_554_432.0, 0, 255, 0), 0);
    assert_eq!(requantize_nearest((1 << 24) + 2, 1.0 / 33_554_432.0, 0, 255, 0), 1);
}

#[test]
fn multipliers_are_two_roundings_in_order() {
    let (a, b, c) = (0.1_f32, 0.3_f32, 0.7_f32);
    let product = (f64::from(a) * f64::from(b)) as f32;
    assert_eq!(multiplier(a, b, c).to_bits(), (product / c).to_bits());
    assert_eq!(multiplier(0.5, 0.25, 2.0), 0.0625);
}

/// The examples in the definition of the ONNX operator `DynamicQuantizeLinear`.
#[test]
fn dynamic_quantization_gives_the_documented_examples() {
    let examples: [(&[f32], f32, i32, &[i32]); 3] = [
        (&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5], 0.019_607_844, 153, &[153, 255, 0, 26, 221, 179]),
        (&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0], 0.015_686_275, 255, &[191, 121, 172, 96, 42, 0]),
        (
            &[1.0, 2.1, 1.3, 2.5, 3.34, 4.0, 1.5, 2.6, 3.9, 4.0, 3.0, 2.345],
            0.015_686_275,
            0,
            &[64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149],
        ),
    ];
    for (x, scale, zero_point, y) in examples {
        let (min, max) = range(x);
        assert_eq!(dynamic_params(min, max), Some((scale, zero_point)), "{x:?}");
        let params = QuantParams::new(Int8::U8, scale, zero_point).expect("a valid scale");
        let quantized: Vec<i32> = x.iter().map(|&x| params.quantize(x)).collect();
        assert_eq!(quantized, y, "{x:?}");
    }
}

fn range(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (x.min(min), x.max(max)))
}

/// The operator's formula, on ranges of any size on either side of zero.
#[test]
fn dynamic_quantization_follows_its_formula() {
    fn property(a: f32, b: f32) -> bool {
        if a.is_nan() || b.is_nan() {
            return true;
        }
        let (min, max) = (a.min(b), a.max(b));
        let (low, high) = (min.min(0.0), max.max(0.0));
        let range = high - low;
        let wanted = range.is_finite().then(|| {
            let scale = if range / 255.0 > 0.0 { range / 255.0 } else { 1.0 };
            let zero_point = (0.0 - low / scale).clamp(0.0, 255.0).round_ties_even();
            (scale, zero_point as i32)
        });
        dynamic_params(min, max) == wanted
    }
    let property = property as fn(f32, f32) -> bool;
    QuickCheck::new().tests(2_000).quickcheck(property);
    let extremes = [0.0, -0.0, 1e-45, 1e-38, 1.0, f32::MAX, f32::MIN, f32::INFINITY];
    for a in extremes {
        for b in extremes {
            assert!(property(a, b), "{a:e}..{b:e}");
        }
    }
    assert_eq!(dynamic_params(0.0, 0.0), Some((1.0, 0)), "all zero");
    assert_eq!(dynamic_params(f32::MIN, f32::MAX), None, "a range beyond f32");
}

/// Both directions, for each integer: what dequantizes must quantize to itself.
#[test]
fn quantizing_undoes_dequantizing() {
    fn property(bits: u32, zero_point: u8, signed: bool) -> bool {
        let (kind, low) = if signed { (Int8::I8, -128) } else { (Int8::U8, 0) };
        // Scales whose 256 steps neither overflow nor vanish.
        let scale = f32::from_bits(0x0480_0000 + bits % 0x7400_0000);
        let params = QuantParams::new(kind, scale, i32::from(zero_point) + low);
        let params = params.expect("a valid scale");
        (kind.min()..=kind.max()).all(|q| params.quantize(params.dequantize(q)) == q)
    }
    QuickCheck::new().tests(500).quickcheck(property as fn(u32, u8, bool) -> bool);
}

#[test]
fn quantizing_clamps_what_is_out_of_range() {
    let params = QuantParams::new(Int8::U8, 0.5, 100).expect("a valid scale");
    for (real, q) in [
        (f32::INFINITY, 255),
        (f32::NEG_INFINITY, 0),
        (f32::MAX, 255),
        (-1e9, 0),
        (-0.0, 100),
        (1e-45, 100),
        (0.25, 100),
        (0.75, 102),
        (-0.25, 100),
        (-0.75, 98),
        (f32::NAN, 0),
    ] {
        assert_eq!(params.quantize(real), q, "{real:e}");
    }
}

#[test]
fn scales_and_zero_points_are_checked() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, -0.0] {
        assert!(QuantParams::new(Int8::I8, scale, 0).is_err(), "{scale:e}");
    }
    for (kind, outside) in [(Int8::I8, [-129, 128]), (Int8::U8, [-1, 256])] {
        for zero_point in outside {
            assert!(QuantParams::new(kind, 1.0, zero_point).is_err(), "{kind:?}, {zero_point}");
        }
    }
}

/// Where `SIGNFOLD_EXPECT_OVERFLOW_CHECKS` is set, sums of the machine's integers are checked: a lane
/// that claims to look for overflow fails where nothing would be found.
#[test]
fn overflow_is_looked_for_where_it_is_claimed() {
    if std::env::var_os("SIGNFOLD_EXPECT_OVERFLOW_CHECKS").is_none() {
        return;
    }
    let most = std::hint::black_box(i32::MAX);
    let sum = std::panic::catch_unwind(|| std::hint::black_box(most + std::hint::black_box(1)));
    assert!(sum.is_err(), "overflow checks are off: {sum:?}");
}
