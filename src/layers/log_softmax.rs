//! Log-softmax: the logarithms of what softmax gives.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::by_row::{self, ByRow, sum};
use super::edges::expect_f32;
use super::{Kind, Place};
use crate::error::Result;
use crate::quant::{one_nan, select_max};
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// Row by row: `(x - max) - ln(sum(exp(x - max)))`.
///
/// In `f32`, with `libm`'s `expf` and `logf`; the sum is that of [`Softmax`](super::Softmax). An
/// input of plus infinity gives NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogSoftmax;

impl Kind<'_> for LogSoftmax {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        expect_f32(&inputs[0])?;
        Ok(inputs[0])
    }

    fn encode(&self, _: &mut RecordWriter) {}

    fn decode(_: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let width = inputs[0].width;
        Ok(by_row::reference(values[0], (width, width), log_softmax))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let width = place.input().of.width;
        steps.push(Box::new(ByRow {
            name: "log softmax".into(),
            inputs: width,
            outputs: width,
            products: 0,
            of: log_softmax,
        }));
        Ok(())
    }
}

fn log_softmax(row: &[f32], out: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, select_max);
    let log = libm::logf(sum(row.iter().map(|x| libm::expf(x - max))));
    for (x, out) in row.iter().zip(out) {
        *out = one_nan((x - max) - log);
    }
}
