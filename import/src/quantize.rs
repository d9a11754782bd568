//! The quantizer: a float network and sample rows to an 8-bit model.
//!
//! ```text
//! run the network on the calibration rows; note the range of every tensor
//! for each layer with weights:
//!   real inputs?  quantize them to the range seen           (static; else on arrival)
//!   weights -> i8, bias -> i32 on the scale of the sums
//!   clamps are fused; other functions become a table of their own
//!   another layer with weights follows?  8-bit outputs, else real ones
//! ```

use signfold::layers::{
    Activation, Argmax, DenseInput, DenseOutput, Layer, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, Error, ErrorKind, Model, Result, TensorType};

use crate::calibrate::{Calibration, calibrate};
use crate::float::{FloatLayer, FloatNet, place};
use crate::range::{ActivationRange, Range};
use crate::report::{Agreement, LayerReport, Observed, Report};
use crate::weights::{Rows, WeightScales, Weighted, quantize_dense, quantize_max};

/// How to quantize. The default is static, asymmetric `i8` activations and a scale per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// What layers with weights take. [`DenseInput::Int8`] is static: ranges come from the
    /// calibration rows, and rows stay 8-bit from one such layer to the next. The others are
    /// dynamic: rows are real numbers between layers, quantized on arrival; calibration rows are
    /// not needed.
    pub dense_input: DenseInput,
    /// How static activation ranges become scales. Dynamic ones are asymmetric.
    pub activations: ActivationRange,
    /// The type of static 8-bit activations. It does not change the results.
    pub element: Int8,
    /// How many scales the weights of a layer have.
    pub weights: WeightScales,
    /// The model's name, if not the network's.
    pub name: Option<String>,
    /// How many of the calibration rows become the model's golden input, the first ones.
    pub golden_rows: usize,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            dense_input: DenseInput::Int8,
            activations: ActivationRange::Asymmetric,
            element: Int8::I8,
            weights: WeightScales::PerChannel,
            name: None,
            golden_rows: 8,
        }
    }
}

/// What [`quantize`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The 8-bit model.
    pub model: Model<'static>,
    /// What was measured on the way, and how close the model's answers are.
    pub report: Report,
}

/// Quantizes a network. `calibration` holds input rows, one after the other, like those that the
/// model will meet; some hundred do.
///
/// # Errors
/// [`ErrorKind::Input`] if `calibration` does not hold whole rows of finite numbers, or holds none
/// where they are needed, or if they lead to values beyond `f32`; [`ErrorKind::Model`] if a layer
/// cannot be represented, or options contradict each other.
pub fn quantize(
    net: &FloatNet,
    calibration: &[f32],
    options: &QuantizeOptions,
) -> Result<Quantized> {
    net.check_rows(calibration).map_err(|e| e.at("calibration"))?;
    let fixed = options.dense_input == DenseInput::Int8;
    if fixed && calibration.is_empty() {
        let message = "static quantization needs calibration rows, and there are none";
        return Err(Error::new(ErrorKind::Input, message));
    }
    if !fixed && options.activations == ActivationRange::Symmetric {
        let message = "activations quantized on arrival are asymmetric, not symmetric";
        return Err(Error::new(ErrorKind::Model, message));
    }
    let seen = match calibration.is_empty() {
        true => None,
        false => Some(calibrate(net, calibration)?),
    };
    let name = options.name.clone().unwrap_or_else(|| net.name().to_owned());
    let mut builder = Builder::new(net, seen.as_ref(), options);
    for (i, layer) in net.layers().iter().enumerate() {
        builder.add(i, layer).map_err(|e| e.at(place(i, layer.name())))?;
    }
    let agreement = match &seen {
        Some(seen) => Some(agreement(net, options, &builder.layers, calibration, &seen.scores)?),
        None => None,
    };
    let report = Report { input: builder.input, layers: builder.reports, agreement };
    let mut model = build(name, net.inputs(), builder.layers)?;
    let golden = calibration.len().min(options.golden_rows.saturating_mul(net.inputs()));
    if golden > 0 {
        model = model.with_golden(calibration[..golden].to_vec())?;
    }
    Ok(Quantized { model, report })
}

fn build(
    name: String,
    inputs: usize,
    layers: impl IntoIterator<Item = Layer<'static>>,
) -> Result<Model<'static>> {
    let builder = Model::builder(name, TensorType::f32(inputs));
    layers.into_iter().fold(builder, |builder, layer| builder.layer(layer)).build()
}

/// Compares answers before an argmax, which would hide how close they are.
fn agreement(
    net: &FloatNet,
    options: &QuantizeOptions,
    layers: &[Layer<'static>],
    rows: &[f32],
    scores: &[f32],
) -> Result<Agreement> {
    let layers: Vec<_> =
        layers.iter().filter(|layer| !matches!(layer, Layer::Argmax(_))).cloned().collect();
    let mut found = rows.to_vec();
    if !layers.is_empty() {
        let engine = Engine::new(&build(String::new(), net.inputs(), layers)?)?;
        found = vec![0.0; scores.len()];
        // One scale for the whole batch needs room for it; otherwise the usual room will do.
        let mut scratch = match options.dense_input {
            DenseInput::PerTensor => engine.scratch_for(rows.len() / net.inputs()),
            _ => engine.scratch(),
        };
        engine.run(rows, &mut found, &mut scratch)?;
    }
    Agreement::between(scores, &found, net.scores())
}

/// A model that grows layer by layer.
struct Builder<'n> {
    net: &'n FloatNet,
    seen: Option<&'n Calibration>,
    options: &'n QuantizeOptions,
    layers: Vec<Layer<'static>>,
    /// The quantization of the rows that the next layer gets; `None` while they are real numbers.
    rows: Option<QuantParams>,
    input: Option<Observed>,
    reports: Vec<LayerReport>,
}

impl<'n> Builder<'n> {
    fn new(net: &'n FloatNet, seen: Option<&'n Calibration>, options: &'n QuantizeOptions) -> Self {
        let input = seen.map(|seen| Observed { range: seen.input, params: None });
        let (layers, reports) = (Vec::new(), Vec::new());
        Self { net, seen, options, layers, rows: None, input, reports }
    }

    fn add(&mut self, i: usize, layer: &FloatLayer) -> Result<()> {
        let seen = |range: fn(&Calibration) -> &[Range]| {
            self.seen.map(|seen| Observed { range: range(seen)[i], params: None })
        };
        let mut report = LayerReport {
            kind: layer.name(),
            activation: None,
            weight_scales: None,
            sums: None,
            output: seen(|seen| &seen.outputs),
        };
        let weights = self.options.weights;
        match layer {
            FloatLayer::Dense(dense) => {
                let to_8_bits = |rows| quantize_dense(dense, weights, rows);
                self.weighted(i, dense.activation, to_8_bits, &mut report)?;
            }
            FloatLayer::Max(max) => {
                let to_8_bits = |rows| quantize_max(max, weights, rows);
                self.weighted(i, max.dense.activation, to_8_bits, &mut report)?;
            }
            FloatLayer::Softmax => self.layers.push(Softmax.into()),
            FloatLayer::Argmax => self.layers.push(Argmax.into()),
        }
        self.reports.push(report);
        Ok(())
    }

    /// A layer with weights, which `to_8_bits` quantizes, and its activation.
    fn weighted(
        &mut self,
        i: usize,
        activation: Activation,
        to_8_bits: impl Fn(Rows) -> Result<Weighted>,
        report: &mut LayerReport,
    ) -> Result<()> {
        let fused = activation.clamp().is_some();
        report.activation = Some(activation);
        if !fused {
            report.sums = self.seen.map(|seen| Observed { range: seen.sums[i], params: None });
        }
        let (rows, result) = match self.seen {
            Some(seen) if self.options.dense_input == DenseInput::Int8 => {
                let input = match self.rows {
                    Some(params) => params,
                    None => self.quantize_rows(i, seen)?,
                };
                let next = self.net.layers().get(i + 1).and_then(FloatLayer::weighted);
                let (mut sums, mut result) = (None, None);
                if next.is_some() {
                    result = Some(self.params(seen.outputs[i])?);
                    sums = if fused { result } else { Some(self.params(seen.sums[i])?) };
                }
                note(&mut report.sums, sums);
                let output = match sums {
                    Some(params) => DenseOutput::Int8(params, Rounding::Nearest),
                    None => DenseOutput::F32,
                };
                (Rows::Static { input, output }, result)
            }
            // Ranges and scales are found as rows arrive.
            _ => (Rows::Dynamic(self.options.dense_input), None),
        };
        let Weighted { layer, scales } = to_8_bits(rows)?;
        report.weight_scales = Some(scales);
        note(&mut report.output, result);
        self.rows = result;
        self.layers.push(layer);
        if !fused {
            self.layers.push(Pointwise { activation, output: result }.into());
        }
        Ok(())
    }

    /// Quantizes the real rows that layer `i` gets.
    fn quantize_rows(&mut self, i: usize, seen: &Calibration) -> Result<QuantParams> {
        let range = if i == 0 { seen.input } else { seen.outputs[i - 1] };
        let params = self.params(range)?;
        self.layers.push(Quantize { output: params }.into());
        match self.reports.last_mut() {
            Some(before) => note(&mut before.output, Some(params)),
            None => note(&mut self.input, Some(params)),
        }
        Ok(params)
    }

    fn params(&self, range: Range) -> Result<QuantParams> {
        range.params(self.options.element, self.options.activations)
    }
}

/// Completes what a report says of a tensor.
fn note(observed: &mut Option<Observed>, params: Option<QuantParams>) {
    if let Some(observed) = observed {
        observed.params = params;
    }
}
