//! The products that kernels are measured on: single rows, small and large batches, and the shapes
//! that are awkward for tiles.

use std::hint::black_box;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use signfold::layers::Activation;
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, Model, TensorType, kernels};

use crate::common::{self, Rng};

/// M, K, N: rows, inputs, outputs. `record/run` measures the same ones, but for the last.
pub const SHAPES: [(usize, usize, usize); 11] = [
    (256, 4096, 4096),
    (256, 9216, 128),
    (1024, 784, 256),
    (64, 1024, 1024),
    (16, 784, 256),
    (200, 100, 50),
    (50_000, 784, 10),
    (1, 784, 256),
    (1, 9216, 128),
    (1, 4096, 4096),
    (1, 1024, 1024),
];

/// One dense layer from 8-bit rows to 8-bit rows.
pub fn dense(rng: &mut Rng, k: usize, n: usize) -> Model<'static> {
    let input = QuantParams::new(Int8::I8, 0.01, 0).expect("valid parameters");
    let dense = common::int8_dense(rng, n, k, Activation::Identity);
    let model = Model::builder("dense", TensorType::int8(k, input));
    model.layer(dense).build().expect("one layer fits itself")
}

/// Measures a model of 8-bit rows with each kernel, on one thread.
pub fn each_kernel(group: &mut BenchmarkGroup<'_, WallTime>, model: &Model<'_>, x: &[i8]) {
    let mut out = vec![0_i8; x.len() / model.input().width * model.output().width];
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).expect("it is available");
        let engine = engine.with_threads(1);
        let mut scratch = engine.scratch();
        group.bench_function(kernel.name(), |bencher| {
            bencher.iter(|| engine.run(black_box(x), &mut out, &mut scratch));
        });
    }
}
