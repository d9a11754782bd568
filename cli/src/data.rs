//! Files in: opened, read whole, and models in them. Arrays are in `array`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use signfold::Model;

/// Opens a file, and tells its length. Devices and pipes have none to hold a header against.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let open = || -> Result<_> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "not a regular file");
        Ok((file, metadata.len()))
    };
    open().with_context(|| path.display().to_string())
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// The model in the bytes of the file `path`.
pub fn model<'a>(bytes: &'a [u8], path: &Path) -> Result<Model<'a>> {
    Model::read(bytes).with_context(|| path.display().to_string())
}
