//! Engines against [`Model::reference`], bit by bit, on every kernel; and what they refuse.

mod common;

use common::{
    Rng, assert_same, bits, cases, dynamic_mlp, int8_dense, is_per_tensor, mlp, random_input,
    random_model, run, slice,
};
use signfold::layers::{
    Activation, Argmax, Dense, DenseInput, Layer, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, ErrorKind, Model, TensorType, Values, WeightLayout, kernels};

/// Any model, any kernel, any number of rows, any size of scratch, in one piece and in two.
#[test]
fn random_models_equal_the_reference() {
    for seed in 0..cases() {
        let model = random_model(seed);
        // Not the numbers that made the model.
        let (width, rng) = (model.input().width, &mut Rng::new(!seed));
        let rows = match rng.below(6) {
            0 => 0,
            1 => 1,
            _ => rng.below(41),
        };
        let input = random_input(&model, rows, rng.next());
        let reference = model.reference(&input).expect("rows without NaN");
        let (split, capacity) = (rng.below(rows + 1), 1 + rng.below(9));
        for kernel in kernels::available() {
            let name = kernel.name();
            let what = format!("seed {seed}, {name}, {rows} rows: {model:?}");
            let engine = Engine::with_kernel(&model, name).expect("the kernel is available");
            assert_eq!((engine.input(), engine.output()), (model.input(), model.output()));
            let mut scratch = match is_per_tensor(&model) {
                true => engine.scratch_for(rows),
                false => engine.scratch_for(capacity),
            };
            let whole = run(&engine, &input, &mut scratch).expect("rows without NaN");
            assert_same(&bits(&whole), &bits(&reference), &what);
            if is_per_tensor(&model) {
                continue;
            }
            let mut scratch = engine.scratch();
            let mut parts = Vec::new();
            for (first, last) in [(0, split), (split, rows)] {
                let part = slice(&input, width, first, last);
                parts.extend(bits(&run(&engine, &part, &mut scratch).expect("rows without NaN")));
            }
            assert_same(&parts, &bits(&reference), format_args!("split at {split}, {what}"));
        }
    }
}

/// The networks that come with the crate. They are part of the test, for not every machine has files.
const SHIPPED: [(&str, &[u8]); 6] = [
    ("digits-absmax", include_bytes!("../models/digits-absmax.sfold")),
    ("digits-hardtanh", include_bytes!("../models/digits-hardtanh.sfold")),
    ("digits-mam", include_bytes!("../models/digits-mam.sfold")),
    ("digits-relu", include_bytes!("../models/digits-relu.sfold")),
    ("digits-softabsmax", include_bytes!("../models/digits-softabsmax.sfold")),
    ("regress-100-50-1", include_bytes!("../models/regress-100-50-1.sfold")),
];

#[test]
fn shipped_models_give_their_golden_rows() {
    for (name, file) in SHIPPED {
        let model = Model::read(file).unwrap_or_else(|e| panic!("{name}: {e}"));
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
            engine.self_check().unwrap_or_else(|e| panic!("{name}, {}: {e}", kernel.name()));
        }
    }
}

/// More rows than go through the steps together.
#[test]
fn batches_longer_than_a_chunk_equal_the_reference() {
    for model in [mlp(&[7, 9, 3]), dynamic_mlp(&[7, 9, 3], DenseInput::PerRow)] {
        let input = random_input(&model, 2500, 1);
        let reference = bits(&model.reference(&input).expect("rows without NaN"));
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
            let output = run(&engine, &input, &mut engine.scratch()).expect("rows without NaN");
            assert_same(
                &bits(&output),
                &reference,
                format_args!("{}, {}", model.name(), kernel.name()),
            );
        }
    }
}

/// Widths around the borders of panels and vectors, in and between layers.
#[test]
fn odd_widths_equal_the_reference() {
    for widths in [[1, 1, 1], [3, 17, 33], [64, 63, 65], [5, 31, 1], [1, 16, 15], [130, 48, 47]] {
        for model in [mlp(&widths), dynamic_mlp(&widths, DenseInput::PerRow)] {
            let input = random_input(&model, 13, 2);
            let reference = bits(&model.reference(&input).expect("rows without NaN"));
            for kernel in kernels::available() {
                let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
                let output = run(&engine, &input, &mut engine.scratch()).expect("no NaN");
                assert_same(
                    &bits(&output),
                    &reference,
                    format_args!("{widths:?}, {}", kernel.name()),
                );
            }
        }
    }
}

/// Infinities clamp where the scale is fixed.
#[test]
fn infinities_clamp_in_static_models() {
    let model = mlp(&[5, 4, 3]);
    let mut rows = vec![0.5; 40];
    (rows[3], rows[11], rows[12]) = (f32::INFINITY, f32::NEG_INFINITY, f32::MAX);
    let input = Values::from(rows);
    let reference = bits(&model.reference(&input).expect("no NaN"));
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
        let output = run(&engine, &input, &mut engine.scratch()).expect("no NaN");
        assert_same(&bits(&output), &reference, kernel.name());
    }
}

/// What an engine and the reference both refuse, and in the same words.
fn refused(model: &Model<'_>, input: &Values<'_>) -> String {
    let reference = model.reference(input).expect_err("the reference refuses it, too");
    let mut message = None;
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
        let rows = input.len() / model.input().width;
        for capacity in [rows, 2] {
            if is_per_tensor(model) && capacity < rows {
                continue;
            }
            let mut scratch = engine.scratch_for(capacity);
            let error = run(&engine, input, &mut scratch).expect_err("it must be refused");
            assert_eq!(error.kind(), ErrorKind::Input, "{}", kernel.name());
            assert_eq!(error, reference, "{}, capacity {capacity}", kernel.name());
            message = Some(error.to_string());
        }
    }
    message.expect("a kernel is always available")
}

#[test]
fn nan_is_refused_and_located() {
    let models = [
        mlp(&[5, 4, 3]),
        dynamic_mlp(&[5, 4, 3], DenseInput::PerRow),
        dynamic_mlp(&[5, 4, 3], DenseInput::PerTensor),
    ];
    for model in models {
        for (row, column) in [(0, 0), (2, 4), (9, 1)] {
            let mut rows = vec![0.5; 50];
            rows[row * 5 + column] = f32::NAN;
            let message = refused(&model, &Values::from(rows));
            assert_eq!(message, format!("row {row}, column {column} is NaN"));
        }
        // Of two, the first.
        let mut rows = vec![0.5; 50];
        (rows[5 * 8], rows[5 * 4 + 2]) = (f32::NAN, -f32::NAN);
        assert_eq!(refused(&model, &Values::from(rows)), "row 4, column 2 is NaN");
    }
}

#[test]
fn infinite_ranges_are_refused_where_they_set_the_scale() {
    for (x, y) in [(f32::INFINITY, 0.0), (f32::NEG_INFINITY, 0.0), (f32::MAX, f32::MIN)] {
        let mut rows = vec![0.5; 50];
        (rows[5 * 6 + 1], rows[5 * 6 + 3]) = (x, y);
        let rows = Values::from(rows);
        let (min, max) = (x.min(y), x.max(y).max(0.5));
        let says = format!("values from {min} to {max} have no finite range");
        let message = refused(&dynamic_mlp(&[5, 4, 3], DenseInput::PerRow), &rows);
        assert_eq!(message, format!("row 6: {says}"));
        // The range is the batch's: no row is to blame.
        let message = refused(&dynamic_mlp(&[5, 4, 3], DenseInput::PerTensor), &rows);
        assert_eq!(message, format!("batch: {says}"));
    }
}

#[test]
fn the_range_of_a_batch_starts_with_the_first_of_two_zeros() {
    for (first, second, shown) in [(0.0, -0.0, "0"), (-0.0, 0.0, "-0")] {
        let rows = vec![first, 1.0, 1.0, 1.0, 1.0, second, f32::INFINITY, 1.0, 1.0, 1.0];
        let model = dynamic_mlp(&[5, 4, 3], DenseInput::PerTensor);
        let message = refused(&model, &Values::from(rows));
        assert_eq!(message, format!("batch: values from {shown} to inf have no finite range"));
    }
}

/// A batch with one scale has no row that comes first; of its two faults, a NaN has a place.
#[test]
fn a_nan_is_named_before_an_infinite_range() {
    let mut rows = vec![0.5; 50];
    (rows[3], rows[5 * 7 + 2]) = (f32::INFINITY, f32::NAN);
    let rows = Values::from(rows);
    let message = refused(&dynamic_mlp(&[5, 4, 3], DenseInput::PerTensor), &rows);
    assert_eq!(message, "row 7, column 2 is NaN");
    let message = refused(&dynamic_mlp(&[5, 4, 3], DenseInput::PerRow), &rows);
    assert!(message.starts_with("row 0: "), "{message}");
}

/// Layers that do not quantize take any NaN, and give the same bits for all of them.
#[test]
fn nan_passes_through_layers_that_do_not_quantize() {
    const NAN: u32 = 0x7FC0_0000;
    let pointwise = |activation| Layer::from(Pointwise { activation, output: None });
    let one = 1.0_f32.to_bits();
    for nan in [0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0xFFFF_FFFF].map(f32::from_bits) {
        let rows = Values::from(vec![1.0, nan, 1.0, 0.25]);
        for (layer, wanted) in [
            (pointwise(Activation::Identity), vec![one, NAN, one, 0.25_f32.to_bits()]),
            (pointwise(Activation::Relu), vec![one, 0, one, 0.25_f32.to_bits()]),
            (pointwise(Activation::LeakyRelu { alpha: 0.5 }), vec![one, NAN, one, 0x3E80_0000]),
            (Softmax.into(), vec![NAN; 4]),
            (Argmax.into(), vec![0]),
        ] {
            let model = Model::builder("", TensorType::f32(4)).layer(layer).build();
            let model = model.expect("one layer fits itself");
            assert_eq!(bits(&model.reference(&rows).expect("nothing is quantized")), wanted);
            for kernel in kernels::available() {
                let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
                let output = run(&engine, &rows, &mut engine.scratch()).expect("none here, too");
                assert_same(&bits(&output), &wanted, format_args!("{:?}", model.layers().next()));
            }
        }
    }
}

/// The error of a run that must fail.
fn error(engine: &Engine, input: &Values<'_>, output: &mut [f32]) -> String {
    let error = engine.run(input.clone(), output, &mut engine.scratch()).expect_err("must fail");
    assert_eq!(error.kind(), ErrorKind::Input);
    error.to_string()
}

#[test]
fn wrong_types_and_lengths_are_refused() {
    let engine = Engine::new(&mlp(&[5, 4, 3])).expect("a valid model");
    let rows = |len: usize| Values::from(vec![0.5_f32; len]);
    let bytes = Values::from(vec![1_i8; 10]);
    for (input, outputs, words) in [
        (bytes, 6, ["input", "i8", "f32"]),
        (rows(11), 6, ["input", "11", "5"]),
        (rows(10), 7, ["output", "7", "3"]),
        (rows(10), 9, ["2 input rows", "3", "output rows"]),
        (rows(0), 3, ["0 input rows", "1", "output rows"]),
    ] {
        let message = error(&engine, &input, &mut vec![0.0; outputs]);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let mut out = [0_u8; 6];
    let error = engine.run(rows(10), &mut out, &mut engine.scratch()).expect_err("must fail");
    assert!(error.to_string().contains("output") && error.to_string().contains("u8"), "{error}");
}

#[test]
fn no_rows_are_fine() {
    for model in [mlp(&[5, 4, 3]), dynamic_mlp(&[5, 4, 3], DenseInput::PerTensor)] {
        let engine = Engine::new(&model).expect("a valid model");
        let (input, mut output): ([f32; 0], [f32; 0]) = ([], []);
        engine.run(&input, &mut output, &mut engine.scratch()).expect("nothing to do");
    }
}

#[test]
fn a_scratch_may_come_from_another_engine_if_it_is_large_enough() {
    let [small, large] = [[8, 8, 8, 3], [8, 700, 700, 3]].map(|widths| mlp(&widths));
    let input = random_input(&small, 30, 3);
    let [small, large] = [small, large].map(|m| (Engine::new(&m).expect("a valid model"), m));
    // Many rows of the small one are a few of the large one; one row is less than one.
    for (engine, model) in [&small, &large] {
        let reference = bits(&model.reference(&input).expect("no NaN"));
        for mut scratch in [small.0.scratch_for(100), large.0.scratch_for(2)] {
            let output = run(engine, &input, &mut scratch).expect("a row fits");
            assert_same(&bits(&output), &reference, "a scratch of another engine");
        }
    }
    let error = run(&large.0, &input, &mut small.0.scratch_for(1)).expect_err("no row fits");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("scratch"), "{error}");
}

#[test]
fn a_batch_per_tensor_must_fit_its_scratch() {
    let model = dynamic_mlp(&[6, 5, 4], DenseInput::PerTensor);
    let engine = Engine::new(&model).expect("a valid model");
    let input = random_input(&model, 9, 4);
    let reference = bits(&model.reference(&input).expect("no NaN"));
    for rows in [9, 10, 100] {
        let output = run(&engine, &input, &mut engine.scratch_for(rows)).expect("they fit");
        assert_same(&bits(&output), &reference, format_args!("scratch for {rows}"));
    }
    let error = run(&engine, &input, &mut engine.scratch_for(8)).expect_err("9 are too many");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("9 rows"), "{error}");
}

#[test]
fn unknown_kernels_are_refused_with_a_list_of_the_known() {
    let model = mlp(&[5, 4, 3]);
    let error = Engine::with_kernel(&model, "x86_64-mmx").expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Kernel);
    let message = error.to_string();
    assert!(message.contains("x86_64-mmx") && message.contains("portable"), "{message}");
}

/// Sums as large as validation lets them be: 255 * 128 * 65,793 = i32::MAX - 127.
#[test]
fn sums_at_the_limit_pass_through_whole_models() {
    let input = TensorType::int8(65_793, QuantParams::new(Int8::U8, 1.0, 0).expect("valid"));
    let dense = |w: i8| {
        let weights = vec![w; 65_793];
        Dense::new(weights, WeightLayout::OutIn, 1, 65_793).expect("as many as there must be")
    };
    let model = Model::builder("limit", input).layer(dense(-128)).build().expect("sums fit");
    let rows = Values::from(vec![255_u8; 65_793]);
    let reference = model.reference(&rows).expect("8-bit rows");
    assert_eq!(reference, Values::from(vec![-(65_793.0 * 32_640.0_f32)]));
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
        let output = run(&engine, &rows, &mut engine.scratch()).expect("8-bit rows");
        assert_same(&bits(&output), &bits(&reference), kernel.name());
    }
}

#[test]
fn sums_that_could_leave_i32_are_refused_when_the_model_is_made() {
    let build = |width: usize| {
        let input = TensorType::int8(width, QuantParams::new(Int8::U8, 1.0, 0).expect("valid"));
        let mut weights = vec![1; 2 * width];
        weights[width..].fill(-128);
        let dense = Dense::new(weights, WeightLayout::OutIn, 2, width).expect("as many as needed");
        Model::builder("too wide", input).layer(dense).build()
    };
    build(65_793).expect("the largest that fits");
    let error = build(65_794).expect_err("one more product does not fit");
    assert_eq!(error.kind(), ErrorKind::Model);
    let message = error.to_string();
    assert!(message.contains("layer 0 (dense)") && message.contains("channel 1"), "{message}");
}

/// By each number of rows up to beyond two tiles, through wide layers and a narrow one.
#[test]
fn each_small_batch_equals_the_reference() {
    let rng = &mut Rng::new(11);
    let params = QuantParams::new(Int8::U8, 0.02, 17).expect("valid parameters");
    let model = Model::builder("batches", TensorType::f32(19))
        .layer(Quantize { output: params })
        .layer(int8_dense(rng, 37, 19, Activation::Relu))
        .layer(int8_dense(rng, 2, 37, Activation::Relu6))
        .layer(int8_dense(rng, 33, 2, Activation::Identity))
        .build()
        .expect("the layers fit each other");
    let input = random_input(&model, 27, rng.next());
    let reference = bits(&model.reference(&input).expect("no NaN"));
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
        let mut scratch = engine.scratch();
        for rows in 0..=27 {
            let output = run(&engine, &slice(&input, 19, 0, rows), &mut scratch).expect("no NaN");
            assert_same(
                &bits(&output),
                &reference[..33 * rows],
                format_args!("{}, {rows} rows", kernel.name()),
            );
        }
    }
}
