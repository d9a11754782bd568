//! Calibration: what range each tensor of a network takes on sample rows.

use signfold::{Error, ErrorKind, Result};

use crate::float::{FloatNet, Stage, place};
use crate::range::Range;

/// What a network was seen to do with the calibration rows.
pub(crate) struct Calibration {
    /// The input's range.
    pub input: Range,
    /// Of each layer, the range before its activation; for a layer without one, as `outputs`.
    pub sums: Vec<Range>,
    /// Of each layer, the range of what it gives.
    pub outputs: Vec<Range>,
    /// The network's answers, before an argmax.
    pub scores: Vec<f32>,
}

/// Runs the network on rows that have been checked, and notes ranges and answers.
pub(crate) fn calibrate(net: &FloatNet, rows: &[f32]) -> Result<Calibration> {
    let depth = net.layers().len();
    let mut seen = Calibration {
        input: Range::EMPTY,
        sums: vec![Range::EMPTY; depth],
        outputs: vec![Range::EMPTY; depth],
        scores: Vec::new(),
    };
    let scores_stage = net.scores_stage();
    for (number, row) in rows.chunks_exact(net.inputs()).enumerate() {
        let mut overflow = None;
        net.run(row, &mut |stage, values| {
            match stage {
                Stage::Input => seen.input.include(values),
                Stage::Sums(i) => seen.sums[i].include(values),
                Stage::Output(i) => seen.outputs[i].include(values),
            }
            if stage == scores_stage {
                seen.scores.extend(values);
            }
            if let (Stage::Sums(i) | Stage::Output(i), None) = (stage, overflow) {
                overflow = values.iter().find(|x| !x.is_finite()).map(|&x| (i, x));
            }
        });
        if let Some((layer, x)) = overflow {
            let message = format!("calibration row {number} leads to the value {x}");
            let name = net.layers()[layer].name();
            return Err(Error::new(ErrorKind::Input, message).at(place(layer, name)));
        }
    }
    Ok(seen)
}
