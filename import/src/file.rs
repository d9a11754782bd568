//! A network in a file of any format that can be read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use signfold::quant::Rounding;
use signfold::{Error, ErrorKind, Limits, Model, Result};

use crate::Imported;
use crate::onnx::{self, OnnxOptions};
use crate::tflite::{self, TfLiteOptions};

/// How a file is read. The default refuses what leads outside of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// How sums become 8-bit integers in networks that do not say so: ONNX and TFLite files. `None` is
    /// the default of the format.
    pub rounding: Option<Rounding>,
    /// Whether an ONNX file may have weights in other files, of the same folder.
    pub external_data: bool,
    /// How large the file and the model may be.
    pub limits: Limits,
}

/// The formats of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The engine's own, `.sfold`.
    Signfold,
    /// Safetensors whose metadata describe the layers.
    Safetensors,
    /// ONNX.
    Onnx,
    /// TFLite, of LiteRT.
    TfLite,
}

impl Format {
    /// The format of a file with this name and these bytes: what the bytes tell, or else what the name
    /// says.
    pub fn detect(path: &Path, bytes: &[u8]) -> Option<Self> {
        let is_named =
            |end: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(end));
        // ONNX files begin with nothing of their own.
        let tell = [
            (Format::Signfold, bytes.starts_with(b"\x89SFOLD")),
            (Format::TfLite, bytes.get(4..8) == Some(b"TFL3")),
            (Format::Onnx, is_named("onnx")),
            (Format::Safetensors, is_named("safetensors") || bytes.get(8) == Some(&b'{')),
            (Format::TfLite, is_named("tflite")),
            (Format::Signfold, is_named("sfold")),
        ];
        tell.into_iter().find(|(_, tells)| *tells).map(|(format, _)| format)
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Signfold => "signfold",
            Format::Safetensors => "safetensors",
            Format::Onnx => "ONNX",
            Format::TfLite => "TFLite",
        }
    }
}

/// Reads a network from a file.
///
/// # Errors
/// [`ErrorKind::Input`] if the file cannot be read, [`ErrorKind::Limit`] if it or the model
/// exceeds a limit of the options, [`ErrorKind::Unsupported`] if it is of no known format, or of one that says itself
/// how it rounds although `options` do, and those of the format's reader. The file is not named: the
/// caller knows it.
pub fn read_file(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let limits = &options.limits;
    let bytes = read_bytes(path, limits)?;
    let unsupported = |message: String| Error::new(ErrorKind::Unsupported, message);
    let Some(format) = Format::detect(path, &bytes) else {
        return Err(unsupported("neither a .sfold, .safetensors, .onnx nor a .tflite file".into()));
    };
    match (format, options.rounding) {
        (Format::Onnx, rounding) => {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let external_data = options.external_data.then(|| folder.to_path_buf());
            let rounding = rounding.unwrap_or(OnnxOptions::default().rounding);
            onnx::read(&bytes, &OnnxOptions { external_data, rounding, limits: *limits })
        }
        (Format::TfLite, rounding) => {
            let rounding = rounding.unwrap_or(TfLiteOptions::default().rounding);
            tflite::read(&bytes, &TfLiteOptions { rounding, limits: *limits })
        }
        (_, Some(rounding)) => {
            let (format, rule) = (format.name(), rounding.name());
            Err(unsupported(format!("a {format} file is not to be told to round by {rule}")))
        }
        (Format::Signfold, None) => {
            let model = Model::read_with(&bytes, limits)?.into_owned();
            Ok(Imported { model, notes: Vec::new() })
        }
        (Format::Safetensors, None) => crate::safetensors::read(&bytes, limits),
    }
}

fn read_bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let unreadable = |e: std::io::Error| Error::new(ErrorKind::Input, e.to_string());
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Input, "not a regular file"));
    }
    limits.check_bytes(metadata.len())?;
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    limits.check_bytes(bytes.len() as u64)?;
    Ok(bytes)
}
