//! Each kernel by itself: one dense layer from 8-bit rows to 8-bit rows, requantizing included, on
//! one thread; beside it what the kernel's instructions could do at best, and naive loops.
//!
//! ```text
//! cargo bench -p signfold-benches --bench kernels                  all
//! cargo bench -p signfold-benches --bench kernels -- 1x1024x1024   one shape
//! ```
//! Throughput is in multiply-accumulates.

#[path = "../tests/common/mod.rs"]
mod common;
mod shapes;

use std::hint::black_box;
use std::time::Duration;

use common::Rng;
use criterion::{BenchmarkId, Criterion, Throughput};
use shapes::SHAPES;
use signfold::kernels::{self, reference};

/// Naive loops take too long on larger shapes than this many products.
const NAIVE: usize = 64 << 20;

fn products(criterion: &mut Criterion) {
    for (m, k, n) in SHAPES {
        let mut group = criterion.benchmark_group(format!("{m}x{k}x{n}"));
        group.throughput(Throughput::Elements((m * k * n) as u64));
        let rng = &mut Rng::new(1);
        let model = shapes::dense(rng, k, n);
        let x = rng.vec(m * k, Rng::i8);
        shapes::each_kernel(&mut group, &model, &x);
        if m * k * n <= NAIVE {
            let w = rng.vec(k * n, Rng::i8);
            group.bench_function("naive-int8", |bencher| {
                bencher.iter(|| naive_int8(black_box(&x), &w, k, &mut vec![0; m * n]));
            });
            group.bench_function("origin-int8", |bencher| {
                bencher.iter(|| reference::origin_sums(black_box(&x), &w, k));
            });
            let [x, w] = [&x, &w].map(|of| of.iter().map(|&v| f32::from(v)).collect::<Vec<_>>());
            group.bench_function("naive-f32", |bencher| {
                bencher.iter(|| naive_f32(black_box(&x), &w, k, &mut vec![0.0; m * n]));
            });
        }
    }
}

fn naive_int8(x: &[i8], w: &[i8], k: usize, out: &mut [i32]) {
    let rows = x.chunks_exact(k).flat_map(|x| w.chunks_exact(k).map(move |w| (x, w)));
    for (out, (x, w)) in out.iter_mut().zip(rows) {
        *out = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
    }
    black_box(out);
}

fn naive_f32(x: &[f32], w: &[f32], k: usize, out: &mut [f32]) {
    let rows = x.chunks_exact(k).flat_map(|x| w.chunks_exact(k).map(move |w| (x, w)));
    for (out, (x, w)) in out.iter_mut().zip(rows) {
        *out = x.iter().zip(w).map(|(x, w)| x * w).sum();
    }
    black_box(out);
}

/// What a single row cannot beat: each weight must be read once, from where it lies.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for kilobytes in [16, 256, 1024, 16 << 10, 64 << 10] {
        let values = vec![1; kilobytes << 8];
        group.throughput(Throughput::Bytes((kilobytes << 10) as u64));
        for kernel in kernels::available() {
            let id = BenchmarkId::new(kernel.name(), format!("{kilobytes} KiB"));
            group.bench_function(id, |bencher| bencher.iter(|| kernel.read(black_box(&values))));
        }
    }
}

/// The rate that no shape can beat.
fn peak(criterion: &mut Criterion) {
    const ROUNDS: usize = 10_000;
    let mut group = criterion.benchmark_group("peak");
    for kernel in kernels::available() {
        group.throughput(Throughput::Elements(kernel.peak(ROUNDS) as u64));
        group.bench_function(kernel.name(), |bencher| bencher.iter(|| kernel.peak(ROUNDS)));
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    peak(&mut criterion);
    read(&mut criterion);
    products(&mut criterion);
    criterion.final_summary();
}
