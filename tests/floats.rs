//! Layers of real numbers: the same bits on every kernel, and close to what 64-bit floats give.

mod common;

use common::{
    AGGREGATES, Rng, assert_same, bits, cases, random_affine, random_float_dense, random_float_max,
    random_layer_norm, run,
};
use signfold::layers::{Affine, Aggregate, FloatDense, FloatMax, Layer, LayerNorm, LogSoftmax};
use signfold::{Engine, Model, ProductKind, TensorType, Values, WeightLayout, kernels};

/// The rounding error of one operation, relative.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// A result, and how far one that was rounded on the way may be from it.
type Expected = (f64, f64);

fn model(layer: impl Into<Layer<'static>>, width: usize) -> Model<'static> {
    let model = Model::builder("float", TensorType::f32(width)).layer(layer);
    model.build().expect("a sound layer")
}

/// Runs rows on every kernel, and holds them to the reference; answers what it gives.
fn output(model: &Model<'_>, rows: &[f32], what: &dyn std::fmt::Debug) -> Vec<f32> {
    let input = Values::from(rows);
    let reference = model.reference(&input).expect("rows of real numbers");
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
        let output = run(&engine, &input, &mut engine.scratch()).expect("rows of real numbers");
        assert_same(&bits(&output), &bits(&reference), format_args!("{}, {what:?}", kernel.name()));
    }
    let Values::F32(reference) = reference else { panic!("the output is real") };
    reference.into_owned()
}

/// Holds a layer to a baseline in 64 bits, which answers the results of a row.
fn check(
    rng: &mut Rng,
    width: usize,
    layer: impl Into<Layer<'static>>,
    baseline: impl Fn(&[f32]) -> Vec<Expected>,
) {
    let layer = layer.into();
    let size = rng.pick(&[0.1, 1.0, 30.0]);
    let rows = 1 + rng.below(7);
    let rows = rng.vec(rows * width, |rng| match rng.below(10) {
        0 => rng.pick(&[0.0, -0.0, 1e-30, -1.0, 1.0]),
        _ => rng.float(-size, size),
    });
    let model = model(layer.clone(), width);
    let output = output(&model, &rows, &layer);
    let wanted = rows.chunks_exact(width).flat_map(baseline);
    for (i, (got, (wanted, off))) in output.iter().zip(wanted).enumerate() {
        let error = (f64::from(*got) - wanted).abs();
        assert!(error <= off, "element {i} is {got}, not {wanted}, {error:e} > {off:e}: {layer:?}");
    }
    // Whatever floats can be.
    let wild = [0.0, -0.0, f32::MAX, f32::MIN, 1e-45, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let one_in = rng.pick(&[2, 20]);
    let wild = |&x: &f32| if rng.one_in(one_in) { rng.pick(&wild) } else { x };
    let rows: Vec<f32> = rows.iter().map(wild).collect();
    self::output(&model, &rows, &layer);
}

fn width(rng: &mut Rng) -> usize {
    match rng.below(3) {
        0 => 1 + rng.below(5),
        1 => rng.pick(&[7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128]),
        _ => 1 + rng.below(150),
    }
}

fn bias(values: Option<&[f32]>, n: usize) -> f64 {
    values.map_or(0.0, |values| values[n].into())
}

#[test]
fn dense_layers_are_sums() {
    for seed in 0..cases() {
        let rng = &mut Rng::new(seed);
        let (inputs, outputs) = (width(rng), width(rng));
        let dense = random_float_dense(rng, inputs, outputs);
        check(rng, inputs, dense.clone(), |row| {
            let output = |(n, weights): (usize, &[f32])| {
                let products = row.iter().zip(weights).map(|(&x, &w)| f64::from(x) * f64::from(w));
                let bias = bias(dense.bias_values(), n);
                let sum = products.clone().sum::<f64>() + bias;
                let size = products.map(f64::abs).sum::<f64>() + bias.abs();
                (sum, (inputs + 2) as f64 * UNIT * size + 1e-37)
            };
            dense.weights().chunks_exact(inputs).enumerate().map(output).collect()
        });
    }
}

/// What products that are joined give in 64 bits, and how large it is all in all.
fn join(aggregate: Aggregate, products: &[f64]) -> Expected {
    let count = products.len() as f64;
    let size = products.iter().fold(0.0, |size: f64, p| size.max(p.abs()));
    let max = products.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = products.iter().copied().fold(f64::INFINITY, f64::min);
    let winner = products.iter().copied().find(|p| p.abs() == size).unwrap_or(0.0);
    match aggregate {
        _ if products.is_empty() => (0.0, 0.0),
        Aggregate::Max => (max, 0.0),
        Aggregate::Min => (min, 0.0),
        Aggregate::AbsMax => (winner, 0.0),
        Aggregate::Mam => (max + min, 2.0 * UNIT * size),
        Aggregate::Mean => (products.iter().sum::<f64>() / count, (count + 2.0) * UNIT * size),
        Aggregate::SoftAbsMax { .. } if winner == 0.0 => (0.0, 0.0),
        Aggregate::SoftAbsMax { alpha } => {
            let alpha = f64::from(alpha);
            let terms = products.iter().map(|p| (alpha * (p.abs() - size)).exp());
            let joined = size + terms.sum::<f64>().ln() / alpha;
            (joined * winner.signum(), 4.0 * UNIT * (joined + (count + 8.0) / alpha))
        }
        other => panic!("{other:?} has no baseline"),
    }
}

#[test]
fn max_layers_are_joins() {
    for seed in 0..cases() {
        let rng = &mut Rng::new(seed);
        let (inputs, outputs) = (width(rng), 1 + rng.below(20));
        let aggregate = AGGREGATES[seed as usize % AGGREGATES.len()];
        let max = random_float_max(rng, aggregate, inputs, outputs);
        let block = inputs.div_ceil(max.split_count());
        check(rng, inputs, max.clone(), |row| {
            let output = |n: usize| {
                let mut blocks = vec![Vec::new(); max.split_count()];
                for (k, w) in max.connections(n) {
                    blocks[k / block].push(f64::from(row[k] * w));
                }
                let joined = blocks.iter().map(|products| join(max.aggregate(), products));
                let bias = bias(max.bias_values(), n);
                let (sum, off) = joined.clone().fold((bias, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
                let size = joined.map(|(joined, _)| joined.abs()).sum::<f64>() + bias.abs();
                (sum, off + (blocks.len() + 2) as f64 * UNIT * size + 1e-37)
            };
            (0..outputs).map(output).collect()
        });
    }
}

#[test]
fn affine_layers_scale_and_shift() {
    for seed in 0..cases() {
        let rng = &mut Rng::new(seed);
        let width = width(rng);
        let affine = random_affine(rng, width);
        check(rng, width, affine.clone(), |row| {
            let of = |values: &[f32], c: usize| f64::from(*values.get(c).unwrap_or(&values[0]));
            let column = |(c, &x): (usize, &f32)| {
                let (scaled, shift) = (f64::from(x) * of(affine.scale(), c), of(affine.shift(), c));
                (scaled + shift, 3.0 * UNIT * (scaled.abs() + shift.abs()) + 1e-37)
            };
            row.iter().enumerate().map(column).collect()
        });
    }
}

#[test]
fn layer_norms_have_mean_0_and_variance_1() {
    for seed in 0..cases() {
        let rng = &mut Rng::new(seed);
        let width = width(rng);
        let norm = random_layer_norm(rng, width);
        check(rng, width, norm.clone(), |row| {
            let mean_of = |of: &dyn Fn(f64) -> f64| {
                row.iter().map(|&x| of(x.into())).sum::<f64>() / width as f64
            };
            let mean = mean_of(&|x| x);
            let variance = mean_of(&|x| (x - mean).powi(2));
            let deviation = (variance + f64::from(norm.epsilon())).sqrt();
            // An eighth of the additions are in one chain.
            let steps = width as f64 / 8.0 + 8.0;
            let off_mean = steps * UNIT * mean_of(&f64::abs);
            let spread = mean_of(&|x| (x - mean).abs());
            let off_variance = 2.0 * spread * off_mean + off_mean.powi(2) + steps * UNIT * variance;
            let column = |(c, &x): (usize, &f32)| {
                let (scale, shift) = (f64::from(norm.scale()[c]), f64::from(norm.shift()[c]));
                let d = (f64::from(x) - mean) / deviation;
                let off = off_mean / deviation + d.abs() * off_variance / deviation.powi(2);
                let off = scale.abs() * (off + 8.0 * UNIT * d.abs());
                (d * scale + shift, 2.0 * off + 3.0 * UNIT * shift.abs() + 1e-37)
            };
            row.iter().enumerate().map(column).collect()
        });
    }
}

#[test]
fn log_softmax_is_the_logarithm_of_softmax() {
    for seed in 0..cases() {
        let rng = &mut Rng::new(seed);
        let width = width(rng);
        check(rng, width, LogSoftmax, |row| {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let less = |x: f32| f64::from(x) - f64::from(max);
            let log = row.iter().map(|&x| less(x).exp()).sum::<f64>().ln();
            let off = |x| 4.0 * UNIT * (less(x).abs() + log + width as f64 / 8.0 + 8.0);
            row.iter().map(|&x| (less(x) - log, off(x))).collect()
        });
    }
}

/// Numbers that come out even.
#[test]
fn examples() {
    let same = |layer: Layer<'static>, row: &[f32], wanted: &[f32]| {
        assert_eq!(output(&model(layer.clone(), row.len()), row, &layer), wanted, "{layer:?}");
    };
    let norm = |epsilon, scale: Vec<f32>, shift: Vec<f32>| {
        LayerNorm::new(epsilon, scale, shift).unwrap().into()
    };
    same(norm(0.0, vec![1.0, 1.0], vec![0.0, 0.0]), &[1.0, 3.0], &[-1.0, 1.0]);
    // The mean is 4, and the square of the deviation 3 + 1.
    let row = [2.0, 3.0, 4.0, 7.0];
    let root = (3.5_f32 + 0.5).sqrt();
    let wanted = row.map(|x| (x - 4.0) / root * 3.0 + 1.0);
    same(norm(0.5, vec![3.0; 4], vec![1.0; 4]), &row, &wanted);
    same(LogSoftmax.into(), &[5.0], &[0.0]);
    let ln2 = std::f32::consts::LN_2;
    same(LogSoftmax.into(), &[7.0, 7.0], &[-ln2, -ln2]);
    let affine = Affine::new(2, vec![2.0, -1.0], vec![0.5]).unwrap();
    same(affine.into(), &[1.0, 2.0, 3.0, 4.0][..2], &[2.5, -1.5]);

    let weights = vec![1.0, 2.0, -3.0, 0.0, 4.0, -1.0, 2.0, 0.0];
    let row = [2.0, 1.0, 1.0, 5.0];
    // Products 2, 2, -3, 0 and 8, -1, 2, 0.
    let max = |aggregate, pruned| {
        let new = if pruned { FloatMax::pruned } else { FloatMax::new };
        new(aggregate, weights.clone(), WeightLayout::OutIn, 2, 4).unwrap()
    };
    same(max(Aggregate::Max, false).into(), &row, &[2.0, 8.0]);
    same(max(Aggregate::Min, false).into(), &row, &[-3.0, -1.0]);
    same(max(Aggregate::AbsMax, false).into(), &row, &[-3.0, 8.0]);
    same(max(Aggregate::Mam, false).into(), &row, &[-1.0, 7.0]);
    same(max(Aggregate::Mean, false).into(), &row, &[0.25, 2.25]);
    same(max(Aggregate::Mean, true).into(), &row, &[1.0 / 3.0, 3.0]);
    same(max(Aggregate::AbsMax, false).splits(2).into(), &row, &[-1.0, 10.0]);
    same(max(Aggregate::Max, true).splits(4).into(), &row, &[1.0, 9.0]);
    // Without the connection of weight 0, whose product competed.
    let max = |new: fn(Aggregate, Vec<f32>, WeightLayout, usize, usize) -> signfold::Result<_>| {
        let layer: FloatMax<'_> =
            new(Aggregate::Max, vec![-1.0, 0.0], WeightLayout::OutIn, 1, 2).unwrap();
        layer.bias(vec![0.5])
    };
    same(max(FloatMax::new).into(), &[1.0, 1.0], &[0.5]);
    same(max(FloatMax::pruned).into(), &[1.0, 1.0], &[-0.5]);
}

/// A NaN among its inputs makes an output NaN, and always the same one.
#[test]
fn nan_passes_through() {
    const NAN: u32 = 0x7FC0_0000;
    let dense = FloatDense::new(vec![1.0, 0.0, 2.0], WeightLayout::OutIn, 1, 3).unwrap();
    let max = |aggregate| {
        let weights = vec![1.0, 0.0, 2.0];
        FloatMax::new(aggregate, weights, WeightLayout::OutIn, 1, 3).unwrap().into()
    };
    let norm = LayerNorm::new(1e-5, vec![1.0; 3], vec![0.0; 3]).unwrap();
    let mut layers: Vec<Layer<'_>> = vec![dense.into(), norm.into(), LogSoftmax.into()];
    layers.extend(AGGREGATES.map(max));
    for layer in layers {
        let model = model(layer.clone(), 3);
        for nan in [0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0xFFFF_FFFF].map(f32::from_bits) {
            for at in 0..3 {
                let mut row = [5.0, -1.0, 0.25];
                row[at] = nan;
                for got in output(&model, &row, &layer) {
                    assert_eq!(got.to_bits(), NAN, "{layer:?}, {at}");
                }
            }
        }
    }
}

/// Few rows, of which each thread computes some of the outputs; and many.
#[test]
fn threads_change_nothing() {
    let rng = &mut Rng::new(3);
    let (inputs, outputs) = (1500, 2000);
    let model = model(random_float_dense(rng, inputs, outputs), inputs);
    let input = Values::from(rng.vec(24 * inputs, |rng| rng.float(-2.0, 2.0)));
    for rows in [1, 3, 24] {
        let input = common::slice(&input, inputs, 0, rows);
        let run = |threads: usize| {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            bits(&run(&engine, &input, &mut engine.scratch()).expect("no NaN"))
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            assert_same(&run(threads), &one, format_args!("{rows} rows, {threads} threads"));
        }
    }
}

/// What reports are made from.
#[test]
fn steps_have_products_of_real_numbers() {
    let rng = &mut Rng::new(4);
    let dense = random_float_dense(rng, 20, 30);
    let max = FloatMax::pruned(Aggregate::Max, vec![0.0, 1.0, 2.0], WeightLayout::OutIn, 1, 3);
    for (layer, width, name, products) in [
        (dense.into(), 20, "float dense 20x30", 600),
        (Layer::from(max.unwrap()), 3, "float max 3x1", 2),
        (LogSoftmax.into(), 3, "log softmax", 0),
    ] {
        let engine = Engine::new(&model(layer, width)).expect("a valid model");
        let step = engine.steps().next().expect("one step");
        assert_eq!((step.name.as_str(), step.products), (name, products));
        assert_eq!(step.product_kind, ProductKind::Float);
    }
}
