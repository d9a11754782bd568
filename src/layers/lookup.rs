//! Lookup: a function of 8-bit values that no formula here gives, as a table in the file.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::edges::expect_int8;
use super::pointwise::{TableStep, table};
use super::{Kind, Place};
use crate::error::{Error, Result};
use crate::quant::QuantParams;
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// Entries of a table.
const ENTRIES: usize = 256;

/// A function of each 8-bit element, by a table: for what another program computes in its own way,
/// whose very integers are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup<'a> {
    table: Cow<'a, [i8]>,
    output: QuantParams,
}

impl<'a> Lookup<'a> {
    /// A layer with this table of 256 entries: at `q + 128` that for the value q, both q and entry in
    /// their `i8` form, which is the value itself, or less by 128 for `u8`.
    ///
    /// # Errors
    /// There must be 256 entries.
    pub fn new(table: impl Into<Cow<'a, [i8]>>, output: QuantParams) -> Result<Self> {
        let table = table.into();
        match table.len() {
            ENTRIES => Ok(Self { table, output }),
            other => Err(Error::model(format!("a table of {other} entries, not {ENTRIES}"))),
        }
    }

    /// The table.
    pub fn table(&self) -> &[i8] {
        &self.table
    }

    /// The quantization of the result.
    pub fn output_params(&self) -> QuantParams {
        self.output
    }

    pub(crate) fn into_owned(self) -> Lookup<'static> {
        Lookup { table: self.table.into_owned().into(), ..self }
    }

    fn entry(&self, value: i8) -> i8 {
        self.table[(i32::from(value) + 128) as usize]
    }
}

impl<'a> Kind<'a> for Lookup<'a> {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        expect_int8(&inputs[0])?;
        Ok(TensorType::int8(inputs[0].width, self.output))
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.params(Some(&self.output));
        record.tensor_i8(&self.table);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let output = record.params()?.ok_or_else(|| Error::format("no output parameters"))?;
        Ok(Self { table: record.tensor_i8(ENTRIES)?, output })
    }

    fn reference(&self, _: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let values = values[0].to_i8().into_iter().map(|value| self.entry(value));
        Ok(Values::from_i8(values.collect(), &self.output))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        steps.push(Box::new(TableStep {
            kernel: place.kernel,
            width: place.input().of.width,
            table: table(place.input().form, place.output_form, |value| self.entry(value)),
        }));
        Ok(())
    }
}
