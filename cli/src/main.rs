//! The `signfold` command: makes, compares, evaluates, runs, inspects, measures and verifies networks.
//!
//! One file per subcommand. Each turns its arguments into a report, which [`report::show`] prints
//! as text or as JSON. Errors go to standard error with exit code 1, wrong usage with 2.

#![forbid(unsafe_code)]

mod args;
mod array;
mod batch;
mod bench;
mod bound;
mod compare;
mod data;
mod eval;
mod import;
mod inspect;
mod kernels;
mod limits;
mod listing;
mod memory;
mod metrics;
mod output;
mod profile;
mod quantize;
mod report;
mod run;
mod timing;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exact int8 inference for multi-layer perceptrons.
#[derive(Parser)]
#[command(name = "signfold", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Eval(eval::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Kernels(kernels::Args),
    Bench(bench::Args),
    Verify(verify::Args),
    Import(import::Args),
    Quantize(quantize::Args),
    Compare(compare::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Eval(args) => eval::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Kernels(args) => kernels::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
