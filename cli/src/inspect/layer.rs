//! What a layer is: its function, its weights, how its integers are rounded.

use serde::Serialize;
use signfold::TensorType;
use signfold::layers::{
    Aggregate, Bias, Dense, DenseInput, DenseOutput, FloatDense, FloatMax, Layer, MaxProduct,
};

use crate::report::{grouped, percent};

/// What is inside a layer.
#[derive(Serialize)]
pub struct Inside {
    /// The function of a layer that has one.
    pub activation: Option<String>,
    /// How a layer without weights rounds 8-bit results.
    requantize: Option<&'static str>,
    dense: Option<Weights>,
    max_product: Option<MaxProductInfo>,
}

/// A matrix of weights.
#[derive(Serialize)]
pub struct Weights {
    /// How many numbers, with the bias.
    pub parameters: u64,
    input: &'static str,
    bias: &'static str,
    /// Of 8-bit weights their scales, of real ones themselves.
    weight_scales: Option<Range<f32>>,
    weights: Option<Range<f32>>,
    weight_zero_points: Option<Range<i8>>,
    requantize: Option<&'static str>,
    worst_sum: Option<i64>,
    worst_sum_share: Option<f64>,
}

#[derive(Serialize)]
struct Range<T> {
    count: usize,
    min: T,
    max: T,
}

#[derive(Serialize)]
struct MaxProductInfo {
    aggregate: &'static str,
    alpha: Option<f32>,
    splits: usize,
    /// Of a pruned layer, whose weights are its connections, and their share of all that it could have.
    connections: Option<usize>,
    density: Option<f64>,
    #[serde(flatten)]
    weights: Weights,
}

impl Inside {
    /// Of a layer that takes this.
    pub fn of(layer: &Layer<'_>, input: &TensorType) -> Self {
        let (mut dense, mut max_product, mut requantize) = (None, None, None);
        let activation = match layer {
            Layer::Dense(layer) => {
                dense = Some(Weights::of_dense(layer, input));
                Some(layer.fused_activation().to_string())
            }
            Layer::FloatDense(layer) => {
                dense = Some(Weights::of_float_dense(layer));
                None
            }
            Layer::MaxProduct(layer) => {
                max_product = Some(MaxProductInfo::of(layer, input));
                Some(layer.fused_activation().to_string())
            }
            Layer::FloatMax(layer) => {
                max_product = Some(MaxProductInfo::of_float(layer));
                None
            }
            Layer::Pointwise(pointwise) => Some(pointwise.activation.to_string()),
            Layer::Combine(combine) => {
                requantize = combine.output.map(|(_, rounding)| rounding.name());
                Some(combine.activation.to_string())
            }
            _ => None,
        };
        Self { activation, requantize, dense, max_product }
    }

    /// What all layers with weights have.
    pub fn weights(&self) -> Option<&Weights> {
        self.dense.as_ref().or(self.max_product.as_ref().map(|max| &max.weights))
    }

    /// How 8-bit results are rounded, or where sums come from if they stay real.
    pub fn rule(&self) -> String {
        let of_others = self.requantize.unwrap_or_default();
        self.weights().map_or(of_others.to_string(), Weights::rule)
    }

    /// How products meet, to follow the layer's kind.
    pub fn join(&self) -> String {
        self.max_product.as_ref().map_or(String::new(), MaxProductInfo::text)
    }
}

impl MaxProductInfo {
    fn of(max: &MaxProduct<'_>, input: &TensorType) -> Self {
        let weights = Weights::of_int8(
            max.weight_count(),
            &[],
            max.scales(),
            max.bias_values(),
            (max.input_kind(), max.output_kind()),
            max.worst_sum(input),
        );
        let all = max.inputs() as f64 * max.outputs() as f64;
        let connections = max.is_pruned().then(|| max.weight_count());
        Self::with(max.aggregate(), max.split_count(), connections, all, weights)
    }

    fn of_float(max: &FloatMax<'_>) -> Self {
        let weights = Weights::of_reals(max.weight_count(), max.weights(), max.bias_values());
        let all = max.inputs() as f64 * max.outputs() as f64;
        let connections = max.is_pruned().then(|| max.weight_count());
        Self::with(max.aggregate(), max.split_count(), connections, all, weights)
    }

    fn with(
        aggregate: Aggregate,
        splits: usize,
        connections: Option<usize>,
        all: f64,
        weights: Weights,
    ) -> Self {
        Self {
            aggregate: aggregate.name(),
            alpha: match aggregate {
                Aggregate::SoftAbsMax { alpha } => Some(alpha),
                _ => None,
            },
            splits,
            connections,
            density: connections.map(|connections| connections as f64 / all),
            weights,
        }
    }

    /// What follows the layer's kind, which is the aggregate.
    fn text(&self) -> String {
        let mut text = self.alpha.map_or(String::new(), |alpha| format!(", alpha {alpha}"));
        if self.splits > 1 {
            text += &format!(", {} splits", self.splits);
        }
        if let (Some(connections), Some(density)) = (self.connections, self.density) {
            let connections = grouped(connections as u64);
            text += &format!(", {connections} connections ({})", percent(density));
        }
        text
    }
}

impl Weights {
    fn of_dense(dense: &Dense<'_>, input: &TensorType) -> Self {
        Self::of_int8(
            dense.weights().len(),
            dense.zero_points(),
            dense.scales(),
            dense.bias_values(),
            (dense.input_kind(), dense.output_kind()),
            dense.worst_sum(input),
        )
    }

    fn of_float_dense(dense: &FloatDense<'_>) -> Self {
        Self::of_reals(dense.weights().len(), dense.weights(), dense.bias_values())
    }

    fn of_int8(
        weights: usize,
        zero_points: &[i8],
        scales: &[f32],
        bias: &Bias<'_>,
        (input, output): (DenseInput, DenseOutput),
        worst_sum: i64,
    ) -> Self {
        let (bias, biases) = match bias {
            Bias::None => ("none", 0),
            Bias::I32(bias) => ("i32", bias.len()),
            Bias::F32(bias) => ("f32", bias.len()),
        };
        let ends = zero_points.iter().min().zip(zero_points.iter().max());
        Self {
            parameters: (weights + biases) as u64,
            input: match input {
                DenseInput::Int8 => "static",
                DenseInput::PerTensor => "dynamic per tensor",
                DenseInput::PerRow => "dynamic per row",
            },
            bias,
            weight_scales: Some(Range::of(scales)),
            weights: None,
            weight_zero_points: ends.map(|(&min, &max)| Range {
                count: zero_points.len(),
                min,
                max,
            }),
            requantize: match output {
                DenseOutput::Int8(_, rounding) => Some(rounding.name()),
                DenseOutput::F32 => None,
            },
            worst_sum: Some(worst_sum),
            worst_sum_share: Some(worst_sum as f64 / f64::from(i32::MAX)),
        }
    }

    fn of_reals(count: usize, weights: &[f32], bias: Option<&[f32]>) -> Self {
        Self {
            parameters: (count + bias.map_or(0, <[f32]>::len)) as u64,
            input: "real",
            bias: if bias.is_some() { "f32" } else { "none" },
            weight_scales: None,
            weights: Some(Range::of(weights)),
            weight_zero_points: None,
            requantize: None,
            worst_sum: None,
            worst_sum_share: None,
        }
    }

    /// The range of the scales, or of the weights themselves.
    pub fn range(&self) -> String {
        let zero_points = match &self.weight_zero_points {
            Some(Range { min, max, .. }) => format!(", zero {min}..{max}"),
            None => String::new(),
        };
        match (&self.weight_scales, &self.weights) {
            (Some(Range { count: 1, min, .. }), _) => format!("scale {min:.3e}{zero_points}"),
            (Some(Range { count, min, max }), _) => {
                format!("{count} scales {min:.3e}..{max:.3e}{zero_points}")
            }
            (_, Some(Range { count, min, max })) => format!("{count} f32 {min:.3e}..{max:.3e}"),
            _ => String::new(),
        }
    }

    /// How sums become 8-bit integers, or where they come from if they stay real.
    fn rule(&self) -> String {
        match self.requantize {
            Some(rule) => rule.to_string(),
            None => format!("to f32, {}", self.input),
        }
    }

    /// The largest sum there can be, and its share of what `i32` holds.
    pub fn worst_sum(&self) -> [String; 2] {
        match (self.worst_sum, self.worst_sum_share) {
            (Some(sum), Some(share)) => {
                [grouped(sum.unsigned_abs()), format!("{:.2} %", 100.0 * share)]
            }
            _ => Default::default(),
        }
    }
}

impl Range<f32> {
    fn of(numbers: &[f32]) -> Self {
        let ends = (f32::INFINITY, f32::NEG_INFINITY);
        let (min, max) =
            numbers.iter().fold(ends, |(min, max): (f32, f32), &x| (min.min(x), max.max(x)));
        Self { count: numbers.len(), min, max }
    }
}
