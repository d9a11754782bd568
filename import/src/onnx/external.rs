//! Tensors whose elements lie in files beside the model's: refused, unless a folder is allowed, and
//! then read from that folder alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::bytes::Bytes;
use signfold::{Error, ErrorKind, Result};

use super::proto::{Budget, Entry};
use super::tensor::{element_bytes, type_name};

/// Where elements outside the file may be read from.
pub(super) struct External<'a> {
    folder: Option<&'a Path>,
    /// Bytes of each file that no tensor has taken. Tensors that share bytes would let a small file
    /// fill the memory.
    left: HashMap<PathBuf, u64>,
}

impl<'a> External<'a> {
    pub fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, left: HashMap::new() }
    }

    /// The bytes of a tensor with that many elements of type `kind`.
    pub fn read(
        &mut self,
        entries: &[Bytes],
        elements: usize,
        kind: i32,
        budget: &mut Budget,
    ) -> Result<Bytes> {
        let Some(folder) = self.folder else {
            let message = "its elements lie in another file, and no folder was allowed for that";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let (mut location, mut offset, mut length) = (None, 0, None);
        for entry in entries {
            let Entry { key, value } = budget.decode(entry.clone(), "external data")?;
            match &key[..] {
                "location" => location = Some(value),
                "offset" => offset = number(&key, &value)?,
                "length" => length = Some(number(&key, &value)?),
                // A checksum, or what a writer notes for itself.
                _ => (),
            }
        }
        let Some(location) = location else {
            return Err(Error::new(ErrorKind::Format, "external data without a location"));
        };
        let Some(size) = element_bytes(kind.into()) else {
            let message = format!("external data of type {}", type_name(kind.into()));
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let expected = (elements * size) as u64;
        if let Some(found) = length.filter(|&length| length != expected) {
            let message = format!("{found} bytes of external data, expected {expected}");
            return Err(Error::new(ErrorKind::Format, message));
        }
        let mut bytes = || {
            budget.file(expected)?;
            self.bytes(&inside(folder, &location)?, offset, expected)
        };
        bytes().map_err(|e| e.at(format!("file {location:?}")))
    }

    fn bytes(&mut self, path: &Path, offset: u64, length: u64) -> Result<Bytes> {
        let mut file = File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(Error::new(ErrorKind::Format, "not a file"));
        }
        if offset.checked_add(length).is_none_or(|end| end > found.len()) {
            let found = found.len();
            let message = format!("{length} bytes from {offset} on are not in its {found} bytes");
            return Err(Error::new(ErrorKind::Format, message));
        }
        let left = self.left.entry(path.to_owned()).or_insert(found.len());
        *left = left.checked_sub(length).ok_or_else(|| {
            Error::new(ErrorKind::Limit, "tensors take more bytes than it has: some share them")
        })?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }
}

/// The path of a file that lies in `folder`, or below it, also after links are followed.
fn inside(folder: &Path, location: &str) -> Result<PathBuf> {
    let outside = || {
        let message = format!("external data at {location:?}, which is not inside the folder");
        Error::new(ErrorKind::Unsupported, message)
    };
    let path = Path::new(location);
    if !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let at = |e| failed(e).at(format!("external data at {location:?}"));
    let folder = folder.canonicalize().map_err(at)?;
    let path = folder.join(path).canonicalize().map_err(at)?;
    if path.starts_with(&folder) { Ok(path) } else { Err(outside()) }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Input, error.to_string())
}

fn number(key: &str, value: &str) -> Result<u64> {
    value.parse().map_err(|_| {
        Error::new(ErrorKind::Format, format!("external data: {key} {value:?} is not a number"))
    })
}
