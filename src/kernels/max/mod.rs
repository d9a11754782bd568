//! Products that meet by a maximum.

pub(crate) mod soft;

/// How the products of an output meet.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Aggregate {
    /// The largest product.
    Max,
    /// The smallest product.
    Min,
    /// The product of the largest magnitude, with its sign. Of equal magnitudes the one of the lowest
    /// input counts.
    AbsMax,
    /// `(m + ln(sum over k of exp(alpha * (|p[k]| - m))) / alpha) * sign(winner)`, where m is the
    /// largest magnitude of the real products p, and the winner that of [`Aggregate::AbsMax`].
    SoftAbsMax {
        /// How sharply the largest magnitude stands out; positive, in one over the unit of the
        /// products.
        alpha: f32,
    },
    /// The sum of the products, divided by their number.
    Mean,
    /// The largest product plus the smallest: the multiply-and-max/min neuron of Prono, Bich,
    /// Mangia, Pareschi, Rovatti and Setti (<https://doi.org/10.36227/techrxiv.22561567>).
    Mam,
}

impl Aggregate {
    /// As messages and listings name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Aggregate::Max => "max",
            Aggregate::Min => "min",
            Aggregate::AbsMax => "abs_max",
            Aggregate::SoftAbsMax { .. } => "soft_abs_max",
            Aggregate::Mean => "mean",
            Aggregate::Mam => "mam",
        }
    }

    /// How many inputs win, in each block: the largest product and the smallest, or one of both; of a
    /// mean none.
    pub const fn winners(&self) -> usize {
        match self {
            Aggregate::Mean => 0,
            Aggregate::Mam => 2,
            _ => 1,
        }
    }

    /// Its parameter; 0 if it has none.
    pub(crate) const fn alpha(&self) -> f32 {
        match self {
            Aggregate::SoftAbsMax { alpha } => *alpha,
            _ => 0.0,
        }
    }

    /// As the file numbers it.
    pub(crate) const fn code(&self) -> u32 {
        match self {
            Aggregate::Max => 0,
            Aggregate::Min => 1,
            Aggregate::AbsMax => 2,
            Aggregate::SoftAbsMax { .. } => 3,
            Aggregate::Mean => 4,
            Aggregate::Mam => 5,
        }
    }

    pub(crate) const fn from_code(code: u32, alpha: f32) -> Option<Self> {
        Some(match code {
            0 => Aggregate::Max,
            1 => Aggregate::Min,
            2 => Aggregate::AbsMax,
            3 => Aggregate::SoftAbsMax { alpha },
            4 => Aggregate::Mean,
            5 => Aggregate::Mam,
            _ => return None,
        })
    }
}
