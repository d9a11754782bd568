//! The engines, each used as its documentation says is fastest on one thread.

mod interpreter;
mod litert;
mod onnxruntime;
mod openvino;
mod rten;
mod signfold;
mod tract;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::case::{Case, Io};

/// An engine.
pub trait Engine {
    /// Models of this case that it can load; all are tried, the fastest are measured.
    fn variants(&self) -> Vec<Variant>;

    /// Loads a model and binds the case's input to it.
    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>>;
}

/// A loaded model with its input.
pub trait Run {
    /// So many inferences. Only this is timed.
    fn run(&mut self, times: usize) -> Result<()>;

    /// One inference, and what it gave.
    fn output(&mut self) -> Result<Data>;
}

/// A model's form.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is called, which is part of the file's name.
    pub name: String,
    /// What goes in and out.
    pub io: Io,
    /// Whether 8-bit rows are `u8` rather than `i8`.
    pub unsigned: bool,
    /// Whether outputs are rounded to 8 bits even where they are given as `f32`.
    pub rounds: bool,
}

impl Variant {
    /// The forms that `to_onnx.py` writes.
    fn onnx() -> Vec<Self> {
        let mut all = Vec::new();
        for form in ["qdq", "integer"] {
            for (kind, unsigned) in [("i8", false), ("u8", true)] {
                for io in Io::ALL {
                    let name = format!("{form}-{kind}-{}", io.name());
                    all.push(Self { name, io, unsigned, rounds: io == Io::Q8 });
                }
            }
        }
        all
    }

    /// The case's model in this form.
    fn file(&self, case: &Case<'_>, extension: &str) -> PathBuf {
        case.file(&format!("-{}.{extension}", self.name))
    }

    /// The case's input in this form.
    fn input(&self, case: &Case<'_>) -> Result<Data> {
        Ok(match (self.io, self.unsigned) {
            (Io::F32, _) => Data::F32(case.input_f32()?),
            (Io::Q8, false) => Data::I8(case.input_i8()?),
            (Io::Q8, true) => Data::U8(case.input_i8()?.into_iter().map(to_unsigned).collect()),
        })
    }
}

/// Rows.
pub enum Data {
    /// Real numbers.
    F32(Vec<f32>),
    /// Quantized.
    I8(Vec<i8>),
    /// Quantized, all numbers 128 higher.
    U8(Vec<u8>),
}

fn to_unsigned(x: i8) -> u8 {
    x.cast_unsigned() ^ 0x80
}

/// An engine's entry in the list of engines.
pub struct Entry {
    /// As its project writes it.
    pub name: &'static str,
    /// How this program reaches it.
    pub reached: &'static str,
    /// Which one, if that is known without it.
    pub version: Option<String>,
    /// The engine, or why it is absent.
    pub engine: Result<Box<dyn Engine>>,
}

/// Opens all engines. `packages` is the folder in which pip installed.
pub fn all(packages: &Path) -> Vec<Entry> {
    let entry = |name, reached, version, engine| Entry { name, reached, version, engine };
    let rust = "Rust crate";
    let c = "C library of the Python wheel";
    vec![
        entry("signfold", rust, Some(git_version()), Ok(Box::new(signfold::Signfold))),
        entry(
            "LiteRT",
            "C library of the Python wheel, and its interpreter from Python",
            wheel_version(packages, "ai_edge_litert"),
            litert::LiteRt::open(packages).map(|engine| Box::new(engine) as _),
        ),
        entry(
            "onnxruntime",
            c,
            wheel_version(packages, "onnxruntime"),
            onnxruntime::OnnxRuntime::open(packages).map(|engine| Box::new(engine) as _),
        ),
        entry(
            "OpenVINO",
            c,
            wheel_version(packages, "openvino"),
            openvino::OpenVino::open(packages).map(|engine| Box::new(engine) as _),
        ),
        entry("rten", rust, locked_version("rten"), Ok(Box::new(rten::Rten::new()))),
        entry("tract", rust, locked_version("tract-onnx"), Ok(Box::new(tract::Tract))),
    ]
}

/// A shared library of a wheel, whose file name may end in a version.
fn find_library(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let absent = || format!("no {prefix}* in {}: is the wheel installed?", folder.display());
    let mut entries = std::fs::read_dir(folder).with_context(absent)?.flatten();
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(found.with_context(absent)?.path())
}

/// The version in the name of the folder in which pip keeps a wheel's description.
fn wheel_version(packages: &Path, wheel: &str) -> Option<String> {
    let mut entries = std::fs::read_dir(packages).ok()?.flatten();
    entries.find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let rest = name.strip_prefix(wheel)?.strip_prefix('-')?;
        Some(rest.strip_suffix(".dist-info")?.to_owned())
    })
}

/// The version of a crate that this program was compiled with.
fn locked_version(name: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let package = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
    Some(package.split_once('"')?.0.to_owned())
}

/// signfold's version, with the commit if `run` told it.
fn git_version() -> String {
    let version = locked_version("signfold").unwrap_or_default();
    match std::env::var("SIGNFOLD_COMMIT") {
        Ok(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version,
    }
}
