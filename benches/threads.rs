//! What a second thread brings: to callers that share one engine and run a row each, and within a
//! large batch. Throughput is in rows, so twice the throughput is all that there is to be had; where
//! two threads share a core, it is less.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{mlp, random_input};
use criterion::{BenchmarkId, Criterion, Throughput};
use signfold::{Engine, Values};

/// A small classifier, and one whose weights are beyond the nearer caches.
const SMALL: &[usize] = &[784, 256, 128, 64, 10];
const LARGE: &[usize] = &[4096, 4096, 4096];

/// Threads that run a row at a time, each with a scratch of its own.
fn callers(criterion: &mut Criterion) {
    let model = mlp(SMALL);
    let engine = Engine::new(&model).expect("a valid model").with_threads(1);
    let Values::F32(row) = random_input(&model, 1, 1) else { unreachable!("it takes f32") };
    let mut group = criterion.benchmark_group("callers of one engine, a row each");
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads));
        group.bench_function(threads.to_string(), |bencher| {
            bencher.iter_custom(|times| together(threads, times, &engine, &row));
        });
    }
}

/// How long `threads` threads take for `times` rows each, once all are ready.
fn together(threads: u64, times: u64, engine: &Engine, row: &[f32]) -> Duration {
    let ready = Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut scratch = engine.scratch();
                let mut out = vec![0.0_f32; engine.output().width];
                ready.wait();
                for _ in 0..times {
                    engine.run(row, &mut out, &mut scratch).expect("no NaN");
                }
                ready.wait();
            });
        }
        ready.wait();
        let start = Instant::now();
        ready.wait();
        start.elapsed()
    })
}

/// One caller, whose batch is split.
fn batches(criterion: &mut Criterion) {
    for (widths, rows) in [(SMALL, 1024), (LARGE, 256)] {
        let model = mlp(widths);
        let input = random_input(&model, rows, 1);
        let Values::F32(input) = &input else { unreachable!("it takes f32") };
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        let mut group = criterion.benchmark_group(format!("threads of a batch, {name}"));
        group.throughput(Throughput::Elements(rows as u64));
        for threads in [1, 2] {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            let mut scratch = engine.scratch();
            let mut out = vec![0.0_f32; rows * engine.output().width];
            group.bench_function(BenchmarkId::new(threads.to_string(), rows), |bencher| {
                bencher.iter(|| engine.run(&input[..], &mut out, &mut scratch));
            });
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    callers(&mut criterion);
    batches(&mut criterion);
    criterion.final_summary();
}
