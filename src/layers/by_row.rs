//! What layers of real numbers share that make an output row of each input row.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::error::{Error, Result};
use crate::quant::one_nan;
use crate::step::{PerRow, ProductKind, Rows, RowsMut, Step};
use crate::tensor::Values;

/// Applies `of` to each row, by naive loops.
pub(super) fn reference(
    values: &Values<'_>,
    (inputs, outputs): (usize, usize),
    of: impl Fn(&[f32], &mut [f32]),
) -> Values<'static> {
    let rows = values.as_f32().chunks_exact(inputs);
    let mut out = vec![0.0; rows.len() * outputs];
    for (row, out) in rows.zip(out.chunks_exact_mut(outputs)) {
        of(row, out);
    }
    out.into()
}

/// A step that applies `of` to each row.
pub(super) struct ByRow<F> {
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// Multiplications per row, if the layer has weights.
    pub products: usize,
    pub of: F,
}

impl<F> core::fmt::Debug for ByRow<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ByRow").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Fn(&[f32], &mut [f32]) + Send + Sync> Step for ByRow<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn row_bytes(&self) -> usize {
        4 * self.outputs
    }

    fn products(&self) -> usize {
        self.products
    }

    fn product_kind(&self) -> ProductKind {
        ProductKind::Float
    }

    fn cost(&self) -> usize {
        self.products // one by one
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let rows = inputs[0].iter::<f32>(self.inputs);
        for (row, out) in rows.zip(output.iter::<f32>(self.outputs)) {
            (self.of)(row, out);
        }
        Ok(())
    }
}

/// The sum of a row, in an order that leaves room for vectors: every eighth element is added up, then
/// the eight sums by halves.
pub(super) fn sum(values: impl Iterator<Item = f32>) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (i, value) in values.enumerate() {
        sums[i % 8] += value;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `x * scale + shift`, rounded twice.
pub(super) fn affine(x: f32, scale: f32, shift: f32) -> f32 {
    one_nan(x * scale + shift)
}

/// Refuses parameters that are not finite.
pub(super) fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::model(format!("{what} {i} is {}, not finite", values[i]))),
        None => Ok(()),
    }
}

/// Refuses rows of another width than the layer's parameters are for.
pub(super) fn check_width(found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::model(format!(
            "its input is {found} wide, but its parameters are for {expected} inputs"
        ))),
    }
}
