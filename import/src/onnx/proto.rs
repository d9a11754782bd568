//! The messages of the ONNX file, as far as the reader looks at them; the numbers are the standard's.
//!
//! A message of two bytes can take hundreds in memory. So what may stand in a message many times is
//! left encoded until it is its turn, and [`Budget`] counts the fields of each message before it is
//! decoded: no file makes much more of itself than it is long.

use prost::Message;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use signfold::{Error, ErrorKind, Limits, Result};

/// The file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer: String,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub graph: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub opsets: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub functions: Vec<Bytes>,
}

/// The version of a domain's operators.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub nodes: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub initializers: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub inputs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    pub outputs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub sparse_initializers: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub attributes: Vec<Bytes>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// What a node is told besides its inputs. `kind` says which of the fields holds it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub float: f32,
    #[prost(int64, tag = "3")]
    pub int: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub string: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub tensor: Bytes,
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    #[prost(int32, tag = "20")]
    pub kind: i32,
    #[prost(string, tag = "21")]
    pub reference: String,
}

/// Elements lie in one of the `data` fields, or in a file of their own.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub segment: Option<Bytes>,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub external_data: Vec<Bytes>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A key and its value, of a tensor's place in another file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The name of an input or output, and its type.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(int32, tag = "1")]
    pub element: i32,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub shape: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub dims: Vec<Bytes>,
}

/// A number, or a name for one that is not known, or neither.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Dim {
    #[prost(int64, optional, tag = "1")]
    pub value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// Fields that all messages of a file may have together.
const MAX_FIELDS: usize = 1 << 20;

/// What a file may still take: fields to decode, bytes of files, bytes of constants.
pub(super) struct Budget {
    fields: usize,
    /// Bytes of the file, and of those that it has been read with.
    files: u64,
    constants: u64,
    limits: Limits,
}

impl Budget {
    pub fn new(limits: &Limits) -> Self {
        Self { fields: MAX_FIELDS, files: 0, constants: 0, limits: *limits }
    }

    /// Counts bytes of a file that are about to be read.
    pub fn file(&mut self, bytes: u64) -> Result<()> {
        self.files = self.files.saturating_add(bytes);
        self.limits.check_bytes(self.files)
    }

    /// Counts bytes of constants that are about to be decoded.
    pub fn constant(&mut self, bytes: u64) -> Result<()> {
        self.constants = self.constants.saturating_add(bytes);
        self.limits.check_memory(Some(self.constants), "constants, with those before")
    }

    /// Decodes a message, if its fields are within the budget.
    pub fn decode<M: Message + Default>(&mut self, bytes: Bytes, what: &str) -> Result<M> {
        let broken = |e: prost::DecodeError| Error::new(ErrorKind::Format, format!("{what}: {e}"));
        let mut rest = &bytes[..];
        while rest.has_remaining() {
            let (field, wire) = decode_key(&mut rest).map_err(broken)?;
            if wire == WireType::StartGroup || wire == WireType::EndGroup {
                let message = format!("{what}: field {field} is a group, which ONNX has not");
                return Err(Error::new(ErrorKind::Format, message));
            }
            skip_field(wire, field, &mut rest, DecodeContext::default()).map_err(broken)?;
            self.fields = self.fields.checked_sub(1).ok_or_else(|| {
                let message = format!("more than {MAX_FIELDS} fields of messages");
                Error::new(ErrorKind::Limit, message)
            })?;
        }
        M::decode(bytes).map_err(broken)
    }
}
