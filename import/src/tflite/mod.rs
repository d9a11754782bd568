//! The reader of TFLite (LiteRT) models: int8 and float networks of dense layers, with the bits that
//! the interpreter computes.
//!
//! ```text
//! bytes --flat--> tables --schema--> tensors, operators --lower--> signfold::Model
//! ```
//! An operator on 8-bit numbers becomes the layer that computes the same integers; one that maps each
//! of them by itself becomes a table, by the interpreter's own arithmetic (`tables`). Interpreters
//! differ in how they round, see [`TfLiteOptions`].

mod constants;
mod flat;
mod lower;
mod names;
mod operators;
mod schema;
mod tables;

use signfold::quant::Rounding;
use signfold::{Limits, Result};

use crate::Imported;

/// How to read a TFLite model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TfLiteOptions {
    /// How sums become 8-bit outputs. The file does not say, it is a matter of who runs it:
    ///
    /// | rule | who computes so |
    /// | --- | --- |
    /// | [`Rounding::TfLite`] | TFLite Micro, the reference kernels of TFLite up to 2.14 |
    /// | [`Rounding::TfLiteReference`] | the reference kernels of LiteRT 2 |
    /// | [`Rounding::Nearest`] | LiteRT as it comes, by XNNPACK: dense layers, not `ADD` and others |
    /// | [`Rounding::TfLiteSingleRounding`] | builds with `TFLITE_SINGLE_ROUNDING` |
    pub rounding: Rounding,
    /// How large the file and the model may be.
    pub limits: Limits,
}

impl Default for TfLiteOptions {
    fn default() -> Self {
        Self { rounding: Rounding::TfLite, limits: Limits::default() }
    }
}

/// Reads a TFLite model.
///
/// # Errors
/// [`ErrorKind::Format`](signfold::ErrorKind::Format) if the bytes are no TFLite model,
/// [`ErrorKind::Unsupported`](signfold::ErrorKind::Unsupported) for what this reader does not know,
/// [`ErrorKind::Limit`](signfold::ErrorKind::Limit) for what is larger than it takes, and
/// [`ErrorKind::Model`](signfold::ErrorKind::Model) if the network contradicts itself. Operator and
/// tensor are named, with what was expected and what was found.
pub fn read(bytes: &[u8], options: &TfLiteOptions) -> Result<Imported> {
    let read = || {
        options.limits.check_bytes(bytes.len() as u64)?;
        lower::lower(&schema::File::read(bytes)?, bytes.len(), options)
    };
    read().map_err(|e| e.at("tflite"))
}
