//! NumPy's `.npy` arrays: a short Python dictionary with type, order and shape, then the elements.
//!
//! Reads what NumPy writes for arrays of plain numbers. Files may come from anyone: nothing is
//! allocated before the header has been held against the number of bytes there are, and the header
//! takes one look at each of its bytes. (Parsers of all that Python can write, such as that of the
//! crate `npyz`, take a time exponential in the depth of brackets.)

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Bytes that a header may have at most; those that NumPy writes have about a hundred.
const MAX_HEADER: usize = 1 << 16;

macro_rules! dtypes {
    ($($variant:ident $t:ty, $descr:literal;)*) => {
        /// What the elements of an array are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Dtype {
            $(#[doc = $descr] $variant,)*
        }

        impl Dtype {
            /// The type that NumPy describes so.
            fn from_descr(descr: &str) -> Option<Self> {
                match descr {
                    $($descr => Some(Dtype::$variant),)*
                    _ => None,
                }
            }

            fn descr(self) -> &'static str {
                match self {
                    $(Dtype::$variant => $descr,)*
                }
            }

            /// Bytes of an element.
            pub fn size(self) -> usize {
                match self {
                    $(Dtype::$variant => size_of::<$t>(),)*
                }
            }

            /// The name of the Rust type of an element.
            pub fn name(self) -> &'static str {
                match self {
                    $(Dtype::$variant => stringify!($t),)*
                }
            }

            /// The elements in `bytes`, as real numbers that `each` turns into what is wanted.
            /// Integers above 2^53 are rounded.
            pub fn decode<T>(self, bytes: &[u8], mut each: impl FnMut(f64) -> T) -> Vec<T> {
                match self {
                    $(Dtype::$variant => {
                        let (elements, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
                        elements.iter().map(|&e| each(<$t>::from_le_bytes(e) as f64)).collect()
                    })*
                }
            }
        }
    };
}

dtypes! {
    F32 f32, "<f4";
    F64 f64, "<f8";
    I8 i8, "|i1";
    U8 u8, "|u1";
    I16 i16, "<i2";
    U16 u16, "<u2";
    I32 i32, "<i4";
    U32 u32, "<u4";
    I64 i64, "<i8";
    U64 u64, "<u8";
}

/// Whether a file that starts so is such an array.
pub fn detect(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// What stands before the elements.
pub struct Header {
    /// What the elements are.
    pub dtype: Dtype,
    /// The lengths of the array's axes.
    pub shape: Vec<usize>,
    /// Bytes of all elements.
    pub bytes: u64,
    /// Bytes of the header itself.
    pub len: u64,
}

impl Header {
    /// Reads the header, up to the first element.
    pub fn read(mut source: impl Read) -> Result<Self> {
        let mut prefix = [0; 8];
        let read = source.read_exact(&mut prefix);
        ensure!(read.is_ok() && detect(&prefix), "not a .npy array");
        let mut size = [0; 4];
        let size_bytes = match prefix[6] {
            1 => 2,
            2 | 3 => 4,
            version => bail!("version {version} of the .npy format is not known"),
        };
        source.read_exact(&mut size[..size_bytes]).context("the header is cut off")?;
        let size = u32::from_le_bytes(size) as usize;
        ensure!(size <= MAX_HEADER, "a header of {size} bytes, more than {MAX_HEADER}");
        let mut text = vec![0; size];
        source.read_exact(&mut text).context("the header is cut off")?;
        let text = str::from_utf8(&text).context("the header is not text")?;
        let (dtype, shape) = Text { rest: text }.parse()?;
        let bytes = (shape.iter())
            .try_fold(dtype.size(), |product, &n| product.checked_mul(n))
            .with_context(|| format!("an array of shape {shape:?} is too large"))?;
        let len = (prefix.len() + size_bytes + size) as u64;
        Ok(Self { dtype, shape, bytes: bytes as u64, len })
    }

    /// Reads the header of a file of `len` bytes, which are to be its own and those of the elements.
    pub fn of_file(source: impl Read, len: u64) -> Result<Self> {
        let header = Self::read(source)?;
        let (there, bytes) = (len.saturating_sub(header.len), header.bytes);
        ensure!(
            bytes == there,
            "{there} bytes of elements, but shape {:?} of {} takes {bytes}",
            header.shape,
            header.dtype.name()
        );
        Ok(header)
    }
}

/// The header of an array.
pub fn header(dtype: Dtype, shape: &[usize]) -> Vec<u8> {
    let lengths: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let lengths =
        if shape.len() == 1 { lengths.trim_end() } else { lengths.trim_end_matches(", ") };
    let descr = dtype.descr();
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({lengths}), }}");
    // Magic, version, length, text and line end: together a multiple of 64 bytes.
    let unpadded = MAGIC.len() + 2 + 2 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The dictionary, while it is parsed.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn parse(mut self) -> Result<(Dtype, Vec<usize>)> {
        let (mut dtype, mut order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.eat("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" => dtype = Some(self.dtype()?),
                "fortran_order" => order = Some(self.order()?),
                "shape" => shape = Some(self.shape()?),
                _ => bail!("the header has an unknown key {key:?}"),
            }
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        ensure!(self.rest.trim().is_empty(), "the header does not end after its dictionary");
        match (dtype, order, shape) {
            (Some(dtype), Some(()), Some(shape)) => Ok((dtype, shape)),
            _ => bail!("the header lacks descr, fortran_order or shape"),
        }
    }

    fn dtype(&mut self) -> Result<Dtype> {
        let descr = self.string().context("only arrays of plain numbers can be read")?;
        Dtype::from_descr(descr).with_context(|| {
            format!(
                "elements of type {descr:?} cannot be read: store them as little-endian numbers"
            )
        })
    }

    fn order(&mut self) -> Result<()> {
        if self.eat("True") {
            bail!("the array is in Fortran order: store numpy.ascontiguousarray of it");
        }
        self.expect("False")
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            shape.push(digits.parse().with_context(|| format!("{digits:?} in the shape"))?);
            self.rest = rest;
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }

    fn string(&mut self) -> Result<&'a str> {
        self.rest = self.rest.trim_start();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let parts = quote.and_then(|quote| self.rest[1..].split_once(quote));
        let (string, rest) = parts.context("the header lacks a string where one belongs")?;
        self.rest = rest;
        Ok(string)
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        ensure!(self.eat(token), "the header lacks {token:?} where it belongs");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Header> {
        Header::of_file(bytes, bytes.len() as u64)
    }

    fn with_text(text: &str, elements: usize) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len() + elements, 0);
        bytes
    }

    #[test]
    fn headers_survive_a_round_trip() {
        for (dtype, shape, bytes) in [
            (Dtype::F32, vec![3, 5], 60),
            (Dtype::U8, vec![7], 7),
            (Dtype::I64, vec![], 8),
            (Dtype::I8, vec![0, 64], 0),
            (Dtype::F64, vec![2, 1, 3], 48),
        ] {
            let mut file = header(dtype, &shape);
            assert_eq!(file.len() % 64, 0);
            file.resize(file.len() + bytes, 0);
            let read = read(&file).unwrap();
            assert_eq!((read.dtype, read.shape), (dtype, shape));
        }
    }

    #[test]
    fn headers_are_what_numpy_writes() {
        let written = header(Dtype::F32, &[360, 64]);
        let numpy = include_bytes!("../../models/data/digits-test-x.npy");
        assert_eq!(written, numpy[..128]);
        let written = header(Dtype::U8, &[360]);
        let numpy = include_bytes!("../../models/data/digits-test-y.npy");
        assert_eq!(written, numpy[..128]);
    }

    #[test]
    fn every_cut_is_an_error() {
        let mut file = header(Dtype::I16, &[2, 2]);
        file.extend([0; 8]);
        for len in 0..file.len() {
            assert!(read(&file[..len]).is_err(), "{len}");
        }
        file.push(0);
        assert!(read(&file).is_err(), "a byte too many");
    }

    #[test]
    fn hostile_headers_are_errors() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr'",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
            "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '\u{e9}', 'fortran_order': False, 'shape': (1,)}",
            "\u{e9}",
            "{\u{e9}",
            "((((((((((",
        ] {
            assert!(read(&with_text(text, 4)).is_err(), "{text}");
        }
        let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }";
        let error = read(&with_text(fortran, 4)).err().unwrap();
        assert!(error.to_string().contains("Fortran"), "{error}");
        let long = b"\x93NUMPY\x02\x00\xff\xff\xff\xff";
        assert!(read(long).err().unwrap().to_string().contains("4294967295"));
    }

    #[test]
    fn elements_decode() {
        assert_eq!(Dtype::I8.decode(&[255, 1], |x| x as i32), [-1, 1]);
        assert_eq!(Dtype::U16.decode(&[1, 2], |x| x as i32), [513]);
        assert_eq!(Dtype::F32.decode(&1.5_f32.to_le_bytes(), |x| x as f32), [1.5]);
    }
}
