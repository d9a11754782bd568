//! From the bytes of a model file of about 250 KB to an engine that can run, and the packing of large
//! weights. Throughput is in bytes of the file, and of the weights.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use signfold::{Engine, Model};

/// A cache line, aligned like packed weights.
#[derive(Clone)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "it is only copied")] [u8; 64]);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let model = common::mlp(&[784, 256, 128, 64, 10]);
    let bytes = model.write();
    println!("a model file of {} bytes", bytes.len());
    let mut group = criterion.benchmark_group("load");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("write", |bencher| bencher.iter(|| model.write()));
    group.bench_function("read", |bencher| bencher.iter(|| Model::read(black_box(&bytes))));
    group.bench_function("compile", |bencher| bencher.iter(|| Engine::new(&model)));
    group.bench_function("read and compile", |bencher| {
        bencher.iter(|| {
            let model = Model::read(black_box(&bytes)).expect("it was just written");
            Engine::new(&model).expect("a valid model")
        });
    });
    group.finish();

    // Large weights: packing them, beside a copy to memory that is as new and as aligned.
    let model = common::mlp(&[4096, 4096, 4096]);
    let mut group = criterion.benchmark_group("pack");
    let weights = 4096 * 4096;
    group.throughput(Throughput::Bytes(2 * weights));
    group.sample_size(20);
    group.bench_function("compile", |bencher| bencher.iter(|| Engine::new(&model)));
    let lines = vec![Line([7; 64]); weights as usize / 64];
    group.bench_function("copy", |bencher| bencher.iter(|| [lines.clone(), lines.clone()]));
    group.finish();
    criterion.final_summary();
}
