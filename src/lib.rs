//! TODO
mod engine;
mod error;
mod format;
pub mod kernels;
pub mod layers;
mod model;
mod pack;
pub mod quant;
mod record;
mod step;
mod tensor;

pub use engine::{Engine, Scratch};
pub use error::{Error, ErrorKind, Result};
pub use model::{Golden, MAX_LAYERS, MAX_NAME_BYTES, MAX_WIDTH, Model, ModelBuilder};
pub use pack::{PackedMatrix, WeightLayout};
pub use tensor::{Element, Output, TensorType, Values};
