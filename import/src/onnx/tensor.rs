//! Constants: their shape and their elements, checked against each other.

use half::{bf16, f16};
use prost::bytes::Bytes;
use signfold::{Error, ErrorKind, Result};

use super::external::External;
use super::proto::{self, Budget};

/// Dimensions that a tensor may have at most.
pub(super) const MAX_RANK: usize = 8;

/// Elements that a tensor may have at most.
const MAX_ELEMENTS: usize = 1 << 31;

/// A constant of the graph: `data` has as many elements as `shape` says, the last dimension varies
/// fastest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// The elements. Floats of 16 and of 64 bits have become `f32`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    F32(Vec<f32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    /// Elements of a type that nothing here can use: they are left in the file.
    Other(&'static str),
}

/// The element types of the standard, by number.
const TYPES: [&str; 27] = [
    "undefined",
    "float",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "float16",
    "double",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bfloat16",
    "float8e4m3fn",
    "float8e4m3fnuz",
    "float8e5m2",
    "float8e5m2fnuz",
    "uint4",
    "int4",
    "float4e2m1",
    "float8e8m0",
    "uint2",
    "int2",
];

/// The name of an element type, for messages.
pub(super) fn type_name(number: i64) -> &'static str {
    usize::try_from(number).ok().and_then(|i| TYPES.get(i)).unwrap_or(&"unknown")
}

/// Element types, as files number them.
pub(super) mod types {
    pub const FLOAT: i64 = 1;
    pub const UINT8: i64 = 2;
    pub const INT8: i64 = 3;
    pub const INT32: i64 = 6;
    pub const INT64: i64 = 7;
    pub const BOOL: i64 = 9;
    pub const FLOAT16: i64 = 10;
    pub const DOUBLE: i64 = 11;
    pub const BFLOAT16: i64 = 16;

    /// Whether elements of the type are real numbers.
    pub fn is_float(number: i64) -> bool {
        matches!(number, FLOAT | FLOAT16 | DOUBLE | BFLOAT16)
    }
}

impl Tensor {
    /// A tensor, if the elements are as many as the shape says.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self> {
        let expected = elements(&shape)?;
        match data.len() {
            Some(found) if found != expected => Err(Error::new(
                ErrorKind::Format,
                format!("shape {shape:?} has {expected} elements, but there are {found}"),
            )),
            _ => Ok(Self { shape, data }),
        }
    }

    /// A tensor without dimensions.
    pub fn scalar(value: f32) -> Self {
        Self { shape: Vec::new(), data: Data::F32(vec![value]) }
    }

    /// Decodes a tensor; its elements may lie in a file of `external`.
    pub fn read(
        tensor: proto::Tensor,
        external: &mut External<'_>,
        budget: &mut Budget,
    ) -> Result<Self> {
        if tensor.segment.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "a segment of a tensor"));
        }
        let shape = shape(&tensor.dims)?;
        let elements = elements(&shape)?;
        budget.constant(elements as u64 * decoded_bytes(tensor.data_type.into()))?;
        let raw = match tensor.data_location {
            0 => tensor.raw_data.clone(),
            1 => {
                let (entries, kind) = (&tensor.external_data, tensor.data_type);
                Some(external.read(entries, elements, kind, budget)?)
            }
            other => {
                let message = format!("data location {other}, neither here (0) nor external (1)");
                return Err(Error::new(ErrorKind::Format, message));
            }
        };
        let data = match (raw, i64::from(tensor.data_type)) {
            (Some(raw), kind) => from_raw(&raw, kind)?,
            (None, types::FLOAT) => Data::F32(tensor.float_data),
            (None, types::DOUBLE) => {
                Data::F32(tensor.double_data.into_iter().map(|x| x as f32).collect())
            }
            (None, types::FLOAT16) => {
                Data::F32(narrow(&tensor.int32_data, |bits: u16| f16::from_bits(bits).to_f32())?)
            }
            (None, types::BFLOAT16) => {
                Data::F32(narrow(&tensor.int32_data, |bits: u16| bf16::from_bits(bits).to_f32())?)
            }
            (None, types::INT8) => Data::I8(narrow(&tensor.int32_data, |x| x)?),
            (None, types::UINT8) => Data::U8(narrow(&tensor.int32_data, |x| x)?),
            (None, types::BOOL) => Data::Bool(narrow(&tensor.int32_data, |x: u8| x != 0)?),
            (None, types::INT32) => Data::I32(tensor.int32_data),
            (None, types::INT64) => Data::I64(tensor.int64_data),
            (None, other) => Data::Other(type_name(other)),
        };
        Self::new(shape, data)
    }

    /// The real numbers.
    pub fn floats(&self) -> Result<&[f32]> {
        match &self.data {
            Data::F32(values) => Ok(values),
            other => Err(wrong("real numbers", other)),
        }
    }

    /// The whole numbers, of whatever width.
    pub fn ints(&self) -> Result<Vec<i64>> {
        match &self.data {
            Data::I64(values) => Ok(values.clone()),
            Data::I32(values) => Ok(values.iter().map(|&x| x.into()).collect()),
            Data::I8(values) => Ok(values.iter().map(|&x| x.into()).collect()),
            Data::U8(values) => Ok(values.iter().map(|&x| x.into()).collect()),
            other => Err(wrong("whole numbers", other)),
        }
    }

    /// The only real number.
    pub fn float(&self) -> Result<f32> {
        match self.floats()? {
            &[value] => Ok(value),
            _ => Err(self.not_one()),
        }
    }

    /// The only whole number.
    pub fn int(&self) -> Result<i64> {
        match self.ints()?[..] {
            [value] => Ok(value),
            _ => Err(self.not_one()),
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// A vector as a matrix of one column.
    pub fn as_column(&self) -> Self {
        Self { shape: vec![self.len(), 1], data: self.data.clone() }
    }

    fn not_one(&self) -> Error {
        let message = format!("expected one element, found shape {:?}", self.shape);
        Error::new(ErrorKind::Unsupported, message)
    }
}

impl Data {
    /// How many elements there are, if they were decoded.
    fn len(&self) -> Option<usize> {
        Some(match self {
            Data::F32(values) => values.len(),
            Data::I8(values) => values.len(),
            Data::U8(values) => values.len(),
            Data::I32(values) => values.len(),
            Data::I64(values) => values.len(),
            Data::Bool(values) => values.len(),
            Data::Other(_) => return None,
        })
    }

    /// The element type, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Data::F32(_) => "float",
            Data::I8(_) => "int8",
            Data::U8(_) => "uint8",
            Data::I32(_) => "int32",
            Data::I64(_) => "int64",
            Data::Bool(_) => "bool",
            Data::Other(name) => name,
        }
    }
}

/// Bytes of an element of this type, where it is one of [`from_raw`].
pub(super) fn element_bytes(kind: i64) -> Option<usize> {
    Some(match kind {
        types::INT8 | types::UINT8 | types::BOOL => 1,
        types::FLOAT16 | types::BFLOAT16 => 2,
        types::FLOAT | types::INT32 => 4,
        types::DOUBLE | types::INT64 => 8,
        _ => return None,
    })
}

/// Bytes of an element of this type in [`Data`].
fn decoded_bytes(kind: i64) -> u64 {
    match kind {
        types::INT8 | types::UINT8 | types::BOOL => 1,
        types::INT64 => 8,
        _ if types::is_float(kind) || kind == types::INT32 => 4,
        _ => 0, // left in the file
    }
}

/// How many elements a shape has, within the limit.
pub(super) fn elements(shape: &[usize]) -> Result<usize> {
    cost(shape)?;
    Ok(shape.iter().product())
}

/// The same, but at least what each dimension has: a dimension of 0 does not hide the others.
pub(super) fn cost(shape: &[usize]) -> Result<usize> {
    match shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d.max(1))) {
        Some(cost) if cost <= MAX_ELEMENTS => Ok(cost),
        _ => {
            let message = format!("shape {shape:?} has more than {MAX_ELEMENTS} elements");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

fn shape(dims: &[i64]) -> Result<Vec<usize>> {
    if dims.len() > MAX_RANK {
        let message = format!("{} dimensions, more than {MAX_RANK}", dims.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let dim = |&d: &i64| usize::try_from(d);
    dims.iter().map(dim).collect::<Result<_, _>>().map_err(|_| {
        Error::new(ErrorKind::Format, format!("shape {dims:?} has a negative dimension"))
    })
}

/// Little-endian elements.
fn from_raw(raw: &Bytes, kind: i64) -> Result<Data> {
    fn each<const N: usize, T>(raw: &[u8], element: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        match raw.as_chunks() {
            (chunks, []) => Ok(chunks.iter().map(|&bytes| element(bytes)).collect()),
            _ => {
                let message = format!("{} bytes are not whole elements of {N} bytes", raw.len());
                Err(Error::new(ErrorKind::Format, message))
            }
        }
    }
    Ok(match kind {
        types::FLOAT => Data::F32(each(raw, f32::from_le_bytes)?),
        types::DOUBLE => Data::F32(each(raw, |bytes| f64::from_le_bytes(bytes) as f32)?),
        types::FLOAT16 => Data::F32(each(raw, |bytes| f16::from_le_bytes(bytes).to_f32())?),
        types::BFLOAT16 => Data::F32(each(raw, |bytes| bf16::from_le_bytes(bytes).to_f32())?),
        types::INT8 => Data::I8(each(raw, i8::from_le_bytes)?),
        types::UINT8 => Data::U8(raw.to_vec()),
        types::BOOL => Data::Bool(raw.iter().map(|&x| x != 0).collect()),
        types::INT32 => Data::I32(each(raw, i32::from_le_bytes)?),
        types::INT64 => Data::I64(each(raw, i64::from_le_bytes)?),
        other => Data::Other(type_name(other)),
    })
}

/// Elements that a file without raw data widens to `i32`.
fn narrow<N: TryFrom<i32>, T>(values: &[i32], element: impl Fn(N) -> T) -> Result<Vec<T>> {
    let narrow = |&x: &i32| {
        N::try_from(x).map(&element).map_err(|_| {
            Error::new(ErrorKind::Format, format!("element {x} does not fit its type"))
        })
    };
    values.iter().map(narrow).collect()
}

fn wrong(expected: &str, found: &Data) -> Error {
    let message = format!("expected {expected}, found elements of type {}", found.name());
    Error::new(ErrorKind::Unsupported, message)
}
