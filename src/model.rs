//! Models: networks that are known to be sound, independent of any CPU.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::layers::Layer;
use crate::tensor::{Element, TensorType, Values};

/// Elements that a row may have at most.
pub const MAX_WIDTH: usize = 1 << 20;

/// Layers that a model may have at most.
pub const MAX_LAYERS: usize = 1024;

/// Bytes that a model's name may have at most.
pub const MAX_NAME_BYTES: usize = 255;

/// A network: a name, the type of its input rows, and its layers. Every value of this type has
/// been validated: types fit from layer to layer, scales are numbers, no sum can leave `i32`.
///
/// Weights may be borrowed from the bytes a model was read from, for `'a`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<'a> {
    name: Cow<'a, str>,
    layers: Vec<Layer<'a>>,
    /// The input's type, then the type of each layer's output.
    types: Vec<TensorType>,
    golden: Option<Golden<'a>>,
}

/// Input rows and the output rows they must give, bit by bit, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden<'a> {
    /// The input rows.
    pub input: Values<'a>,
    /// The output rows.
    pub output: Values<'a>,
}

impl<'a> Model<'a> {
    /// Starts a model with this name, for input rows of this type.
    pub fn builder(name: impl Into<Cow<'a, str>>, input: TensorType) -> ModelBuilder<'a> {
        ModelBuilder { name: name.into(), input, layers: Vec::new() }
    }

    /// Joins parts into a model, if they make one. What reader and builder both go through.
    pub(crate) fn validated(
        name: Cow<'a, str>,
        input: TensorType,
        layers: Vec<Layer<'a>>,
    ) -> Result<Self> {
        if name.len() > MAX_NAME_BYTES {
            let message = format!("a name of {} bytes, more than {MAX_NAME_BYTES}", name.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        check_width(&input).map_err(|e| e.at("input"))?;
        if input.element == Element::Index {
            return Err(Error::model(
                "input: positions are what models answer, not what they take",
            ));
        }
        check_layer_count(layers.len())?;
        let mut types = vec![input];
        for (i, layer) in layers.iter().enumerate() {
            let output = layer
                .output(&types[i])
                .and_then(|output| check_width(&output).map(|()| output))
                .map_err(|e| e.at(format!("layer {i} ({})", layer.name())))?;
            types.push(output);
        }
        Ok(Self { name, layers, types, golden: None })
    }

    /// The same model with a golden pair, if it has the model's types. What reader and
    /// [`Model::with_golden`] both go through.
    pub(crate) fn attach_golden(mut self, golden: Golden<'a>) -> Result<Self> {
        self.check_golden(&golden).map_err(|e| e.at("golden"))?;
        self.golden = Some(golden);
        Ok(self)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of input rows.
    pub fn input(&self) -> TensorType {
        self.types[0]
    }

    /// The type of output rows.
    pub fn output(&self) -> TensorType {
        self.types[self.layers.len()]
    }

    /// The layers, each with the types of its input and of its output.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&Layer<'a>, TensorType, TensorType)> {
        let types = self.types.iter().zip(&self.types[1..]);
        self.layers.iter().zip(types).map(|(layer, (input, output))| (layer, *input, *output))
    }

    /// The embedded pair of input and output, if there is one.
    pub fn golden(&self) -> Option<&Golden<'a>> {
        self.golden.as_ref()
    }

    /// The same model with `input` and the output that [`Model::reference`] gives for it as its
    /// golden pair.
    ///
    /// # Errors
    /// As [`Model::reference`]; and there must be a row, and no NaN in the output, whose bits
    /// machines do not agree on.
    pub fn with_golden(self, input: impl Into<Values<'a>>) -> Result<Self> {
        let input = input.into();
        let output = self.reference(&input)?;
        self.attach_golden(Golden { input, output })
    }

    /// What the model computes, by naive loops: the specification that every engine is held to.
    /// Slow.
    ///
    /// # Errors
    /// `input` must hold rows of the input type. Where real numbers are quantized, none may be NaN,
    /// and a range that sets the scale must be finite.
    pub fn reference(&self, input: &Values<'_>) -> Result<Values<'static>> {
        self.input().rows(input, "input")?;
        let mut values = input.clone().into_owned();
        for (layer, input, _) in self.layers() {
            values = layer.reference(&input, &values)?;
        }
        Ok(values)
    }

    /// Which inputs of a max-product layer decided its outputs, for rows of the model's input: for
    /// explaining an answer, or for finding the connections that a network can do without.
    ///
    /// The answer holds, for each row and each output of layer number `layer`, the position of the
    /// layer's input whose product won; of equal products the lowest. Where there are splits, it has one
    /// for each block; of [`Aggregate::Mam`](crate::layers::Aggregate::Mam) two, that of the largest
    /// product, then that of the smallest. [`u32::MAX`] stands for a block without connections.
    ///
    /// By naive loops, as [`Model::reference`].
    ///
    /// # Errors
    /// Those of [`Model::reference`]; and `layer` must be a max-product layer, not a mean, of which a
    /// row has at most 2^21 winners.
    pub fn winners(&self, layer: usize, input: &Values<'_>) -> Result<Vec<u32>> {
        self.input().rows(input, "input")?;
        let mut values = input.clone().into_owned();
        for (i, (each, input, _)) in self.layers().enumerate() {
            match each {
                Layer::MaxProduct(each) if i == layer => {
                    let winners = each.winners(&input, &values);
                    return winners.map_err(|e| e.at(format!("layer {layer}")));
                }
                _ if i == layer => break,
                _ => values = each.reference(&input, &values)?,
            }
        }
        let message = match self.layers().nth(layer) {
            Some((layer, ..)) => format!("nothing wins in a layer of kind {}", layer.name()),
            None => format!("there are {} layers", self.layers.len()),
        };
        Err(Error::input(message).at(format!("layer {layer}")))
    }

    /// The same model, borrowing nothing.
    pub fn into_owned(self) -> Model<'static> {
        let own = |golden: Golden<'_>| Golden {
            input: golden.input.into_owned(),
            output: golden.output.into_owned(),
        };
        Model {
            name: self.name.into_owned().into(),
            layers: self.layers.into_iter().map(Layer::into_owned).collect(),
            types: self.types,
            golden: self.golden.map(own),
        }
    }

    fn check_golden(&self, golden: &Golden<'_>) -> Result<()> {
        let input = self.input().rows(&golden.input, "input")?;
        let output = self.output().rows(&golden.output, "output")?;
        if input != output || input == 0 {
            return Err(Error::model(format!("{input} input rows, {output} output rows")));
        }
        if u32::try_from(input).is_err() {
            return Err(Error::new(ErrorKind::Limit, format!("{input} rows, more than a u32")));
        }
        for (what, values) in [("input", &golden.input), ("output", &golden.output)] {
            if let Values::F32(values) = values
                && let Some(at) = values.iter().position(|x| x.is_nan())
            {
                return Err(Error::model(format!("element {at} of the {what} is NaN")));
            }
        }
        Ok(())
    }
}

pub(crate) fn check_layer_count(count: usize) -> Result<()> {
    match count {
        0 => Err(Error::model("a model without layers")),
        1..=MAX_LAYERS => Ok(()),
        _ => {
            let message = format!("{count} layers, more than {MAX_LAYERS}");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

fn check_width(of: &TensorType) -> Result<()> {
    match of.width {
        0 => Err(Error::model("rows without elements")),
        1..=MAX_WIDTH => Ok(()),
        width => {
            let message = format!("rows of {width} elements, more than {MAX_WIDTH}");
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}

/// Collects a model's layers. Made by [`Model::builder`].
#[derive(Clone, Debug)]
pub struct ModelBuilder<'a> {
    name: Cow<'a, str>,
    input: TensorType,
    layers: Vec<Layer<'a>>,
}

impl<'a> ModelBuilder<'a> {
    /// Adds a layer after those there are.
    #[must_use]
    pub fn layer(mut self, layer: impl Into<Layer<'a>>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The model.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it, or contradicts itself, is named.
    pub fn build(self) -> Result<Model<'a>> {
        Model::validated(self.name, self.input, self.layers)
    }
}
