//! Layer normalization: rows of mean 0 and variance 1, then a scale and a shift for each column.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::by_row::{self, ByRow, affine, check_finite, check_width, sum};
use super::edges::expect_f32;
use super::{Kind, Place};
use crate::error::{Error, Result};
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// Row by row: `(x - mean) / sqrt(variance + epsilon) * scale + shift`, with a scale and a shift for
/// each column.
///
/// In `f32`, each operation rounded. The mean is the row's sum, divided by its width; the variance
/// that of the row alone, the mean of `(x - mean)^2`. Both sums add every eighth element up, then the
/// eight partial sums by halves. Infinite inputs give NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm<'a> {
    epsilon: f32,
    scale: Cow<'a, [f32]>,
    shift: Cow<'a, [f32]>,
}

impl<'a> LayerNorm<'a> {
    /// For rows of as many elements as there are scales. For a model to take the layer, all numbers
    /// must be finite, and epsilon not negative.
    ///
    /// # Errors
    /// There must be as many shifts as scales, at least one.
    pub fn new(
        epsilon: f32,
        scale: impl Into<Cow<'a, [f32]>>,
        shift: impl Into<Cow<'a, [f32]>>,
    ) -> Result<Self> {
        let (scale, shift) = (scale.into(), shift.into());
        if scale.is_empty() || scale.len() != shift.len() {
            let (scales, shifts) = (scale.len(), shift.len());
            return Err(Error::model(format!("{scales} scales and {shifts} shifts")));
        }
        Ok(Self { epsilon, scale, shift })
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.scale.len()
    }

    /// What is added to the variance.
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }

    /// The scale of each column.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// The shift of each column.
    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    pub(crate) fn into_owned(self) -> LayerNorm<'static> {
        LayerNorm {
            scale: self.scale.into_owned().into(),
            shift: self.shift.into_owned().into(),
            ..self
        }
    }

    fn apply(&self, row: &[f32], out: &mut [f32]) {
        let width = row.len() as f32;
        let mean = sum(row.iter().copied()) / width;
        let square = |x: &f32| (x - mean) * (x - mean);
        let variance = sum(row.iter().map(square)) / width;
        let deviation = libm::sqrtf(variance + self.epsilon);
        let columns = self.scale.iter().zip(&*self.shift);
        for ((x, out), (scale, shift)) in row.iter().zip(out).zip(columns) {
            *out = affine((x - mean) / deviation, *scale, *shift);
        }
    }
}

impl<'a> Kind<'a> for LayerNorm<'a> {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        expect_f32(&inputs[0])?;
        check_width(inputs[0].width, self.width())?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            let found = self.epsilon;
            return Err(Error::model(format!("epsilon {found} is not finite, or negative")));
        }
        check_finite("scale", &self.scale)?;
        check_finite("shift", &self.shift)?;
        Ok(inputs[0])
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.width());
        record.float(self.epsilon);
        record.tensor_f32(&self.scale);
        record.tensor_f32(&self.shift);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (width, epsilon) = (record.length()?, record.float()?);
        Self::new(epsilon, record.tensor_f32(width)?, record.tensor_f32(width)?)
    }

    fn reference(&self, _: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let shape = (self.width(), self.width());
        Ok(by_row::reference(values[0], shape, |row, out| self.apply(row, out)))
    }

    fn compile(&self, _: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let layer = self.clone().into_owned();
        steps.push(Box::new(ByRow {
            name: "layer norm".into(),
            inputs: self.width(),
            outputs: self.width(),
            products: 0,
            of: move |row: &[f32], out: &mut [f32]| layer.apply(row, out),
        }));
        Ok(())
    }
}
