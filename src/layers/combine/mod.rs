//! Combine: two tensors become one, element by element. What the sum of a skipped layer and its
//! input is made with.

mod pairs;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::edges::wrong_input;
use super::{Activation, Kind, Place};
use crate::error::{Error, Result};
use crate::quant::{QuantParams, Rounding, one_nan, select_max, select_min};
use crate::record::{RecordReader, RecordWriter};
use crate::step::{PerRow, Rows, RowsMut, Step};
use crate::tensor::{Element, TensorType, Values};
use pairs::Pairs;

/// What becomes of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CombineOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b, of real numbers only.
    Div,
    /// The larger one: `a > b ? a : b`.
    Max,
    /// The smaller one: `a < b ? a : b`.
    Min,
}

impl CombineOp {
    pub(crate) const ALL: [(u32, CombineOp); 6] = [
        (0, CombineOp::Add),
        (1, CombineOp::Sub),
        (2, CombineOp::Mul),
        (3, CombineOp::Div),
        (4, CombineOp::Max),
        (5, CombineOp::Min),
    ];

    /// As messages and listings name it.
    pub const fn name(self) -> &'static str {
        match self {
            CombineOp::Add => "add",
            CombineOp::Sub => "sub",
            CombineOp::Mul => "mul",
            CombineOp::Div => "div",
            CombineOp::Max => "max",
            CombineOp::Min => "min",
        }
    }

    /// One operation in `f32`.
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            CombineOp::Add => a + b,
            CombineOp::Sub => a - b,
            CombineOp::Mul => a * b,
            CombineOp::Div => a / b,
            CombineOp::Max => select_max(a, b),
            CombineOp::Min => select_min(a, b),
        }
    }
}

/// Two tensors of the same width, element by element: `activation(a op b)`.
///
/// Both real, then so is the result; or both 8-bit, then the result has a quantization, and a rule by
/// which it is found from the two integers. `docs/arithmetic.md` has the formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combine {
    /// The operation.
    pub op: CombineOp,
    /// What the result goes through: a clamp.
    pub activation: Activation,
    /// The quantization and the rule of 8-bit results.
    pub output: Option<(QuantParams, Rounding)>,
}

impl Combine {
    /// How 8-bit values are combined, if both inputs are.
    fn pairs(&self, inputs: &[TensorType]) -> Result<Option<Pairs>> {
        match (inputs[0].element, inputs[1].element, self.output) {
            (Element::F32, Element::F32, None) => Ok(None),
            (Element::Int8(a), Element::Int8(b), Some(output)) => {
                Pairs::new(self, [a, b], output).map(Some)
            }
            (Element::F32, Element::F32, Some(_)) => {
                Err(Error::model("f32 inputs give f32 outputs, which have no quantization"))
            }
            (Element::Int8(_), Element::Int8(_), None) => {
                Err(Error::model("8-bit inputs give 8-bit outputs: their quantization is missing"))
            }
            (Element::Index, ..) => Err(wrong_input("f32 or 8-bit", &inputs[0])),
            (_, Element::Index, _) => Err(wrong_input("f32 or 8-bit", &inputs[1])),
            _ => Err(Error::model("one input is f32, one is 8-bit: both must be the same")),
        }
    }
}

impl Kind<'_> for Combine {
    fn name(&self) -> Option<&'static str> {
        Some(self.op.name())
    }

    fn arity(&self) -> usize {
        2
    }

    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        if inputs[0].width != inputs[1].width {
            let (a, b) = (inputs[0].width, inputs[1].width);
            return Err(Error::model(format!("its inputs are {a} and {b} wide")));
        }
        self.activation.check_clamp()?;
        self.pairs(inputs)?;
        Ok(match self.output {
            None => inputs[0],
            Some((params, _)) => TensorType::int8(inputs[0].width, params),
        })
    }

    fn encode(&self, record: &mut RecordWriter) {
        let code = CombineOp::ALL.iter().find(|(_, op)| *op == self.op);
        record.word(code.expect("the table has all").0);
        self.activation.encode(record);
        record.rounded(self.output);
    }

    fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self {
            op: record.choice("operation", &CombineOp::ALL)?,
            activation: Activation::decode(record)?,
            output: record.rounded()?,
        })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        Ok(match (self.pairs(inputs)?, self.output) {
            (Some(pairs), Some((output, _))) => {
                let [a, b] = [values[0].to_i8(), values[1].to_i8()];
                let pair = |(a, b)| pairs.apply(a, b);
                Values::from_i8(a.into_iter().zip(b).map(pair).collect(), &output)
            }
            _ => {
                let (a, b) = (values[0].as_f32(), values[1].as_f32());
                let pair = |(&a, &b)| self.activation.apply(self.op.apply(a, b));
                a.iter().zip(b).map(pair).collect::<Vec<f32>>().into()
            }
        })
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let types = [place.inputs[0].of, place.inputs[1].of];
        let (name, width) = (self.op.name(), types[0].width);
        steps.push(match self.pairs(&types)? {
            None => Box::new(FloatStep { width, of: *self }),
            Some(pairs) => {
                let [a, b] = [place.inputs[0].form, place.inputs[1].form];
                let entry = |i: usize| {
                    let (a, b) = (a.value((i >> 8) as u8), b.value(i as u8));
                    place.output_form.byte(pairs.apply(a, b))
                };
                Box::new(PairStep { name, width, table: (0..1 << 16).map(entry).collect() })
            }
        });
        Ok(())
    }
}

#[derive(Debug)]
struct FloatStep {
    width: usize,
    of: Combine,
}

impl FloatStep {
    /// Computes each element from those in its place.
    #[inline(always)]
    fn each(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, op: impl Fn(f32, f32) -> f32) {
        let clamp = match self.of.activation {
            // Its bounds let everything pass, but clamping would make a number of a NaN.
            Activation::Identity => None,
            activation => activation.clamp(),
        };
        let rows = inputs[0].iter::<f32>(self.width).zip(inputs[1].iter::<f32>(self.width));
        for ((a, b), out) in rows.zip(output.iter::<f32>(self.width)) {
            let each = a.iter().zip(b).zip(out);
            match clamp {
                None => each.for_each(|((&a, &b), out)| *out = one_nan(op(a, b))),
                Some((min, max)) => each.for_each(|((&a, &b), out)| {
                    *out = select_min(select_max(op(a, b), min), max);
                }),
            }
        }
    }
}

impl Step for FloatStep {
    fn name(&self) -> String {
        self.of.op.name().into()
    }

    fn row_bytes(&self) -> usize {
        4 * self.width
    }

    fn run(&self, inputs: &[Rows<'_>], output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        // A loop for each: what to do is not asked for each element.
        match self.of.op {
            CombineOp::Add => self.each(inputs, output, |a, b| a + b),
            CombineOp::Sub => self.each(inputs, output, |a, b| a - b),
            CombineOp::Mul => self.each(inputs, output, |a, b| a * b),
            CombineOp::Div => self.each(inputs, output, |a, b| a / b),
            CombineOp::Max => self.each(inputs, output, select_max),
            CombineOp::Min => self.each(inputs, output, select_min),
        }
        Ok(())
    }
}

/// Any function of two 8-bit values.
#[derive(Debug)]
struct PairStep {
    name: &'static str,
    width: usize,
    /// The byte for each pair, that of the first input being the high one. No more than a
    /// second-level cache holds, and of a network's values most are near each other.
    table: Vec<u8>,
}

impl Step for PairStep {
    fn name(&self) -> String {
        self.name.into()
    }

    fn row_bytes(&self) -> usize {
        self.width
    }

    fn held_bytes(&self) -> usize {
        self.table.len()
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        let table: &[u8; 1 << 16] = self.table[..].try_into().expect("an entry for each pair");
        let rows = inputs[0].iter::<u8>(self.width).zip(inputs[1].iter::<u8>(self.width));
        for ((a, b), out) in rows.zip(output.iter::<u8>(self.width)) {
            for ((&a, &b), out) in a.iter().zip(b).zip(out) {
                *out = table[usize::from(a) << 8 | usize::from(b)];
            }
        }
        Ok(())
    }
}
