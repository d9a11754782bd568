//! Softmax: the end of a classifier that answers probabilities.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::by_row::sum;
use super::edges::expect_f32;
use super::{Kind, Place};
use crate::error::Result;
use crate::kernels::Kernel;
use crate::quant::{one_nan, select_max};
use crate::record::{RecordReader, RecordWriter};
use crate::step::{PerRow, Rows, RowsMut, Step};
use crate::tensor::{TensorType, Values};

/// Row by row: `exp(x - max) / sum(exp(x - max))`.
///
/// In `f32`, with `libm`'s `expf`; the sum adds every eighth element up, then the eight partial
/// sums by halves, which fixes its bits on every machine and leaves room for vectors. Infinite
/// inputs give NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Softmax;

impl Kind<'_> for Softmax {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        expect_f32(input)?;
        Ok(*input)
    }

    fn encode(&self, _: &mut RecordWriter) {}

    fn decode(_: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        let mut out = vec![0.0; values.len()];
        let rows = values.as_f32().chunks_exact(input.width);
        for (row, out) in rows.zip(out.chunks_exact_mut(input.width)) {
            softmax(row, out);
        }
        Ok(out.into())
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        steps.push(Box::new(SoftmaxStep { kernel: place.kernel, width: place.input().of.width }));
        Ok(())
    }
}

#[derive(Debug)]
struct SoftmaxStep {
    kernel: &'static Kernel,
    width: usize,
}

impl Step for SoftmaxStep {
    fn name(&self) -> String {
        "softmax".into()
    }

    fn row_bytes(&self) -> usize {
        4 * self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let input = inputs[0];
        for (row, out) in input.iter::<f32>(self.width).zip(output.iter::<f32>(self.width)) {
            (self.kernel.softmax)(row, out);
        }
        Ok(())
    }
}

fn softmax(row: &[f32], out: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, select_max);
    for (&x, out) in row.iter().zip(out.iter_mut()) {
        *out = libm::expf(x - max);
    }
    let sum = sum(out.iter().copied());
    for out in out {
        *out = one_nan(*out / sum);
    }
}
