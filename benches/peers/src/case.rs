//! What is computed: the networks and batches that `generate.py` wrote.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// `real = (q - zero_point) * scale`, q an `i8`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Quantization {
    /// Distance of neighbouring integers.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i8,
}

/// A dense layer.
#[derive(Debug, Deserialize)]
pub struct Layer {
    /// Elements of an input row.
    pub inputs: usize,
    /// Elements of an output row.
    pub outputs: usize,
    /// The weights' scale.
    pub scale: f32,
    /// Where the activation clips, if there is one; above perhaps nowhere.
    pub bounds: Option<(f32, Option<f32>)>,
    /// How outputs are quantized. Real outputs of the last layer are not, in most models.
    pub output: Quantization,
}

/// A network.
#[derive(Debug, Deserialize)]
pub struct Network {
    /// A letter.
    pub name: String,
    /// Elements of a row: of the inputs, then after each layer.
    pub widths: Vec<usize>,
    /// What follows each layer but the last.
    pub activation: String,
    /// Numbers of rows to measure.
    pub batches: Vec<usize>,
    /// How inputs are quantized.
    pub input: Quantization,
    /// From input to output.
    pub layers: Vec<Layer>,
}

impl Network {
    /// Reads `networks.json`.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let file = folder.join("networks.json");
        let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// How inputs and outputs are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// As `f32`; the engine quantizes.
    F32,
    /// Quantized by the caller already.
    Q8,
}

impl Io {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::Q8];

    /// As in names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Q8 => "q8",
        }
    }
}

/// A network and a number of rows.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The network.
    pub network: &'a Network,
    /// How many rows.
    pub batch: usize,
    /// Where `generate.py` wrote.
    pub folder: &'a Path,
}

impl Case<'_> {
    /// A file of this network and batch.
    pub fn file(&self, rest: &str) -> PathBuf {
        self.folder.join(format!("{}-{}{rest}", self.network.name, self.batch))
    }

    /// Rows and columns of the input.
    pub fn input_shape(&self) -> [usize; 2] {
        [self.batch, self.network.widths[0]]
    }

    /// Rows and columns of the output.
    pub fn output_shape(&self) -> [usize; 2] {
        [self.batch, self.network.widths[self.network.widths.len() - 1]]
    }

    /// How outputs are quantized, if they are.
    pub fn output_quantization(&self) -> Quantization {
        self.network.layers[self.network.layers.len() - 1].output
    }

    /// The input, as real numbers.
    pub fn input_f32(&self) -> Result<Vec<f32>> {
        self.read_f32(".in.f32")
    }

    /// The same input, quantized.
    pub fn input_i8(&self) -> Result<Vec<i8>> {
        read_i8(&self.file(".in.i8"))
    }

    /// The exact output, not quantized.
    pub fn output_f32(&self) -> Result<Vec<f32>> {
        self.read_f32(".out.f32")
    }

    /// The exact output, quantized.
    pub fn output_i8(&self) -> Result<Vec<i8>> {
        read_i8(&self.file(".out.i8"))
    }

    fn read_f32(&self, rest: &str) -> Result<Vec<f32>> {
        Ok(read_words(&self.file(rest))?.into_iter().map(f32::from_le_bytes).collect())
    }
}

/// Reads a file of bytes.
pub fn read_i8(file: &Path) -> Result<Vec<i8>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(bytes.into_iter().map(|byte| byte as i8).collect())
}

/// Reads a file of words of four bytes.
pub fn read_words(file: &Path) -> Result<Vec<[u8; 4]>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let (words, rest) = bytes.as_chunks();
    ensure!(rest.is_empty(), "{} has {} bytes", file.display(), bytes.len());
    Ok(words.to_vec())
}
