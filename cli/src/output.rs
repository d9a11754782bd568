//! Files out: whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file next to its place and moves it there when it is complete, so that a failure
/// leaves neither half a file nor the old one damaged.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let place = || path.display().to_string();
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
    let mut file = builder.tempfile_in(folder).with_context(place)?;
    let mut writer = BufWriter::new(&mut file);
    fill(&mut writer)?;
    writer.flush().with_context(place)?;
    drop(writer);
    file.persist(path).map_err(|e| e.error).with_context(place)?;
    Ok(())
}
