//! `signfold bench`: how fast a model runs, by batch size, threads and kernel.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use signfold::kernels::{self, Kernel};
use signfold::layers::Layer;
use signfold::quant::{Int8, QuantParams};
use signfold::{Element, Engine, Model, Values};

use crate::report::{self, Report, grouped, percent};
use crate::{args, batch, data, timing};

/// Measure a model: median and 99th percentile of a call, rows and products per second
///
/// Inputs are random over the whole range of the model's input, the same ones each time.
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// Rows per call
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 16, 256], value_parser = args::rows())]
    batch: Vec<usize>,
    /// Threads per call, at most
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1], value_parser = args::threads())]
    threads: Vec<usize>,
    /// The kernel to use, or `all` of this CPU [default: the fastest]
    #[arg(long, value_name = "NAME", value_parser = choice)]
    kernel: Option<Choice>,
    /// Seconds to measure each combination for
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = args::seconds)]
    seconds: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone)]
enum Choice {
    All,
    One(&'static Kernel),
}

fn choice(name: &str) -> Result<Choice, String> {
    match name {
        "all" => Ok(Choice::All),
        _ => args::kernel(name).map(Choice::One),
    }
}

#[derive(Serialize)]
struct Benchmark {
    model: String,
    measurements: Vec<Measurement>,
}

#[derive(Serialize)]
struct Measurement {
    kernel: &'static str,
    threads: usize,
    batch: usize,
    median_seconds: f64,
    p99_seconds: f64,
    rows_per_second: f64,
    gmacs: f64,
    /// Of the kernel's limit on one core, times the threads.
    share_of_limit: f64,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    let kernels = match args.kernel {
        Some(Choice::All) => kernels::available().collect(),
        Some(Choice::One(kernel)) => vec![kernel],
        None => vec![kernels::best()],
    };
    for &rows in &args.batch {
        batch::check_size(&model, rows)?;
    }
    let steps = kernels.len() * args.threads.len() * args.batch.len();
    let bar = report::progress(steps, args.json);
    let mut measurements = Vec::new();
    for kernel in kernels {
        bar.set_message(kernel.name());
        let peak = timing::peak(kernel, Duration::from_millis(100))?;
        for &threads in &args.threads {
            let engine = Engine::with_kernel(&model, kernel.name())?.with_threads(threads);
            for &rows in &args.batch {
                measurements.push(measure(&model, &engine, rows, args.seconds, peak)?);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    report::show(&Benchmark { model: model.name().to_string(), measurements }, args.json)
}

fn measure(
    model: &Model<'_>,
    engine: &Engine,
    rows: usize,
    budget: Duration,
    peak: f64,
) -> Result<Measurement> {
    let inputs = random(model, rows)?;
    let mut outputs = batch::zeros(model.output(), rows)?;
    let mut scratch = batch::scratch(engine, model, rows);
    let mut call =
        || Ok(engine.run(batch::input(&inputs)?, batch::output(&mut outputs)?, &mut scratch)?);
    // Single calls for the tail, blocks of calls for the median, which the clock would blur.
    let median_seconds = timing::median(budget / 2, &mut call)?;
    let p99_seconds = timing::quantile(&timing::calls(budget / 2, call)?, 0.99);
    let rate = (rows * engine.products()) as f64 / median_seconds;
    Ok(Measurement {
        kernel: engine.kernel().name(),
        threads: engine.threads(),
        batch: rows,
        median_seconds,
        p99_seconds,
        rows_per_second: rows as f64 / median_seconds,
        gmacs: rate / 1e9,
        share_of_limit: rate / (peak * engine.threads() as f64),
    })
}

/// Rows over the whole range of a model's input: that of the 8-bit type which real rows become,
/// or -1..1 where that is found out at run time.
fn random(model: &Model<'_>, rows: usize) -> Result<Values<'static>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let len = rows * model.input().width;
    let params = match (model.input().element, model.layers().next()) {
        (Element::Int8(params), _) => {
            return Ok(match params.kind() {
                Int8::I8 => (0..len).map(|_| rng.i8(..)).collect::<Vec<_>>().into(),
                Int8::U8 => (0..len).map(|_| rng.u8(..)).collect::<Vec<_>>().into(),
            });
        }
        (_, Some((Layer::Quantize(quantize), ..))) => quantize.output,
        _ => QuantParams::from_range(Int8::I8, -1.0, 1.0)?,
    };
    let (min, max) = (params.kind().min(), params.kind().max());
    let (min, max) = (params.dequantize(min), params.dequantize(max));
    Ok((0..len).map(|_| min + rng.f32() * (max - min)).collect::<Vec<_>>().into())
}

impl Report for Benchmark {
    fn text(&self) -> String {
        let mut table = report::table([
            "kernel",
            "threads",
            "batch",
            "median",
            "p99",
            "rows/s",
            "GMAC/s",
            "of the limit",
        ]);
        for m in &self.measurements {
            table.add_row([
                m.kernel.to_string(),
                m.threads.to_string(),
                m.batch.to_string(),
                time(m.median_seconds),
                time(m.p99_seconds),
                grouped(m.rows_per_second as u64),
                format!("{:.1}", m.gmacs),
                percent(m.share_of_limit),
            ]);
        }
        format!(
            "model {}, limit: the kernel's instructions on that many cores\n\n{table}\n",
            self.model
        )
    }
}

/// Seconds with a unit that fits.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
