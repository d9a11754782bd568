//! The `.sfold` model file. `docs/format.md` describes every byte.
//!
//! ```text
//! header | a record per layer | each layer's tensors | name | golden input, output, digest
//! ```
//! Every part starts at a multiple of 64 bytes and is padded with zeros. Where a part lies follows
//! from the fields before it: there is no offset that could point astray, no byte that belongs to
//! nothing, and one file only for each model.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use byteorder::{ByteOrder, LittleEndian};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, ErrorKind, Result};
use crate::layers::Layer;
use crate::model::{Golden, Model, check_layer_count};
use crate::quant::Int8;
use crate::record::{ALIGN, RECORD_BYTES, RecordReader, RecordWriter, Tensors, words};
use crate::tensor::{Element, TensorType, Values};

/// A byte that is not ASCII, the name, and a line end that text tools would change.
const MAGIC: &[u8; 8] = b"\x89SFOLD\r\n";

/// The version this release writes, and the only one it reads.
const VERSION: u32 = 1;

/// The header is laid out like a layer's record. These words of it, up to the checksum, guard the
/// rest of the file.
const GUARD_WORDS: usize = 8;

impl<'a> Model<'a> {
    /// Reads a model file. Weights and golden rows stay in `bytes`, and only those that the
    /// machine cannot read in place are copied: where `bytes` does not start at a multiple of 4,
    /// or the machine is big-endian.
    ///
    /// Any bytes may be given: what is not a sound model is refused, and nothing is allocated for
    /// a length that the bytes do not hold.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a version, flag or kind that this release does not know,
    /// [`ErrorKind::Checksum`] for a damaged file, [`ErrorKind::Format`] for any other bytes that
    /// are no model file; [`ErrorKind::Model`] and [`ErrorKind::Limit`] as a
    /// [`ModelBuilder`](crate::ModelBuilder) gives them.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let (header, rest) = guarded(bytes)?;
        let mut header = RecordReader::new(header, Tensors::new(rest));
        for _ in 0..GUARD_WORDS {
            header.word()?;
        }
        let (layers, golden_rows) = (header.length()?, header.length()?);
        let (name, width) = (header.length()?, header.length()?);
        let input = match header.params().map_err(|e| e.at("input"))? {
            None => TensorType::f32(width),
            Some(params) => TensorType::int8(width, params),
        };
        let tensors = header.finish().map_err(|e| e.at("header"))?;
        check_layer_count(layers)?;
        let (layers, mut tensors) = read_layers(layers, tensors)?;
        let name = tensors.bytes(Some(name)).map_err(|e| e.at("name"))?;
        let name = str::from_utf8(name)
            .map_err(|e| Error::format(format!("name: not UTF-8 from byte {}", e.valid_up_to())))?;

        let mut model = Model::validated(name.into(), input, layers)?;
        if golden_rows > 0 {
            let golden = read_golden(&model, golden_rows, &mut tensors);
            model = model.attach_golden(golden.map_err(|e| e.at("golden"))?)?;
        }
        match tensors.left() {
            0 => Ok(model),
            left => Err(Error::format(format!("{left} bytes follow the last tensor"))),
        }
    }

    /// The model as a file. A model has one file only: [`Model::read`] gives back the same model,
    /// and writing that gives the same bytes.
    pub fn write(&self) -> Vec<u8> {
        let (input, golden) = (self.input(), self.golden());
        let mut header = RecordWriter::default();
        for _ in 0..GUARD_WORDS {
            header.word(0); // known last
        }
        header.length(self.layers().len());
        header.length(golden.map_or(0, |golden| golden.input.len() / input.width));
        header.length(self.name().len());
        header.length(input.width);
        header.params(match &input.element {
            Element::Int8(params) => Some(params),
            _ => None,
        });
        let mut file = header.finish().0.to_vec();

        let mut record_at = file.len();
        file.resize(record_at + self.layers().len() * RECORD_BYTES, 0);
        for (layer, ..) in self.layers() {
            let mut record = RecordWriter::default();
            record.word(layer.code());
            layer.encode(&mut record);
            let (record, tensors) = record.finish();
            file[record_at..][..RECORD_BYTES].copy_from_slice(&record);
            record_at += RECORD_BYTES;
            for tensor in &tensors {
                append(&mut file, tensor);
            }
        }
        append(&mut file, self.name().as_bytes());
        if let Some(golden) = golden {
            append(&mut file, &golden.input.to_le_bytes());
            append(&mut file, &golden.output.to_le_bytes());
            append(&mut file, &golden.output.digest().to_le_bytes());
        }

        let length = file.len() as u64;
        file[..8].copy_from_slice(MAGIC);
        LittleEndian::write_u32(&mut file[8..], VERSION);
        LittleEndian::write_u64(&mut file[16..], length);
        let checksum = checksum(&file);
        LittleEndian::write_u64(&mut file[24..], checksum);
        file
    }
}

fn append(file: &mut Vec<u8>, tensor: &[u8]) {
    file.extend_from_slice(tensor);
    file.resize(file.len().next_multiple_of(ALIGN), 0);
}

/// The checksum of a file: of all its bytes, those of the checksum itself taken as zeros.
fn checksum(file: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&file[..24]);
    hash.update(&[0; 8]);
    hash.update(&file[32..]);
    hash.digest()
}

/// Splits off the header, if its first words say that this is a whole and undamaged file.
fn guarded(bytes: &[u8]) -> Result<(&[u8; RECORD_BYTES], &[u8])> {
    let Some((header, rest)) = bytes.split_first_chunk() else {
        return Err(Error::format(format!(
            "truncated: {} bytes are fewer than the header's {RECORD_BYTES}",
            bytes.len()
        )));
    };
    if !header.starts_with(MAGIC) {
        let start = header[..8].escape_ascii();
        return Err(Error::format(format!("not an .sfold file: the first bytes are \"{start}\"")));
    }
    let unsupported = |message| Err(Error::new(ErrorKind::Unsupported, message));
    match LittleEndian::read_u32(&header[8..]) {
        VERSION => {}
        other => return unsupported(format!("version {other}, this release reads {VERSION}")),
    }
    match LittleEndian::read_u32(&header[12..]) {
        0 => {}
        flags => return unsupported(format!("unknown flags {flags:#x}")),
    }
    let (length, found) = (LittleEndian::read_u64(&header[16..]), bytes.len() as u64);
    if length != found {
        let what = if found < length { "truncated" } else { "trailing bytes" };
        return Err(Error::format(format!(
            "{what}: the header says {length} bytes, there are {found}"
        )));
    }
    let (stored, computed) = (LittleEndian::read_u64(&header[24..]), checksum(bytes));
    if stored != computed {
        let message = format!("checksum {stored:016x} is stored, {computed:016x} computed");
        return Err(Error::new(ErrorKind::Checksum, message));
    }
    Ok((header, rest))
}

/// The layers whose records are the first of the `tensors`; and the tensors that follow theirs.
fn read_layers(count: usize, mut tensors: Tensors<'_>) -> Result<(Vec<Layer<'_>>, Tensors<'_>)> {
    let table = tensors.bytes(Some(count * RECORD_BYTES)).map_err(|e| e.at("layer table"))?;
    let mut layers = Vec::with_capacity(count);
    for (i, record) in table.as_chunks().0.iter().enumerate() {
        let mut record = RecordReader::new(record, tensors);
        let code = record.word()?;
        let layer = Layer::decode(code, &mut record)
            .and_then(|layer| record.finish().map(|rest| (layer, rest)))
            .map_err(|e| match Layer::name_of(code) {
                Some(name) => e.at(format!("layer {i} ({name})")),
                None => e.at(format!("layer {i}")),
            })?;
        layers.push(layer.0);
        tensors = layer.1;
    }
    Ok((layers, tensors))
}

fn read_golden<'a>(
    model: &Model<'_>,
    rows: usize,
    tensors: &mut Tensors<'a>,
) -> Result<Golden<'a>> {
    let input = read_values(model.input(), rows, tensors).map_err(|e| e.at("input"))?;
    let output = read_values(model.output(), rows, tensors).map_err(|e| e.at("output"))?;
    let stored = LittleEndian::read_u64(tensors.bytes(Some(8)).map_err(|e| e.at("digest"))?);
    match output.digest() {
        digest if digest == stored => Ok(Golden { input, output }),
        digest => Err(Error::format(format!(
            "digest {stored:016x} is stored, but that of the output is {digest:016x}"
        ))),
    }
}

fn read_values<'a>(of: TensorType, rows: usize, tensors: &mut Tensors<'a>) -> Result<Values<'a>> {
    let bytes = tensors.bytes(rows.checked_mul(of.row_bytes()))?;
    Ok(match of.element {
        Element::F32 => Values::F32(words(bytes)),
        Element::Index => Values::U32(words(bytes)),
        Element::Int8(params) => match params.kind() {
            Int8::I8 => Values::I8(Cow::Borrowed(bytemuck::cast_slice(bytes))),
            Int8::U8 => Values::U8(Cow::Borrowed(bytes)),
        },
    })
}
