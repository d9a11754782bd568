//! Softmax of 8-bit rows in fixed point: no floats, so that an integer network ends in integers.
//!
//! What TensorFlow Lite's reference kernel and its Micro runtime compute, whose fixed-point functions are
//! those of gemmlowp. `Qa.b` is an integer in units of 2^-b, `*` rounds the product of two to the
//! nearest (`high`), `>>>` a quotient by a power of 2 likewise, halves away from zero (`shift`).
//!
//! ```text
//! d      = max - q                                     0..=255
//! x      = -d * (beta * scale) in Q5.26                a fixed-point product
//! e[d]   = exp(x) in Q0.31,  0 where x <= -31          a table of 256
//! sum    = sum of e >>> 12   in Q12.19
//! r, n   = 1 / sum           = r * 2^-n, r in Q0.31    Newton's method, three steps
//! output = (r * e[d]) >>> (n + 23)                     in 1/256, less 128
//! ```

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::edges::expect_int8;
use super::{Kind, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{FixedPoint, Int8, QuantParams};
use crate::record::{RecordReader, RecordWriter};
use crate::step::{Form, PerRow, Rows, RowsMut, Step};
use crate::tensor::{TensorType, Values};

/// Elements of a row for which the sum of exponentials fits.
const MAX_WIDTH: usize = (1 << 12) - 1;

/// Row by row, of 8-bit numbers: `exp(beta * (x - max)) / sum(exp(beta * (x - max)))`, in fixed point.
///
/// The output is of the input's type, with scale 1/256 and the type's smallest value as zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedSoftmax {
    /// What real inputs are multiplied by, positive: 1 for the common softmax.
    pub beta: f32,
}

impl Default for FixedSoftmax {
    fn default() -> Self {
        Self { beta: 1.0 }
    }
}

impl Kind<'_> for FixedSoftmax {
    fn output(&self, inputs: &[TensorType]) -> Result<TensorType> {
        let input = &inputs[0];
        let params = expect_int8(input)?;
        if !(self.beta.is_normal() && self.beta > 0.0) {
            return Err(Error::model(format!("beta {:e} is not positive and normal", self.beta)));
        }
        if input.width > MAX_WIDTH {
            let message = format!("its rows have {} elements, more than {MAX_WIDTH}", input.width);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if self.unit(&params) <= 1.0 {
            let message =
                format!("beta {} times scale {:e} is too small", self.beta, params.scale());
            return Err(Error::model(message));
        }
        Ok(TensorType::int8(input.width, probabilities(params.kind())))
    }

    fn encode(&self, record: &mut RecordWriter) {
        record.float(self.beta);
    }

    fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        Ok(Self { beta: record.float()? })
    }

    fn reference(&self, inputs: &[TensorType], values: &[&Values<'_>]) -> Result<Values<'static>> {
        let params = expect_int8(&inputs[0])?;
        let (exponentials, values) = (self.exponentials(&params), values[0].to_i8());
        let form = Form::of(Int8::I8);
        let mut out = vec![0; values.len()];
        let rows = values.chunks_exact(inputs[0].width);
        for (row, out) in rows.zip(out.chunks_exact_mut(inputs[0].width)) {
            softmax(
                bytemuck::cast_slice(row),
                bytemuck::cast_slice_mut(out),
                &exponentials,
                form,
                form,
            );
        }
        Ok(Values::from_i8(out, &probabilities(params.kind())))
    }

    fn compile(&self, place: &Place, steps: &mut Vec<Box<dyn Step>>) -> Result<()> {
        let params = expect_int8(&place.input().of)?;
        steps.push(Box::new(FixedSoftmaxStep {
            width: place.input().of.width,
            exponentials: self.exponentials(&params),
            input: place.input().form,
            output: place.output_form,
        }));
        Ok(())
    }
}

impl FixedSoftmax {
    /// What a difference of 1 is in Q5.26.
    fn unit(&self, input: &QuantParams) -> f64 {
        f64::from(self.beta) * f64::from(input.scale()) * f64::from(1 << 26)
    }

    /// `exp(-d * beta * scale)` for each difference d, in Q0.31.
    fn exponentials(&self, input: &QuantParams) -> [i32; 256] {
        // More than 1, so it shifts to the left.
        let unit = FixedPoint::new(self.unit(input));
        let shift = unit.exponent.max(0) as u32;
        // Differences that shifted would leave 31.0 in Q5.26 have exponentials that do not count.
        let most = (31_u32 << 26) >> shift;
        core::array::from_fn(|d| match i64::try_from(d) {
            Ok(d) if d <= i64::from(most) => exp(high((-d << shift) as i32, unit.multiplier)),
            _ => 0,
        })
    }
}

#[derive(Debug)]
struct FixedSoftmaxStep {
    width: usize,
    exponentials: [i32; 256],
    input: Form,
    output: Form,
}

impl Step for FixedSoftmaxStep {
    fn name(&self) -> String {
        "fixed-point softmax".into()
    }

    fn row_bytes(&self) -> usize {
        self.width
    }

    fn run(&self, inputs: &[Rows<'_>], mut output: RowsMut<'_>, _: &mut PerRow) -> Result<()> {
        for (row, out) in inputs[0].iter(self.width).zip(output.iter(self.width)) {
            softmax(row, out, &self.exponentials, self.input, self.output);
        }
        Ok(())
    }
}

/// The quantization of what comes out.
fn probabilities(kind: Int8) -> QuantParams {
    QuantParams::new(kind, 1.0 / 256.0, kind.min()).expect("it is one")
}

fn softmax(row: &[u8], out: &mut [u8], exponentials: &[i32; 256], input: Form, output: Form) {
    let max = row.iter().map(|&byte| input.value(byte)).max().unwrap_or(0);
    let exponential = |byte| exponentials[usize::from(max.abs_diff(input.value(byte)))];
    let sum = row.iter().map(|&byte| divide_by_power(exponential(byte), 12)).sum();
    let (reciprocal, bits) = reciprocal(sum);
    for (out, &byte) in out.iter_mut().zip(row) {
        let q = divide_by_power(high(reciprocal, exponential(byte)), bits + 23) - 128;
        *out = output.byte(q.min(127) as i8);
    }
}

/// `exp(x)` in Q0.31, for x in Q5.26, not positive.
fn exp(x: i32) -> i32 {
    if x == 0 {
        return i32::MAX;
    }
    // x is a part in [-1/4, 0) less a sum of powers of 2 from 1/4 on, of which each is a factor.
    let quarter = 1 << 24;
    let part = (x & (quarter - 1)) - quarter;
    let rest = part - x;
    let factors = EXP_OF_POWERS.iter().enumerate();
    factors
        .filter(|(i, _)| rest & (quarter << i) != 0)
        .fold(exp_of_part(part << 5), |e, (_, &f)| high(e, f))
}

/// `exp(-1/4)`, `exp(-1/2)`, `exp(-1)` ... `exp(-16)` in Q0.31.
const EXP_OF_POWERS: [i32; 7] =
    [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];

/// `exp(x)` for x in [-1/4, 0), both in Q0.31: the series around -1/8,
/// `exp(-1/8) * (1 + y + (y^2 + (y^3 + y^4 / 4) / 3) / 2)`.
fn exp_of_part(x: i32) -> i32 {
    const EXP_OF_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let y = x + (1 << 28);
    let y2 = high(y, y);
    let (y3, y4) = (high(y2, y), high(y2, y2));
    let series = divide_by_power(high(divide_by_power(y4, 2) + y3, THIRD) + y2, 1);
    EXP_OF_EIGHTH + high(EXP_OF_EIGHTH, y + series)
}

/// `1 / sum` as `r * 2^-n`, r in Q0.31, for a sum in Q12.19 that is 1 at least.
fn reciprocal(sum: i32) -> (i32, u32) {
    // 32/17 and 48/17 in Q2.29: the line that is nearest to 1/d between 1/2 and 1.
    const SLOPE: i32 = 1_010_580_540;
    const START: i32 = 1_515_870_810;
    let zeros = sum.leading_zeros();
    let d = sum << (zeros - 1); // in Q0.31, 1/2 to 1
    let newton = |r: i32, _| r + 4 * high(r, (1 << 29) - high(d, r));
    let r = (0..3).fold(START + high(d, -SLOPE), newton);
    // That is 1/d in Q2.29. Half of it may be 1, for which Q0.31 has no number.
    (r.saturating_mul(2), 12 - zeros)
}

/// The product of two numbers in Q0.31, halves up.
fn high(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `x / 2^power`, halves away from zero.
fn divide_by_power(x: i32, power: u32) -> i32 {
    let magnitude = (i64::from(x).abs() + (1 << (power - 1))) >> power;
    (if x < 0 { -magnitude } else { magnitude }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(scale: f32, beta: f32, row: &[i8]) -> Vec<i8> {
        let of = TensorType::int8(row.len(), QuantParams::new(Int8::I8, scale, 3).unwrap());
        let layer = FixedSoftmax { beta };
        layer.output(&[of]).unwrap();
        let values = layer.reference(&[of], &[&Values::I8(row.into())]).unwrap();
        values.to_i8()
    }

    /// What TensorFlow Lite's reference kernel answers.
    #[test]
    fn known_rows() {
        let check = |scale, beta, row: &[i8], expected: &[i8]| {
            assert_eq!(answers(scale, beta, row), expected, "{scale} {beta} {row:?}");
        };
        check(0.1, 1.0, &[-128, 127, 126, 100, 90, 50, 0], &[-128, 0, -12, -119, -125, -128, -128]);
        let row = [20, 11, 2, -7, -16, -25, -34, -43, -52];
        check(0.0625, 1.0, &row, &[-17, -65, -92, -107, -116, -121, -124, -126, -127]);
        let row = [5, 4, 3, 2, 1, 0, -128, 127];
        check(0.003, 2.5, &row, &[-99, -99, -99, -99, -100, -100, -117, -55]);
        check(3.0, 30.0, &[1, 0, 1], &[0, -128, 0]);
        check(2e-8, 1.0, &[127, -128, 0], &[-43, -43, -43]);
        check(0.05, 1.0, &[7; 10], &[-102; 10]);
        check(0.05, 1.0, &[-128], &[127]);
    }

    /// All differences there are, at scales from where none matters to where only 0 counts.
    #[test]
    fn close_to_the_real_softmax() {
        for exponent in -26..=10 {
            let scale = 1.3 * 2.0_f32.powi(exponent);
            let exact = |d: i32| (-f64::from(d) * f64::from(scale)).exp();
            for d in 0..=255 {
                let low = (127 - d) as i8;
                let row = [127, low, low, 127];
                let found = answers(scale, 1.0, &row);
                let sum = 2.0 + 2.0 * exact(d);
                for (q, real) in found.iter().zip([1.0, exact(d), exact(d), 1.0]) {
                    let difference = f64::from(*q) + 128.0 - 256.0 * real / sum;
                    assert!(difference.abs() <= 0.51, "{scale} {d}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_refused() {
        let refused = |scale, beta, width| {
            let of = TensorType::int8(width, QuantParams::new(Int8::U8, scale, 3).unwrap());
            FixedSoftmax { beta }.output(&[of]).unwrap_err().to_string()
        };
        assert!(refused(1.0, f32::NAN, 2).contains("beta NaN"));
        assert!(refused(1.0, -1.0, 2).contains("beta -1e0"));
        assert!(refused(1e-8, 1.0, 2).contains("beta 1 times scale 1e-8 is too small"));
        assert!(refused(1.0, 1.0, 4096).contains("4096 elements, more than 4095"));
        let f32 = FixedSoftmax::default().output(&[TensorType::f32(2)]).unwrap_err();
        assert!(f32.to_string().contains("8-bit"));
    }
}
