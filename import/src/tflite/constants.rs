//! What the file holds besides operators: constants, and how 8-bit tensors are quantized.

use half::f16;
use signfold::quant::{Int8, QuantParams};
use signfold::{Error, ErrorKind, Result};

use super::lower::{Lowering, unsupported};
use super::schema::{Element, Tensor};

impl<'f> Lowering<'f, '_> {
    /// Whether a tensor is in the file, or made by DEQUANTIZE of one that is.
    pub fn is_constant(&self, tensor: usize) -> bool {
        self.source(tensor).data.is_some()
    }

    /// Whether a constant is of 8-bit integers that no DEQUANTIZE has made real.
    pub fn is_hybrid(&self, tensor: usize) -> bool {
        self.dequantized[tensor].is_none()
            && matches!(self.source(tensor).element, Element::I8 | Element::U8)
    }

    /// Remembers that a tensor is a constant dequantized.
    pub fn dequantize_constant(&mut self, input: usize, output: usize) {
        self.dequantized[output] = Some(self.dequantized[input].unwrap_or(input));
    }

    fn source(&self, tensor: usize) -> &'f Tensor<'f> {
        &self.file.tensors[self.dequantized[tensor].unwrap_or(tensor)]
    }

    /// A constant of one of these element types, which have `N` bytes: as many as its shape says.
    pub fn bytes<const N: usize>(
        &mut self,
        tensor: usize,
        elements: &[Element],
    ) -> Result<&'f [[u8; N]]> {
        let of = self.source(tensor);
        let mut read = || {
            of.expect_plain()?;
            let data = of.data.ok_or_else(|| unsupported("it is computed, not a constant"))?;
            if !elements.contains(&of.element) {
                return Err(unsupported(format!("elements of type {} are not", of.element)));
            }
            let (values, rest) = data.as_chunks();
            if values.len() != of.count()? || !rest.is_empty() {
                let bytes = data.len();
                let message = format!("{bytes} bytes are not {:?} of {}", of.shape, of.element);
                return Err(Error::new(ErrorKind::Format, message));
            }
            // As real numbers, at worst.
            self.decoded = self.decoded.saturating_add(4 * values.len() as u64);
            let what = "constants, with those before";
            self.options.limits.check_memory(Some(self.decoded), what)?;
            self.budget = self.budget.checked_sub(data.len()).ok_or_else(|| {
                let message = "constants are used more often than in a file of this size";
                Error::new(ErrorKind::Limit, message)
            })?;
            Ok(values)
        };
        read().map_err(|e: Error| e.at(self.file.place(tensor)))
    }

    /// A constant of 8-bit integers, in `i8` form.
    pub fn integers(&mut self, tensor: usize) -> Result<Vec<i8>> {
        let flip = if self.source(tensor).element == Element::U8 { 0x80 } else { 0 };
        let bytes = self.bytes(tensor, &[Element::I8, Element::U8])?.iter();
        Ok(bytes.map(|&[byte]| (byte ^ flip) as i8).collect())
    }

    /// A constant as real numbers: stored as such, as `f16`, or as 8-bit integers with scales.
    pub fn reals(&mut self, tensor: usize) -> Result<Vec<f32>> {
        let of = self.source(tensor);
        Ok(match of.element {
            Element::F16 => {
                let values = self.bytes(tensor, &[Element::F16])?.iter();
                values.map(|&x| f16::from_le_bytes(x).to_f32()).collect()
            }
            Element::I8 | Element::U8 => {
                let channels = self.channels(tensor)?;
                let integers = self.integers(tensor)?;
                let each = integers.len().div_ceil(channels.scales.len()).max(1);
                let real = |(i, &q): (usize, &i8)| channels.real(i / each, q);
                integers.iter().enumerate().map(real).collect()
            }
            _ => {
                let values = self.bytes(tensor, &[Element::F32])?.iter();
                values.map(|&x| f32::from_le_bytes(x)).collect()
            }
        })
    }

    /// The scales and zero points of 8-bit weights.
    pub fn channels(&self, tensor: usize) -> Result<Channels> {
        Channels::of(self.source(tensor)).map_err(|e| e.at(self.file.place(tensor)))
    }
}

/// Scales and zero points of 8-bit weights: one of each, or one for each element of the first
/// dimension.
pub(super) struct Channels {
    pub scales: Vec<f32>,
    /// Of the `i8` form.
    pub zero_points: Vec<i8>,
}

impl Channels {
    fn of(of: &Tensor<'_>) -> Result<Self> {
        let kind = kind(of)?;
        let (scales, mut zero_points) = (of.scales().len(), of.zero_points().len());
        if zero_points == 0 {
            zero_points = scales; // all are 0
        }
        let outer = of.shape.first().copied().unwrap_or(1);
        if scales == 0 || scales != zero_points || (scales > 1 && scales != outer) {
            let message = format!(
                "{scales} scales and {zero_points} zero points, but one of each is supported, or one \
                 for each of the {outer} in the first dimension"
            );
            return Err(unsupported(message));
        }
        if scales > 1 && of.axis != 0 {
            let message = format!("scales along dimension {}, only 0 is supported", of.axis);
            return Err(unsupported(message));
        }
        let given = of.zero_points().chain(std::iter::repeat(0)).take(scales);
        let zero_points = given.map(|zero_point| {
            let in_i8 = zero_point.checked_sub(i64::from(kind.min()) + 128);
            in_i8.and_then(|q| i8::try_from(q).ok()).ok_or_else(|| {
                let message = format!("zero point {zero_point} is no value of {}", of.element);
                Error::new(ErrorKind::Model, message)
            })
        });
        Ok(Self { scales: of.scales().collect(), zero_points: zero_points.collect::<Result<_>>()? })
    }

    fn real(&self, channel: usize, q: i8) -> f32 {
        let at = channel.min(self.scales.len() - 1);
        (i32::from(q) - i32::from(self.zero_points[at])) as f32 * self.scales[at]
    }
}

/// The quantization of an 8-bit tensor that is computed.
pub(super) fn params(of: &Tensor<'_>) -> Result<QuantParams> {
    let kind = kind(of)?;
    let (scales, zero_points) = (of.scales().len(), of.zero_points().len());
    let (Some(scale), 1, 0..=1) = (of.scales().next(), scales, zero_points) else {
        let message = format!("{scales} scales and {zero_points} zero points, not one of each");
        return Err(unsupported(message));
    };
    let zero_point = of.zero_points().next().unwrap_or(0);
    let zero_point = i32::try_from(zero_point).map_err(|_| {
        Error::new(ErrorKind::Model, format!("zero point {zero_point} is no value of {kind:?}"))
    })?;
    QuantParams::new(kind, scale, zero_point)
}

fn kind(of: &Tensor<'_>) -> Result<Int8> {
    match of.element {
        Element::I8 => Ok(Int8::I8),
        Element::U8 => Ok(Int8::U8),
        other => Err(unsupported(format!(
            "elements of type {other}: supported are FLOAT32, INT8 and UINT8"
        ))),
    }
}
