//! Arrays in files, one module per format, and how an array becomes rows of a model's input.
//!
//! ```text
//! file --(gzip?)--> the first bytes tell .npy, .npz or IDX, the file's name .csv --> Array --> rows
//! ```
//! Memory grows with what a file really holds, never with what its header says.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use signfold::quant::{Int8, QuantParams};
use signfold::{Element, Limits, Model, TensorId, TensorType, Values};

use crate::{batch, data};
use npy::Dtype;

pub mod npy;

mod csv;
mod idx;
mod npz;

/// How elements lie in an array, and what they mean.
#[derive(Clone, Copy)]
pub struct Encoding {
    /// Their type.
    pub dtype: Dtype,
    /// What to multiply them with, if they are pixels rather than numbers.
    pub scale: Option<f32>,
}

impl Encoding {
    /// Rows for a model: reals stay reals or are quantized as the model's input says; integers of
    /// the input's own type stay as they are. `first` is the number of the first row.
    pub fn rows(self, bytes: &[u8], to: &TensorType, first: usize) -> Result<Values<'static>> {
        let (dtype, input) = (self.dtype, to.element);
        // Pixels are stored as integers, but stand for reals.
        let real = matches!(dtype, Dtype::F32 | Dtype::F64) || self.scale.is_some();
        let reals = || -> Result<Vec<f32>> {
            let scale = self.scale.unwrap_or(1.0);
            let reals = dtype.decode(bytes, |x| x as f32 * scale);
            match reals.iter().position(|x| x.is_nan()) {
                Some(at) => bail!("row {}, column {} is NaN", first + at / to.width, at % to.width),
                None => Ok(reals),
            }
        };
        match (input, dtype) {
            (Element::F32, Dtype::F32 | Dtype::F64 | Dtype::I8 | Dtype::U8) => Ok(reals()?.into()),
            (Element::Int8(params), _) if real => Ok(quantize(&params, &reals()?)),
            (Element::Int8(params), Dtype::I8) if params.kind() == Int8::I8 => {
                Ok(dtype.decode(bytes, |x| x as i8).into())
            }
            (Element::Int8(params), Dtype::U8) if params.kind() == Int8::U8 => {
                Ok(bytes.to_vec().into())
            }
            _ => bail!("elements are {}, the model takes {}", dtype.name(), input.name()),
        }
    }
}

fn quantize(params: &QuantParams, reals: &[f32]) -> Values<'static> {
    let integers = reals.iter().map(|&x| params.quantize(x));
    match params.kind() {
        Int8::I8 => integers.map(|q| q as i8).collect::<Vec<_>>().into(),
        Int8::U8 => integers.map(|q| q as u8).collect::<Vec<_>>().into(),
    }
}

/// An array in memory.
pub struct Array {
    shape: Vec<usize>,
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Array {
    /// Reads a file: `.npy`, IDX or `.csv`, each also packed with gzip, or an array of a `.npz`
    /// archive, `archive.npz:name` where it holds several. The elements of IDX are pixels, to be
    /// multiplied with `scale`.
    pub fn load(path: &Path, scale: f32) -> Result<Self> {
        let (file, member) = npz::split(path);
        let (file, len) = data::open(file)?;
        let kind = Kind { scale, text: csv::is_named(path), limits: Limits::default() };
        let array = Self::read(BufReader::new(file), len, member, &kind);
        array.with_context(|| path.display().to_string())
    }

    /// Reads the bytes of a `.npy` file.
    pub fn from_npy(file: &[u8]) -> Result<Self> {
        let kind = Kind { scale: 1.0, text: false, limits: Limits::default() };
        Self::from_source(file, file.len() as u64, &kind)
    }

    /// Reads a file of `len` bytes; of an archive the array `member`, or its only one.
    pub fn read(
        mut file: impl Read + Seek,
        len: u64,
        member: Option<&str>,
        kind: &Kind,
    ) -> Result<Self> {
        kind.limits.check_bytes(len)?;
        let start = start(&mut file)?;
        file.rewind()?;
        // A few megabytes can unpack to very many zeros.
        let unpacked = kind.limits.memory;
        if npz::detect(&start) || member.is_some() {
            let kind = Kind { text: false, ..*kind };
            npz::read(file, member, |source| Self::from_source(source, unpacked, &kind))
        } else if start.starts_with(&[0x1f, 0x8b]) {
            Self::from_source(GzDecoder::new(file), unpacked, kind)
        } else {
            Self::from_source(file, len, kind)
        }
    }

    /// Reads from a source that gives no more than `most` bytes.
    fn from_source(mut source: impl Read, most: u64, kind: &Kind) -> Result<Self> {
        let start = start(&mut source)?;
        let mut source = start.chain(source);
        if npy::detect(&start) {
            let npy::Header { dtype, shape, bytes, .. } = npy::Header::read(&mut source)?;
            let bytes = elements(source, &shape, bytes, most, &kind.limits)?;
            Ok(Self { shape, encoding: Encoding { dtype, scale: None }, bytes })
        } else if idx::detect(&start) {
            let (shape, bytes) = idx::read(source, most, &kind.limits)?;
            let encoding = Encoding { dtype: Dtype::U8, scale: Some(kind.scale) };
            Ok(Self { shape, encoding, bytes })
        } else if kind.text {
            let (shape, numbers) = csv::read(source, most, &kind.limits)?;
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            Ok(Self { shape, encoding: Encoding { dtype: Dtype::F64, scale: None }, bytes })
        } else {
            bail!("not an array: neither .npy, .npz nor IDX, and not named .csv")
        }
    }

    /// The rows as a model's input.
    pub fn rows(&self, to: &TensorType) -> Result<Values<'static>> {
        batch::rows_of(&self.shape, to.width)?;
        self.encoding.rows(&self.bytes, to, 0)
    }

    /// One number for each of `rows` rows: classes, or what a regression should answer.
    pub fn labels(&self, rows: usize) -> Result<Vec<f64>> {
        let labels = self.encoding.dtype.decode(&self.bytes, |x| x);
        ensure!(
            labels.len() == rows && self.shape.first() == Some(&rows),
            "labels of shape {:?} for {rows} rows",
            self.shape
        );
        Ok(labels)
    }
}

/// The rows of each of a model's inputs, of arguments as [`data::assign`] takes them.
pub fn inputs(model: &Model<'_>, files: &[String]) -> Result<Vec<Values<'static>>> {
    let rows = |(id, path): (TensorId, PathBuf)| {
        let rows = Array::load(&path, 1.0 / 255.0)?.rows(&model.tensor_type(id));
        rows.with_context(|| path.display().to_string())
    };
    model.inputs().zip(data::input_files(model, files)?).map(rows).collect()
}

/// An array that is read part by part: a plain `.npy` file may be larger than memory. Others are in
/// memory.
pub struct Stream {
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// What its elements are.
    pub encoding: Encoding,
    elements: Box<dyn Read>,
}

impl Stream {
    /// Opens a file, as [`Array::load`] does.
    pub fn open(path: &Path, scale: f32) -> Result<Self> {
        Self::plain(path).transpose().unwrap_or_else(|| {
            let Array { shape, encoding, bytes } = Array::load(path, scale)?;
            Ok(Self { shape, encoding, elements: Box::new(Cursor::new(bytes)) })
        })
    }

    /// Opens a plain `.npy` file, if it is one.
    fn plain(path: &Path) -> Result<Option<Self>> {
        let (path, None) = npz::split(path) else {
            return Ok(None);
        };
        let (file, len) = data::open(path)?;
        let read = || -> Result<_> {
            let mut file = BufReader::new(file);
            let is_npy = npy::detect(&start(&mut file)?);
            file.rewind()?;
            if !is_npy {
                return Ok(None);
            }
            let npy::Header { dtype, shape, .. } = npy::Header::of_file(&mut file, len)?;
            let encoding = Encoding { dtype, scale: None };
            Ok(Some(Self { shape, encoding, elements: Box::new(file) }))
        };
        read().with_context(|| path.display().to_string())
    }

    /// The next elements, as many as `bytes` has room for.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.elements.read_exact(bytes).context("cannot read the elements")
    }
}

/// What the bytes of a file do not tell.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What to multiply pixels with.
    pub scale: f32,
    /// Whether it may be text.
    pub text: bool,
    /// How large it may be, and what it unpacks to: [`Limits::bytes`] and [`Limits::memory`].
    pub limits: Limits,
}

/// The bytes that tell a format; fewer if there are no more.
fn start(source: &mut impl Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    source.take(8).read_to_end(&mut start).context("cannot read")?;
    Ok(start)
}

/// The elements of an array of this shape, so many `bytes`, and no byte more.
fn elements(
    source: impl Read,
    shape: &[usize],
    bytes: u64,
    most: u64,
    limits: &Limits,
) -> Result<Vec<u8>> {
    limits.check_memory(Some(bytes), &format!("an array of shape {shape:?}"))?;
    ensure!(bytes <= most, "shape {shape:?} takes {bytes} bytes, more than the file's {most}");
    // One more than there should be, to notice data that do not end.
    let mut elements = Vec::new();
    source.take(bytes + 1).read_to_end(&mut elements).context("cannot read the elements")?;
    let found = match elements.len() as u64 {
        found if found > bytes => "more".to_string(),
        found => found.to_string(),
    };
    ensure!(
        elements.len() as u64 == bytes,
        "{found} bytes of elements, but shape {shape:?} takes {bytes}"
    );
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn load(bytes: &[u8], name: &str, member: Option<&str>) -> Result<Array> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let member = member.map_or(String::new(), |member| format!(":{member}"));
        Array::load(Path::new(&format!("{}{member}", path.display())), 0.5)
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn npz(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (i, (name, bytes)) in members.iter().enumerate() {
            let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][i % 2];
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn npy(shape: &[usize], elements: &[u8]) -> Vec<u8> {
        [&npy::header(Dtype::U8, shape)[..], elements].concat()
    }

    const IDX: [u8; 11] = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9];

    #[test]
    fn every_format_packed_or_not() {
        let array = npy(&[3], &[7, 8, 9]);
        for (bytes, name) in [(&array[..], "a"), (&IDX, "b"), (b"7\n8\n9\n", "c.csv")] {
            for bytes in [bytes.to_vec(), gz(bytes)] {
                assert_eq!(load(&bytes, name, None).unwrap().labels(3).unwrap(), [7.0, 8.0, 9.0]);
            }
        }
        assert!(load(b"7\n8\n9\n", "c", None).is_err(), "not named as a table");
        let f32s = TensorType::f32(3);
        let scaled = load(&IDX, "b", None).unwrap().rows(&f32s).unwrap();
        assert_eq!(scaled, Values::from(&[3.5_f32, 4.0, 4.5]));
    }

    #[test]
    fn arrays_of_archives_have_names() {
        let (a, b) = (npy(&[1], &[1]), npy(&[1], &[2]));
        let one = npz(&[("a.npy", &a)]);
        let first = |array: Result<Array>| array.map(|array| array.bytes[0]);
        assert_eq!(first(load(&one, "x.npz", None)).unwrap(), 1);
        let two = npz(&[("a.npy", &a), ("b.npy", &b), ("c.txt", b"1")]);
        for (name, expected) in [("a", 1), ("b", 2), ("b.npy", 2)] {
            assert_eq!(first(load(&two, "x.npz", Some(name))).unwrap(), expected);
        }
        for (name, expected) in [
            (None, "it has \"a\", \"b\", \"c.txt\""),
            (Some("d"), "no array \"d\""),
            (Some("c.txt"), "not an array"),
        ] {
            let error = format!("{:#}", load(&two, "x.npz", name).err().unwrap());
            assert!(error.contains(expected) && error.contains("x.npz"), "{error}");
        }
        assert!(load(&npz(&[]), "x.npz", None).is_err());
        // A colon in the name of a file is no more than that.
        assert_eq!(first(load(&one, "x.npz:a", None)).unwrap(), 1);
    }

    #[test]
    fn every_cut_and_changed_bytes_of_what_is_packed_are_errors() {
        let array = npy(&[2, 2], &[1, 2, 3, 4]);
        let archive = npz(&[("a.npy", &array), ("b.npy", &array)]);
        for len in 0..archive.len() {
            assert!(load(&archive[..len], "x.npz", Some("b")).is_err(), "{len}");
        }
        for unpacked in [&array[..], &IDX] {
            for len in 0..unpacked.len() {
                assert!(load(&gz(&unpacked[..len]), "x", None).is_err(), "{len}");
            }
            let packed = gz(unpacked);
            for len in 0..packed.len() {
                assert!(load(&packed[..len], "x", None).is_err(), "{len}");
            }
            let mut packed = packed;
            let checksum = packed.len() - 8;
            packed[checksum] ^= 1;
            assert!(load(&packed, "x", None).is_err());
        }
        let mut changed = archive.clone();
        let at = archive.windows(4).position(|bytes| bytes == [1, 2, 3, 4]).unwrap();
        changed[at] = 9;
        assert!(load(&changed, "x.npz", Some("a")).is_err(), "the checksum tells");
    }

    #[test]
    fn unpacking_stops_where_the_header_says() {
        let zeros = vec![0; 1 << 24];
        for bomb in [
            gz(&[&[0, 0, 8, 1, 0, 0, 0, 10], &zeros[..]].concat()),
            gz(&npy(&[10], &zeros)),
            npz(&[("n", b""), ("a.npy", &npy(&[10], &zeros))]),
        ] {
            let member = bomb.starts_with(b"PK").then_some("a");
            let error = format!("{:#}", load(&bomb, "x.npz", member).err().unwrap());
            assert!(error.contains("more bytes"), "{error}");
        }
        for shape in [&[1 << 40][..], &[1 << 20, 1 << 20]] {
            let error = format!("{:#}", load(&gz(&npy(shape, &[])), "x", None).err().unwrap());
            assert!(error.contains("limit on memory is"), "{error}");
        }
    }

    /// Writes the files that fuzzing starts from: see `fuzz/fuzz_targets/read_arrays.rs` for the
    /// first byte.
    #[test]
    #[ignore = "writes to the source tree"]
    fn write_seeds() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/read_arrays");
        std::fs::create_dir_all(&folder).unwrap();
        let array = npy(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let mut reals = npy::header(Dtype::F32, &[2, 2]);
        reals.extend([1.5_f32, -2.0, 0.25, 3.0].iter().flat_map(|x| x.to_le_bytes()));
        let archive = npz(&[("a.npy", &array), ("b.npy", &reals)]);
        let text = b"# a table\nx;y\n1;2.5\n-3;4e2\n";
        for (name, how, file) in [
            ("bytes.npy", 0, array.clone()),
            ("reals.npy", 0, reals.clone()),
            ("bytes.npy.gz", 0, gz(&array)),
            ("labels.idx", 0, IDX.to_vec()),
            ("labels.idx.gz", 0, gz(&IDX)),
            ("table.csv", 1, text.to_vec()),
            ("table.csv.gz", 1, gz(text)),
            ("two.npz", 2, archive),
            ("one.npz", 0, npz(&[("x.npy", &reals)])),
            ("deflated.npz", 2, npz(&[("b", b"1"), ("a.npy", &array)])),
        ] {
            std::fs::write(folder.join(name), [&[how], &file[..]].concat()).unwrap();
        }
    }
}
