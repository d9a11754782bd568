//! Max-product layers of real numbers.

use signfold::layers::Aggregate;
use signfold::{Error, ErrorKind, Result};

use crate::float::FloatDense;

/// A max-product layer: `output[n] = activation(join over k of input[k] * weights[n][k] + bias[n])`,
/// where the [`Aggregate`] says how products are joined.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatMax {
    /// Weights, bias and activation, as a dense layer has them.
    pub dense: FloatDense,
    /// How products are joined.
    pub aggregate: Aggregate,
    /// How many blocks the inputs are cut into, of `ceil(inputs / splits)` each, of which the last
    /// takes what is left. Blocks are joined each by itself, and the results summed. A mean has 1.
    pub splits: usize,
    /// Whether weights that are exactly 0 take no part, where they would compete with their product,
    /// 0. A block without connections gives 0; a mean is divided by the number of its connections.
    ///
    /// A weight that [`quantize`](crate::quantize) rounds to 0 vanishes in the 8-bit layer, too: one
    /// that is less than half a step of its scale. Only a mean keeps it, for it is not pruned there.
    pub pruned: bool,
}

impl FloatMax {
    pub(crate) fn check(&self, width: usize) -> Result<()> {
        self.dense.check(width)?;
        let fail = |message| Err(Error::new(ErrorKind::Model, message));
        let (inputs, splits, block) = (self.dense.inputs, self.splits, self.block());
        if splits == 0 {
            return fail("0 splits, but there must be 1 at least".to_owned());
        }
        if block * (splits - 1) >= inputs {
            return fail(format!("{inputs} inputs do not fill {splits} splits of {block}"));
        }
        match self.aggregate {
            Aggregate::Mean if splits > 1 => fail(format!("a mean has no splits, found {splits}")),
            Aggregate::SoftAbsMax { alpha }
                if !(alpha > 0.0 && alpha.is_normal() && (1.0 / alpha).is_normal()) =>
            {
                let expected = "expected a positive normal number, as 1 / alpha must be one, too";
                fail(format!("alpha {alpha:e}: {expected}"))
            }
            other if join(other, &[]).is_none() => {
                let message = format!("aggregate {} is not known here", other.name());
                Err(Error::new(ErrorKind::Unsupported, message))
            }
            _ => Ok(()),
        }
    }

    /// The outputs before the activation.
    pub(crate) fn sums(&self, row: &[f32]) -> Vec<f32> {
        let (block, mut products) = (self.block(), Vec::new());
        self.dense.outputs_of(|weights| {
            let blocks = row.chunks(block).zip(weights.chunks(block));
            let join = |(row, weights): (&[f32], &[f32])| {
                let pairs = row.iter().zip(weights).filter(|&(_, &w)| w != 0.0 || !self.pruned);
                products.clear();
                products.extend(pairs.map(|(&x, &w)| f64::from(x) * f64::from(w)));
                join(self.aggregate, &products).unwrap_or(f64::NAN)
            };
            blocks.map(join).sum()
        })
    }

    /// Inputs of a block, but for the last.
    fn block(&self) -> usize {
        self.dense.inputs.div_ceil(self.splits.max(1))
    }
}

/// What some products give, 0 if there are none; `None` for an aggregate that is not known here.
fn join(aggregate: Aggregate, products: &[f64]) -> Option<f64> {
    let pick = |better: fn(f64, f64) -> bool| {
        // The first one among equals.
        let pick = products.iter().copied().reduce(|a, b| if better(b, a) { b } else { a });
        pick.unwrap_or(0.0)
    };
    let (max, min) = (|| pick(|b, a| b > a), || pick(|b, a| b < a));
    let abs_max = || pick(|b, a| b.abs() > a.abs());
    Some(match aggregate {
        Aggregate::Max => max(),
        Aggregate::Min => min(),
        Aggregate::AbsMax => abs_max(),
        Aggregate::SoftAbsMax { alpha } => {
            let (winner, alpha) = (abs_max(), f64::from(alpha));
            if winner == 0.0 {
                return Some(0.0); // Its sign is 0, too.
            }
            let term = |p: &f64| (alpha * (p.abs() - winner.abs())).exp();
            let log = products.iter().map(term).sum::<f64>().ln();
            winner + winner.signum() * (log / alpha)
        }
        Aggregate::Mean => products.iter().sum::<f64>() / products.len().max(1) as f64,
        Aggregate::Mam => max() + min(),
        _ => return None,
    })
}
