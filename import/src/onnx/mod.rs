//! The reader of ONNX files.
//!
//! ```text
//! bytes --proto--> messages --graph--> nodes and constants, checked
//!       --fold--> constants worked out --idioms--> functions spelled out, recognized
//!       --lower, one function of ops/ for each operator--> signfold::Model
//! ```
//! Nothing of the file is believed before it is checked, and what is allocated is a multiple of the
//! file's length.

mod dims;
mod external;
mod fold;
mod graph;
mod idioms;
mod lower;
mod node;
mod ops;
mod proto;
mod quant;
mod tensor;

use std::path::PathBuf;

use signfold::quant::Rounding;
use signfold::{Limits, Result};

use self::graph::Graph;
use crate::Imported;

/// How an ONNX file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// The folder in which files with further data of the model may lie: that of the model itself.
    /// `None` refuses a model that needs such files.
    pub external_data: Option<PathBuf>,
    /// The rule by which operators of integers round. The default, [`Rounding::Nearest`], is what ONNX
    /// Runtime computes, [`Rounding::OnnxReference`] what the standard's reference evaluator does.
    /// Dense layers between DequantizeLinear and QuantizeLinear are the same in both.
    pub rounding: Rounding,
    /// How large the file, what is read with it, and the model may be.
    pub limits: Limits,
}

/// Makes a model of an ONNX file. Float networks give float layers, quantized ones layers of 8-bit
/// integers, in whichever of the ways of ONNX they are quantized.
///
/// # Errors
/// [`ErrorKind::Format`](signfold::ErrorKind::Format) if the bytes are not a whole ONNX file,
/// [`Unsupported`](signfold::ErrorKind::Unsupported) for operators, attributes and versions that are
/// not known, [`Model`](signfold::ErrorKind::Model) where the network contradicts itself,
/// [`Limit`](signfold::ErrorKind::Limit) for what exceeds a limit. The node is named, with its operator and version.
pub fn read(bytes: &[u8], options: &OnnxOptions) -> Result<Imported> {
    let limits = &options.limits;
    let mut graph = Graph::read(bytes, options.external_data.as_deref(), limits)?;
    graph.drop_unused();
    let mut copies = fold::Copies::of(&graph.constants, limits);
    fold::fold(&mut graph, &mut copies)?;
    idioms::recognize(&mut graph);
    graph.drop_unused();
    lower::lower(graph, copies, options)
}
