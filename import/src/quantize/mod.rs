//! The quantizer: a float network and sample rows to an 8-bit model.
//!
//! ```text
//! join layers that can be joined                           simplify
//! bring channels to one size, if asked to                  equalize
//! run the network on the calibration rows; note the range
//! of every tensor, and how its values are spread           calibrate, histogram, method
//! decide which layers and tensors are 8-bit                plan
//! for each layer: weights -> i8, bias -> i32 on the scale
//! of the sums, clamps fused, functions as tables           emit, weights, bias
//! run both, and compare                                    evaluate, report
//! ```

mod bias;
mod calibrate;
mod emit;
mod equalize;
mod evaluate;
mod histogram;
mod method;
mod net;
mod plan;
mod range;
mod report;
mod simplify;
mod weights;

pub use method::CalibrationMethod;
pub use range::{ActivationRange, Range};
pub use report::{LayerReport, OutputReport, Report, TensorReport};
pub use weights::WeightScales;

use signfold::layers::DenseInput;
use signfold::quant::Int8;
use signfold::{Error, ErrorKind, Model, Result, Values};

use crate::trace::{check_rows, first_rows};

/// How to quantize. The default is static, asymmetric `i8` activations from the smallest to the
/// largest value, and a scale per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// What layers with weights take. [`DenseInput::Int8`] is static: ranges come from the
    /// calibration rows, and rows stay 8-bit from one such layer to the next. The others are
    /// dynamic: rows are real numbers between layers, quantized on arrival; calibration rows are
    /// not needed.
    pub dense_input: DenseInput,
    /// How static activation ranges follow from the values seen.
    pub method: CalibrationMethod,
    /// How static activation ranges become scales. Dynamic ones are asymmetric.
    pub activations: ActivationRange,
    /// The type of static 8-bit activations. It does not change the results.
    pub element: Int8,
    /// How many scales the weights of a layer have.
    pub weights: WeightScales,
    /// Whether channels between dense layers are brought to one size first.
    pub equalize: bool,
    /// Whether biases of dense layers make up for what quantization shifts on average. Needs
    /// calibration rows.
    pub correct_bias: bool,
    /// The layers that are to stay real, by name. A layer that a named one is joined with stays
    /// real, too.
    pub keep_float: Vec<String>,
    /// The rows of each input that the model is compared on, if not the calibration rows.
    pub evaluation: Option<Vec<Values<'static>>>,
    /// The model's name, if not the network's.
    pub name: Option<String>,
    /// How many of the calibration rows become the model's golden input, the first ones.
    pub golden_rows: usize,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            dense_input: DenseInput::Int8,
            method: CalibrationMethod::MinMax,
            activations: ActivationRange::Asymmetric,
            element: Int8::I8,
            weights: WeightScales::PerChannel,
            equalize: false,
            correct_bias: false,
            keep_float: Vec::new(),
            evaluation: None,
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

/// How far the quantizer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What it does, in a word.
    pub stage: &'static str,
    /// Rows or layers that are done.
    pub done: usize,
    /// Rows or layers of this stage.
    pub total: usize,
}

/// Quantizes a network. `calibration` holds rows for each input, like those that the model will meet;
/// some hundred do. It may be empty where none are needed.
///
/// Layers that are 8-bit already, and kinds without an 8-bit form, stay as they are.
///
/// # Errors
/// [`ErrorKind::Input`] if `calibration` does not hold whole rows of finite numbers, or holds none
/// where they are needed, or if they lead to values beyond `f32`; and for a layer to keep that is not
/// there. [`ErrorKind::Model`] if a layer cannot be represented, or options contradict each other.
pub fn quantize(
    model: &Model<'_>,
    calibration: &[Values<'_>],
    options: &QuantizeOptions,
) -> Result<Quantized> {
    quantize_with(model, calibration, options, &mut |_| ())
}

/// [`quantize`], telling `progress` how far it is.
///
/// # Errors
/// As [`quantize`].
pub fn quantize_with(
    model: &Model<'_>,
    calibration: &[Values<'_>],
    options: &QuantizeOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Quantized> {
    let rows = match calibration {
        [] => 0,
        rows => check_rows(model, rows).map_err(|e| e.at("calibration"))?,
    };
    let fixed = options.dense_input == DenseInput::Int8;
    check(options, fixed, rows)?;
    let original = net::Net::of(model, &options.keep_float)?;
    let mut net = original.clone();
    let mut notes = simplify::simplify(&mut net)?;
    if options.equalize {
        notes.extend(equalize::equalize(&mut net)?);
    }
    let float = net.model()?;
    let seen = match rows {
        0 => None,
        _ => Some(calibrate::calibrate(&net, &float, calibration, rows, options, progress)?),
    };
    let types: Vec<_> = float.tensors().map(|id| float.tensor_type(id)).collect();
    let plan = plan::Plan::new(&net, &types, fixed);
    let seen = seen.as_ref();
    let job = emit::Job { net: &net, plan: &plan, options, seen, calibration, rows };
    let mut emitted = job.run(progress)?;
    let comparison = evaluate::Comparison {
        original: &original,
        net: &net,
        float: &float,
        emitted: &emitted,
        seen,
        notes,
    };
    let report = match &options.evaluation {
        None => comparison.report(model, calibration, rows, progress)?,
        Some(evaluation) => {
            let rows = check_rows(model, evaluation).map_err(|e| e.at("evaluation"))?;
            comparison.report(model, evaluation, rows, progress)?
        }
    };
    let golden = rows.min(options.golden_rows);
    if golden > 0 {
        let rows = first_rows(model, calibration, golden)?;
        emitted.model = emitted.model.with_golden_all(rows)?;
    }
    Ok(Quantized { model: emitted.model, report })
}

/// Refuses options that contradict each other, or lack rows.
fn check(options: &QuantizeOptions, fixed: bool, rows: usize) -> Result<()> {
    options.method.check()?;
    let input = |message| Err(Error::new(ErrorKind::Input, message));
    match () {
        () if fixed && rows == 0 => {
            input("static quantization needs calibration rows, and there are none")
        }
        () if options.correct_bias && rows == 0 => {
            input("bias correction needs calibration rows, and there are none")
        }
        () if !fixed && options.activations == ActivationRange::Symmetric => {
            let message = "activations quantized on arrival are asymmetric, not symmetric";
            Err(Error::new(ErrorKind::Model, message))
        }
        () => Ok(()),
    }
}
