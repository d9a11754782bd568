//! Max-product layers: engines against [`Model::reference`], bit by bit, on every kernel; the
//! reference against formulas of its own kind in `formulas.rs`; winners in `winners.rs`.

#[path = "../common/mod.rs"]
mod common;
mod formulas;
mod rows;
mod winners;

use common::{
    AGGREGATES, Rng, assert_same, bits, cases, is_per_tensor, random_input, random_max_product,
    run, slice,
};
use rows::{Row, batch, floats, integers, mixed_batch, reals};
use signfold::layers::{Aggregate, DenseInput, DenseOutput, MaxProduct};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Element, Engine, ErrorKind, Model, TensorType, Values, WeightLayout, kernels};

const ROWS: [usize; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33];
const OUTPUTS: [usize; 15] = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 66, 127, 128, 130];
const INPUTS: [usize; 11] = [1, 2, 3, 7, 8, 9, 31, 64, 100, 257, 784];

/// Both ends of both types, the middle, and one in between.
fn zero_points() -> Vec<QuantParams> {
    let params = |kind, zero_point| QuantParams::new(kind, 0.02, zero_point).expect("valid");
    let i8 = [-128, 127, 0, -7].map(|zero_point| params(Int8::I8, zero_point));
    i8.into_iter().chain([0, 255, 128].map(|zero_point| params(Int8::U8, zero_point))).collect()
}

fn model_of(input: TensorType, layer: MaxProduct<'static>) -> Model<'static> {
    let model = Model::builder("max", input).layer(layer.clone()).build();
    model.unwrap_or_else(|e| panic!("{e}: {layer:?}"))
}

/// The engines of all kernels, on all rows and, where rows do not depend on each other, on the
/// first `rows` of them in small chunks.
#[track_caller]
fn check(model: &Model<'_>, input: &Values<'_>, rows: usize, what: impl std::fmt::Display) {
    let (width, outputs) = (model.input().width, model.output().width);
    let count = input.len() / width;
    let reference = bits(&model.reference(input).expect("rows without NaN"));
    for kernel in kernels::available() {
        let what = format!("{}, {count} rows, {what}", kernel.name());
        let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
        let engine = engine.with_threads(1);
        let whole = run(&engine, input, &mut engine.scratch_for(count)).expect("no NaN");
        assert_same(&bits(&whole), &reference, &what);
        if !is_per_tensor(model) {
            let few = slice(input, width, 0, rows.min(count));
            let found = run(&engine, &few, &mut engine.scratch_for(5)).expect("no NaN");
            let wanted = &reference[..rows.min(count) * outputs];
            assert_same(&bits(&found), wanted, format_args!("the first {rows}, {what}"));
        }
    }
}

/// A model of this layer or layers like it, on rows of every kind.
fn random_case(rng: &mut Rng, aggregate: Aggregate, inputs: usize, outputs: usize, rows: usize) {
    let params = rng.pick(&zero_points());
    let input = match rng.below(3) {
        0 => TensorType::f32(inputs),
        _ => TensorType::int8(inputs, params),
    };
    let model = model_of(input, random_max_product(rng, &input, aggregate, outputs));
    let batch = match (input.element, rng.one_in(4)) {
        (_, true) => random_input(&model, rows, rng.next()),
        (Element::F32, _) => reals(&params, &mixed_batch(rng, &params, inputs, rows)),
        (_, _) => mixed_batch(rng, &params, inputs, rows),
    };
    let (layer, ..) = model.layers().next().expect("it has one");
    let what = format!("{inputs} x {outputs}: {layer:?}");
    check(&model, &batch, rng.pick(&ROWS), what);
}

/// Every aggregate with every width on either side; rows and options are drawn.
#[test]
fn shapes_around_borders() {
    let rng = &mut Rng::new(1);
    let every = (200 / cases().max(1)).max(1);
    let mut count = 0;
    for aggregate in AGGREGATES {
        for inputs in INPUTS {
            for outputs in OUTPUTS {
                count += 1;
                let rows = rng.pick(&ROWS);
                if count % every == 0 {
                    random_case(rng, aggregate, inputs, outputs, rows);
                }
            }
        }
    }
}

/// Every number of rows with every aggregate; widths are drawn, those of single elements too.
#[test]
fn numbers_of_rows() {
    let rng = &mut Rng::new(2);
    for rows in ROWS {
        for aggregate in AGGREGATES {
            for _ in 0..cases().div_ceil(200) {
                let (inputs, outputs) = (1 + rng.below(70), 1 + rng.below(70));
                random_case(rng, aggregate, inputs, outputs, rows);
                random_case(rng, aggregate, 1, outputs, rows);
                random_case(rng, aggregate, inputs, 1, rows);
            }
        }
    }
}

/// Each kind of row alone, for each zero point and aggregate: weights that tie, that all have one
/// magnitude, of which one stands out, and any.
#[test]
fn rows_against_an_early_exit() {
    let rng = &mut Rng::new(3);
    let (outputs, mut count) = (37, 0);
    for params in zero_points() {
        for aggregate in AGGREGATES.into_iter().filter(|&a| a != Aggregate::Mean) {
            for kind in Row::ALL {
                count += 1;
                if count % (200 / cases().max(1)).max(1) != 0 {
                    continue;
                }
                let inputs = rng.pick(&[5, 16, 33, 64, 121]);
                let input = TensorType::int8(inputs, params);
                let rows = rng.vec(6, |rng| kind.values(rng, &params, inputs));
                let rows = batch(&params, &rows.concat());
                let layer = random_max_product(rng, &input, aggregate, outputs);
                let what = format!("{kind:?}, {params:?}, {layer:?}");
                check(&model_of(input, layer), &rows, 3, what);
            }
        }
    }
}

/// Equal magnitudes, one positive and one negative, at any two places: the lower input gives the
/// sign, wherever vectors and blocks begin and whichever magnitude of x is met first.
#[test]
fn the_lower_of_two_equals_wins() {
    // (x, w) of products 4, with small and large x; and their opposites.
    let factors = [(1, 4), (4, 1), (2, 2)];
    let params = QuantParams::new(Int8::I8, 1.0, 0).expect("valid");
    for inputs in [2, 3, 17, 64, 100] {
        let places = [0, 1, inputs / 2, inputs - 2, inputs - 1];
        let (mut rows, mut weights) = (Vec::new(), Vec::new());
        let (mut winners, mut sizes) = (Vec::new(), Vec::new());
        for a in places {
            for b in places.into_iter().filter(|&b| b > a) {
                for (i, (x, w)) in factors.into_iter().enumerate() {
                    let (other_x, other_w) = factors[(i + 1) % 3];
                    for sign in [1, -1] {
                        // Others are far from both: x is 1 and w is 1.
                        let (mut row, mut weight) = (vec![1_i8; inputs], vec![1_i8; inputs]);
                        (row[a], weight[a]) = (x, sign * w);
                        (row[b], weight[b]) = (other_x, -sign * other_w);
                        rows.extend(row);
                        weights.extend(weight);
                        winners.push(a as u32);
                        sizes.push(4.0 * f32::from(sign));
                    }
                }
            }
        }
        let n = winners.len();
        let layer = MaxProduct::new(Aggregate::AbsMax, weights, WeightLayout::OutIn, n, inputs);
        let input = TensorType::int8(inputs, params);
        let model = model_of(input, layer.expect("as many as needed"));
        let rows = Values::from(rows);
        check(&model, &rows, 9, format_args!("{inputs} inputs"));
        let found = model.winners(0, &rows).expect("8-bit rows");
        let outputs = floats(&model.reference(&rows).expect("8-bit rows"));
        for i in 0..n {
            assert_eq!(found[i * n + i], winners[i], "{inputs} inputs, pair {i}");
            assert_eq!(outputs[i * n + i], sizes[i], "{inputs} inputs, pair {i}");
        }
    }
}

/// Products of 9 bits and 8 at their largest, of either sign.
#[test]
fn the_largest_products() {
    for (kind, zero_point, x) in [(Int8::I8, -128, 127), (Int8::I8, 127, -128)] {
        let params = QuantParams::new(kind, 1.0, zero_point).expect("valid");
        let input = TensorType::int8(3, params);
        let weights = vec![-128, 127, 0, 127, -128, -128];
        for aggregate in AGGREGATES {
            let layer = MaxProduct::new(aggregate, weights.clone(), WeightLayout::OutIn, 2, 3);
            let model = model_of(input, layer.expect("as many as needed"));
            let rows = Values::from(vec![x as i8; 3 * 9]);
            check(&model, &rows, 2, aggregate.name());
            // -32640 and 32385, or 32640 and -32385.
            let (large, small) = if x > 0 { (-32_640.0, 32_385.0) } else { (32_640.0, -32_385.0) };
            let wanted = match aggregate {
                Aggregate::Max => f32::max(large, small),
                Aggregate::Min => f32::min(large, small),
                Aggregate::AbsMax => large,
                Aggregate::Mam => large + small,
                _ => continue,
            };
            let found = floats(&model.reference(&rows).expect("8-bit rows"));
            assert_eq!(found[0], wanted, "{aggregate:?}, x {x}");
        }
    }
}

/// Outputs whose connections are none, one, some or all, in one layer, with and without blocks.
#[test]
fn pruned_layers_of_uneven_outputs() {
    let rng = &mut Rng::new(4);
    let inputs = 67;
    for aggregate in AGGREGATES.into_iter().filter(|&a| a != Aggregate::Mean) {
        for splits in [1, 2, 5, 67] {
            let params = rng.pick(&zero_points());
            let mut weights = Vec::new();
            for n in 0..70 {
                let keep = [0, 1, 2, 30, 67][n % 5];
                let mut row = vec![0; inputs];
                row[..keep].fill_with(|| rng.i8().saturating_sub(1) | 1);
                row.rotate_right(rng.below(inputs));
                weights.extend(row);
            }
            let layer = MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, 70, inputs);
            let layer = layer.expect("as many as needed").splits(splits);
            let model = model_of(TensorType::int8(inputs, params), layer);
            let rows = mixed_batch(rng, &params, inputs, 20);
            check(&model, &rows, 7, format_args!("{aggregate:?}, {splits} splits"));
        }
    }
}

/// An output without connections is its bias; a weight of zero that is there competes.
#[test]
fn absent_connections_and_zero_weights_differ() {
    let params = QuantParams::new(Int8::I8, 1.0, 0).expect("valid");
    let weights = vec![0, -2, 0, 0, 0, 0];
    let layer = |pruned| match pruned {
        true => MaxProduct::pruned(Aggregate::Max, weights.clone(), WeightLayout::OutIn, 2, 3),
        false => MaxProduct::new(Aggregate::Max, weights.clone(), WeightLayout::OutIn, 2, 3),
    };
    for (pruned, wanted) in [(true, [-6.0, 7.0]), (false, [4.0, 7.0])] {
        let bias = signfold::layers::Bias::I32(vec![4, 7].into());
        let layer = layer(pruned).expect("as many as needed").bias(bias);
        let model = model_of(TensorType::int8(3, params), layer);
        let rows = Values::from(vec![9_i8, 5, 9]);
        check(&model, &rows, 1, format_args!("pruned: {pruned}"));
        assert_eq!(model.reference(&rows).expect("8-bit rows"), Values::from(wanted.to_vec()));
    }
}

/// A maximum of scaled products is the scaled maximum: with a scale for each output, requantized or
/// not, bit by bit.
#[test]
fn scales_of_outputs_commute_with_maxima() {
    let rng = &mut Rng::new(5);
    for case in 0..cases() {
        let (inputs, outputs) = (1 + rng.below(60), 1 + rng.below(20));
        let weights = rng.vec(inputs * outputs, Rng::i8);
        let scales = rng.vec(outputs, |rng| rng.float(1e-4, 0.1));
        let params = rng.pick(&zero_points());
        let to = common::random_params(rng);
        let rows = mixed_batch(rng, &params, inputs, 5);
        let (q, zx) = (integers(&rows), params.zero_point());
        for aggregate in [Aggregate::Max, Aggregate::Min, Aggregate::AbsMax] {
            let layer = |output| {
                MaxProduct::new(aggregate, weights.clone(), WeightLayout::OutIn, outputs, inputs)
                    .expect("as many as needed")
                    .weight_scales(scales.clone())
                    .output(output)
            };
            let input = TensorType::int8(inputs, params);
            let real = model_of(input, layer(DenseOutput::F32));
            let int8 = model_of(input, layer(DenseOutput::Int8(to, Rounding::Nearest)));
            let (mut reals, mut bytes) = (Vec::new(), Vec::new());
            for x in q.chunks(inputs) {
                for (w, &scale) in weights.chunks(inputs).zip(&scales) {
                    let products = || {
                        let each = x.iter().zip(w);
                        each.map(|(&x, &w)| ((x - zx) * i32::from(w)) as f32)
                    };
                    let join = |by: f32| {
                        let scaled = products().map(|p| p * by);
                        match aggregate {
                            Aggregate::Max => scaled.fold(f32::NEG_INFINITY, f32::max),
                            Aggregate::Min => scaled.fold(f32::INFINITY, f32::min),
                            _ => scaled.fold(0.0, |a, b| if b.abs() > f32::abs(a) { b } else { a }),
                        }
                    };
                    reals.push(join(params.scale() * scale) + 0.0);
                    let by = params.scale() * scale / to.scale();
                    let kind = to.kind();
                    let (min, max) = (kind.min() - to.zero_point(), kind.max() - to.zero_point());
                    let clamped = join(by).clamp(min as f32, max as f32);
                    bytes.push(clamped.round_ties_even() as i32 + to.zero_point());
                }
            }
            let found = floats(&real.reference(&rows).expect("8-bit rows"));
            // -0.0 and 0.0 are the same number.
            assert_eq!(found, reals, "case {case}, {aggregate:?}");
            let found = integers(&int8.reference(&rows).expect("8-bit rows"));
            assert_eq!(found, bytes, "case {case}, {aggregate:?}");
        }
    }
}

/// What an engine refuses, in the words of the reference, and naming the caller's row.
#[test]
fn nan_and_infinite_ranges_are_located() {
    for input in [DenseInput::PerRow, DenseInput::PerTensor] {
        for aggregate in AGGREGATES {
            let layer = MaxProduct::new(aggregate, vec![3; 20], WeightLayout::OutIn, 4, 5);
            let layer = layer.expect("as many as needed").input(input);
            let model = model_of(TensorType::f32(5), layer);
            for (row, bad) in [(0, f32::NAN), (9, f32::NAN), (7, f32::INFINITY)] {
                let mut rows = vec![0.5; 50];
                rows[row * 5 + 3] = bad;
                let rows = Values::from(rows);
                let wanted = model.reference(&rows).expect_err("it must be refused");
                for kernel in kernels::available() {
                    let engine = Engine::with_kernel(&model, kernel.name()).expect("available");
                    let capacity = if is_per_tensor(&model) { 10 } else { 4 };
                    let mut scratch = engine.scratch_for(capacity);
                    let error = run(&engine, &rows, &mut scratch).expect_err("it must be refused");
                    assert_eq!(error.kind(), ErrorKind::Input);
                    assert_eq!(error, wanted, "{aggregate:?}, {}", kernel.name());
                }
            }
        }
    }
}
