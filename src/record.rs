//! Layers as the file holds them: a record of sixteen 32-bit words, then tensors whose lengths
//! follow from those words. All little-endian; tensors start at multiples of 64 bytes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::error::{Error, ErrorKind, Result};
use crate::quant::{Int8, QuantParams, Rounding};

/// Tensors start at multiples of this many bytes.
pub(crate) const ALIGN: usize = 64;

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 64;

/// A layer being written, or measured.
#[derive(Default)]
pub(crate) struct RecordWriter {
    words: Vec<u32>,
    tensors: Vec<Vec<u8>>,
    /// Bytes of all tensors.
    bytes: u64,
    /// Whether nothing but their number is wanted.
    measuring: bool,
}

impl RecordWriter {
    /// One that keeps no tensors, but knows [`RecordWriter::bytes`].
    pub(crate) fn measuring() -> Self {
        Self { measuring: true, ..Self::default() }
    }

    pub(crate) fn word(&mut self, value: u32) {
        self.words.push(value);
    }

    /// A length; validated models have none beyond `u32`.
    pub(crate) fn length(&mut self, value: usize) {
        self.word(u32::try_from(value).expect("lengths of a validated model fit u32"));
    }

    pub(crate) fn float(&mut self, value: f32) {
        self.word(value.to_bits());
    }

    pub(crate) fn params(&mut self, params: Option<&QuantParams>) {
        match params {
            None => [0, 0, 0].map(|w| self.word(w)),
            Some(p) => [1 + p.kind() as u32, p.scale().to_bits(), p.zero_point() as u32]
                .map(|w| self.word(w)),
        };
    }

    /// The quantization of 8-bit outputs and the rule by which they are found, if they are.
    pub(crate) fn rounded(&mut self, output: Option<(QuantParams, Rounding)>) {
        self.params(output.as_ref().map(|(params, _)| params));
        self.word(output.map_or(0, |(_, rule)| rule.code()));
    }

    pub(crate) fn tensor_i8(&mut self, values: &[i8]) {
        self.tensor(values, |v| [v as u8]);
    }

    pub(crate) fn tensor_u32(&mut self, values: &[u32]) {
        self.tensor(values, u32::to_le_bytes);
    }

    pub(crate) fn tensor_i32(&mut self, values: &[i32]) {
        self.tensor(values, i32::to_le_bytes);
    }

    pub(crate) fn tensor_f32(&mut self, values: &[f32]) {
        self.tensor(values, f32::to_le_bytes);
    }

    fn tensor<T: Copy, const N: usize>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
        self.bytes += size_of_val(values) as u64;
        if !self.measuring {
            self.tensors.push(values.iter().flat_map(|&v| bytes(v)).collect());
        }
    }

    /// Bytes of all tensors so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The record's bytes, and its tensors in order.
    pub(crate) fn finish(self) -> ([u8; RECORD_BYTES], Vec<Vec<u8>>) {
        let mut record = [0; RECORD_BYTES];
        LittleEndian::write_u32_into(&self.words, &mut record[..4 * self.words.len()]);
        (record, self.tensors)
    }
}

/// A layer being read: its record, and the bytes from its first tensor to the file's end.
pub(crate) struct RecordReader<'a> {
    record: &'a [u8],
    tensors: Tensors<'a>,
    /// How many words have been read.
    word: usize,
    /// How many tensors have been read.
    tensor: usize,
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new(record: &'a [u8; RECORD_BYTES], tensors: Tensors<'a>) -> Self {
        Self { record, tensors, word: 0, tensor: 0 }
    }

    pub(crate) fn word(&mut self) -> Result<u32> {
        let bytes = self.record.get(4 * self.word..4 * self.word + 4);
        self.word += 1;
        bytes.map(LittleEndian::read_u32).ok_or_else(|| Error::format("the record is too short"))
    }

    pub(crate) fn length(&mut self) -> Result<usize> {
        self.word().map(|w| w as usize)
    }

    pub(crate) fn float(&mut self) -> Result<f32> {
        self.word().map(f32::from_bits)
    }

    /// One of the values that `known` lists, by its code.
    pub(crate) fn choice<T: Copy>(&mut self, what: &str, known: &[(u32, T)]) -> Result<T> {
        let code = self.word()?;
        known
            .iter()
            .find(|(c, _)| *c == code)
            .map(|(_, value)| *value)
            .ok_or_else(|| unknown(what, code))
    }

    pub(crate) fn params(&mut self) -> Result<Option<QuantParams>> {
        let kind =
            self.choice("element type", &[(0, None), (1, Some(Int8::I8)), (2, Some(Int8::U8))])?;
        let (scale, zero_point) = (self.float()?, self.word()? as i32);
        match kind {
            Some(kind) => QuantParams::new(kind, scale, zero_point).map(Some),
            None if scale.to_bits() == 0 && zero_point == 0 => Ok(None),
            None => Err(Error::format("scale or zero point without an element type")),
        }
    }

    /// What [`RecordWriter::rounded`] writes.
    pub(crate) fn rounded(&mut self) -> Result<Option<(QuantParams, Rounding)>> {
        let (params, code) = (self.params()?, self.word()?);
        let rule = Rounding::ALL.into_iter().find(|rule| rule.code() == code);
        match (params, rule) {
            (None, None) if code == 0 => Ok(None),
            (Some(params), Some(rule)) => Ok(Some((params, rule))),
            (_, None) if code != 0 => Err(unknown("requantize rule", code)),
            _ => Err(Error::format("output parameters and requantize rule go together")),
        }
    }

    pub(crate) fn tensor_i8(&mut self, len: usize) -> Result<Cow<'a, [i8]>> {
        self.tensor(Some(len as u64)).map(|b| Cow::Borrowed(bytemuck::cast_slice(b)))
    }

    pub(crate) fn tensor_u32(&mut self, len: usize) -> Result<Cow<'a, [u32]>> {
        self.tensor((len as u64).checked_mul(4)).map(words)
    }

    pub(crate) fn tensor_i32(&mut self, len: usize) -> Result<Cow<'a, [i32]>> {
        self.tensor((len as u64).checked_mul(4)).map(words)
    }

    pub(crate) fn tensor_f32(&mut self, len: usize) -> Result<Cow<'a, [f32]>> {
        self.tensor((len as u64).checked_mul(4)).map(words)
    }

    /// The weights of so many outputs and inputs.
    pub(crate) fn matrix_i8(&mut self, outputs: usize, inputs: usize) -> Result<Cow<'a, [i8]>> {
        let len = matrix_length(outputs, inputs)?;
        self.tensor(Some(len)).map(|b| Cow::Borrowed(bytemuck::cast_slice(b)))
    }

    /// The weights of so many outputs and inputs.
    pub(crate) fn matrix_f32(&mut self, outputs: usize, inputs: usize) -> Result<Cow<'a, [f32]>> {
        self.tensor(matrix_length(outputs, inputs)?.checked_mul(4)).map(words)
    }

    fn tensor(&mut self, len: Option<u64>) -> Result<&'a [u8]> {
        let bytes = self.tensors.bytes(len).map_err(|e| e.at(format!("tensor {}", self.tensor)));
        self.tensor += 1;
        bytes
    }

    /// The tensors that follow this layer's; refuses words that mean nothing and are not zero.
    pub(crate) fn finish(self) -> Result<Tensors<'a>> {
        match self.record[(4 * self.word).min(RECORD_BYTES)..].iter().all(|&b| b == 0) {
            true => Ok(self.tensors),
            false => Err(Error::format("unused bytes of the record are not zero")),
        }
    }
}

fn matrix_length(outputs: usize, inputs: usize) -> Result<u64> {
    let weights = (inputs as u64).checked_mul(outputs as u64).filter(|&n| n > 0);
    weights.ok_or_else(|| Error::format(format!("a matrix of {outputs} x {inputs} weights")))
}

/// An error for a code that no release up to this one gives a meaning.
pub(crate) fn unknown(what: &str, code: u32) -> Error {
    Error::new(ErrorKind::Unsupported, format!("unknown {what} {code}"))
}

/// Aligned tensors, one after the other, from the front of what is left of a file.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    rest: &'a [u8],
}

impl<'a> Tensors<'a> {
    /// `rest` must start at a multiple of [`ALIGN`] in the file.
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next tensor's bytes. `None` for a length means that computing it overflowed. What a file
    /// says can be more than this machine can address.
    pub(crate) fn bytes(&mut self, len: Option<u64>) -> Result<&'a [u8]> {
        let padded = len.and_then(|len| len.checked_next_multiple_of(ALIGN as u64));
        let (Some(len), Some(padded)) = (len, padded) else {
            return Err(Error::format("its size overflows"));
        };
        let split = usize::try_from(padded).ok().and_then(|at| self.rest.split_at_checked(at));
        let Some((tensor, rest)) = split else {
            return Err(Error::format(format!(
                "its {len} bytes, padded to {padded}, are not there: {} are left of the file",
                self.rest.len()
            )));
        };
        let (tensor, padding) = tensor.split_at(len as usize);
        if padding.iter().any(|&b| b != 0) {
            return Err(Error::format("the padding after it is not zero"));
        }
        self.rest = rest;
        Ok(tensor)
    }

    /// Bytes that no tensor has taken.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Little-endian 32-bit values: borrowed where the machine and the alignment allow, else copied.
pub(crate) fn words<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    const { assert!(size_of::<T>() == 4) };
    if cfg!(target_endian = "little")
        && let Ok(values) = bytemuck::try_cast_slice(bytes)
    {
        return Cow::Borrowed(values);
    }
    let value = |word: &[u8]| bytemuck::cast(LittleEndian::read_u32(word));
    Cow::Owned(bytes.chunks_exact(4).map(value).collect())
}
