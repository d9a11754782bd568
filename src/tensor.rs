//! What flows between layers: types, and batches of rows.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::quant::{Int8, QuantParams};

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Element {
    /// Real numbers.
    F32,
    /// 8-bit integers that stand for real numbers.
    Int8(QuantParams),
    /// Positions (what argmax answers).
    Index,
}

impl Element {
    /// Bytes per element.
    pub const fn size(&self) -> usize {
        match self {
            Element::Int8(_) => 1,
            Element::F32 | Element::Index => 4,
        }
    }

    /// The name of the Rust type of an element.
    pub const fn name(&self) -> &'static str {
        self.rust_type().name()
    }

    const fn rust_type(&self) -> RustType {
        match self {
            Element::F32 => RustType::F32,
            Element::Index => RustType::U32,
            Element::Int8(params) => match params.kind() {
                Int8::I8 => RustType::I8,
                Int8::U8 => RustType::U8,
            },
        }
    }
}

/// The types of elements in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RustType {
    F32,
    I8,
    U8,
    U32,
}

impl RustType {
    const fn name(self) -> &'static str {
        match self {
            RustType::F32 => "f32",
            RustType::I8 => "i8",
            RustType::U8 => "u8",
            RustType::U32 => "u32",
        }
    }
}

/// The type of a batch: any number of rows of `width` elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorType {
    /// Elements in a row.
    pub width: usize,
    /// What the elements are.
    pub element: Element,
}

impl TensorType {
    /// Rows of real numbers.
    pub const fn f32(width: usize) -> Self {
        Self { width, element: Element::F32 }
    }

    /// Rows of quantized numbers.
    pub const fn int8(width: usize, params: QuantParams) -> Self {
        Self { width, element: Element::Int8(params) }
    }

    /// Bytes of a row.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.width * self.element.size()
    }

    /// How many rows `values` hold, if they are of this type.
    pub(crate) fn rows(&self, values: &Values<'_>, what: &str) -> Result<usize> {
        self.rows_of(values.rust_type(), values.len(), what)
    }

    #[inline]
    pub(crate) fn rows_of(&self, element: RustType, len: usize, what: &str) -> Result<usize> {
        if element != self.element.rust_type() {
            return Err(Error::input(format!(
                "{what} has elements of type {}, the model wants {}",
                element.name(),
                self.element.name()
            )));
        }
        // One row is the commonest batch, and a division takes long beside it.
        if len == self.width {
            return Ok(1);
        }
        if !len.is_multiple_of(self.width) {
            return Err(Error::input(format!(
                "{what} has {len} elements, not a multiple of the row width {}",
                self.width
            )));
        }
        Ok(len / self.width)
    }
}

impl core::fmt::Display for TensorType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} x {}", self.width, self.element.name())
    }
}

/// A batch of rows, one after the other, borrowed or owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values<'a> {
    /// Real numbers.
    F32(Cow<'a, [f32]>),
    /// Signed 8-bit integers.
    I8(Cow<'a, [i8]>),
    /// Unsigned 8-bit integers.
    U8(Cow<'a, [u8]>),
    /// Positions.
    U32(Cow<'a, [u32]>),
}

impl Values<'_> {
    /// How many elements there are, over all rows.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::I8(v) => v.len(),
            Values::U8(v) => v.len(),
            Values::U32(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the Rust type of the elements.
    pub const fn element_name(&self) -> &'static str {
        self.rust_type().name()
    }

    const fn rust_type(&self) -> RustType {
        match self {
            Values::F32(_) => RustType::F32,
            Values::I8(_) => RustType::I8,
            Values::U8(_) => RustType::U8,
            Values::U32(_) => RustType::U32,
        }
    }

    /// The same batch, borrowing nothing.
    pub fn into_owned(self) -> Values<'static> {
        match self {
            Values::F32(v) => Values::F32(Cow::Owned(v.into_owned())),
            Values::I8(v) => Values::I8(Cow::Owned(v.into_owned())),
            Values::U8(v) => Values::U8(Cow::Owned(v.into_owned())),
            Values::U32(v) => Values::U32(Cow::Owned(v.into_owned())),
        }
    }

    /// Elements as memory holds them.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Values::F32(values) => bytemuck::cast_slice(values),
            Values::U32(values) => bytemuck::cast_slice(values),
            Values::I8(values) => bytemuck::cast_slice(values),
            Values::U8(values) => values,
        }
    }

    /// Elements as the file holds them: little-endian.
    pub(crate) fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Values::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::I8(v) => bytemuck::cast_slice(v).to_vec(),
            Values::U8(v) => v.to_vec(),
        }
    }

    /// A number that differs, in all likelihood, when any bit of the elements does.
    pub fn digest(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.to_le_bytes())
    }

    /// The first element that differs in any bit from that of a batch of the same type and length.
    pub(crate) fn difference(&self, other: &Values<'_>) -> Option<usize> {
        let (bytes, others) = (self.bytes(), other.bytes());
        let at = bytes.iter().zip(others).position(|(byte, other)| byte != other)?;
        Some(at / (bytes.len() / self.len()))
    }

    /// An element for a message, with its bits where they say more than the number.
    pub(crate) fn shown(&self, at: usize) -> String {
        match self {
            Values::F32(v) => format!("{} ({:#010x})", v[at], v[at].to_bits()),
            Values::U32(v) => format!("{}", v[at]),
            Values::I8(v) => format!("{}", v[at]),
            Values::U8(v) => format!("{}", v[at]),
        }
    }

    /// Integers as the engine sees them, whatever their type: `i8`.
    pub(crate) fn to_i8(&self) -> Vec<i8> {
        match self {
            Values::I8(v) => v.to_vec(),
            Values::U8(v) => v.iter().map(|&x| (x ^ 0x80) as i8).collect(),
            Values::F32(_) | Values::U32(_) => unreachable!("a layer checked that these are 8-bit"),
        }
    }

    /// `i8` values in the type that `params` name.
    pub(crate) fn from_i8(values: Vec<i8>, params: &QuantParams) -> Values<'static> {
        match params.kind() {
            Int8::I8 => values.into(),
            Int8::U8 => values.iter().map(|&x| x as u8 ^ 0x80).collect::<Vec<u8>>().into(),
        }
    }

    pub(crate) fn as_f32(&self) -> &[f32] {
        match self {
            Values::F32(v) => v,
            _ => unreachable!("a layer checked that these are f32"),
        }
    }
}

/// Where a run puts its rows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output<'a> {
    /// Real numbers.
    F32(&'a mut [f32]),
    /// Signed 8-bit integers.
    I8(&'a mut [i8]),
    /// Unsigned 8-bit integers.
    U8(&'a mut [u8]),
    /// Positions.
    U32(&'a mut [u32]),
}

macro_rules! conversions {
    ($($variant:ident: $t:ty),*) => {$(
        impl<'a> From<&'a [$t]> for Values<'a> {
            fn from(values: &'a [$t]) -> Self {
                Values::$variant(Cow::Borrowed(values))
            }
        }
        impl<'a> From<&'a Vec<$t>> for Values<'a> {
            fn from(values: &'a Vec<$t>) -> Self {
                Values::$variant(Cow::Borrowed(values))
            }
        }
        impl<'a, const N: usize> From<&'a [$t; N]> for Values<'a> {
            fn from(values: &'a [$t; N]) -> Self {
                Values::$variant(Cow::Borrowed(values))
            }
        }
        impl From<Vec<$t>> for Values<'static> {
            fn from(values: Vec<$t>) -> Self {
                Values::$variant(Cow::Owned(values))
            }
        }
        impl<'a> From<&'a mut [$t]> for Output<'a> {
            fn from(values: &'a mut [$t]) -> Self {
                Output::$variant(values)
            }
        }
        impl<'a> From<&'a mut Vec<$t>> for Output<'a> {
            fn from(values: &'a mut Vec<$t>) -> Self {
                Output::$variant(values)
            }
        }
        impl<'a, const N: usize> From<&'a mut [$t; N]> for Output<'a> {
            fn from(values: &'a mut [$t; N]) -> Self {
                Output::$variant(values)
            }
        }
    )*};
}

conversions!(F32: f32, I8: i8, U8: u8, U32: u32);

impl Output<'_> {
    /// Elements as memory holds them.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        match self {
            Output::F32(values) => bytemuck::cast_slice_mut(values),
            Output::U32(values) => bytemuck::cast_slice_mut(values),
            Output::I8(values) => bytemuck::cast_slice_mut(values),
            Output::U8(values) => values,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Output::F32(v) => v.len(),
            Output::I8(v) => v.len(),
            Output::U8(v) => v.len(),
            Output::U32(v) => v.len(),
        }
    }

    pub(crate) const fn rust_type(&self) -> RustType {
        match self {
            Output::F32(_) => RustType::F32,
            Output::I8(_) => RustType::I8,
            Output::U8(_) => RustType::U8,
            Output::U32(_) => RustType::U32,
        }
    }
}
