//! What int8 is worth: each kernel beside an `f32` product of the same shape by `matrixmultiply`, a
//! crate of hand-written kernels, on one thread. Its weights lie as it packs them fastest; it packs
//! them anew in each call, where an engine does that once. For a batch that is little, for a
//! single row it is most of the time.
//!
//! ```text
//! cargo bench -p signfold-benches --bench floor                    all
//! cargo bench -p signfold-benches --bench floor -- 1024x784x256    one shape
//! ```
//! Throughput is in multiply-accumulates.

#[path = "../tests/common/mod.rs"]
mod common;
mod shapes;

use std::hint::black_box;
use std::time::Duration;

use common::Rng;
use criterion::{Criterion, Throughput};
use shapes::SHAPES;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (m, k, n) in SHAPES {
        let mut group = criterion.benchmark_group(format!("floor {m}x{k}x{n}"));
        group.throughput(Throughput::Elements((m * k * n) as u64));
        let rng = &mut Rng::new(1);
        let model = shapes::dense(rng, k, n);
        let x = rng.vec(m * k, Rng::i8);
        shapes::each_kernel(&mut group, &model, &x);
        let x = rng.vec(m * k, |rng| rng.float(-1.0, 1.0));
        let w = rng.vec(k * n, |rng| rng.float(-1.0, 1.0));
        let mut out = vec![0.0_f32; m * n];
        group.bench_function("matrixmultiply-f32", |bencher| {
            bencher.iter(|| multiply((m, k, n), black_box(&x), &w, &mut out));
        });
    }
    criterion.final_summary();
}

/// `x` is `[m][k]`, `w` is `[k][n]`, `out` is `[m][n]`.
fn multiply((m, k, n): (usize, usize, usize), x: &[f32], w: &[f32], out: &mut [f32]) {
    assert!(x.len() == m * k && w.len() == k * n && out.len() == m * n);
    let (x, w, out) = (x.as_ptr(), w.as_ptr(), out.as_mut_ptr());
    let (rows_x, rows_w) = (k as isize, n as isize);
    // SAFETY: the assertion above: three whole matrices, rows one after the other; `out` is borrowed
    // for writing, so it overlaps none of the others.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, x, rows_x, 1, w, rows_w, 1, 0.0, out, rows_w, 1) }
}
