//! Brings trained float networks to [`signfold`].
//!
//! A reader is one file here with an `impl FloatNet` of its own.
#![forbid(unsafe_code)]

mod description;
mod float;
mod safetensors;

pub use float::{FloatDense, FloatLayer, FloatNet};
