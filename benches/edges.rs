//! The pieces of a network outside of products, each as a network of one layer: every kernel, on
//! one thread, beside the layer's definition as a plain loop.
//!
//! ```text
//! cargo bench -p signfold-benches --bench edges                    all
//! cargo bench -p signfold-benches --bench edges -- softmax/784     one piece on one length
//! ```
//! Throughput is in elements. A batch has 16 rows.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::Rng;
use criterion::{Criterion, Throughput};
use signfold::layers::{
    Activation, Argmax, Dense, DenseInput, Dequantize, Layer, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, dynamic_params};
use signfold::{Engine, Model, Output, TensorType, Values, WeightLayout, kernels};

const LENGTHS: [usize; 3] = [10, 100, 784];
const ROWS: usize = 16;

/// One layer on rows of one type. `scalar` is its definition, for one row.
fn piece<I, O: Clone + Default>(
    criterion: &mut Criterion,
    name: &'static str,
    (input_type, input): (TensorType, &[I]),
    layer: impl Into<Layer<'static>>,
    scalar: impl Fn(&[I], &mut [O]),
) where
    for<'a> &'a [I]: Into<Values<'a>>,
    for<'a> &'a mut [O]: Into<Output<'a>>,
{
    let model = Model::builder(name, input_type).layer(layer);
    let model = model.build().expect("the layer takes such rows");
    let (width, out_width) = (input_type.width, model.output().width);
    let mut out = vec![O::default(); ROWS * out_width];
    let mut group = criterion.benchmark_group(format!("{name}/{width}"));
    group.throughput(Throughput::Elements(input.len() as u64));
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
        let engine = engine.with_threads(1);
        let mut scratch = engine.scratch();
        group.bench_function(kernel.name(), |bencher| {
            bencher.iter(|| engine.run(black_box(input), &mut out[..], &mut scratch));
        });
    }
    group.bench_function("scalar", |bencher| {
        bencher.iter(|| {
            let rows = black_box(input).chunks_exact(width);
            for (row, out) in rows.zip(out.chunks_exact_mut(out_width)) {
                scalar(row, out);
            }
            black_box(&mut out);
        });
    });
}

/// Computes each element from the one in its place.
fn each<I: Copy, O>(of: impl Fn(I) -> O) -> impl Fn(&[I], &mut [O]) {
    move |row, out| {
        for (&x, out) in row.iter().zip(out) {
            *out = of(x);
        }
    }
}

/// The first of the largest elements.
fn position<T: PartialOrd>(row: &[T]) -> u32 {
    let mut best = 0;
    for (i, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = i;
        }
    }
    best as u32
}

fn range(row: &[f32]) -> (f32, f32) {
    row.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &x| {
        (if x < min { x } else { min }, if x > max { x } else { max })
    })
}

fn softmax(row: &[f32], out: &mut [f32]) {
    let (_, max) = range(row);
    let mut sums = [0.0; 8];
    for (i, (&x, out)) in row.iter().zip(&mut *out).enumerate() {
        *out = libm::expf(x - max);
        sums[i % 8] += *out;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum: f32 = ((a + e) + (c + g)) + ((b + f) + (d + h));
    for out in out {
        *out /= sum;
    }
}

fn quantizing(criterion: &mut Criterion, width: usize, reals: &[f32]) {
    for (name, scale) in [("quantize", 0.0471), ("quantize by a power of two", 1.0 / 32.0)] {
        let output = QuantParams::new(Int8::I8, scale, 3).expect("valid parameters");
        let scalar = each(move |x| output.quantize(x) as i8);
        piece(criterion, name, (TensorType::f32(width), reals), Quantize { output }, scalar);
    }
    // The one output that such a layer must have costs a row of products.
    let dense = Dense::new(vec![1; width], WeightLayout::OutIn, 1, width)
        .expect("as many weights as there must be")
        .input(DenseInput::PerRow);
    let scalar = |row: &[f32], out: &mut [f32]| {
        let (min, max) = range(row);
        let (scale, zero_point) = dynamic_params(min, max).expect("a finite range");
        let params = QuantParams::new(Int8::U8, scale, zero_point).expect("valid parameters");
        let sum: i32 = row.iter().map(|&x| params.quantize(x) - zero_point).sum();
        out[0] = sum as f32 * scale;
    };
    let name = "find a range, quantize, add up";
    piece(criterion, name, (TensorType::f32(width), reals), dense, scalar);
}

fn on_reals(criterion: &mut Criterion, width: usize, reals: &[f32]) {
    let input = (TensorType::f32(width), reals);
    piece(criterion, "softmax", input, Softmax, softmax);
    piece(criterion, "argmax of reals", input, Argmax, |row: &[f32], out: &mut [u32]| {
        out[0] = position(row);
    });
    for (name, activation) in [
        ("identity", Activation::Identity),
        ("relu6", Activation::Relu6),
        ("leaky relu", Activation::LeakyRelu { alpha: 0.1 }),
    ] {
        let layer = Pointwise { activation, output: None };
        piece(criterion, name, input, layer, each(move |x| activation.apply(x)));
    }
}

fn on_bytes(criterion: &mut Criterion, width: usize, bytes: &[i8]) {
    let params = QuantParams::new(Int8::I8, 0.0471, 3).expect("valid parameters");
    let input = (TensorType::int8(width, params), bytes);
    let scalar = each(move |q: i8| params.dequantize(q.into()));
    piece(criterion, "dequantize", input, Dequantize, scalar);
    piece(criterion, "argmax of bytes", input, Argmax, |row: &[i8], out: &mut [u32]| {
        out[0] = position(row);
    });
    let activation = Activation::Tanh;
    let of = |q: i8| params.quantize(activation.apply(params.dequantize(q.into()))) as i8;
    let table: [i8; 256] = std::array::from_fn(|byte| of(byte as u8 as i8));
    let layer = Pointwise { activation, output: Some(params) };
    piece(criterion, "table", input, layer, each(move |q: i8| table[usize::from(q as u8)]));
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    for width in LENGTHS {
        let rng = &mut Rng::new(1);
        let reals = rng.vec(ROWS * width, |rng| rng.float(-7.0, 7.0));
        let bytes = rng.vec(ROWS * width, |rng| rng.next() as i8);
        quantizing(&mut criterion, width, &reals);
        on_reals(&mut criterion, width, &reals);
        on_bytes(&mut criterion, width, &bytes);
    }
    criterion.final_summary();
}
