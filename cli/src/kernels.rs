//! `signfold kernels`: what this CPU can run, and how fast.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use signfold::kernels::{self, Kernel, Technique};
use signfold::layers::{Dense, DenseOutput};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Model, TensorType, WeightLayout};

use crate::limits::{Limit, Limits};
use crate::listing::{Unavailable, technique, unavailable, unavailable_text};
use crate::report::{self, Report, percent, time};
use crate::{args, batch, bound, limits};

/// Weights of the measured product at most.
const MAX_WEIGHTS: usize = 1 << 30;

/// List the kernels, and measure those of this CPU on one core against what limits them
///
/// A product is limited by the instructions of the kernel, or by reading its weights or rows from
/// where they lie, whatever takes longest: `signfold bench --help` says how that is told.
#[derive(clap::Args)]
pub struct Args {
    /// Rows, inputs and outputs of the measured product
    #[arg(long, value_name = "MxKxN", default_value = "256x4096x512", value_parser = shape)]
    shape: Shape,
    /// Measure only the limits: the instructions of each kernel, and reading from each level of
    /// memory
    #[arg(long, conflicts_with = "shape")]
    limits: bool,
    /// Seconds to measure each kernel, or each limit, for
    #[arg(long, value_name = "S", default_value = "0.4", value_parser = args::seconds)]
    seconds: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// M, K, N.
type Shape = (usize, usize, usize);

fn shape(text: &str) -> Result<Shape, String> {
    let lengths: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    match lengths.as_deref() {
        Ok(&[m, k, n]) if m > 0 && k > 0 && n > 0 => Ok((m, k, n)),
        _ => Err("not three lengths above 0, as in 256x4096x512".into()),
    }
}

#[derive(Serialize)]
struct Kernels {
    shape: Shape,
    kernels: Vec<KernelInfo>,
    unavailable: Vec<Unavailable>,
}

#[derive(Serialize)]
struct KernelInfo {
    name: &'static str,
    /// MR, NR, KR.
    tile: (usize, usize, usize),
    technique: &'static str,
    median_seconds: f64,
    measured_gmacs: f64,
    /// What the instructions alone can do.
    limit_gmacs: f64,
    /// What binds: the instructions, or a level of memory.
    limit: &'static str,
    share_of_limit: f64,
    /// Of the instructions of the kernel that has the fastest.
    share_of_best_limit: f64,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    if args.limits {
        return limits::run(args.seconds, args.json);
    }
    batch::check_size(&gemm(args.shape, Int8::I8)?, args.shape.0)?;
    let bar = report::progress(kernels::available().count(), args.json);
    let (mut limits, mut infos) = (Limits::new(), Vec::new());
    for kernel in kernels::available() {
        bar.set_message(kernel.name());
        infos.push(measure(kernel, args, &mut limits)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let best = infos.iter().map(|info| info.limit_gmacs).fold(0.0, f64::max);
    for info in &mut infos {
        info.share_of_best_limit = info.measured_gmacs / best;
    }
    let (shape, unavailable) = (args.shape, unavailable());
    report::show(&Kernels { shape, kernels: infos, unavailable }, args.json)
}

fn measure(kernel: &'static Kernel, args: &Args, limits: &mut Limits) -> Result<KernelInfo> {
    let (m, k, n) = args.shape;
    // Rows as they lie between the layers of a network: of the type the kernel reads as it is.
    let kind = match kernel.technique() {
        Technique::Offset => Int8::U8,
        _ => Int8::I8,
    };
    let engine = Engine::with_kernel(&gemm(args.shape, kind)?, kernel.name())?.with_threads(1);
    let mut scratch = engine.scratch();
    let signed = random(m * k);
    let unsigned: Vec<u8> = signed.iter().map(|&x| x as u8).collect();
    let (mut signed_out, mut unsigned_out) = (vec![0_i8; m * n], vec![0_u8; m * n]);
    let bound = bound::total(&bound::steps(&engine, m, false, limits)?);
    let measured = bound::measure(&engine, bound, limits, args.seconds, || {
        match kind {
            Int8::I8 => engine.run(&signed, &mut signed_out, &mut scratch)?,
            Int8::U8 => engine.run(&unsigned, &mut unsigned_out, &mut scratch)?,
        }
        Ok(())
    })?;
    let peak = match bound.limit {
        Limit::Instructions => measured.limit_rate,
        _ => limits.rate(Limit::Instructions, kernel)?,
    };
    Ok(KernelInfo {
        name: kernel.name(),
        tile: kernel.tile(),
        technique: technique(kernel.technique()),
        median_seconds: measured.seconds,
        measured_gmacs: (m * k * n) as f64 / measured.seconds / 1e9,
        limit_gmacs: peak / 1e9,
        limit: measured.limit,
        share_of_limit: measured.share,
        share_of_best_limit: 0.0,
    })
}

/// One dense layer, 8-bit to 8-bit: what most layers of a quantized network are.
fn gemm((_, k, n): Shape, kind: Int8) -> Result<Model<'static>> {
    let weights = k.checked_mul(n).filter(|&weights| weights <= MAX_WEIGHTS);
    let weights = weights.with_context(|| format!("more than {MAX_WEIGHTS} weights"))?;
    let middle = kind.min() + 128;
    let input = QuantParams::new(kind, 1.0, middle)?;
    // The sums are about 74^2 * sqrt(k) large: outputs are to use their range.
    let output = QuantParams::new(kind, 64.0 * (k as f32).sqrt(), middle)?;
    let dense = Dense::new(random(weights), WeightLayout::OutIn, n, k)?
        .output(DenseOutput::Int8(output, Rounding::Nearest));
    Ok(Model::builder("gemm", TensorType::int8(k, input)).layer(dense).build()?)
}

fn random(len: usize) -> Vec<i8> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..len).map(|_| rng.i8(..)).collect()
}

impl Report for Kernels {
    fn text(&self) -> String {
        let (m, k, n) = self.shape;
        let mut table = report::table([
            "kernel",
            "tile MR x NR x KR",
            "technique",
            "median",
            "GMAC/s",
            "instructions GMAC/s",
            "of the best",
            "limit",
            "of the limit",
        ]);
        for info in &self.kernels {
            let (mr, nr, kr) = info.tile;
            table.add_row([
                info.name.to_string(),
                format!("{mr} x {nr} x {kr}"),
                info.technique.to_string(),
                time(info.median_seconds),
                format!("{:.1}", info.measured_gmacs),
                format!("{:.1}", info.limit_gmacs),
                percent(info.share_of_best_limit),
                info.limit.to_string(),
                percent(info.share_of_limit),
            ]);
        }
        format!(
            "One core, {m} rows x {k} inputs x {n} outputs, 8-bit to 8-bit, medians\n\n{table}\n\n{}",
            unavailable_text(&self.unavailable)
        )
    }
}
