//! Running a model allocates nothing, from the first run on.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{
    AGGREGATES, Rng, dynamic_mlp, int8_dense, is_per_tensor, mlp, random_affine,
    random_float_dense, random_float_max, random_input, random_layer_norm,
};
use signfold::layers::{
    Activation, Aggregate, Argmax, Combine, CombineOp, Concat, Dense, DenseInput, DenseOutput,
    Dequantize, Layer, LogSoftmax, Lookup, MaxProduct, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, TensorId, TensorType, Values, WeightLayout, kernels};

struct Counting;

thread_local! {
    /// Calls of this thread only: the test harness has threads of its own.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` calls the allocator.
fn calls(work: impl FnOnce()) -> usize {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

/// All kinds of layers, some twice: on 8-bit and on real rows.
fn every_layer() -> Model<'static> {
    let params = QuantParams::new(Int8::U8, 0.02, 9).expect("valid parameters");
    let pointwise = |output| Pointwise { activation: Activation::Gelu, output };
    let dynamic = Dense::new(vec![3; 12 * 21], WeightLayout::OutIn, 12, 21)
        .expect("as many weights as there must be")
        .weight_scales(vec![0.01])
        .weight_zero_points(vec![1])
        .input(DenseInput::PerRow);
    Model::builder("every layer", TensorType::f32(13))
        .layer(Quantize { output: params })
        .layer(int8_dense(&mut Rng::new(1), 21, 13, Activation::Relu))
        .layer(pointwise(Some(params)))
        .layer(Dequantize)
        .layer(pointwise(None))
        .layer(dynamic)
        .layer(Softmax)
        .layer(Argmax)
        .build()
        .expect("the layers fit each other")
}

/// Max-product layers of every aggregate: on 8-bit rows and quantizing on arrival, pruned and in
/// blocks where that is possible.
fn max_layers(input: DenseInput) -> Model<'static> {
    let rng = &mut Rng::new(2);
    let params = QuantParams::new(Int8::I8, 0.02, 9).expect("valid parameters");
    let mut model = Model::builder("max layers", TensorType::f32(13));
    for aggregate in AGGREGATES {
        let weights = rng.vec(13 * 13, Rng::i8);
        let layer = |of: Vec<i8>| MaxProduct::new(aggregate, of, WeightLayout::OutIn, 13, 13);
        let layer = layer(weights.clone()).expect("as many weights as there must be");
        let layer = layer.weight_scales(vec![0.002]);
        let output = DenseOutput::Int8(params, Rounding::Nearest);
        model = model.layer(layer.clone().input(input)).layer(Quantize { output: params });
        model = model.layer(layer.output(output));
        if aggregate != Aggregate::Mean {
            let kept = weights.iter().map(|w| w & !1).collect::<Vec<i8>>();
            let pruned = MaxProduct::pruned(aggregate, kept, WeightLayout::OutIn, 13, 13);
            let pruned = pruned.expect("as many weights as there must be").splits(3);
            model = model.layer(pruned.weight_scales(vec![0.002]).output(output));
        }
        model = model.layer(Dequantize);
    }
    model.build().expect("the layers fit each other")
}

/// Branches that meet, of real rows and of 8-bit ones, and every rule.
fn graph() -> Model<'static> {
    let params = QuantParams::new(Int8::I8, 0.02, 9).expect("valid parameters");
    let mut graph = Model::graph("graph");
    let x = graph.input("", TensorType::f32(13)).expect("sound");
    let mut layer = |layer: Layer<'static>, of: &[TensorId]| {
        graph.layer("", layer, of).expect("the layers fit each other")
    };
    let x = layer(Quantize { output: params }.into(), &[x]);
    let mut at = x;
    for rule in Rounding::ALL {
        let dense = int8_dense(&mut Rng::new(1), 13, 13, Activation::Relu);
        let y = layer(dense.output(DenseOutput::Int8(params, rule)).into(), &[at]);
        let output = Some((params, Rounding::TfLite));
        let add = Combine { op: CombineOp::Add, activation: Activation::Relu, output };
        at = layer(add.into(), &[y, x]);
    }
    let both = layer(Concat { inputs: 2, output: Some(params) }.into(), &[at, x]);
    let lookup = Lookup::new((-128..=127).rev().collect::<Vec<i8>>(), params);
    let looked = layer(lookup.expect("256 entries").into(), &[both]);
    let [a, b] = [both, looked].map(|id| layer(Dequantize.into(), &[id]));
    let mul = Combine { op: CombineOp::Mul, activation: Activation::Relu6, output: None };
    let product = layer(mul.into(), &[a, b]);
    let output = layer(Concat { inputs: 2, output: None }.into(), &[product, a]);
    graph.output(output);
    graph.build().expect("a sound graph")
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls(|| drop(std::hint::black_box(vec![1_u8; 10]))), 2);
}

#[test]
fn running_allocates_nothing() {
    check(&[
        mlp(&[13, 21, 5]),
        mlp(&[64, 64, 10]),
        dynamic_mlp(&[13, 21, 5], DenseInput::PerRow),
        dynamic_mlp(&[13, 21, 5], DenseInput::PerTensor),
        every_layer(),
        graph(),
    ]);
}

#[test]
fn running_max_layers_allocates_nothing() {
    check(&[max_layers(DenseInput::PerRow), max_layers(DenseInput::PerTensor)]);
}

#[test]
fn running_float_layers_allocates_nothing() {
    let rng = &mut Rng::new(3);
    let mut model = Model::builder("float layers", TensorType::f32(13))
        .layer(random_float_dense(rng, 13, 13))
        .layer(random_affine(rng, 13))
        .layer(random_layer_norm(rng, 13))
        .layer(LogSoftmax);
    for aggregate in AGGREGATES {
        model = model.layer(random_float_max(rng, aggregate, 13, 13));
    }
    check(&[model.build().expect("the layers fit each other")]);
}

fn check(models: &[Model<'_>]) {
    for model in models {
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
            let engine = engine.with_threads(1);
            // One row, many, none, and more than go through the steps together.
            for (rows, capacity) in [(1, 1), (100, 100), (0, 100), (100, 7)] {
                let per_tensor = is_per_tensor(model);
                let capacity = if per_tensor { capacity.max(rows) } else { capacity };
                let mut scratch = engine.scratch_for(capacity);
                let input = random_input(model, rows, 1);
                let Values::F32(input) = input else { unreachable!("all inputs are f32") };
                let len = rows * model.output().width;
                let (mut floats, mut indices) = (vec![0.0_f32; len], vec![0_u32; len]);
                let mut result = Ok(());
                let count = calls(|| {
                    result = match model.output().element.name() {
                        "f32" => engine.run(&input[..], &mut floats, &mut scratch),
                        _ => engine.run(&input[..], &mut indices, &mut scratch),
                    };
                });
                result.expect("no NaN");
                assert_eq!(count, 0, "{}, {}, {rows} rows", model.name(), kernel.name());
            }
        }
    }
}

/// A request of a row should not pay for threads that it does not use.
#[test]
fn a_single_row_allocates_nothing_with_threads() {
    let model = mlp(&[64, 64, 10]);
    let engine = Engine::new(&model).expect("a valid model").with_threads(4);
    let mut scratch = engine.scratch();
    let (input, mut output) = ([0.25_f32; 64], [0.0_f32; 10]);
    let mut result = Ok(());
    assert_eq!(calls(|| result = engine.run(&input, &mut output, &mut scratch)), 0);
    result.expect("no NaN");
}
