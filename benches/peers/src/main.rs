//! Measures signfold and its peers in one process, one thread each, and writes what it found as
//! JSON. `run` beside this folder calls it; the README there tells what it does and why.

mod case;
mod engines;
mod measure;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::Serialize;

use case::{Case, Network};
use engines::Engine;
use measure::{Outcome, Plan};

#[derive(Parser)]
#[command(about = "Measures signfold and its peers")]
struct Arguments {
    /// The folder that generate.py wrote
    #[arg(long)]
    models: PathBuf,
    /// The folder in which pip installed the engines
    #[arg(long)]
    packages: PathBuf,
    /// The file to write
    #[arg(long)]
    out: PathBuf,
    /// The date to write into it
    #[arg(long)]
    date: String,
    /// Turns of each engine
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Length of a turn, in milliseconds
    #[arg(long, default_value_t = 20)]
    slice: u64,
}

/// What is written.
#[derive(Serialize)]
struct Report {
    date: String,
    cpu: Cpu,
    plan: Plan,
    engines: Vec<EngineReport>,
    cases: Vec<CaseReport>,
}

#[derive(Serialize)]
struct EngineReport {
    name: &'static str,
    version: Option<String>,
    reached: &'static str,
    absent: Option<String>,
}

#[derive(Serialize)]
struct CaseReport {
    network: String,
    widths: Vec<usize>,
    activation: String,
    batch: usize,
    outcomes: Vec<Outcome>,
    failures: Vec<String>,
}

/// What Linux says of the CPU.
#[derive(Serialize)]
struct Cpu {
    model: String,
    flags: Vec<String>,
    signfold_kernel: &'static str,
}

impl Cpu {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
        };
        let relevant =
            |flag: &&str| ["avx", "fma", "amx", "sse4"].iter().any(|isa| flag.starts_with(isa));
        Self {
            model: field("model name").to_owned(),
            flags: field("flags").split(' ').filter(relevant).map(str::to_owned).collect(),
            signfold_kernel: signfold::kernels::best().name(),
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan { rounds: arguments.rounds, slice: Duration::from_millis(arguments.slice) };
    // Never dropped: libraries with threads and thread-local state of their own are not made to be
    // unloaded while the process goes on.
    let entries = std::mem::ManuallyDrop::new(engines::all(&arguments.packages));
    let mut present: Vec<(&'static str, &dyn Engine)> = Vec::new();
    let mut reports = Vec::new();
    for entry in entries.iter() {
        let absent = entry.engine.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(reason) = &absent {
            eprintln!("{} is absent: {reason}", entry.name);
        }
        if let Ok(engine) = &entry.engine {
            present.push((entry.name, engine.as_ref()));
        }
        let (name, reached, version) = (entry.name, entry.reached, entry.version.clone());
        reports.push(EngineReport { name, version, reached, absent });
    }

    let mut cases = Vec::new();
    for network in Network::read_all(&arguments.models)? {
        for &batch in &network.batches {
            eprintln!("network {}, {batch} rows", network.name);
            let case = Case { network: &network, batch, folder: &arguments.models };
            let (outcomes, failures) = measure::measure(&case, &present, plan);
            for failure in &failures {
                eprintln!("    failed: {failure}");
            }
            cases.push(CaseReport {
                network: network.name.clone(),
                widths: network.widths.clone(),
                activation: network.activation.clone(),
                batch,
                outcomes,
                failures,
            });
        }
    }
    let report = Report { date: arguments.date, cpu: Cpu::read(), plan, engines: reports, cases };
    let text = serde_json::to_vec_pretty(&report)?;
    std::fs::write(&arguments.out, text).with_context(|| arguments.out.display().to_string())?;
    check_signfold(&report.cases)
}

/// Others may be inexact, which is reported; signfold may not.
fn check_signfold(cases: &[CaseReport]) -> Result<()> {
    for case in cases {
        let ours: Vec<_> = case.outcomes.iter().filter(|one| one.engine == "signfold").collect();
        let exact = ours.iter().all(|one| one.deviation.different_percent == 0.0);
        if !exact || ours.len() < 2 {
            bail!("signfold is not exact: network {}, {} rows", case.network, case.batch);
        }
    }
    Ok(())
}
