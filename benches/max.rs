//! Max-product layers beside a dense layer of the same weights (`sum`), from 8-bit rows to 8-bit
//! rows, on one thread. How far an early exit gets depends on the inputs, so there are several kinds.
//!
//! ```text
//! cargo bench -p signfold-benches --bench max                       all, about seven minutes
//! cargo bench -p signfold-benches --bench max -- 1x1024x1024        one shape
//! cargo bench -p signfold-benches --bench max && python3 benches/max_report.py
//! ```
//! | group | functions |
//! | --- | --- |
//! | `max SHAPE INPUTS` | `sum`; an aggregate as engines run it, with `-all` never leaving early, with `-exit` always |
//! | `pruned SHAPE` | `sum`, `mam all` not pruned, `mam D` pruned to about the share D of the weights |
//! | `soft SHAPE` | `sum`, `alpha A` |
//!
//! Throughput is in products, of a pruned layer those that are left. For how many of them a layer
//! looks at, which `looked.json` beside criterion's results keeps, see
//! [`signfold::Scratch::products_looked_at`].

#[path = "../tests/common/mod.rs"]
mod common;

use std::f32::consts::TAU;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Rng;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use signfold::layers::{Aggregate, Dense, DenseOutput, EarlyExit, Layer, MaxProduct};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, TensorType, WeightLayout};

/// Rows, inputs, outputs. `max_report.py` has the same ones, and the other names.
const SHAPES: [Shape; 5] =
    [(1, 1024, 1024), (8, 128, 256), (16, 784, 256), (256, 784, 256), (1, 9216, 128)];
const PRUNED: [Shape; 3] = [(256, 1024, 1024), (1, 1024, 1024), (256, 784, 256)];
const SOFT: [Shape; 2] = [(1, 1024, 1024), (256, 784, 256)];

const INPUTS: [&str; 5] = ["gaussian", "relu", "uniform", "hardtanh", "digits"];
const DENSITIES: [f32; 5] = [1.0, 0.2, 0.1, 0.04, 0.01];
const ALPHAS: [f32; 5] = [1.0, 3.0, 10.0, 30.0, 100.0];

type Shape = (usize, usize, usize);

/// From the normal distribution, by Box and Muller.
fn normal(rng: &mut Rng) -> f32 {
    let radius = (-2.0 * libm::logf(1.0 - rng.float(0.0, 1.0))).sqrt();
    radius * libm::cosf(TAU * rng.float(0.0, 1.0))
}

/// Symmetric, a scale for each output.
struct Weights {
    inputs: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl Weights {
    fn new(inputs: usize, outputs: usize) -> Self {
        let rng = &mut Rng::new(1);
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        for _ in 0..outputs {
            let of_output = rng.vec(inputs, normal);
            let largest = of_output.iter().fold(f32::MIN_POSITIVE, |max, w| max.max(w.abs()));
            let scale = largest / 127.0;
            values.extend(of_output.iter().map(|w| (w / scale).round() as i8));
            scales.push(scale);
        }
        Self { inputs, values, scales }
    }

    fn outputs(&self) -> usize {
        self.scales.len()
    }

    fn dense(&self) -> Layer<'static> {
        let values = self.values.clone();
        let layer = Dense::new(values, WeightLayout::OutIn, self.outputs(), self.inputs);
        let layer = layer.expect("as many weights as there must be");
        let reach = 4.0 * (self.inputs as f32).sqrt();
        layer.weight_scales(self.scales.clone()).output(output(reach)).into()
    }

    fn max(&self, aggregate: Aggregate) -> Layer<'static> {
        let values = self.values.clone();
        let layer =
            MaxProduct::new(aggregate, values, WeightLayout::OutIn, self.outputs(), self.inputs);
        self.finish(layer.expect("as many weights as there must be"))
    }

    /// About this share of the weights is left, at random.
    fn pruned(&self, aggregate: Aggregate, density: f32) -> Layer<'static> {
        let rng = &mut Rng::new(3);
        let mut values = self.values.clone();
        for value in &mut values {
            *value *= i8::from(rng.float(0.0, 1.0) < density);
        }
        let layer =
            MaxProduct::pruned(aggregate, values, WeightLayout::OutIn, self.outputs(), self.inputs);
        self.finish(layer.expect("as many weights as there must be"))
    }

    fn finish(&self, layer: MaxProduct<'static>) -> Layer<'static> {
        layer.weight_scales(self.scales.clone()).output(output(12.0)).into()
    }
}

/// 8-bit outputs that end at about `reach`.
fn output(reach: f32) -> DenseOutput {
    DenseOutput::Int8(params(reach / 127.0), Rounding::Nearest)
}

fn params(scale: f32) -> QuantParams {
    QuantParams::new(Int8::I8, scale, 0).expect("a positive scale")
}

struct Rows {
    count: usize,
    params: QuantParams,
    values: Vec<i8>,
}

impl Rows {
    fn new(kind: &str, count: usize, width: usize) -> Self {
        let (rng, len) = (&mut Rng::new(2), count * width);
        let (scale, reals) = match kind {
            "gaussian" => (4.0 / 127.0, rng.vec(len, normal)),
            "relu" => (4.0 / 127.0, rng.vec(len, |rng| normal(rng).max(0.0))),
            "uniform" => (1.0 / 127.0, rng.vec(len, |rng| rng.float(-1.0, 1.0))),
            // One in two is at an end.
            "hardtanh" => (1.0 / 127.0, rng.vec(len, |rng| (1.5 * normal(rng)).clamp(-1.0, 1.0))),
            "digits" => (1.0 / 127.0, digits(count, width)),
            _ => unreachable!("no other kind of inputs"),
        };
        let params = params(scale);
        let values = reals.iter().map(|&x| params.quantize(x) as i8).collect();
        Self { count, params, values }
    }
}

/// Rows of images of 64 pixels side by side; the last one of a row may be cut off.
fn digits(count: usize, width: usize) -> Vec<f32> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/data/digits-test-x.npy");
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (pixels, _) = bytes[10 + header..].as_chunks::<4>();
    let used = width.next_multiple_of(64);
    let row = |row: usize| (row * used..).take(width);
    (0..count).flat_map(row).map(|i| f32::from_le_bytes(pixels[i % pixels.len()])).collect()
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Measures one layer; of a max-product layer it tells how many products it looks at.
fn measure(
    group: &mut Group<'_>,
    group_name: &str,
    (name, layer): (&str, Layer<'static>),
    rows: &Rows,
    early_exit: EarlyExit,
) {
    let input = TensorType::int8(rows.values.len() / rows.count, rows.params);
    let is_max = matches!(layer, Layer::MaxProduct(_));
    let model = Model::builder("max", input).layer(layer).build().expect("one layer fits itself");
    let engine = Engine::with_early_exit(&model, early_exit).expect("a valid model");
    let engine = engine.with_threads(1);
    let mut scratch = engine.scratch();
    let mut out = vec![0_i8; rows.count * model.output().width];
    let products = (rows.count * engine.products()) as u64;
    let mut looked = None; // stays so if a filter leaves this one out
    group.throughput(Throughput::Elements(products));
    group.bench_function(name, |bencher| {
        looked.get_or_insert_with(|| {
            let before = scratch.products_looked_at();
            engine.run(&rows.values, &mut out, &mut scratch).expect("rows of this width");
            scratch.products_looked_at() - before
        });
        bencher.iter(|| engine.run(black_box(&rows.values), &mut out, &mut scratch));
    });
    let Some(looked) = looked.filter(|_| is_max) else { return };
    let percent = 100.0 * looked as f64 / products as f64;
    println!("{group_name}/{name}: looks at {percent:.1} % of {products} products\n");
    let folder = folder().join(group_name).join(name);
    if folder.is_dir() {
        let json = format!("{{\"looked\": {looked}, \"products\": {products}}}\n");
        std::fs::write(folder.join("looked.json"), json).expect("criterion writes there too");
    }
}

/// Where criterion is to keep results. Its own default is the same, but for some settings of cargo's.
fn folder() -> PathBuf {
    match std::env::var_os("CRITERION_HOME") {
        Some(home) => home.into(),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion"),
    }
}

fn aggregates(criterion: &mut Criterion, (m, k, n): Shape) {
    use EarlyExit::{Always, Auto, Never};
    let weights = Weights::new(k, n);
    for kind in INPUTS {
        let rows = Rows::new(kind, m, k);
        let group_name = &format!("max {m}x{k}x{n} {kind}");
        let mut group = criterion.benchmark_group(group_name);
        measure(&mut group, group_name, ("sum", weights.dense()), &rows, Auto);
        for (name, aggregate, early_exit) in [
            ("max", Aggregate::Max, Auto),
            ("abs_max", Aggregate::AbsMax, Auto),
            ("abs_max-all", Aggregate::AbsMax, Never),
            ("abs_max-exit", Aggregate::AbsMax, Always),
            ("mam", Aggregate::Mam, Auto),
            ("mam-all", Aggregate::Mam, Never),
            ("mam-exit", Aggregate::Mam, Always),
            ("soft_abs_max", Aggregate::SoftAbsMax { alpha: 10.0 }, Auto),
        ] {
            measure(&mut group, group_name, (name, weights.max(aggregate)), &rows, early_exit);
        }
    }
}

fn pruned(criterion: &mut Criterion, (m, k, n): Shape) {
    let (weights, rows) = (Weights::new(k, n), Rows::new("gaussian", m, k));
    let group_name = &format!("pruned {m}x{k}x{n}");
    let mut group = criterion.benchmark_group(group_name);
    let mut bench = |name: &str, layer| {
        measure(&mut group, group_name, (name, layer), &rows, EarlyExit::Never);
    };
    bench("sum", weights.dense());
    bench("mam all", weights.max(Aggregate::Mam));
    for density in DENSITIES {
        bench(&format!("mam {density}"), weights.pruned(Aggregate::Mam, density));
    }
}

fn soft(criterion: &mut Criterion, (m, k, n): Shape) {
    let (weights, rows) = (Weights::new(k, n), Rows::new("gaussian", m, k));
    let group_name = &format!("soft {m}x{k}x{n}");
    let mut group = criterion.benchmark_group(group_name);
    let mut bench = |name: &str, layer| {
        measure(&mut group, group_name, (name, layer), &rows, EarlyExit::Auto);
    };
    bench("sum", weights.dense());
    for alpha in ALPHAS {
        bench(&format!("alpha {alpha}"), weights.max(Aggregate::SoftAbsMax { alpha }));
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .output_directory(&folder())
        .configure_from_args();
    SHAPES.into_iter().for_each(|shape| aggregates(&mut criterion, shape));
    PRUNED.into_iter().for_each(|shape| pruned(&mut criterion, shape));
    SOFT.into_iter().for_each(|shape| soft(&mut criterion, shape));
    criterion.final_summary();
}
