//! Arguments that several subcommands share, and their limits.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use signfold::kernels::{self, Kernel};
use signfold::{Engine, Model};

/// How to compile and run a model.
#[derive(clap::Args)]
pub struct EngineArgs {
    /// The kernel to use, as `signfold kernels` names it [default: the fastest of this CPU]
    #[arg(long, value_name = "NAME", value_parser = kernel)]
    kernel: Option<&'static Kernel>,
    /// The largest number of threads to use [default: as many as the machine runs at once]
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,
}

impl EngineArgs {
    /// Compiles a model as the arguments say.
    pub fn engine(&self, model: &Model<'_>) -> signfold::Result<Engine> {
        let engine = match self.kernel {
            Some(kernel) => Engine::with_kernel(model, kernel.name())?,
            None => Engine::new(model)?,
        };
        Ok(match self.threads {
            Some(threads) => engine.with_threads(threads),
            None => engine,
        })
    }
}

/// A kernel of this CPU, by name.
pub fn kernel(name: &str) -> Result<&'static Kernel, String> {
    kernels::by_name(name).map_err(|e| e.to_string())
}

/// A number of threads. Each takes working memory, hence the bound.
pub fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

/// A number of rows.
pub fn rows() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 32)
}

/// A positive number.
pub fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("not a positive number".into()),
    }
}

/// A time in seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 3600.0 => Ok(Duration::from_secs_f64(value)),
        _ => Err("not a number of seconds above 0, up to 3600".into()),
    }
}
