//! Float networks: what training gives, before it is quantized.

use signfold::layers::Activation;
use signfold::{Error, ErrorKind, MAX_LAYERS, MAX_NAME_BYTES, MAX_WIDTH, Result};

use crate::max::FloatMax;

/// A network of real numbers: a name, the width of its input rows, and its layers. Every value of
/// this type has been validated: widths fit from layer to layer, all parameters are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNet {
    name: String,
    inputs: usize,
    layers: Vec<FloatLayer>,
}

/// A layer of a [`FloatNet`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FloatLayer {
    /// Sums of products with a weight matrix, plus a bias, then a function of each element.
    Dense(FloatDense),
    /// Products with a weight matrix that meet by a maximum, plus a bias, then a function of each
    /// element.
    Max(FloatMax),
    /// Row by row: positive numbers that sum to 1.
    Softmax,
    /// Row by row: the position of the largest element, the first one among equals. Only as the
    /// last layer.
    Argmax,
}

/// A dense layer: `output[n] = activation(sum_k input[k] * weights[n][k] + bias[n])`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatDense {
    /// K: elements of an input row.
    pub inputs: usize,
    /// N: elements of an output row.
    pub outputs: usize,
    /// The weights, `[out][in]`.
    pub weights: Vec<f32>,
    /// What is added to each output's sum.
    pub bias: Option<Vec<f32>>,
    /// The function of each element.
    pub activation: Activation,
}

/// The tensors that a row passes through on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The input.
    Input,
    /// What a layer with weights has before its activation.
    Sums(usize),
    /// What a layer gives.
    Output(usize),
}

impl FloatNet {
    /// Joins parts into a network, if they make one.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it, or holds a parameter that is not
    /// finite, is named.
    pub fn new(name: impl Into<String>, inputs: usize, layers: Vec<FloatLayer>) -> Result<Self> {
        let name = name.into();
        if name.len() > MAX_NAME_BYTES {
            let message = format!("a name of {} bytes, more than {MAX_NAME_BYTES}", name.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        check_width(inputs).map_err(|e| e.at("input"))?;
        if layers.is_empty() {
            return Err(Error::new(ErrorKind::Model, "a network without layers"));
        }
        check_depth(layers.len())?;
        let mut width = Some(inputs);
        for (i, layer) in layers.iter().enumerate() {
            width = layer.check(width).map_err(|e| e.at(place(i, layer.name())))?;
        }
        Ok(Self { name, inputs, layers })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Elements of an input row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Elements of an output row.
    pub fn outputs(&self) -> usize {
        match self.layers.last() {
            Some(FloatLayer::Argmax) => 1,
            _ => self.scores(),
        }
    }

    /// The layers.
    pub fn layers(&self) -> &[FloatLayer] {
        &self.layers
    }

    /// What the network computes for rows that lie one after the other: products and sums in
    /// `f64`, each layer's result rounded to `f32`. An argmax gives its position as a number.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if `rows` does not hold whole rows, or a value that is not finite.
    pub fn forward(&self, rows: &[f32]) -> Result<Vec<f32>> {
        self.check_rows(rows)?;
        let rows = rows.chunks_exact(self.inputs);
        Ok(rows.flat_map(|row| self.run(row, &mut |_, _| ())).collect())
    }

    /// Elements of a row before an argmax, if there is one.
    pub(crate) fn scores(&self) -> usize {
        let last = self.layers.iter().rev().find_map(FloatLayer::weighted);
        last.map_or(self.inputs, |dense| dense.outputs)
    }

    /// The tensor an argmax would look at, and that answers are compared by.
    pub(crate) fn scores_stage(&self) -> Stage {
        match (self.layers.len(), self.layers.last()) {
            (1, Some(FloatLayer::Argmax)) => Stage::Input,
            (n, Some(FloatLayer::Argmax)) => Stage::Output(n - 2),
            (n, _) => Stage::Output(n - 1),
        }
    }

    /// Runs one row, showing `see` each tensor on the way.
    pub(crate) fn run(&self, row: &[f32], see: &mut dyn FnMut(Stage, &[f32])) -> Vec<f32> {
        see(Stage::Input, row);
        let mut row = row.to_vec();
        for (i, layer) in self.layers.iter().enumerate() {
            let mut activate = |mut row: Vec<f32>, dense: &FloatDense| {
                see(Stage::Sums(i), &row);
                row.iter_mut().for_each(|x| *x = dense.activation.apply(*x));
                row
            };
            row = match layer {
                FloatLayer::Dense(dense) => activate(dense.sums(&row), dense),
                FloatLayer::Max(max) => activate(max.sums(&row), &max.dense),
                FloatLayer::Softmax => softmax(&row),
                FloatLayer::Argmax => vec![argmax(&row) as f32],
            };
            see(Stage::Output(i), &row);
        }
        row
    }

    pub(crate) fn check_rows(&self, rows: &[f32]) -> Result<()> {
        let inputs = self.inputs;
        if !rows.len().is_multiple_of(inputs) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("{} values are not a multiple of the row width {inputs}", rows.len()),
            ));
        }
        match rows.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(i) => Err(Error::new(
                ErrorKind::Input,
                format!("row {}, column {} is {}", i / inputs, i % inputs, rows[i]),
            )),
        }
    }
}

impl FloatLayer {
    /// The layer's kind, as messages and listings name it.
    pub fn name(&self) -> &'static str {
        match self {
            FloatLayer::Dense(_) => "dense",
            FloatLayer::Max(max) => max.aggregate.name(),
            FloatLayer::Softmax => "softmax",
            FloatLayer::Argmax => "argmax",
        }
    }

    /// Weights, bias and activation, if the layer has them.
    pub(crate) fn weighted(&self) -> Option<&FloatDense> {
        match self {
            FloatLayer::Dense(dense) => Some(dense),
            FloatLayer::Max(max) => Some(&max.dense),
            FloatLayer::Softmax | FloatLayer::Argmax => None,
        }
    }

    /// The width of the output, `None` after an argmax.
    fn check(&self, width: Option<usize>) -> Result<Option<usize>> {
        let Some(width) = width else {
            return Err(Error::new(ErrorKind::Model, "no layer can follow an argmax"));
        };
        match self {
            FloatLayer::Dense(dense) => dense.check(width).map(|()| Some(dense.outputs)),
            FloatLayer::Max(max) => max.check(width).map(|()| Some(max.dense.outputs)),
            FloatLayer::Softmax => Ok(Some(width)),
            FloatLayer::Argmax => Ok(None),
        }
    }
}

impl FloatDense {
    pub(crate) fn check(&self, width: usize) -> Result<()> {
        let fail = |message| Err(Error::new(ErrorKind::Model, message));
        let (inputs, outputs) = (self.inputs, self.outputs);
        if inputs != width {
            return fail(format!("its input is {width} wide, but its weights take {inputs}"));
        }
        check_width(outputs).map_err(|e| e.at("output"))?;
        if inputs.checked_mul(outputs) != Some(self.weights.len()) {
            let found = self.weights.len();
            return fail(format!("{outputs} outputs of {inputs} inputs have {found} weights"));
        }
        if let Some(i) = self.weights.iter().position(|w| !w.is_finite()) {
            let w = self.weights[i];
            return fail(format!("weight of output {}, input {} is {w}", i / inputs, i % inputs));
        }
        if let Some(bias) = &self.bias {
            if bias.len() != outputs {
                return fail(format!("{} biases for {outputs} outputs", bias.len()));
            }
            if let Some(i) = bias.iter().position(|b| !b.is_finite()) {
                return fail(format!("bias of output {i} is {}", bias[i]));
            }
        }
        self.activation.validate()
    }

    fn sums(&self, row: &[f32]) -> Vec<f32> {
        self.outputs_of(|weights| {
            row.iter().zip(weights).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum()
        })
    }

    /// What `join` makes of each output's weights, plus the bias.
    pub(crate) fn outputs_of(&self, mut join: impl FnMut(&[f32]) -> f64) -> Vec<f32> {
        let rows = self.weights.chunks_exact(self.inputs).enumerate();
        let output = |(n, weights): (usize, &[f32])| {
            let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[n]));
            (join(weights) + bias) as f32
        };
        rows.map(output).collect()
    }
}

/// How messages name a layer.
pub(crate) fn place(layer: usize, name: &str) -> String {
    format!("layer {layer} ({name})")
}

/// Refuses a network of more layers than a model can have.
pub(crate) fn check_depth(layers: usize) -> Result<()> {
    match layers <= MAX_LAYERS {
        true => Ok(()),
        false => {
            let message = format!("{layers} layers, more than {MAX_LAYERS}");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

/// Refuses rows that no model can have.
pub(crate) fn check_width(width: usize) -> Result<()> {
    match width {
        0 => Err(Error::new(ErrorKind::Model, "rows without elements")),
        1..=MAX_WIDTH => Ok(()),
        _ => {
            let message = format!("rows of {width} elements, more than {MAX_WIDTH}");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

/// The position of the largest element, the first one among equals.
pub(crate) fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = row.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|x| (x / sum) as f32).collect()
}
