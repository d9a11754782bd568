//! Threads change no bit: neither how many an engine uses, nor how many use an engine.

#![cfg(feature = "rayon")]

mod common;

use common::{
    AGGREGATES, Rng, assert_same, bits, cases, dynamic_mlp, is_per_tensor, mlp, random_input,
    random_max_product, run, slice,
};
use signfold::layers::DenseInput;
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, Model, Scratch, TensorType, Values};

const fn assert_send_and_sync<T: Send + Sync>() {}

const _: () = {
    assert_send_and_sync::<Engine>();
    assert_send_and_sync::<Model<'static>>();
    assert_send_and_sync::<Scratch>();
    assert_send_and_sync::<Values<'static>>();
};

const WIDTHS: [usize; 3] = [1000, 500, 63];

/// The most threads that a test asks for: fewer on a slow machine, as each needs millions of
/// products or it is not used.
fn most_threads() -> usize {
    if cases() < 200 { 3 } else { 8 }
}

/// Enough rows for all these threads, with any kernel: 12 million products are the work of one with
/// the widest vectors.
fn row_count() -> usize {
    24 * most_threads() + 5
}

fn large_models() -> [Model<'static>; 2] {
    [mlp(&WIDTHS), dynamic_mlp(&WIDTHS, DenseInput::PerRow)]
}

/// The bits of one thread, of which the first and the last rows are held to the reference.
fn expected(model: &Model<'_>, input: &Values<'_>) -> Vec<u32> {
    let engine = Engine::new(model).expect("a valid model").with_threads(1);
    assert!(engine.products() * row_count() > most_threads() * 12_600_000, "too little work");
    let output = bits(&run(&engine, input, &mut engine.scratch()).expect("no NaN"));
    let width = model.output().width;
    for row in [0, row_count() - 1] {
        let alone = slice(input, model.input().width, row, row + 1);
        let alone = bits(&model.reference(&alone).expect("no NaN"));
        assert_same(&output[row * width..][..width], &alone, format_args!("row {row}"));
    }
    output
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for model in large_models() {
        let input = random_input(&model, row_count(), 1);
        let expected = expected(&model, &input);
        for threads in 0..=most_threads() {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            assert_eq!(engine.threads(), threads.max(1));
            let output = run(&engine, &input, &mut engine.scratch()).expect("no NaN");
            assert_same(
                &bits(&output),
                &expected,
                format_args!("{}, {threads} threads", model.name()),
            );
            // Chunks of a few rows in each thread.
            let output = run(&engine, &input, &mut engine.scratch_for(5)).expect("no NaN");
            assert_same(
                &bits(&output),
                &expected,
                format_args!("{}, {threads} threads, chunks", model.name()),
            );
        }
    }
}

#[test]
fn pools_of_the_caller_give_the_same_bits() {
    let [model, _] = large_models();
    let input = random_input(&model, row_count(), 1);
    let expected = expected(&model, &input);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let engine = Engine::new(&model).expect("a valid model");
            assert_eq!(engine.threads(), threads, "an engine made in a pool uses all of it");
            let output = run(&engine, &input, &mut engine.scratch()).expect("no NaN");
            assert_same(&bits(&output), &expected, format_args!("a pool of {threads}"));
            let more = engine.with_threads(most_threads());
            let output = run(&more, &input, &mut more.scratch()).expect("no NaN");
            assert_same(
                &bits(&output),
                &expected,
                format_args!("more parts than the {threads} threads of a pool"),
            );
        });
    }
}

/// Few rows: each thread computes some of the outputs. The layers differ in how many panels they
/// have, and the last one, of few outputs, has one.
#[test]
fn few_rows_on_any_number_of_threads_give_the_same_bits() {
    let widths = [700, 9000, 900, 9];
    for model in [mlp(&widths), dynamic_mlp(&widths, DenseInput::PerTensor)] {
        let one = Engine::new(&model).expect("a valid model").with_threads(1);
        for rows in [1, 2, 3, 7] {
            let input = random_input(&model, rows, rows as u64);
            let expected = bits(&run(&one, &input, &mut one.scratch_for(rows)).expect("no NaN"));
            for threads in 2..=most_threads() {
                let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
                let output = run(&engine, &input, &mut engine.scratch_for(rows)).expect("no NaN");
                assert_same(&bits(&output), &expected, format_args!("{rows} rows, {threads}"));
            }
        }
    }
}

/// A max-product layer and one that takes what it gives.
fn max_models(inputs: usize, outputs: usize) -> impl Iterator<Item = Model<'static>> {
    let params = QuantParams::new(Int8::I8, 0.02, -5).expect("valid");
    let types = [TensorType::int8(inputs, params), TensorType::f32(inputs)];
    AGGREGATES.into_iter().flat_map(move |aggregate| {
        types.into_iter().map(move |input| {
            let rng = &mut Rng::new(u64::from(input == types[0]));
            let layer = random_max_product(rng, &input, aggregate, outputs);
            Model::builder(aggregate.name(), input).layer(layer).build().expect("it fits")
        })
    })
}

/// Many rows, and few rows of many outputs.
#[test]
fn threads_change_no_maximum() {
    let scale = if cases() < 200 { 4 } else { 1 };
    for (inputs, outputs, rows) in
        [(150, 77, 400 / scale), (150, 9000 / scale, 1), (257, 3001 / scale, 3)]
    {
        for model in max_models(inputs, outputs) {
            let input = random_input(&model, rows, 1);
            let reference = bits(&model.reference(&input).expect("no NaN"));
            for threads in [1, 2, 3, most_threads()] {
                let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
                for capacity in [rows, 5] {
                    if capacity < rows && is_per_tensor(&model) {
                        continue;
                    }
                    let mut scratch = engine.scratch_for(capacity);
                    let output = run(&engine, &input, &mut scratch).expect("no NaN");
                    let what = format!("{}, {rows} rows, {threads} threads", model.name());
                    assert_same(&bits(&output), &reference, what);
                }
            }
        }
    }
}

/// The first row is named, whichever thread meets its NaN first.
#[test]
fn errors_do_not_depend_on_threads() {
    let [model, _] = large_models();
    let Values::F32(mut values) = random_input(&model, row_count(), 1) else {
        unreachable!("its input is f32")
    };
    for row in [row_count() - 1, 30, 19] {
        values.to_mut()[row * 1000 + 3] = f32::NAN;
        for threads in [1, 3, most_threads()] {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            let input = Values::from(&values[..]);
            let error = run(&engine, &input, &mut engine.scratch()).expect_err("a NaN");
            assert_eq!(error.to_string(), format!("row {row}, column 3 is NaN"));
        }
    }
}

/// A batch with one scale must stay together, whatever scratch it is given; its outputs may not.
#[test]
fn a_batch_per_tensor_is_never_split() {
    let model = dynamic_mlp(&WIDTHS, DenseInput::PerTensor);
    let [_, per_row] = large_models().map(|model| Engine::new(&model).expect("a valid model"));
    let engine = Engine::new(&model).expect("a valid model").with_threads(most_threads());
    let input = random_input(&model, row_count(), 1);
    let own = run(&engine, &input, &mut engine.scratch_for(row_count())).expect("no NaN");
    let mut foreign = per_row.with_threads(most_threads()).scratch_for(row_count());
    let output = run(&engine, &input, &mut foreign).expect("no NaN");
    assert_same(&bits(&output), &bits(&own), "the scratch of an engine that splits batches");
}

#[test]
fn many_threads_may_share_an_engine() {
    for model in [mlp(&[20, 30, 7]), dynamic_mlp(&[20, 30, 7], DenseInput::PerTensor)] {
        let engine = Engine::new(&model).expect("a valid model");
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let (engine, model) = (&engine, &model);
                scope.spawn(move || {
                    let mut scratch = engine.scratch();
                    let input = random_input(model, 3 + seed as usize, seed);
                    let reference = bits(&model.reference(&input).expect("no NaN"));
                    for _ in 0..20 {
                        let output = run(engine, &input, &mut scratch).expect("no NaN");
                        assert_same(
                            &bits(&output),
                            &reference,
                            format_args!("{}, seed {seed}", model.name()),
                        );
                    }
                });
            }
        });
    }
}

/// A million runs of one engine by 64 threads at once, each batch with an answer of its own.
#[test]
fn one_engine_for_64_threads_and_a_million_runs() {
    const THREADS: usize = 64;
    let runs = if cases() < 200 { 20_000 } else { 1_000_000 };
    let model = mlp(&[12, 16, 5]);
    let engine = Engine::new(&model).expect("a valid model").with_threads(2);
    let batches: Vec<_> = (0..THREADS as u64)
        .map(|seed| {
            let input = random_input(&model, 1 + seed as usize % 3, seed);
            let expected = model.reference(&input).expect("no NaN");
            (input, bits(&expected))
        })
        .collect();
    let start = std::sync::Barrier::new(THREADS);
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, batches, start, done) = (&engine, &batches, &start, &done);
            scope.spawn(move || {
                let mut scratch = engine.scratch();
                start.wait();
                // Neighbours run other batches at the same time.
                for i in 0..runs / THREADS {
                    let (input, expected) = &batches[(thread + i) % THREADS];
                    let output = run(engine, input, &mut scratch).expect("no NaN");
                    assert_same(&bits(&output), expected, format_args!("thread {thread}, run {i}"));
                }
                done.fetch_add(runs / THREADS, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.into_inner(), runs / THREADS * THREADS);
}
