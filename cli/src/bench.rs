//! `signfold bench`: how fast a model runs, by batch size, threads and kernel.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use signfold::kernels::{self, Kernel};
use signfold::{Engine, Model};

use crate::limits::Limits;
use crate::report::{self, Report, grouped, percent, time};
use crate::{args, batch, bound, data, profile, timing};

/// Measure a model: median and 99th percentile of a call, rows and products per second
///
/// Inputs are random over the whole range of the model's input, the same ones each time.
///
/// A call is compared with the least time that it could take on this machine. Each layer takes at
/// least as long as the slowest of three things: its products, by the kernel's instructions alone;
/// reading its packed weights once per chunk of rows that go through the layers together, from the
/// nearest level of memory that holds the weights of all layers; reading and writing its rows, from
/// the level that holds them. The layers' times add up, and the limit that most of the time belongs to
/// is the one that binds. It is measured in turns with the calls. Each thread counts as a core with
/// caches and bandwidth of its own.
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
    /// Show how long each layer takes, on one thread
    #[arg(long, conflicts_with = "threads")]
    profile: bool,
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
    /// What binds: the instructions, or a level of memory.
    limit: &'static str,
    /// The least time of a call, as a share of the median.
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
    let mut limits = Limits::new();
    let bar = report::progress(steps, args.json);
    let (mut measurements, mut profiles) = (Vec::new(), Vec::new());
    for kernel in kernels {
        bar.set_message(kernel.name());
        for &threads in &args.threads {
            let engine = Engine::with_kernel(&model, kernel.name())?.with_threads(threads);
            for &rows in &args.batch {
                if args.profile {
                    profiles.push(profile::measure(
                        &model,
                        &engine,
                        &batch::random(&model, rows)?,
                        args.seconds,
                        &mut limits,
                    )?);
                } else {
                    measurements.push(measure(&model, &engine, rows, args.seconds, &mut limits)?);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let model = model.name().to_string();
    match args.profile {
        true => report::show(&profile::Profiles { model, profiles }, args.json),
        false => report::show(&Benchmark { model, measurements }, args.json),
    }
}

fn measure(
    model: &Model<'_>,
    engine: &Engine,
    rows: usize,
    budget: Duration,
    limits: &mut Limits,
) -> Result<Measurement> {
    let inputs = batch::random(model, rows)?;
    let of_outputs = batch::output_types(model);
    let mut outputs = batch::room(&of_outputs, rows)?;
    let mut places = batch::places(&mut outputs, &of_outputs, 0..rows)?;
    let mut scratch = batch::scratch(engine, rows)?;
    let mut call = || Ok(engine.run_all(&inputs, &mut places, &mut scratch)?);
    // Single calls for the tail, blocks of calls for the median, which the clock would blur.
    let bound = bound::total(&bound::steps(engine, rows, engine.whole_batch(), limits)?);
    let measured = bound::measure(engine, bound, limits, budget / 2, &mut call)?;
    let p99_seconds = timing::quantile(&timing::calls(budget / 2, call)?, 0.99);
    let median_seconds = measured.seconds;
    Ok(Measurement {
        kernel: engine.kernel().name(),
        threads: engine.threads(),
        batch: rows,
        median_seconds,
        p99_seconds,
        rows_per_second: rows as f64 / median_seconds,
        gmacs: (rows * engine.products()) as f64 / median_seconds / 1e9,
        limit: measured.limit,
        share_of_limit: measured.share,
    })
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
            "limit",
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
                m.limit.to_string(),
                percent(m.share_of_limit),
            ]);
        }
        format!("model {}\n\n{table}\n", self.model)
    }
}
