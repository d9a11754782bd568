//! Errors: what went wrong, and where.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// A result whose error says what went wrong, and where.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What kind of thing went wrong. More kinds may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a whole, well-formed model file.
    Format,
    /// The file is well-formed, but of a version or with a flag this release does not know.
    Unsupported,
    /// The file's bytes are not those that were written: its checksum differs.
    Checksum,
    /// The network contradicts itself: widths, types, scales, or a sum that could leave `i32`.
    Model,
    /// A kernel of that name does not exist, or this CPU cannot run it.
    Kernel,
    /// An array given to a call has the wrong type, length or content.
    Input,
    /// Something is larger than a limit allows.
    Limit,
    /// A model has no golden rows to be checked with.
    NoGolden,
    /// Outputs are not those that they must be, bit by bit: a golden pair is wrong, or a machine
    /// computes wrongly.
    Mismatch,
}

/// An error: its [`ErrorKind`], and a text that names the place (layer, channel, row), what was
/// expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of this kind with this text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with the place it happened in put before its text: `"layer 2 (dense)"`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{place}: {}", self.message) }
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Error {}
