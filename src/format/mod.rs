//! The `.sfold` model file. `docs/format.md` describes every byte.
//!
//! ```text
//! header | a record per input, per layer | each layer's tensors | wiring | names | golden rows
//! ```
//! Every part starts at a multiple of 64 bytes and is padded with zeros. Where a part lies follows
//! from the fields before it: there is no offset that could point astray, no byte that belongs to
//! nothing, and one file only for each model.
#![forbid(unsafe_code)]

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{TensorId, without_layers};
use crate::layers::Layer;
use crate::limits::Limits;
use crate::model::{Golden, Model};
use crate::quant::Int8;
use crate::record::{ALIGN, RECORD_BYTES, RecordReader, RecordWriter, Tensors, words};
use crate::tensor::{Element, TensorType, Values};

/// A byte that is not ASCII, the name, and a line end that text tools would change.
const MAGIC: &[u8; 8] = b"\x89SFOLD\r\n";

/// The version this release writes, and the only one it reads.
const VERSION: u32 = 2;

/// The header is laid out like a layer's record. These words of it, up to the checksum, guard the
/// rest of the file.
const GUARD_WORDS: usize = 8;

impl<'a> Model<'a> {
    /// Reads a model file, within the default [`Limits`]. Weights and golden rows stay in `bytes`, and
    /// only those that the machine cannot read in place are copied: where `bytes` does not start at a
    /// multiple of 4, or the machine is big-endian.
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
        Self::read_with(bytes, &Limits::default())
    }

    /// Reads a model file, as [`Model::read`] does, within these limits.
    ///
    /// # Errors
    /// Those of [`Model::read`]; [`ErrorKind::Limit`] for what exceeds a limit.
    pub fn read_with(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        limits.check_bytes(bytes.len() as u64)?;
        let (header, rest) = guarded(bytes)?;
        let mut header = RecordReader::new(header, Tensors::new(rest));
        for _ in 0..GUARD_WORDS {
            header.word()?;
        }
        let (layers, golden_rows, name) = (header.length()?, header.length()?, header.length()?);
        let (inputs, outputs) = (header.length()?, header.length()?);
        let mut tensors = header.finish().map_err(|e| e.at("header"))?;
        if layers == 0 {
            return Err(without_layers());
        }
        limits.check_layers(layers)?;
        let table = tensors.bytes((inputs as u64).checked_mul(RECORD_BYTES as u64));
        let table = table.map_err(|e| e.at("inputs"))?;
        let (layers, mut tensors) = read_layers(layers, tensors)?;
        let words = |tensors: &mut Tensors<'a>, what: &str, count: u64| {
            let bytes = tensors.bytes(count.checked_mul(4)).map_err(|e| e.at(what))?;
            Ok::<_, Error>(words::<u32>(bytes))
        };
        let taken = layers.iter().map(Layer::arity).sum::<usize>();
        let wiring = words(&mut tensors, "wiring", taken as u64 + outputs as u64)?;
        let mut wiring = wiring.iter().map(|&tensor| TensorId::new(tensor as usize));
        let lengths = words(&mut tensors, "lengths of names", inputs as u64 + layers.len() as u64)?;
        let lengths = lengths.iter().map(|&length| length as usize);
        let bytes =
            lengths.clone().try_fold(name as u64, |sum, length| sum.checked_add(length as u64));
        let mut names = Names { rest: tensors.bytes(bytes).map_err(|e| e.at("names"))? };

        let name = names.next(name).map_err(|e| e.at("name"))?;
        let mut graph = Model::graph(name).limits(limits);
        let mut lengths = lengths.enumerate();
        let mut next_name = || {
            let (tensor, length) = lengths.next().expect("one for each tensor");
            names.next(length).map_err(|e| e.at(format!("name of tensor {tensor}")))
        };
        for (i, record) in table.as_chunks().0.iter().enumerate() {
            let of = read_input(record).map_err(|e| e.at(format!("input {i}")))?;
            graph.input(next_name()?, of)?;
        }
        for layer in layers {
            let inputs: Vec<TensorId> = wiring.by_ref().take(layer.arity()).collect();
            graph.layer(next_name()?, layer, &inputs)?;
        }
        wiring.for_each(|tensor| graph.output(tensor));
        let mut model = graph.build()?;
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
        let golden = self.golden();
        let mut header = RecordWriter::default();
        for _ in 0..GUARD_WORDS {
            header.word(0); // known last
        }
        header.length(self.layers().len());
        let rows = |golden: &Golden<'_>| golden.inputs[0].len() / self.input().width;
        header.length(golden.map_or(0, rows));
        header.length(self.name().len());
        header.length(self.inputs().len());
        header.length(self.outputs().len());
        let mut file = header.finish().0.to_vec();
        for input in self.inputs() {
            append(&mut file, &input_record(&self.tensor_type(input)));
        }

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
        let wiring = self.nodes().flat_map(|node| node.inputs).chain(self.outputs());
        append(&mut file, &le_bytes(wiring.map(|id| id.index())));
        let names = || self.tensors().map(|id| self.tensor_name(id));
        append(&mut file, &le_bytes(names().map(str::len)));
        let names: String = [self.name()].into_iter().chain(names()).collect();
        append(&mut file, names.as_bytes());
        if let Some(golden) = golden {
            for values in golden.inputs.iter().chain(&golden.outputs) {
                append(&mut file, &values.to_le_bytes());
            }
            append(&mut file, &golden.digest().to_le_bytes());
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

/// Lengths and numbers of a validated model, which fit `u32`.
fn le_bytes(values: impl Iterator<Item = usize>) -> Vec<u8> {
    values.flat_map(|value| u32::try_from(value).expect("it fits u32").to_le_bytes()).collect()
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

/// The record of an input.
fn input_record(of: &TensorType) -> [u8; RECORD_BYTES] {
    let mut record = RecordWriter::default();
    record.length(of.width);
    record.params(match &of.element {
        Element::Int8(params) => Some(params),
        _ => None,
    });
    record.finish().0
}

fn read_input(record: &[u8; RECORD_BYTES]) -> Result<TensorType> {
    let mut record = RecordReader::new(record, Tensors::new(&[]));
    let (width, params) = (record.length()?, record.params()?);
    record.finish()?;
    Ok(match params {
        None => TensorType::f32(width),
        Some(params) => TensorType::int8(width, params),
    })
}

/// Names, one after the other.
struct Names<'a> {
    rest: &'a [u8],
}

impl<'a> Names<'a> {
    /// The next one, which has so many bytes; all of them together are as many as there are.
    fn next(&mut self, length: usize) -> Result<&'a str> {
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        let not_text = |e: core::str::Utf8Error| format!("not UTF-8 from byte {}", e.valid_up_to());
        str::from_utf8(name).map_err(|e| Error::format(not_text(e)))
    }
}

/// The layers whose records are the first of the `tensors`; and the tensors that follow theirs.
fn read_layers(count: usize, mut tensors: Tensors<'_>) -> Result<(Vec<Layer<'_>>, Tensors<'_>)> {
    let table =
        tensors.bytes(Some(count as u64 * RECORD_BYTES as u64)).map_err(|e| e.at("layer table"))?;
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
    let mut read = |what: &str, ids: &mut dyn Iterator<Item = TensorId>| {
        let values = ids.map(|id| read_values(model.tensor_type(id), rows, tensors));
        values.collect::<Result<Vec<_>>>().map_err(|e| e.at(what))
    };
    let inputs = read("input", &mut model.inputs())?;
    let outputs = read("output", &mut model.outputs().iter().copied())?;
    let golden = Golden { inputs, outputs };
    let stored = LittleEndian::read_u64(tensors.bytes(Some(8)).map_err(|e| e.at("digest"))?);
    match golden.digest() {
        digest if digest == stored => Ok(golden),
        digest => Err(Error::format(format!(
            "digest {stored:016x} is stored, but that of the output is {digest:016x}"
        ))),
    }
}

fn read_values<'a>(of: TensorType, rows: usize, tensors: &mut Tensors<'a>) -> Result<Values<'a>> {
    let bytes = tensors.bytes((rows as u64).checked_mul(of.row_bytes() as u64))?;
    Ok(match of.element {
        Element::F32 => Values::F32(words(bytes)),
        Element::Index => Values::U32(words(bytes)),
        Element::Int8(params) => match params.kind() {
            Int8::I8 => Values::I8(Cow::Borrowed(bytemuck::cast_slice(bytes))),
            Int8::U8 => Values::U8(Cow::Borrowed(bytes)),
        },
    })
}
