//! An int8 inference engine for multi-layer perceptrons on CPUs.
//!
//! A [`Model`] is a validated network, read from an `.sfold` file ([`Model::read`]) or put together
//! ([`Model::builder`]). An [`Engine`] is a model compiled for one of the [`kernels`] of this CPU;
//! [`Engine::run`] takes rows and gives rows, allocates nothing, and gives the same bits with every
//! kernel, thread count and batch split.
//!
//! The arithmetic is defined in `docs/arithmetic.md`, the file in `docs/format.md`.

#![cfg_attr(not(test), no_std)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod battery;
mod engine;
mod error;
mod format;
mod graph;
pub mod kernels;
pub mod layers;
mod limits;
mod model;
mod pack;
pub mod quant;
mod record;
mod step;
mod tensor;

pub use engine::{Engine, MAX_THREADS, Scratch, StepInfo};
pub use error::{Error, ErrorKind, Result};
pub use graph::{GraphBuilder, MAX_INPUTS, NodeRef, TensorId};
pub use limits::Limits;
pub use model::{Golden, MAX_LAYERS, MAX_NAME_BYTES, MAX_WIDTH, Model, ModelBuilder};
pub use pack::{PackedMatrix, WeightLayout};
pub use step::ProductKind;
pub use tensor::{Element, Output, TensorType, Values};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
