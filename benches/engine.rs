//! Whole networks, on the best kernels and one thread: those in `models/`, small ones, and one of the
//! usual size for a small classifier. Throughput is in rows.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use signfold::{Engine, Model, Values};

const BATCHES: [usize; 4] = [1, 16, 256, 1024];

/// Model files, by name. A folder that cannot be read is no reason to measure less in silence.
fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let entries = std::fs::read_dir(&folder).expect("the folder models can be read");
    let files = entries.map(|entry| entry.expect("and each entry").path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|ext| ext == "sfold")).collect();
    files.sort();
    println!("{} model files in models/", files.len());
    files
}

fn batches(criterion: &mut Criterion, model: &Model<'_>) {
    let engine = Engine::new(model).expect("a valid model").with_threads(1);
    println!("{}: {}, {}", model.name(), engine.kernel().name(), structure(model));
    let mut group = criterion.benchmark_group(model.name());
    for rows in BATCHES {
        let input = common::random_input(model, rows, 1);
        let mut scratch = engine.scratch_for(rows);
        group.throughput(Throughput::Elements(rows as u64));
        let len = rows * model.output().width;
        macro_rules! bench {
            ($zero:expr, $values:expr) => {{
                let mut out = vec![$zero; len];
                group.bench_function(rows.to_string(), |bencher| {
                    bencher.iter(|| engine.run($values, &mut out, &mut scratch));
                });
            }};
        }
        macro_rules! by_output {
            ($values:expr) => {
                match model.output().element.name() {
                    "f32" => bench!(0.0_f32, $values),
                    "i8" => bench!(0_i8, $values),
                    "u8" => bench!(0_u8, $values),
                    _ => bench!(0_u32, $values),
                }
            };
        }
        match &input {
            Values::F32(values) => by_output!(&values[..]),
            Values::I8(values) => by_output!(&values[..]),
            Values::U8(values) => by_output!(&values[..]),
            _ => unreachable!("no model takes other rows"),
        }
    }
}

/// Widths and layers: `784 x f32, quantize 784 x i8, dense 256 x i8`.
fn structure(model: &Model<'_>) -> String {
    let layers = model.layers().map(|(layer, _, output)| format!("{} {output}", layer.name()));
    std::iter::once(model.input().to_string()).chain(layers).collect::<Vec<_>>().join(", ")
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    // The smallest there is shows what a call costs.
    for widths in [&[1, 1][..], &[100, 50, 1], &[1024, 16, 32, 1], &[784, 256, 128, 64, 10]] {
        batches(&mut criterion, &common::mlp(widths));
    }
    for file in shipped() {
        let bytes = std::fs::read(&file).expect("the model file can be read");
        let model = Model::read(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        batches(&mut criterion, &model);
    }
    criterion.final_summary();
}
