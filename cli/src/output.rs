//! Files out: whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// A file that is written next to its place and moved there when it is complete, so that a failure
/// leaves neither half a file nor the old one damaged.
pub struct Output<'p> {
    path: &'p Path,
    writer: BufWriter<NamedTempFile>,
}

impl<'p> Output<'p> {
    /// A file for this place, empty so far.
    pub fn new(path: &'p Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".signfold-");
        #[cfg(unix)]
        {
            // Temporary files are private by default; this one is to be as any new file.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).with_context(|| path.display().to_string())?;
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).with_context(|| self.path.display().to_string())
    }

    /// Moves the file to its place.
    pub fn finish(self) -> Result<()> {
        let place = || self.path.display().to_string();
        let file = self.writer.into_inner().map_err(|e| e.into_error()).with_context(place)?;
        file.persist(self.path).map_err(|e| e.error).with_context(place)?;
        Ok(())
    }
}
