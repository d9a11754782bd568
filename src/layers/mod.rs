//! Layers, one file per kind. To add one: its file, and its line in `layers!`.

mod activation;
mod affine;
mod argmax;
mod by_row;
mod channels;
mod combine;
mod concat;
mod dense;
mod edges;
mod fixed_softmax;
mod float_dense;
mod float_max;
mod layer_norm;
mod log_softmax;
mod lookup;
mod max_product;
mod pointwise;
mod softmax;

pub use crate::kernels::max::Aggregate;
pub use activation::Activation;
pub use affine::Affine;
pub use argmax::Argmax;
pub use channels::{Bias, DenseInput, DenseOutput};
pub use combine::{Combine, CombineOp};
pub use concat::Concat;
pub use dense::{Dense, split_bias_column};
pub use edges::{Dequantize, Quantize};
pub use fixed_softmax::FixedSoftmax;
pub use float_dense::FloatDense;
pub use float_max::FloatMax;
pub use layer_norm::LayerNorm;
pub use log_softmax::LogSoftmax;
pub use lookup::Lookup;
pub use max_product::MaxProduct;
pub use pointwise::Pointwise;
pub use softmax::Softmax;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::kernels::Kernel;
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Form, Step};
use crate::tensor::{TensorType, Values};

/// Tensors that a layer may take at most.
pub const MAX_ARITY: usize = 16;

/// What every kind of layer can do.
pub(crate) trait Kind<'a>: Sized {
    /// What listings call this layer, if not as all of its kind.
    fn name(&self) -> Option<&'static str> {
        None
    }

    /// How many tensors the layer takes.
    fn arity(&self) -> usize {
        1
    }

    /// Checks the layer against the types of its inputs, as many as it takes; answers the type of
    /// its output.
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType>;

    /// Writes fields and tensors, in the order [`Kind::decode`] reads them.
    fn encode(&self, record: &mut RecordWriter);

    fn decode(record: &mut RecordReader<'a>) -> Result<Self>;

    /// What the layer computes, by naive loops: the specification.
    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>>;

    /// Adds the steps that compute the layer fast.
    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()>;
}

/// Where a layer stands in a network that is being compiled.
pub(crate) struct Place {
    pub kernel: &'static Kernel,
    pub inputs: Vec<Arrival>,
    /// The form that 8-bit outputs are to have.
    pub output_form: Form,
    pub early_exit: EarlyExit,
}

/// How an input of a layer comes.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub of: TensorType,
    /// The form of 8-bit rows.
    pub form: Form,
    /// Whether rows lie end to end, without room to read past one.
    pub tight: bool,
}

impl Place {
    /// The input of a layer that has one; the first of several.
    pub fn input(&self) -> &Arrival {
        &self.inputs[0]
    }
}

/// Whether max-product layers go through a row's inputs by falling magnitude, and leave an output
/// once nothing that follows can change it. The results are the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyExit {
    /// Where it is likely to pay: by the shape of the layer and the batch, and by how many of a row's
    /// inputs are large.
    #[default]
    Auto,
    /// Never: all products are computed.
    Never,
    /// For all rows, but for blocks of a few inputs.
    Always,
}

/// A step that copies rows of so many bytes, each xor-ed with `flip`.
pub(crate) fn copy(row_bytes: usize, flip: u8) -> Box<dyn Step> {
    Box::new(channels::steps::CopyStep { width: row_bytes, row_bytes, flip })
}

macro_rules! layers {
    ($($(#[$doc:meta])* $code:literal $name:literal $variant:ident $(<$lt:lifetime>)?;)*) => {
        /// A layer of a network.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Layer<'a> {
            $($(#[$doc])* $variant($variant $(<$lt>)?),)*
        }

        $(impl<'a> From<$variant $(<$lt>)?> for Layer<'a> {
            fn from(layer: $variant $(<$lt>)?) -> Self {
                Layer::$variant(layer)
            }
        })*

        impl<'a> Layer<'a> {
            /// The layer's kind, as messages and listings name it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Layer::$variant(layer) => layer.name().unwrap_or($name),)*
                }
            }

            /// The layer's kind, as the file numbers it.
            pub(crate) fn code(&self) -> u32 {
                match self {
                    $(Layer::$variant(_) => $code,)*
                }
            }

            /// The name of the kind with this number.
            pub(crate) fn name_of(code: u32) -> Option<&'static str> {
                match code {
                    $($code => Some($name),)*
                    _ => None,
                }
            }

            /// How many tensors the layer takes.
            pub fn arity(&self) -> usize {
                match self {
                    $(Layer::$variant(layer) => layer.arity(),)*
                }
            }

            /// The type of the output for inputs of these types, if the layer takes them.
            pub(crate) fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
                if inputs.len() != self.arity() {
                    let (found, arity) = (inputs.len(), self.arity());
                    return Err(Error::model(format!("{found} inputs, but it takes {arity}")));
                }
                match self {
                    $(Layer::$variant(layer) => layer.output(inputs),)*
                }
            }

            pub(crate) fn encode(&self, record: &mut RecordWriter) {
                match self {
                    $(Layer::$variant(layer) => layer.encode(record),)*
                }
            }

            pub(crate) fn decode(code: u32, record: &mut RecordReader<'a>) -> Result<Self> {
                match code {
                    $($code => <$variant as Kind>::decode(record).map(Layer::$variant),)*
                    _ => Err(crate::record::unknown("layer kind", code)),
                }
            }

            pub(crate) fn reference(
                &self,
                inputs: &[TensorType],
                values: &[&Values<'_>],
            ) -> Result<Values<'static>> {
                match self {
                    $(Layer::$variant(layer) => layer.reference(inputs, values),)*
                }
            }

            pub(crate) fn compile(
                &self,
                place: &Place,
                steps: &mut Vec<Box<dyn Step>>,
            ) -> Result<()> {
                match self {
                    $(Layer::$variant(layer) => layer.compile(place, steps),)*
                }
            }
        }
    };
}

layers! {
    /// Sums of products with a weight matrix, plus a bias.
    1 "dense" Dense<'a>;
    /// Real numbers to 8-bit integers.
    2 "quantize" Quantize;
    /// 8-bit integers to real numbers.
    3 "dequantize" Dequantize;
    /// A function of each element.
    4 "pointwise" Pointwise;
    /// Row by row: positive numbers that sum to 1.
    5 "softmax" Softmax;
    /// Row by row: the position of the largest element.
    6 "argmax" Argmax;
    /// Products with a weight matrix that meet by a maximum, plus a bias.
    7 "max product" MaxProduct<'a>;
    /// Sums of products with a matrix of real weights, plus a bias.
    8 "float dense" FloatDense<'a>;
    /// Products with a matrix of real weights that meet by a maximum, plus a bias.
    9 "float max product" FloatMax<'a>;
    /// A scale and a shift of each column.
    10 "affine" Affine<'a>;
    /// Row by row: mean 0 and variance 1, then a scale and a shift of each column.
    11 "layer norm" LayerNorm<'a>;
    /// Row by row: the logarithms of what softmax gives.
    12 "log softmax" LogSoftmax;
    /// Two tensors become one, element by element.
    13 "combine" Combine;
    /// Rows of several tensors, end to end.
    14 "concat" Concat;
    /// A function of each 8-bit element, by a table.
    15 "lookup" Lookup<'a>;
    /// Softmax of 8-bit rows, in integers.
    16 "fixed softmax" FixedSoftmax;
}

impl Layer<'_> {
    /// Bytes of weights, and of all else that the layer holds as many of as it has rows, columns or
    /// connections.
    pub(crate) fn weight_bytes(&self) -> u64 {
        let mut record = RecordWriter::measuring();
        self.encode(&mut record);
        record.bytes()
    }

    /// The same layer, borrowing nothing.
    pub fn into_owned(self) -> Layer<'static> {
        match self {
            Layer::Dense(layer) => Layer::Dense(layer.into_owned()),
            Layer::Quantize(layer) => Layer::Quantize(layer),
            Layer::Dequantize(layer) => Layer::Dequantize(layer),
            Layer::Pointwise(layer) => Layer::Pointwise(layer),
            Layer::Softmax(layer) => Layer::Softmax(layer),
            Layer::FixedSoftmax(layer) => Layer::FixedSoftmax(layer),
            Layer::Argmax(layer) => Layer::Argmax(layer),
            Layer::MaxProduct(layer) => Layer::MaxProduct(layer.into_owned()),
            Layer::FloatDense(layer) => Layer::FloatDense(layer.into_owned()),
            Layer::FloatMax(layer) => Layer::FloatMax(layer.into_owned()),
            Layer::Affine(layer) => Layer::Affine(layer.into_owned()),
            Layer::LayerNorm(layer) => Layer::LayerNorm(layer.into_owned()),
            Layer::LogSoftmax(layer) => Layer::LogSoftmax(layer),
            Layer::Combine(layer) => Layer::Combine(layer),
            Layer::Concat(layer) => Layer::Concat(layer),
            Layer::Lookup(layer) => Layer::Lookup(layer.into_owned()),
        }
    }
}
