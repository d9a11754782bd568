//! NumPy's `.npz` archives: a zip file with a `.npy` array for each name.

use std::io::{Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

/// Names that a message lists at most.
const LISTED: usize = 20;

/// Whether a file that starts so is an archive.
pub fn detect(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")
}

/// Cuts `archive.npz:name` into the archive's path and the array's name. What is not of this form
/// is a path as it is.
pub fn split(path: &Path) -> (&Path, Option<&str>) {
    let parts = path.to_str().filter(|_| !path.exists()).and_then(|path| path.rsplit_once(':'));
    match parts.map(|(archive, name)| (Path::new(archive), name)) {
        Some((archive, name))
            if archive.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) =>
        {
            (archive, Some(name))
        }
        _ => (path, None),
    }
}

/// Opens the array of this name, or the only one, and has it read.
pub fn read<T>(
    file: impl Read + Seek,
    name: Option<&str>,
    each: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let mut archive = ZipArchive::new(file).context("not a whole .npz archive")?;
    let at = find(&archive, name)?;
    let mut member = archive.by_index(at).context("cannot unpack")?;
    ensure!(member.is_file(), "{:?} is no array", member.name());
    each(&mut member)
}

fn find<R: Read + Seek>(archive: &ZipArchive<R>, name: Option<&str>) -> Result<usize> {
    let names: Vec<_> =
        archive.file_names().collect::<zip::result::ZipResult<_>>().context("a name in it")?;
    // NumPy gives every name this extension, and takes it off again.
    let bare = |name: &str| name.strip_suffix(".npy").unwrap_or(name).to_string();
    let at = match name {
        Some(name) => names.iter().position(|each| each == name || bare(each) == name),
        None => (names.len() == 1).then_some(0),
    };
    if let Some(at) = at {
        return Ok(at);
    }
    let mut listed: Vec<_> =
        names.iter().take(LISTED).map(|name| format!("{:?}", bare(name))).collect();
    if names.len() > LISTED {
        listed.push("...".into());
    }
    let (count, listed) = (names.len(), listed.join(", "));
    match name {
        Some(name) => bail!("there is no array {name:?} in it: it has {listed}"),
        None if count == 0 => bail!("an archive without arrays"),
        None => bail!("{count} arrays, name one as in `archive.npz:name`: it has {listed}"),
    }
}
