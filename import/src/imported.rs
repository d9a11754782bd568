//! What a reader makes of a file.

use signfold::Model;

/// A network that was read from a file of another program.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The network.
    pub model: Model<'static>,
    /// What the model lacks, or has otherwise than the file, in words.
    pub notes: Vec<String>,
}
