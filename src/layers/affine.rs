//! Affine: a scale and a shift for each column, such as normalization with fixed statistics.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::by_row::{self, ByRow, affine, check_finite, check_width};
use super::edges::expect_f32;
use super::{Kind, Place};
use crate::error::{Error, Result};
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// Per column: `x * scale + shift`, rounded after each of the two operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine<'a> {
    width: usize,
    scale: Cow<'a, [f32]>,
    shift: Cow<'a, [f32]>,
}

impl<'a> Affine<'a> {
    /// For rows of `width` elements, with one scale for all columns or one for each, and shifts
    /// likewise. All must be finite for a model to take the layer.
    ///
    /// # Errors
    /// There must be one or `width` of each.
    pub fn new(
        width: usize,
        scale: impl Into<Cow<'a, [f32]>>,
        shift: impl Into<Cow<'a, [f32]>>,
    ) -> Result<Self> {
        let (scale, shift) = (scale.into(), shift.into());
        for (what, values) in [("scales", &scale), ("shifts", &shift)] {
            if values.is_empty() || ![1, width].contains(&values.len()) {
                let found = values.len();
                return Err(Error::model(format!("{found} {what} for {width} columns")));
            }
        }
        Ok(Self { width, scale, shift })
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The scales: 1, or one per column.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// The shifts: 1, or one per column.
    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    pub(crate) fn into_owned(self) -> Affine<'static> {
        Affine {
            scale: self.scale.into_owned().into(),
            shift: self.shift.into_owned().into(),
            ..self
        }
    }

    /// One for each column.
    fn each(&self, values: &[f32]) -> Vec<f32> {
        match values {
            [one] => vec![*one; self.width],
            each => each.to_vec(),
        }
    }

    /// What a row becomes.
    fn function(&self) -> impl Fn(&[f32], &mut [f32]) + use<> {
        let (scale, shift) = (self.each(&self.scale), self.each(&self.shift));
        move |row, out| {
            for (((x, out), scale), shift) in row.iter().zip(out).zip(&scale).zip(&shift) {
                *out = affine(*x, *scale, *shift);
            }
        }
    }
}

impl<'a> Kind<'a> for Affine<'a> {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        expect_f32(&inputs[0])?;
        check_width(inputs[0].width, self.width)?;
        check_finite("scale", &self.scale)?;
        check_finite("shift", &self.shift)?;
        Ok(inputs[0])
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.width);
        record.length(self.scale.len());
        record.length(self.shift.len());
        record.tensor_f32(&self.scale);
        record.tensor_f32(&self.shift);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (width, scales, shifts) = (record.length()?, record.length()?, record.length()?);
        Self::new(width, record.tensor_f32(scales)?, record.tensor_f32(shifts)?)
    }

    fn reference(&self, _: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        Ok(by_row::reference(values[0], (self.width, self.width), self.function()))
    }

    fn compile(&self, _: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        steps.push(Box::new(ByRow {
            name: "affine".into(),
            inputs: self.width,
            outputs: self.width,
            products: 0,
            of: self.function(),
        }));
        Ok(())
    }
}
