//! Brings trained networks to [`signfold`]: readers, and the quantizer.
//!
//! ```text
//! file --reader--> float Model --quantize, with calibration rows--> 8-bit Model
//! ```
//! A reader is one module here whose `read` gives an [`Imported`].
//!
//! ```
//! use signfold::layers::{Activation, FloatDense, Pointwise};
//! use signfold::{Model, TensorType, WeightLayout};
//! use signfold_import::{QuantizeOptions, quantize};
//!
//! let dense = FloatDense::new(vec![0.5, -1.0], WeightLayout::OutIn, 1, 2)?.bias(vec![0.25]);
//! let float = Model::builder("example", TensorType::f32(2))
//!     .layer(dense)
//!     .layer(Pointwise { activation: Activation::Relu, output: None })
//!     .build()?;
//! let calibration = [1.0, 0.0, -1.0, 0.5, 0.25, -1.0];
//! let quantized = quantize(&float, &[calibration[..].into()], &QuantizeOptions::default())?;
//! assert_eq!(quantized.model.output().width, 1);
//! assert!(quantized.report.agreement().unwrap().max_abs_error < 0.02);
//! # Ok::<(), signfold::Error>(())
//! ```
#![forbid(unsafe_code)]

mod agreement;
mod compare;
mod description;
mod file;
mod imported;
mod name;
pub mod onnx;
mod quantize;
pub mod safetensors;
pub mod tflite;
mod trace;
mod values;

pub use agreement::Agreement;
pub use compare::{
    Comparison, Difference, MAX_POINTS, Matching, OutputComparison, TensorComparison, compare,
};
pub use file::{Format, ImportOptions, read_file};
pub use imported::Imported;
pub use quantize::{
    ActivationRange, CalibrationMethod, LayerReport, OutputReport, Progress, QuantizeOptions,
    Quantized, Range, Report, TensorReport, WeightScales, quantize, quantize_with,
};
