//! FlatBuffers, every access checked.
//!
//! ```text
//! file:    where the root table is, 4 bytes; 4 bytes that name the format; tables, vectors, strings
//! table:   how far back its vtable is (signed); fields
//! vtable:  its bytes, the table's bytes, then for each field where it is in the table, 0: nowhere
//! vector:  a count, elements
//! ```
//! What a field refers to lies that many bytes behind the field. Two things are up to whoever wrote the
//! file: where it refers to, and how long things say they are. So each read asks the file's length
//! first, and nothing is allocated here. The schema has no table within one of its kind, so reading
//! ends whatever refers to what.
//!
//! The crates that do this want `unsafe` code of those who read through them (vectors of tables in
//! `planus`, every field in `flatbuffers`), which this crate has none of.

use signfold::{Error, ErrorKind, Result};

/// A table: fields that are known by number, each there or not.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    file: &'a [u8],
    at: usize,
    /// Where the fields are, two bytes each.
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    /// The root of a file whose format has this name.
    pub fn root(file: &'a [u8], format: &[u8; 4]) -> Result<Self> {
        match file.get(4..8) {
            Some(found) if found == format => Self::behind(file, 0),
            Some(found) => Err(wrong(format!(
                "its bytes 4 to 7 are {:?}, but {:?} in a TFLite model",
                String::from_utf8_lossy(found),
                String::from_utf8_lossy(format)
            ))),
            None => Err(wrong(format!("{} bytes are no model", file.len()))),
        }
    }

    /// The table that the offset at this place refers to.
    fn behind(file: &'a [u8], place: usize) -> Result<Self> {
        let at = follow(file, place)?;
        let back = i64::from(i32::from_le_bytes(read(file, at)?));
        let vtable = (at as i64).checked_sub(back).and_then(|at| usize::try_from(at).ok());
        let vtable = vtable.ok_or_else(|| outside(file, "a vtable before its start"))?;
        let length = usize::from(u16::from_le_bytes(read(file, vtable)?));
        if length < 4 || length % 2 != 0 {
            return Err(wrong(format!("byte {vtable}: a vtable of {length} bytes")));
        }
        Ok(Self { file, at, fields: &slice(file, vtable, length)?[4..] })
    }

    /// Where in the file a field is.
    fn place(&self, field: usize) -> Option<usize> {
        match self.fields.as_chunks().0.get(field).map(|&offset| u16::from_le_bytes(offset)) {
            None | Some(0) => None,
            Some(offset) => Some(self.at + usize::from(offset)),
        }
    }

    /// A field of as many bytes.
    fn bytes<const N: usize>(&self, field: usize) -> Result<Option<[u8; N]>> {
        self.place(field).map(|at| read(self.file, at)).transpose()
    }

    pub fn u8(&self, field: usize) -> Result<u8> {
        Ok(self.bytes(field)?.map_or(0, u8::from_le_bytes))
    }

    pub fn i32(&self, field: usize) -> Result<i32> {
        Ok(self.bytes(field)?.map_or(0, i32::from_le_bytes))
    }

    pub fn u32(&self, field: usize) -> Result<u32> {
        Ok(self.bytes(field)?.map_or(0, u32::from_le_bytes))
    }

    pub fn u64(&self, field: usize) -> Result<u64> {
        Ok(self.bytes(field)?.map_or(0, u64::from_le_bytes))
    }

    pub fn f32(&self, field: usize) -> Result<f32> {
        Ok(self.bytes(field)?.map_or(0.0, f32::from_le_bytes))
    }

    /// A table, if it is there.
    pub fn table(&self, field: usize) -> Result<Option<Self>> {
        self.place(field).map(|place| Self::behind(self.file, place)).transpose()
    }

    /// Where a vector's elements are, and how many; one that is not there has none.
    fn elements(&self, field: usize) -> Result<(usize, usize)> {
        let Some(place) = self.place(field) else { return Ok((0, 0)) };
        let at = follow(self.file, place)?;
        let count = u32::from_le_bytes(read(self.file, at)?);
        Ok((at + 4, count as usize))
    }

    /// A vector of elements of as many bytes.
    pub fn vector<const N: usize>(&self, field: usize) -> Result<&'a [[u8; N]]> {
        let (at, count) = self.elements(field)?;
        let bytes = count.checked_mul(N).ok_or_else(|| outside(self.file, "a vector's end"))?;
        Ok(slice(self.file, at, bytes)?.as_chunks().0)
    }

    /// A vector of tables, not more than `most`.
    pub fn tables(&self, field: usize, most: usize) -> Result<Vec<Self>> {
        let (at, count) = self.elements(field)?;
        if count > most {
            return Err(Error::new(ErrorKind::Limit, format!("{count}, more than {most}")));
        }
        self.vector::<4>(field)?;
        (0..count).map(|i| Self::behind(self.file, at + 4 * i)).collect()
    }

    /// A text; one that is not there is empty.
    pub fn text(&self, field: usize) -> Result<&'a str> {
        let bytes = self.vector::<1>(field)?.as_flattened();
        std::str::from_utf8(bytes).map_err(|e| wrong(format!("a text is not UTF-8: {e}")))
    }
}

/// The place that the offset at `place` refers to.
fn follow(file: &[u8], place: usize) -> Result<usize> {
    let offset = u32::from_le_bytes(read(file, place)?) as usize;
    place.checked_add(offset).ok_or_else(|| outside(file, "an offset"))
}

fn read<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    Ok(slice(file, at, N)?.try_into().expect("as many as asked for"))
}

fn slice(file: &[u8], at: usize, bytes: usize) -> Result<&[u8]> {
    let part = file.get(at..).and_then(|rest| rest.get(..bytes));
    part.ok_or_else(|| outside(file, format_args!("bytes {at} and {bytes} from there")))
}

fn outside(file: &[u8], what: impl std::fmt::Display) -> Error {
    wrong(format!("{what} would be outside the file of {} bytes", file.len()))
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}
