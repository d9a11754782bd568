//! Limits: how large what is read may be.

use alloc::format;
use alloc::string::String;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MAX_LAYERS, MAX_WIDTH};

/// How large a file, the model or array in it, and an engine of the model may be. Every reader takes
/// these limits or goes by the default ones; what exceeds one is refused with [`ErrorKind::Limit`]
/// and a text that names the limit, its value, and what was found.
///
/// ```
/// use signfold::{ErrorKind, Limits, Model};
///
/// let mut limits = Limits::default();
/// limits.bytes = 1 << 20;
/// let error = Model::read_with(&vec![0; 2 << 20], &limits).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Limit);
/// assert_eq!(error.to_string(), "2097152 bytes of a file: the limit on bytes is 1048576");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a file, and of all further files that it has read with it. By default 8 GiB.
    pub bytes: u64,
    /// Layers of a model. By default, and at most, [`MAX_LAYERS`].
    pub layers: usize,
    /// Elements of a row between layers, or of an input or output. By default, and at most,
    /// [`MAX_WIDTH`].
    pub width: usize,
    /// Bytes of memory: of what a reader makes of a file, which may be packed; of all weights of a
    /// model; of what an engine packs; and of a [`Scratch`](crate::Scratch). For each of them by
    /// itself. By default 8 GiB, or all that can be addressed where that is less.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let addressed = u64::try_from(isize::MAX).unwrap_or(u64::MAX);
        Self {
            bytes: 8 << 30,
            layers: MAX_LAYERS,
            width: MAX_WIDTH,
            memory: addressed.min(8 << 30),
        }
    }
}

impl Limits {
    /// Refuses more bytes of a file than [`Limits::bytes`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`].
    pub fn check_bytes(&self, found: u64) -> Result<()> {
        check(found, self.bytes, "bytes", || format!("{found} bytes of a file"))
    }

    /// Refuses more layers than [`Limits::layers`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`].
    pub fn check_layers(&self, found: usize) -> Result<()> {
        let most = self.layers.min(MAX_LAYERS);
        check(found as u64, most as u64, "layers", || format!("{found} layers"))
    }

    /// Refuses rows of more elements than [`Limits::width`].
    ///
    /// # Errors
    /// [`ErrorKind::Limit`].
    pub fn check_width(&self, found: usize) -> Result<()> {
        let most = self.width.min(MAX_WIDTH);
        check(found as u64, most as u64, "width", || format!("rows of {found} elements"))
    }

    /// Refuses more bytes in memory than [`Limits::memory`]; `what` takes them. `None` is a number
    /// too large for `u64`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`].
    pub fn check_memory(&self, found: Option<u64>, what: &str) -> Result<()> {
        check(found.unwrap_or(u64::MAX), self.memory, "memory", || match found {
            Some(found) => format!("{found} bytes of {what}"),
            None => format!("more than 2^64 bytes of {what}"),
        })
    }
}

fn check(found: u64, most: u64, limit: &str, what: impl FnOnce() -> String) -> Result<()> {
    match found <= most {
        true => Ok(()),
        false => {
            let message = format!("{}: the limit on {limit} is {most}", what());
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}
