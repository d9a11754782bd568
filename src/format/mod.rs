//! The `.sfold` model file.

use crate::error::Result;
use crate::model::Model;

impl<'a> Model<'a> {
    /// Reads a model file.
    ///
    /// # Errors
    /// Not yet.
    pub fn read(_bytes: &'a [u8]) -> Result<Self> {
        todo!()
    }

    /// The model as a file.
    pub fn write(&self) -> Vec<u8> {
        todo!()
    }
}
