//! Brings trained float networks to [`signfold`]: readers, and the quantizer.
//!
//! ```text
//! file --reader--> FloatNet --quantize, with calibration rows--> signfold::Model
//! ```
//! A reader is one file here with an `impl FloatNet` of its own.
//!
//! ```
//! use signfold::layers::Activation;
//! use signfold_import::{FloatDense, FloatLayer, FloatNet, QuantizeOptions, quantize};
//!
//! let dense = FloatDense {
//!     inputs: 2,
//!     outputs: 1,
//!     weights: vec![0.5, -1.0],
//!     bias: Some(vec![0.25]),
//!     activation: Activation::Relu,
//! };
//! let net = FloatNet::new("example", 2, vec![FloatLayer::Dense(dense)])?;
//! let calibration = [1.0, 0.0, -1.0, 0.5, 0.25, -1.0];
//! let quantized = quantize(&net, &calibration, &QuantizeOptions::default())?;
//! assert_eq!(quantized.model.output().width, 1);
//! assert!(quantized.report.agreement.unwrap().max_abs_error < 0.02);
//! # Ok::<(), signfold::Error>(())
//! ```
#![forbid(unsafe_code)]

mod calibrate;
mod compare;
mod description;
mod file;
mod float;
mod imported;
mod max;
pub mod onnx;
mod quantize;
mod range;
mod report;
mod safetensors;
pub mod tflite;
mod weights;

pub use compare::{
    Comparison, Difference, MAX_POINTS, Matching, OutputComparison, TensorComparison, compare,
};
pub use file::{Format, ImportOptions, MAX_FILE_BYTES, read_file};
pub use float::{FloatDense, FloatLayer, FloatNet};
pub use imported::Imported;
pub use max::FloatMax;
pub use quantize::{QuantizeOptions, Quantized, quantize};
pub use range::{ActivationRange, Range};
pub use report::{Agreement, LayerReport, Observed, Report};
pub use weights::WeightScales;
