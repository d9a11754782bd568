//! Max-product layers of real numbers: what training gives, before it is quantized.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::by_row::{self, ByRow};
use super::{FloatDense, Kind, Place};
use crate::error::{Error, Result};
use crate::kernels::max::Aggregate;
use crate::pack::WeightLayout;
use crate::quant::check_scale;
use crate::record::{RecordReader, RecordWriter, unknown};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// A max-product layer of real numbers: `output[n] = join over k of input[k] * weight[n][k], +
/// bias[n]`, where the [`Aggregate`] says how products are joined.
///
/// In `f32`, each operation rounded, sums from 0 by rising k; `exp` and `ln` are `libm`'s. Of products
/// that are equal, or of equal magnitude, the first one counts. If a product is NaN, so is the output;
/// with infinite ones, that of a [`Aggregate::SoftAbsMax`] is, too.
///
/// In a *pruned* layer weights that are 0 take no part, where they would compete with their product, 0.
/// A block without connections gives 0; a mean is divided by the number of its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatMax<'a> {
    /// Weights and bias.
    dense: FloatDense<'a>,
    aggregate: Aggregate,
    splits: usize,
    pruned: bool,
}

impl<'a> FloatMax<'a> {
    /// A layer of `outputs x inputs` weights that lie as `layout` says, without a bias. All must be
    /// finite for a model to take the layer.
    ///
    /// # Errors
    /// There must be `outputs * inputs` weights, at least one.
    pub fn new(
        aggregate: Aggregate,
        weights: impl Into<Cow<'a, [f32]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let dense = FloatDense::new(weights, layout, outputs, inputs)?;
        Ok(Self { dense, aggregate, splits: 1, pruned: false })
    }

    /// A pruned layer of those weights that are not zero.
    ///
    /// # Errors
    /// As [`FloatMax::new`].
    pub fn pruned(
        aggregate: Aggregate,
        weights: impl Into<Cow<'a, [f32]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        Ok(Self { pruned: true, ..Self::new(aggregate, weights, layout, outputs, inputs)? })
    }

    /// Cuts the inputs into this many blocks of `ceil(inputs / splits)`, of which the last takes
    /// what is left. Blocks are joined each by itself, and the results summed. A mean has 1.
    #[must_use]
    pub fn splits(mut self, splits: usize) -> Self {
        self.splits = splits;
        self
    }

    /// Sets the bias: one number per output.
    #[must_use]
    pub fn bias(mut self, bias: impl Into<Cow<'a, [f32]>>) -> Self {
        self.dense = self.dense.bias(bias);
        self
    }

    /// K: elements of an input row.
    pub fn inputs(&self) -> usize {
        self.dense.inputs()
    }

    /// N: elements of an output row.
    pub fn outputs(&self) -> usize {
        self.dense.outputs()
    }

    /// The weights, `[out][in]`; of a pruned layer with zeros where there is no connection.
    pub fn weights(&self) -> &[f32] {
        self.dense.weights()
    }

    /// The bias, if there is one.
    pub fn bias_values(&self) -> Option<&[f32]> {
        self.dense.bias_values()
    }

    /// How products are joined.
    pub fn aggregate(&self) -> Aggregate {
        self.aggregate
    }

    /// How many blocks the inputs are cut into.
    pub fn split_count(&self) -> usize {
        self.splits
    }

    /// Whether weights of zero take no part.
    pub fn is_pruned(&self) -> bool {
        self.pruned
    }

    /// How many weights take part.
    pub fn weight_count(&self) -> usize {
        (0..self.outputs()).map(|n| self.connections(n).count()).sum()
    }

    /// The inputs that an output is connected to, and the weights; by rising input.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn connections(&self, output: usize) -> impl Iterator<Item = (usize, f32)> + Clone {
        let weights = self.dense.row(output).iter().copied().enumerate();
        weights.filter(|&(_, w)| w != 0.0 || !self.pruned)
    }

    pub(crate) fn into_owned(self) -> FloatMax<'static> {
        FloatMax { dense: self.dense.into_owned(), ..self }
    }

    /// Inputs of a block, but for the last.
    fn block(&self) -> usize {
        self.inputs().div_ceil(self.splits.max(1))
    }

    fn apply(&self, row: &[f32], out: &mut [f32]) {
        let block = self.block();
        for (n, out) in out.iter_mut().enumerate() {
            let blocks = row.chunks(block).zip(self.dense.row(n).chunks(block));
            let join = |(row, weights): (&[f32], &[f32])| {
                let pairs = row.iter().zip(weights).filter(|&(_, &w)| w != 0.0 || !self.pruned);
                join(self.aggregate, pairs.map(|(x, w)| x * w))
            };
            *out = self.dense.finish(n, blocks.map(join).fold(0.0, |sum, block| sum + block));
        }
    }
}

/// What some products give; 0 if there are none.
fn join(aggregate: Aggregate, products: impl Iterator<Item = f32> + Clone) -> f32 {
    let pick = |better: fn(f32, f32) -> bool| {
        let pick = |a: f32, b: f32| if better(b, a) || b.is_nan() { b } else { a };
        products.clone().reduce(pick).unwrap_or(0.0)
    };
    let sum = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |sum, value| sum + value);
    let (max, min) = (|| pick(|b, a| b > a), || pick(|b, a| b < a));
    let abs_max = || pick(|b, a| b.abs() > a.abs());
    match aggregate {
        Aggregate::Max => max(),
        Aggregate::Min => min(),
        Aggregate::AbsMax => abs_max(),
        Aggregate::SoftAbsMax { alpha } => {
            let winner = abs_max();
            if winner == 0.0 {
                return 0.0; // Its sign is 0, too.
            }
            let term = |p: f32| libm::expf(alpha * (p.abs() - winner.abs()));
            let log = libm::logf(sum(&mut products.clone().map(term)));
            (winner.abs() + log / alpha).copysign(winner)
        }
        Aggregate::Mean => match products.clone().count() {
            0 => 0.0,
            count => sum(&mut products.clone()) / count as f32,
        },
        Aggregate::Mam => max() + min(),
    }
}

/// Added to the code of an aggregate where the layer is pruned.
const PRUNED: u32 = 16;

impl<'a> Kind<'a> for FloatMax<'a> {
    fn name(&self) -> Option<&'static str> {
        Some(match self.aggregate {
            Aggregate::Max => "float max",
            Aggregate::Min => "float min",
            Aggregate::AbsMax => "float abs_max",
            Aggregate::SoftAbsMax { .. } => "float soft_abs_max",
            Aggregate::Mean => "float mean",
            Aggregate::Mam => "float mam",
        })
    }

    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let output = self.dense.output(inputs)?;
        let (inputs, splits) = (self.inputs(), self.splits);
        if splits == 0 || splits > inputs || self.block() * (splits - 1) >= inputs {
            return Err(Error::model(format!("{inputs} inputs do not fill {splits} splits")));
        }
        match self.aggregate {
            Aggregate::Mean if splits > 1 => return Err(Error::model("a mean has no splits")),
            Aggregate::SoftAbsMax { alpha } => {
                check_scale(alpha).map_err(|e| e.at("alpha"))?;
                check_scale(1.0 / alpha).map_err(|e| e.at("1 / alpha"))?;
            }
            _ => {}
        }
        Ok(output)
    }

    fn encode(&self, record: &mut RecordWriter) {
        self.dense.encode(record);
        record.word(self.aggregate.code() + if self.pruned { PRUNED } else { 0 });
        record.float(self.aggregate.alpha());
        record.length(self.splits);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let dense = FloatDense::decode(record)?;
        let (join, alpha, splits) = (record.word()?, record.float()?, record.length()?);
        let (pruned, code) = (join >= PRUNED, join % PRUNED);
        let aggregate = Aggregate::from_code(code, alpha)
            .filter(|_| join < 2 * PRUNED)
            .ok_or_else(|| unknown("aggregate", join))?;
        if aggregate.alpha().to_bits() != alpha.to_bits() {
            return Err(Error::format(format!("alpha {alpha} of a layer that uses none")));
        }
        Ok(Self { dense, aggregate, splits, pruned })
    }

    fn reference(&self, _: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let shape = (self.inputs(), self.outputs());
        Ok(by_row::reference(values[0], shape, |row, out| self.apply(row, out)))
    }

    fn compile(&self, _: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let layer = self.clone().into_owned();
        let (inputs, outputs) = (self.inputs(), self.outputs());
        steps.push(Box::new(ByRow {
            name: format!("float {} {inputs}x{outputs}", self.aggregate.name()),
            inputs,
            outputs,
            products: self.weight_count(),
            of: move |row: &[f32], out: &mut [f32]| layer.apply(row, out),
        }));
        Ok(())
    }
}
