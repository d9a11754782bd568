//! Files in: models and arrays, and how an array becomes rows of a model's input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use signfold::quant::{Int8, QuantParams};
use signfold::{Element, Model, TensorType, Values};

use crate::npy::{self, Dtype};
use crate::{batch, idx};

/// Opens a file, and tells its length. Devices and pipes have none to hold a header against.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let open = || -> Result<_> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "not a regular file");
        Ok((file, metadata.len()))
    };
    open().with_context(|| path.display().to_string())
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// The model in the bytes of the file `path`.
pub fn model<'a>(bytes: &'a [u8], path: &Path) -> Result<Model<'a>> {
    Model::read(bytes).with_context(|| path.display().to_string())
}

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
    /// Reads a `.npy` or IDX file; the elements of IDX are pixels, to be multiplied with `scale`.
    pub fn load(path: &Path, scale: f32) -> Result<Self> {
        let bytes = read(path)?;
        let array = match idx::detect(&bytes) {
            true => idx::read(&bytes).map(|(shape, bytes)| {
                let encoding = Encoding { dtype: Dtype::U8, scale: Some(scale) };
                Self { shape, encoding, bytes }
            }),
            false => Self::from_npy(&bytes),
        };
        array.with_context(|| path.display().to_string())
    }

    /// Reads the bytes of a `.npy` file.
    pub fn from_npy(file: &[u8]) -> Result<Self> {
        let mut reader = npy::Reader::new(file, file.len() as u64)?;
        let encoding = Encoding { dtype: reader.dtype(), scale: None };
        // No more than the file has: the reader checked.
        let mut bytes = vec![0; reader.shape().iter().product::<usize>() * encoding.dtype.size()];
        reader.read(&mut bytes)?;
        Ok(Self { shape: reader.shape().to_vec(), encoding, bytes })
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
