//! Max-product layers: the products of an output's inputs and weights meet by a maximum.
//!
//! With x and its zero point zx, all exact integers:
//! ```text
//! p_k = (x_k - zx) * w_k                    9 bits times 8 bits: -32640..=32640
//! output = join(p_0, p_1, ...) + bias       join: max, min, the largest magnitude, ...
//! ```
//! The zero point has to be taken from x before the product: what it adds to a product depends on
//! k, and does not come out of a maximum as it comes out of a sum.

mod compile;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::channels::{Channels, channels_of};
use super::{Activation, Bias, Dense, DenseInput, DenseOutput, Kind, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::max::Aggregate;
use crate::kernels::reference;
use crate::model::MAX_WIDTH;
use crate::pack::WeightLayout;
use crate::quant::{Rounding, check_scale};
use crate::record::{RecordReader, RecordWriter};
use crate::step::Step;
use crate::tensor::{TensorType, Values};

/// A max-product layer: `output[n] = activation(join over k of input[k] * weight[n][k] + bias[n])`,
/// where the [`Aggregate`] says how products are joined.
///
/// A *pruned* layer holds some connections only: the others, of weight zero, take no part. Without
/// connections an output is its bias. In a layer that is not pruned a weight of zero competes with
/// its product, 0.
///
/// ```
/// use signfold::layers::{Aggregate, MaxProduct};
/// use signfold::quant::{Int8, QuantParams};
/// use signfold::{Engine, Model, TensorType, WeightLayout};
///
/// // 3 inputs, 2 outputs.
/// let layer = MaxProduct::new(Aggregate::AbsMax, vec![1, -2, 3, 4, 5, -6], WeightLayout::OutIn, 2, 3)?;
/// let input = TensorType::int8(3, QuantParams::new(Int8::I8, 1.0, 0)?);
/// let engine = Engine::new(&Model::builder("example", input).layer(layer).build()?)?;
/// let mut output = [0.0; 2];
/// engine.run(&[7_i8, 6, 1], &mut output, &mut engine.scratch())?;
/// assert_eq!(output, [-12.0, 30.0]); // of 7, -12, 3 and of 28, 30, -6
/// # Ok::<(), signfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MaxProduct<'a> {
    inputs: usize,
    weights: Weights<'a>,
    aggregate: Aggregate,
    splits: usize,
    channels: Channels<'a>,
}

#[derive(Clone, Debug, PartialEq)]
enum Weights<'a> {
    /// `[out][in]`
    All(Cow<'a, [i8]>),
    Pruned(Connections<'a>),
}

/// The connections of a pruned layer, output by output, each output's by rising input.
#[derive(Clone, Debug, PartialEq)]
struct Connections<'a> {
    /// Where each output's end.
    ends: Cow<'a, [u32]>,
    inputs: Cow<'a, [u32]>,
    weights: Cow<'a, [i8]>,
}

impl<'a> MaxProduct<'a> {
    /// A layer of `outputs x inputs` weights that lie as `layout` says, with scale 1, no bias, no
    /// activation, 8-bit inputs and `f32` outputs.
    ///
    /// # Errors
    /// There must be `outputs * inputs` weights, at least one.
    pub fn new(
        aggregate: Aggregate,
        weights: impl Into<Cow<'a, [i8]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let weights = layout.to_out_in(weights, outputs, inputs)?;
        if weights.is_empty() {
            return Err(Error::model("a layer without weights"));
        }
        let (weights, channels) = (Weights::All(weights), Channels::new(outputs));
        Ok(Self { inputs, weights, aggregate, splits: 1, channels })
    }

    /// A pruned layer of those weights that are not zero.
    ///
    /// # Errors
    /// As [`MaxProduct::new`].
    pub fn pruned(
        aggregate: Aggregate,
        weights: impl Into<Cow<'a, [i8]>>,
        layout: WeightLayout,
        outputs: usize,
        inputs: usize,
    ) -> Result<MaxProduct<'static>> {
        let all = MaxProduct::new(aggregate, weights, layout, outputs, inputs)?;
        let (mut ends, mut of, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..outputs {
            let connections = all.connections(n).filter(|&(_, w)| w != 0);
            for (k, w) in connections {
                of.push(index(k)?);
                kept.push(w);
            }
            ends.push(index(kept.len())?);
        }
        MaxProduct::from_connections(aggregate, inputs, ends, of, kept)
    }

    /// A pruned layer of these connections: of output n those from `ends[n - 1]` (from 0 for the
    /// first output) to `ends[n]`. Each has the number of an input and a weight.
    ///
    /// # Errors
    /// Ends must not fall, the last one must be the number of connections, the inputs of an output
    /// must rise and exist, and no weight may be zero.
    pub fn from_connections(
        aggregate: Aggregate,
        inputs: usize,
        ends: impl Into<Cow<'a, [u32]>>,
        connected: impl Into<Cow<'a, [u32]>>,
        weights: impl Into<Cow<'a, [i8]>>,
    ) -> Result<Self> {
        let (ends, connected, weights) = (ends.into(), connected.into(), weights.into());
        let channels = Channels::new(ends.len());
        let connections = Connections { ends, inputs: connected, weights };
        connections.check(inputs)?;
        Ok(Self { inputs, weights: Weights::Pruned(connections), aggregate, splits: 1, channels })
    }

    /// Cuts the inputs into this many blocks of `ceil(inputs / splits)`, of which the last takes
    /// what is left. Blocks are joined each by itself, and the results summed.
    #[must_use]
    pub fn splits(mut self, splits: usize) -> Self {
        self.splits = splits;
        self
    }

    /// How products are joined.
    pub fn aggregate(&self) -> Aggregate {
        self.aggregate
    }

    /// How many blocks the inputs are cut into.
    pub fn split_count(&self) -> usize {
        self.splits
    }

    /// Whether connections that are not there take no part.
    pub fn is_pruned(&self) -> bool {
        matches!(self.weights, Weights::Pruned(_))
    }

    /// How many weights there are.
    pub fn weight_count(&self) -> usize {
        match &self.weights {
            Weights::All(weights) => weights.len(),
            Weights::Pruned(connections) => connections.weights.len(),
        }
    }

    /// The inputs that an output is connected to, and the weights; by rising input.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn connections(&self, output: usize) -> impl Iterator<Item = (usize, i8)> + Clone {
        let (inputs, weights) = match &self.weights {
            Weights::All(weights) => (None, &weights[output * self.inputs..][..self.inputs]),
            Weights::Pruned(connections) => {
                let range = connections.of(output);
                (Some(&connections.inputs[range.clone()]), &connections.weights[range])
            }
        };
        weights.iter().enumerate().map(move |(i, &w)| match inputs {
            None => (i, w),
            Some(inputs) => (inputs[i] as usize, w),
        })
    }

    /// The largest magnitude that the integer of any output can reach, bias included, for inputs of
    /// this type: 8-bit ones with their zero point, or `f32` ones, quantized on arrival. Of a mean it
    /// is the sum that is meant.
    pub fn worst_sum(&self, input: &TensorType) -> i64 {
        (0..self.outputs()).map(|n| self.worst_sum_of(n, input)).max().unwrap_or(0)
    }

    fn worst_sum_of(&self, output: usize, input: &TensorType) -> i64 {
        let weights = self.connections(output).map(|(_, w)| i64::from(w.unsigned_abs()));
        // Of a layer that is no part of a model yet there may be any number.
        let blocks = self.splits.min(self.inputs) as i64;
        let worst = match self.aggregate {
            Aggregate::Mean => weights.sum(),
            Aggregate::Mam => 2 * blocks * weights.max().unwrap_or(0),
            _ => blocks * weights.max().unwrap_or(0),
        };
        let bias = i64::from(self.channels.integer_bias(output)).abs();
        worst * Channels::reach(input) + bias
    }

    pub(crate) fn into_owned(self) -> MaxProduct<'static> {
        MaxProduct {
            weights: match self.weights {
                Weights::All(weights) => Weights::All(weights.into_owned().into()),
                Weights::Pruned(connections) => Weights::Pruned(Connections {
                    ends: connections.ends.into_owned().into(),
                    inputs: connections.inputs.into_owned().into(),
                    weights: connections.weights.into_owned().into(),
                }),
            },
            channels: self.channels.into_owned(),
            ..self
        }
    }

    /// A mean is a sum whose weights have smaller scales: these, divided by the number of inputs.
    fn as_dense(&self) -> Option<Dense<'_>> {
        let (Aggregate::Mean, Weights::All(weights)) = (self.aggregate, &self.weights) else {
            return None;
        };
        let scales: Vec<f32> = self.scales().iter().map(|s| s / self.inputs as f32).collect();
        let channels = Channels { weight_scales: scales.into(), ..self.channels.clone() };
        Some(Dense::of_channels(self.inputs, weights, channels))
    }

    /// Inputs of a block, but for the last.
    fn block(&self) -> usize {
        self.inputs.div_ceil(self.splits.max(1))
    }

    /// Checks what a [`Dense`] has not.
    fn check_joins(&self) -> Result<()> {
        let (inputs, splits) = (self.inputs, self.splits);
        if inputs > MAX_WIDTH {
            let message = format!("{inputs} inputs, more than {MAX_WIDTH}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if splits == 0 || splits > inputs || self.block() * (splits - 1) >= inputs {
            return Err(Error::model(format!("{inputs} inputs do not fill {splits} splits")));
        }
        if let DenseOutput::Int8(_, rule) = self.output_kind()
            && rule != Rounding::Nearest
        {
            let message = format!("it has no requantize rule but nearest, not {}", rule.name());
            return Err(Error::model(message));
        }
        match self.aggregate {
            Aggregate::Mean if self.splits > 1 => Err(Error::model("a mean has no splits")),
            Aggregate::Mean if self.is_pruned() => Err(Error::model(
                "a mean is not pruned: give it larger weights, as its divisor would be smaller",
            )),
            Aggregate::SoftAbsMax { alpha } => {
                check_scale(alpha).map_err(|e| e.at("alpha"))?;
                check_scale(self.real_log()).map_err(|e| e.at("1 / (alpha * output scale)"))
            }
            _ => Ok(()),
        }
    }

    /// What the logarithm of a sum of exponentials is multiplied with, to add it to outputs.
    fn real_log(&self) -> f32 {
        let Aggregate::SoftAbsMax { alpha } = self.aggregate else { return 0.0 };
        match self.output_kind() {
            DenseOutput::F32 => 1.0 / alpha,
            DenseOutput::Int8(output, _) => 1.0 / (alpha * output.scale()),
        }
    }

    /// For each output the inputs that won, by naive loops; see
    /// [`Model::winners`](crate::Model::winners).
    pub(crate) fn winners(&self, input: &TensorType, values: &Values<'_>) -> Result<Vec<u32>> {
        if self.aggregate == Aggregate::Mean {
            return Err(Error::input("a mean has no winner"));
        }
        let (x, params) = self.channels.reference_rows(self.inputs, input, values)?;
        let of_block = self.aggregate.winners();
        let of_output = self.splits * of_block;
        // A small file may claim many outputs and many splits.
        if of_output.saturating_mul(self.outputs()) > MAX_WINNERS {
            let (outputs, most) = (self.outputs(), MAX_WINNERS);
            let message =
                format!("{outputs} outputs with {of_output} winners each, more than {most}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut winners = vec![reference::NO_WINNER; params.len() * self.outputs() * of_output];
        let mut outputs = winners.chunks_exact_mut(of_output);
        for (x, &(_, zero_point)) in x.chunks_exact(self.inputs).zip(&params) {
            for (n, blocks) in (0..self.outputs()).zip(outputs.by_ref()) {
                for products in self.blocks(n, x, zero_point) {
                    let block = products[0].0 / self.block();
                    let won = reference::winners(self.aggregate, &products);
                    blocks[block * of_block..][..of_block].copy_from_slice(&won);
                }
            }
        }
        Ok(winners)
    }

    /// The products of an output, with the numbers of their inputs, by blocks; of blocks without
    /// connections there are none.
    fn blocks(&self, n: usize, x: &[i8], zero_point: i32) -> Vec<Vec<(usize, i32)>> {
        let mut blocks: Vec<Vec<(usize, i32)>> = Vec::new();
        for (k, w) in self.connections(n) {
            let product = (k, (i32::from(x[k]) - zero_point) * i32::from(w));
            match blocks.last_mut() {
                Some(last) if last[0].0 / self.block() == k / self.block() => last.push(product),
                _ => blocks.push(vec![product]),
            }
        }
        blocks
    }
}

channels_of!(MaxProduct);

impl Connections<'_> {
    /// The places of an output's connections.
    fn of(&self, output: usize) -> core::ops::Range<usize> {
        let start = if output == 0 { 0 } else { self.ends[output - 1] };
        start as usize..self.ends[output] as usize
    }

    fn check(&self, inputs: usize) -> Result<()> {
        let (count, weights) = (self.inputs.len(), self.weights.len());
        if self.ends.is_empty() {
            return Err(Error::model("a layer without outputs"));
        }
        if count != weights || self.ends.last().map(|&end| end as usize) != Some(count) {
            return Err(Error::model(format!(
                "the last output's connections end at {}, but there are {count} inputs and {weights} weights",
                self.ends.last().unwrap_or(&0)
            )));
        }
        for n in 0..self.ends.len() {
            let fail = |message: String| Err(Error::model(message).at(format!("channel {n}")));
            let range = self.of(n);
            if range.start > range.end || range.end > count {
                return fail(format!("connections from {} to {}", range.start, range.end));
            }
            let of = &self.inputs[range.clone()];
            if let Some(pair) = of.windows(2).find(|pair| pair[0] >= pair[1]) {
                return fail(format!("input {} after input {}", pair[1], pair[0]));
            }
            if let Some(&last) = of.last().filter(|&&last| last as usize >= inputs) {
                return fail(format!("a connection to input {last} of {inputs}"));
            }
            if let Some(i) = self.weights[range].iter().position(|&w| w == 0) {
                return fail(format!("the weight for input {} is 0", of[i]));
            }
        }
        Ok(())
    }
}

fn index(value: usize) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| Error::new(ErrorKind::Limit, format!("{value} connections, more than a u32")))
}

/// Winners that a row may have at most.
const MAX_WINNERS: usize = 2 * MAX_WIDTH;

/// Added to the code of an aggregate where the layer is pruned.
const PRUNED: u32 = 16;

impl<'a> Kind<'a> for MaxProduct<'a> {
    fn name(&self) -> Option<&'static str> {
        Some(self.aggregate.name())
    }

    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        self.check_joins()?;
        if let Weights::Pruned(connections) = &self.weights {
            connections.check(self.inputs)?;
        }
        match self.as_dense() {
            Some(dense) => Kind::output(&dense, inputs),
            None => self.channels.check(self.inputs, input, |n| self.worst_sum_of(n, input)),
        }
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.length(self.inputs);
        record.length(self.outputs());
        record.length(self.scales().len());
        record.word(self.aggregate.code() + if self.is_pruned() { PRUNED } else { 0 });
        self.channels.encode(record);
        record.float(self.aggregate.alpha());
        record.length(self.splits);
        match &self.weights {
            Weights::All(weights) => record.tensor_i8(weights),
            Weights::Pruned(connections) => {
                record.tensor_u32(&connections.ends);
                record.tensor_u32(&connections.inputs);
                record.tensor_i8(&connections.weights);
            }
        }
        record.tensor_f32(self.scales());
        self.channels.encode_bias(record);
    }

    fn decode(record: &mut RecordReader<'a>) -> Result<Self> {
        let (inputs, outputs) = (record.length()?, record.length()?);
        let scales = record.length()?;
        let join = record.word()?;
        let (mut channels, bias) = Channels::decode(outputs, record)?;
        let (alpha, splits) = (record.float()?, record.length()?);
        let (pruned, code) = (join >= PRUNED, join % PRUNED);
        let aggregate = Aggregate::from_code(code, alpha)
            .filter(|_| join < 2 * PRUNED)
            .ok_or_else(|| crate::record::unknown("aggregate", join))?;
        if aggregate.alpha().to_bits() != alpha.to_bits() {
            return Err(Error::format(format!("alpha {alpha} of a layer that uses none")));
        }
        let weights = if pruned {
            let ends = record.tensor_u32(outputs)?;
            let count = ends.last().map_or(0, |&end| end as usize);
            let inputs = record.tensor_u32(count)?;
            Weights::Pruned(Connections { ends, inputs, weights: record.tensor_i8(count)? })
        } else {
            Weights::All(record.matrix_i8(outputs, inputs)?)
        };
        channels.weight_scales = record.tensor_f32(scales)?;
        channels.decode_bias(bias, record)?;
        Ok(Self { inputs, weights, aggregate, splits, channels })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let (input, values) = (&inputs[0], values[0]);
        if let Some(dense) = self.as_dense() {
            return dense.reference(inputs, &[values]);
        }
        let (x, params) = self.channels.reference_rows(self.inputs, input, values)?;
        let (mut integers, mut extras) = (Vec::new(), Vec::new());
        for (x, &(scale, zero_point)) in x.chunks_exact(self.inputs).zip(&params) {
            for n in 0..self.outputs() {
                let (mut integer, mut log) = (self.channels.integer_bias(n), 0.0);
                for products in self.blocks(n, x, zero_point) {
                    let unit = scale * self.channels.weight_scale(n);
                    let joined = reference::join(self.aggregate, &products, self.block(), unit);
                    integer += joined.0;
                    log += joined.1;
                }
                integers.push(integer);
                extras.push(log * self.real_log());
            }
        }
        if !self.aggregate.is_soft() {
            extras.clear();
        }
        Ok(self.channels.reference_finish(&integers, &extras, &params))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        match self.as_dense() {
            Some(dense) => dense.compile(place, steps),
            None => self.add_steps(place, steps),
        }
    }
}
