//! Pointwise functions, against 64-bit floats.

use signfold::layers::Activation;

/// How many multiples of a rounding error results may be off, relative to their size.
const STEPS: f64 = 24.0 / (1 << 24) as f64;

/// Numbers of all sizes and both signs, and around zero, where differences would cancel.
fn numbers() -> impl Iterator<Item = f32> {
    let spread = (-3000..=3000).map(|i| i as f32 / 20.0);
    let small = (0..=300).map(|i| f32::from_bits(i * 3_000_000));
    let small = small.filter(|x| *x < 100.0).flat_map(|x| [x, -x]);
    spread.chain(small)
}

/// Holds a function to its formula; `size` says of how large numbers it is a difference.
fn check(activation: Activation, formula: fn(f64) -> f64, size: fn(f64) -> f64) {
    for x in numbers() {
        let (got, wanted) = (activation.apply(x), formula(x.into()));
        if wanted.abs() > f32::MAX.into() {
            assert_eq!(got, f32::INFINITY.copysign(wanted as f32), "{activation} of {x}");
            continue;
        }
        let off = STEPS * (wanted.abs() + size(x.into())) + 1e-36;
        let error = (f64::from(got) - wanted).abs();
        assert!(error <= off, "{activation} of {x:e} is {got:e}, not {wanted:e}");
    }
    // A NaN stays one, unless it is clamped.
    let nan = activation.apply(-f32::NAN);
    assert!(nan.to_bits() == 0x7FC0_0000 || nan == 0.0, "{activation} of NaN is {nan}");
}

#[test]
fn functions_follow_their_formulas() {
    use Activation::*;
    let none = |_| 0.0;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check(Identity, |x| x, none);
    check(Relu, |x| x.max(0.0), none);
    check(Relu6, |x| x.clamp(0.0, 6.0), none);
    check(LeakyRelu { alpha: 0.25 }, |x| x.max(0.25 * x), none);
    check(Tanh, f64::tanh, none);
    check(Sigmoid, sigmoid, none);
    check(Elu { alpha: 1.5 }, |x| if x < 0.0 { 1.5 * x.exp_m1() } else { x }, none);
    check(HardSigmoid { alpha: 0.25, beta: 0.5 }, |x| (0.25 * x + 0.5).clamp(0.0, 1.0), |_| 1.0);
    check(Silu, |x| x / (1.0 + (-x).exp()), none);
    check(HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), f64::abs);
    let selu = |x: f64| 1.25 * if x > 0.0 { x } else { 1.5 * x.exp_m1() };
    check(Selu { alpha: 1.5, gamma: 1.25 }, selu, none);
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    check(Softplus, softplus, none);
    check(Softsign, |x| x / (1.0 + x.abs()), none);
    check(Mish, |x| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh(), none);
    check(Exp, f64::exp, none);
}

#[test]
fn functions_at_their_ends() {
    use Activation::*;
    const INF: f32 = f32::INFINITY;
    for (activation, least, most) in [
        (Elu { alpha: 0.5 }, -0.5, INF),
        (HardSigmoid { alpha: 0.2, beta: 0.5 }, 0.0, 1.0),
        (HardSigmoid { alpha: -0.2, beta: 0.5 }, 1.0, 0.0),
        (Selu { alpha: 0.5, gamma: 2.0 }, -1.0, INF),
        (Softplus, 0.0, INF),
        (Exp, 0.0, INF),
    ] {
        assert_eq!(activation.apply(-INF), least, "{activation}");
        assert_eq!(activation.apply(INF), most, "{activation}");
    }
    for activation in [Elu { alpha: 0.5 }, Silu, HardSwish, Softsign, Mish] {
        assert_eq!(activation.apply(0.0).to_bits(), 0.0_f32.to_bits(), "{activation}");
        assert_eq!(activation.apply(-0.0).to_bits(), (-0.0_f32).to_bits(), "{activation}");
    }
}

#[test]
fn functions_have_names() {
    use Activation::*;
    let named = [
        (Elu { alpha: 1.0 }, "elu(1)"),
        (HardSigmoid { alpha: 0.25, beta: 0.5 }, "hard_sigmoid(0.25, 0.5)"),
        (Silu, "silu"),
        (HardSwish, "hard_swish"),
        (Selu { alpha: 1.5, gamma: 1.25 }, "selu(1.5, 1.25)"),
        (Softplus, "softplus"),
        (Softsign, "softsign"),
        (Mish, "mish"),
        (Exp, "exp"),
    ];
    for (activation, name) in named {
        assert_eq!(activation.to_string(), name);
    }
}
