//! Engines held to the outputs that they must give.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::part;
use crate::quant::Int8;
use crate::tensor::{Element, Output, TensorType, Values};

impl Engine {
    /// Runs the golden rows that the model brings along, of which the engine keeps a copy, and
    /// compares all bits of what comes out: for services that want to know, when they start, whether
    /// this machine computes what the model's author saw. Takes memory of its own for it.
    ///
    /// ```
    /// use signfold::{Engine, ErrorKind, Model, Result};
    ///
    /// fn load(file: &[u8]) -> Result<Engine> {
    ///     let engine = Engine::new(&Model::read(file)?)?;
    ///     match engine.self_check() {
    ///         Err(error) if error.kind() == ErrorKind::NoGolden => {} // nothing to hold it to
    ///         checked => checked?,
    ///     }
    ///     Ok(engine)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NoGolden`] if the model has no golden rows; [`ErrorKind::Mismatch`] for outputs
    /// that are not the golden ones, with output, row, column, and both values of the first that
    /// differs; [`ErrorKind::Limit`] if rows that are quantized together need more memory than the engine's
    /// limits allow; and those of [`Engine::run_all`], such as a NaN that is to be quantized.
    pub fn self_check(&self) -> Result<()> {
        let missing = || Error::new(ErrorKind::NoGolden, "the model has no golden rows");
        let golden = self.golden.as_ref().ok_or_else(missing)?;
        self.expect(&golden.inputs, &golden.outputs).map(|_| ()).map_err(|e| e.at("golden"))
    }

    /// Runs rows of each input; answers the outputs, if all are the expected ones, bit by bit.
    pub(crate) fn expect(
        &self,
        inputs: &[Values<'_>],
        expected: &[Values<'_>],
    ) -> Result<Vec<Values<'static>>> {
        let rows = expected[0].len() / self.outputs[0].width;
        let mut found: Vec<_> = self.outputs.iter().map(|of| zeros(of, rows)).collect();
        let mut places: Vec<_> = found.iter_mut().map(place).collect();
        let mut scratch = match self.whole_batch {
            true => self.try_scratch_for(rows)?,
            false => self.scratch(),
        };
        self.run_all(inputs, &mut places, &mut scratch)?;
        for (i, (of, (expected, found))) in
            self.outputs.iter().zip(expected.iter().zip(&found)).enumerate()
        {
            if let Some(at) = expected.difference(found) {
                let (what, row, column) = (part("output", i), at / of.width, at % of.width);
                let (expected, found) = (expected.shown(at), found.shown(at));
                let message = format!(
                    "{what}, row {row}, column {column}: expected {expected}, found {found}"
                );
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
        }
        Ok(found)
    }
}

/// Rows to be written over.
fn zeros(of: &TensorType, rows: usize) -> Values<'static> {
    let len = rows * of.width;
    match of.element {
        Element::F32 => vec![0.0_f32; len].into(),
        Element::Index => vec![0_u32; len].into(),
        Element::Int8(params) => match params.kind() {
            Int8::I8 => vec![0_i8; len].into(),
            Int8::U8 => vec![0_u8; len].into(),
        },
    }
}

fn place<'v>(values: &'v mut Values<'static>) -> Output<'v> {
    match values {
        Values::F32(v) => v.to_mut().into(),
        Values::I8(v) => v.to_mut().into(),
        Values::U8(v) => v.to_mut().into(),
        Values::U32(v) => v.to_mut().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Argmax, Dense, DenseInput};
    use crate::limits::Limits;
    use crate::model::{Golden, MAX_WIDTH, Model};
    use crate::pack::WeightLayout;

    /// A file of a megabyte whose rows would take more than memory has.
    #[test]
    fn a_check_has_a_limit() {
        let dense = Dense::new(vec![1; MAX_WIDTH], WeightLayout::OutIn, MAX_WIDTH, 1);
        let dense = dense.expect("as many weights as outputs").input(DenseInput::PerTensor);
        let model = Model::builder("", TensorType::f32(1)).layer(dense).layer(Argmax).build();
        let rows = 300;
        let golden = Golden {
            inputs: vec![vec![0.5_f32; rows].into()],
            outputs: vec![vec![0_u32; rows].into()],
        };
        let model = model.expect("the layers fit").attach_golden(golden).expect("the types fit");
        let limits = Limits { memory: 64 << 20, ..Limits::default() };
        let engine = Engine::with_limits(&model, &limits).expect("a row fits");
        let error = engine.self_check().expect_err("it is too large");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("300 rows"), "{error}");
    }
}
