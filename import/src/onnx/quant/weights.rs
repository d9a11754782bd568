//! Constants of integers, with their scales.

use std::rc::Rc;

use signfold::quant::{Int8, QuantParams};
use signfold::{Error, ErrorKind, Result};

use super::grid::{Grid, Kind, wrong_type};
use crate::onnx::lower::unsupported;
use crate::onnx::tensor::{Data, Tensor};

/// A constant: `real = (q - zero point) * scale`.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Weights {
    tensor: Rc<Tensor>,
    kind: Kind,
    grid: Grid,
    /// The axis that scales belong to, where there is more than one.
    axis: usize,
}

impl Weights {
    /// Integers and what they stand for, if one fits the other. `axis` may count from the end.
    pub(super) fn new(tensor: Rc<Tensor>, grid: Grid, axis: i64) -> Result<Self> {
        let kind = Kind::of(&tensor)?;
        if let Some(zeros) = grid.kind.filter(|&zeros| zeros != kind) {
            let message = format!("elements are {}, zero points {}", kind.name(), zeros.name());
            return Err(Error::new(ErrorKind::Model, message));
        }
        let rank = tensor.shape.len();
        let found = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis });
        let axis = match (grid.scales.len(), found) {
            (1, _) => 0,
            (scales, Ok(axis)) if axis < rank && tensor.shape[axis] == scales => axis,
            (scales, _) => {
                let message =
                    format!("{scales} scales for axis {axis} of shape {:?}", tensor.shape);
                return Err(Error::new(ErrorKind::Model, message));
            }
        };
        Ok(Self { tensor, kind, grid, axis })
    }

    /// How many integers there are.
    pub fn len(&self) -> usize {
        self.tensor.len()
    }

    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// How many scales and zero points there are: 1, or one for each place of an axis.
    pub fn scales(&self) -> &[f32] {
        &self.grid.scales
    }

    pub fn zero_points(&self) -> &[i32] {
        &self.grid.zero_points
    }

    /// Whether scales, if there are many, belong to that axis.
    pub fn along(&self, axis: usize) -> bool {
        self.grid.scales.len() == 1 || self.axis == axis
    }

    /// The integers and zero points in their `i8` form.
    pub fn bytes(&self) -> Result<(Vec<i8>, Vec<i8>)> {
        let (values, shift) = match &self.tensor.data {
            Data::I8(values) => (values.clone(), 0),
            Data::U8(values) => (values.iter().map(|&x| (x ^ 0x80) as i8).collect(), 128),
            other => return Err(wrong_type(other.name())),
        };
        let zeros = self.grid.zero_points.iter().map(|z| (z - shift) as i8).collect();
        Ok((values, zeros))
    }

    /// The integers, if they are of 32 bits: those of a bias.
    pub fn wide(&self) -> Option<&[i32]> {
        match &self.tensor.data {
            Data::I32(values) => Some(values),
            _ => None,
        }
    }

    /// Which of the scales element `i` has.
    pub fn place(&self, i: usize) -> usize {
        // A scale is the next one after `inner` elements.
        let inner: usize = self.shape().get(self.axis + 1..).unwrap_or(&[]).iter().product();
        i / inner.max(1) % self.grid.scales.len()
    }

    /// The quantization of each place of the axis.
    pub fn params(&self, kind: Int8) -> Result<Vec<QuantParams>> {
        let each = self.grid.scales.iter().zip(&self.grid.zero_points);
        each.map(|(&scale, &zero_point)| QuantParams::new(kind, scale, zero_point)).collect()
    }

    /// The real numbers.
    pub fn real(&self) -> Result<Tensor> {
        let real = |(i, q): (usize, i64)| {
            let place = self.place(i);
            (q - i64::from(self.grid.zero_points[place])) as f32 * self.grid.scales[place]
        };
        let reals = self.tensor.ints()?.into_iter().enumerate().map(real).collect();
        Tensor::new(self.shape().to_vec(), Data::F32(reals))
    }

    /// A matrix with its axes exchanged.
    pub fn transpose(&self, permutation: Option<&[i64]>) -> Result<Self> {
        let &[rows, columns] = self.shape() else {
            let message =
                format!("the axes of shape {:?} exchanged, expected a matrix", self.shape());
            return Err(unsupported(message));
        };
        match permutation {
            None | Some([1, 0]) => (),
            Some([0, 1]) => return Ok(self.clone()),
            Some(other) => {
                let message = format!("permutation {other:?} of the axes of a matrix");
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        let data = match &self.tensor.data {
            Data::I8(values) => Data::I8(transposed(values, rows, columns)),
            Data::U8(values) => Data::U8(transposed(values, rows, columns)),
            Data::I32(values) => Data::I32(transposed(values, rows, columns)),
            other => return Err(wrong_type(other.name())),
        };
        let tensor = Rc::new(Tensor::new(vec![columns, rows], data)?);
        let axis = 1 - self.axis.min(1);
        Ok(Self { tensor, kind: self.kind, grid: self.grid.clone(), axis })
    }
}

fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let column = |c: usize| (0..rows).map(move |r| values[r * columns + c]);
    (0..columns).flat_map(column).collect()
}
