//! The reader of ONNX files.
//!
//! ```text
//! bytes --proto--> messages --graph--> nodes and constants, checked
//!       --fold--> constants worked out --idioms--> functions spelled out, recognized
//!       --lower, one function of ops/ for each operator--> signfold::Model
//! ```
//! Nothing of the file is believed before it is checked, and what is allocated is a multiple of the
//! file's length.

mod external;
mod graph;
mod node;
mod proto;
mod tensor;

use std::path::PathBuf;

/// How an ONNX file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// The folder in which files with further data of the model may lie: that of the model itself.
    /// `None` refuses a model that needs such files.
    pub external_data: Option<PathBuf>,
}
