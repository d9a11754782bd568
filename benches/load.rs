//! From the bytes of a model file of about 250 KB to an engine that can run. Throughput is in
//! bytes of the file.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use signfold::{Engine, Model};

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
    criterion.final_summary();
}
