//! How listings speak of kernels: their techniques, and those that this CPU cannot run.

use serde::Serialize;
use signfold::kernels::{self, Technique};

/// A kernel of this architecture that this CPU cannot run.
#[derive(Serialize)]
pub struct Unavailable {
    name: &'static str,
    /// The instruction sets that the CPU lacks.
    missing: Vec<&'static str>,
}

/// The kernels that this CPU cannot run.
pub fn unavailable() -> Vec<Unavailable> {
    let lacking = kernels::all().filter(|entry| entry.kernel().is_none());
    lacking.map(|entry| Unavailable { name: entry.name(), missing: entry.missing() }).collect()
}

/// A line for each of them, and an empty one if there are any.
pub fn unavailable_text(unavailable: &[Unavailable]) -> String {
    let line = |of: &Unavailable| {
        format!("not on this CPU: {}, which needs {}\n", of.name, of.missing.join(", "))
    };
    let mut text: String = unavailable.iter().map(line).collect();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// A technique's name.
pub fn technique(technique: Technique) -> &'static str {
    match technique {
        Technique::Positive => "positive",
        Technique::PositiveInputs => "positive, of the inputs",
        Technique::Offset => "offset",
        Technique::Native => "native",
    }
}
