//! How close some answers are to the expected ones.

use std::fmt;

use signfold::quant::QuantParams;
use signfold::{Error, ErrorKind, Result};

use crate::Difference;

/// How close some answers are to the expected ones.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// Rows compared.
    pub rows: usize,
    /// The largest distance of an element.
    pub max_abs_error: f64,
    /// The mean distance of an element.
    pub mean_abs_error: f64,
    /// Signal to quantization noise, `10 log10(sum expected^2 / sum error^2)`, in dB; infinite
    /// without any error.
    pub sqnr_db: f64,
    /// The share of rows, 0 to 1, whose largest element is at the same place; `None` for rows of
    /// one element.
    pub argmax: Option<f64>,
}

impl Agreement {
    /// Compares rows of `width` elements with those expected.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the lengths differ, or there is no whole row.
    pub fn between(expected: &[f32], found: &[f32], width: usize) -> Result<Self> {
        let mut meter = Meter::new(width, None);
        meter.add(expected, found)?;
        match meter.agreement() {
            Some(agreement) => Ok(agreement),
            None => Err(Error::new(ErrorKind::Input, "no rows to compare")),
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, max_abs_error, mean_abs_error, sqnr_db, .. } = self;
        write!(f, "{rows} rows: max error {max_abs_error:.5}, mean error {mean_abs_error:.5}")?;
        write!(f, ", SQNR {sqnr_db:.1} dB")?;
        match self.argmax {
            Some(share) => write!(f, ", same argmax {:.2} %", 100.0 * share),
            None => Ok(()),
        }
    }
}

/// Compares rows that come in parts.
pub(crate) struct Meter {
    width: usize,
    /// The quantization of the rows found, if they have one.
    params: Option<QuantParams>,
    difference: Difference,
    rows: usize,
    same: usize,
}

impl Meter {
    /// For rows of `width` elements, the found ones quantized so, or real.
    pub fn new(width: usize, params: Option<QuantParams>) -> Self {
        Self { width, params, difference: Difference::new(params), rows: 0, same: 0 }
    }

    /// Compares some more rows with those expected.
    pub fn add(&mut self, expected: &[f32], found: &[f32]) -> Result<()> {
        let (len, width) = (expected.len(), self.width);
        if len != found.len() || width == 0 || !len.is_multiple_of(width) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("cannot compare {} values with {len} in rows of {width}", found.len()),
            ));
        }
        self.difference.add(expected, found, self.params);
        let rows = expected.chunks_exact(width).zip(found.chunks_exact(width));
        self.same += rows.filter(|(expected, found)| argmax(expected) == argmax(found)).count();
        self.rows += len / width;
        Ok(())
    }

    /// How close all of them are; `None` if there were none.
    pub fn agreement(&self) -> Option<Agreement> {
        let Self { width, difference, rows, same, .. } = self;
        (*rows > 0).then(|| Agreement {
            rows: *rows,
            max_abs_error: difference.max_abs_error,
            mean_abs_error: difference.mean_abs_error(),
            sqnr_db: difference.sqnr_db(),
            argmax: (*width > 1).then(|| *same as f64 / *rows as f64),
        })
    }

    /// The share of 8-bit values that are clipped, 0 to 1.
    pub fn clipped(&self) -> Option<f64> {
        self.difference.clipped_share()
    }
}

/// The position of the largest element, the first one among equals.
pub(crate) fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
