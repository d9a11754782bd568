//! Pointwise functions. To add one: a variant, and its line in [`Activation::apply`], `parts` and
//! `from_parts`.

use alloc::format;

use crate::error::{Error, Result};
use crate::kernels::map::Function;
use crate::quant::{one_nan, select_max, select_min};
use crate::record::{RecordReader, RecordWriter, unknown};

/// A function applied to each element. Computed in `f32` with the `libm` crate, so that every
/// machine finds the same bits; on 8-bit data it becomes a table of 256 entries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// Hardtanh, also called clip: min(max(x, min), max)
    Clip {
        /// The smallest result.
        min: f32,
        /// The largest result.
        max: f32,
    },
    /// x where it is positive, else alpha * x
    LeakyRelu {
        /// The slope for negative x.
        alpha: f32,
    },
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// x/2 * (1 + erf(x / sqrt 2))
    Gelu,
    /// The approximation of GELU by tanh: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
    GeluTanh,
    /// x where it is not negative, else alpha * (exp(x) - 1)
    Elu {
        /// How far negative x go, with the other sign.
        alpha: f32,
    },
    /// min(max(alpha * x + beta, 0), 1)
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// x / (1 + exp(-x)), also called swish
    Silu,
    /// x * min(max(x / 6 + 0.5, 0), 1)
    HardSwish,
    /// gamma * x where x is positive, else gamma * (alpha * (exp(x) - 1))
    Selu {
        /// As that of [`Activation::Elu`].
        alpha: f32,
        /// What both parts are multiplied with.
        gamma: f32,
    },
    /// ln(1 + exp(x)), as max(x, 0) + ln(1 + exp(-|x|))
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// x * tanh(softplus(x))
    Mish,
    /// exp(x)
    Exp,
}

impl Activation {
    /// The function's value at `x`. A NaN is always the same one.
    pub fn apply(&self, x: f32) -> f32 {
        one_nan(match *self {
            Activation::Identity => x,
            Activation::LeakyRelu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x
                }
            }
            Activation::Tanh => libm::tanhf(x),
            Activation::Sigmoid => 1.0 / (1.0 + libm::expf(-x)),
            Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)),
            Activation::GeluTanh => {
                let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + libm::tanhf(inner))
            }
            Activation::Elu { alpha } => {
                if x >= 0.0 {
                    x
                } else {
                    alpha * libm::expm1f(x)
                }
            }
            Activation::HardSigmoid { alpha, beta } => clamp(alpha * x + beta, 0.0, 1.0),
            Activation::Silu => x / (1.0 + libm::expf(-x)),
            Activation::HardSwish => x * clamp(x / 6.0 + 0.5, 0.0, 1.0),
            Activation::Selu { alpha, gamma } => {
                if x > 0.0 {
                    gamma * x
                } else {
                    gamma * (alpha * libm::expm1f(x))
                }
            }
            Activation::Softplus => softplus(x),
            Activation::Softsign => x / (1.0 + x.abs()),
            Activation::Mish => x * libm::tanhf(softplus(x)),
            Activation::Exp => libm::expf(x),
            Activation::Relu | Activation::Relu6 | Activation::Clip { .. } => {
                let (min, max) = self.clamp().expect("these three are clamps");
                clamp(x, min, max)
            }
        })
    }

    /// The bounds, if the function only clamps: then it costs nothing inside another layer.
    pub fn clamp(&self) -> Option<(f32, f32)> {
        match *self {
            Activation::Identity => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Activation::Relu => Some((0.0, f32::INFINITY)),
            Activation::Relu6 => Some((0.0, 6.0)),
            Activation::Clip { min, max } => Some((min, max)),
            _ => None,
        }
    }

    /// The same function as one that kernels have, if they have it.
    pub(super) fn function(&self) -> Option<Function> {
        match *self {
            // Its bounds let everything pass, but clamping would make a number of a NaN.
            Activation::Identity => Some(Function::Identity),
            Activation::LeakyRelu { alpha } => Some(Function::LeakyRelu { alpha }),
            _ => self.clamp().map(|(min, max)| Function::Clamp { min, max }),
        }
    }

    /// Refuses parameters that make no function.
    ///
    /// # Errors
    /// An empty or NaN range to clip to, any other parameter that is not finite.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Activation::Clip { min, max } if min.is_nan() || max.is_nan() || min > max => {
                Err(Error::model(format!("clip from {min} to {max} is empty")))
            }
            Activation::Clip { .. } => Ok(()),
            Activation::LeakyRelu { alpha } if !alpha.is_finite() => {
                Err(Error::model(format!("leaky ReLU with slope {alpha}")))
            }
            _ => match self.parts() {
                (_, a, b) if a.is_finite() && b.is_finite() => Ok(()),
                _ => Err(Error::model(format!("{self} has a parameter that is not finite"))),
            },
        }
    }

    /// Refuses what is not a clamp, and so no part of another layer.
    pub(super) fn check_clamp(&self) -> Result<()> {
        self.validate()?;
        match self.clamp() {
            Some(_) => Ok(()),
            None => Err(Error::model(format!(
                "{self} is not a clamp: it needs a pointwise layer of its own"
            ))),
        }
    }

    /// The code in the file and the two parameters.
    fn parts(&self) -> (u32, f32, f32) {
        match *self {
            Activation::Identity => (0, 0.0, 0.0),
            Activation::Relu => (1, 0.0, 0.0),
            Activation::Relu6 => (2, 0.0, 0.0),
            Activation::Clip { min, max } => (3, min, max),
            Activation::LeakyRelu { alpha } => (4, alpha, 0.0),
            Activation::Tanh => (5, 0.0, 0.0),
            Activation::Sigmoid => (6, 0.0, 0.0),
            Activation::Gelu => (7, 0.0, 0.0),
            Activation::GeluTanh => (8, 0.0, 0.0),
            Activation::Elu { alpha } => (9, alpha, 0.0),
            Activation::HardSigmoid { alpha, beta } => (10, alpha, beta),
            Activation::Silu => (11, 0.0, 0.0),
            Activation::HardSwish => (12, 0.0, 0.0),
            Activation::Selu { alpha, gamma } => (13, alpha, gamma),
            Activation::Softplus => (14, 0.0, 0.0),
            Activation::Softsign => (15, 0.0, 0.0),
            Activation::Mish => (16, 0.0, 0.0),
            Activation::Exp => (17, 0.0, 0.0),
        }
    }

    pub(crate) fn from_parts(code: u32, a: f32, b: f32) -> Result<Self> {
        Ok(match code {
            0 => Activation::Identity,
            1 => Activation::Relu,
            2 => Activation::Relu6,
            3 => Activation::Clip { min: a, max: b },
            4 => Activation::LeakyRelu { alpha: a },
            5 => Activation::Tanh,
            6 => Activation::Sigmoid,
            7 => Activation::Gelu,
            8 => Activation::GeluTanh,
            9 => Activation::Elu { alpha: a },
            10 => Activation::HardSigmoid { alpha: a, beta: b },
            11 => Activation::Silu,
            12 => Activation::HardSwish,
            13 => Activation::Selu { alpha: a, gamma: b },
            14 => Activation::Softplus,
            15 => Activation::Softsign,
            16 => Activation::Mish,
            17 => Activation::Exp,
            _ => return Err(unknown("activation", code)),
        })
    }

    pub(crate) fn encode(&self, record: &mut RecordWriter) {
        let (code, a, b) = self.parts();
        record.word(code);
        record.float(a);
        record.float(b);
    }

    pub(crate) fn decode(record: &mut RecordReader<'_>) -> Result<Self> {
        let (code, a, b) = (record.word()?, record.float()?, record.float()?);
        let activation = Self::from_parts(code, a, b)?;
        // A parameter that the function does not have must be zero: one file, one meaning.
        let (_, used_a, used_b) = activation.parts();
        if used_a.to_bits() != a.to_bits() || used_b.to_bits() != b.to_bits() {
            return Err(Error::format("an activation has a parameter it does not use"));
        }
        Ok(activation)
    }
}

fn clamp(x: f32, min: f32, max: f32) -> f32 {
    select_min(select_max(x, min), max)
}

/// Without an overflow, and as precise for large negative x as for others.
fn softplus(x: f32) -> f32 {
    let positive = if x > 0.0 { x } else { 0.0 };
    positive + libm::log1pf(libm::expf(-x.abs()))
}

impl core::fmt::Display for Activation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Activation::Identity => f.write_str("identity"),
            Activation::Relu => f.write_str("relu"),
            Activation::Relu6 => f.write_str("relu6"),
            Activation::Clip { min, max } => write!(f, "clip({min}, {max})"),
            Activation::LeakyRelu { alpha } => write!(f, "leaky_relu({alpha})"),
            Activation::Tanh => f.write_str("tanh"),
            Activation::Sigmoid => f.write_str("sigmoid"),
            Activation::Gelu => f.write_str("gelu"),
            Activation::GeluTanh => f.write_str("gelu_tanh"),
            Activation::Elu { alpha } => write!(f, "elu({alpha})"),
            Activation::HardSigmoid { alpha, beta } => write!(f, "hard_sigmoid({alpha}, {beta})"),
            Activation::Silu => f.write_str("silu"),
            Activation::HardSwish => f.write_str("hard_swish"),
            Activation::Selu { alpha, gamma } => write!(f, "selu({alpha}, {gamma})"),
            Activation::Softplus => f.write_str("softplus"),
            Activation::Softsign => f.write_str("softsign"),
            Activation::Mish => f.write_str("mish"),
            Activation::Exp => f.write_str("exp"),
        }
    }
}
