//! Outputs of two models beside each other: classes, and pairs of values to draw.

use signfold::{Element, Model};

use super::matching::Pair;
use super::{MAX_POINTS, OutputComparison};
use crate::agreement::argmax;

/// An output while rows are compared.
pub(crate) struct OutputPair {
    name: String,
    widths: [usize; 2],
    /// Whether rows have classes, of these elements.
    classes: bool,
    elements: [Element; 2],
    same: usize,
    /// Every how manieth value becomes a point; 0 for none.
    step: usize,
    seen: usize,
    points: Vec<(f32, f32)>,
}

impl OutputPair {
    /// For a pair of outputs, of which nothing is seen so far; a note if they cannot be compared.
    pub fn new(
        pair: &Pair,
        a: &Model<'_>,
        b: &Model<'_>,
        rows: usize,
        notes: &mut Vec<String>,
    ) -> Self {
        let (a, b) = (a.tensor_type(pair.a), b.tensor_type(pair.b));
        let answers = [a, b].map(|of| of.element == Element::Index);
        let comparable = match answers {
            [false, false] => a.width == b.width,
            [true, true] => true,
            // The class that one answers is found in the other's scores.
            _ => a.width.max(b.width) > 1,
        };
        if !comparable {
            let (name, ours, theirs) = (&pair.name, a.width, b.width);
            notes.push(format!("output {name:?} is not compared: rows of {ours} and of {theirs}"));
        }
        let reals = comparable && answers == [false; 2];
        Self {
            name: pair.name.clone(),
            widths: [a.width, b.width],
            classes: comparable && !(reals && a.width == 1),
            elements: [a.element, b.element],
            same: 0,
            step: if reals { step(rows, a.width) } else { 0 },
            seen: 0,
            points: Vec::new(),
        }
    }

    /// Whether there is nothing to compare.
    pub fn is_empty(&self) -> bool {
        !self.classes && self.step == 0
    }

    /// Compares some more rows.
    pub fn add(&mut self, ours: &[f32], theirs: &[f32]) {
        if self.classes {
            let rows = ours.chunks_exact(self.widths[0]).zip(theirs.chunks_exact(self.widths[1]));
            let class = |row: &[f32], element: Element| match element {
                Element::Index => row[0] as usize,
                _ => argmax(row),
            };
            let [a, b] = self.elements;
            self.same += rows.filter(|(ours, theirs)| class(ours, a) == class(theirs, b)).count();
        }
        if self.step > 0 {
            let first = self.seen.next_multiple_of(self.step) - self.seen;
            let pairs = ours.iter().copied().zip(theirs.iter().copied());
            self.points.extend(pairs.skip(first).step_by(self.step));
            self.seen += ours.len();
        }
    }

    /// What all rows showed.
    pub fn finish(self, rows: usize) -> OutputComparison {
        let same_class = self.classes.then(|| self.same as f64 / rows as f64);
        OutputComparison { name: self.name, same_class, points: self.points }
    }
}

/// A step over the values of all rows that leaves no more than [`MAX_POINTS`], and that shares no
/// divisor with the width, so that it meets all columns.
fn step(rows: usize, width: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let least = rows.saturating_mul(width).div_ceil(MAX_POINTS);
    (least..).find(|&step| gcd(step, width) == 1).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_few_and_meet_all_columns() {
        for (rows, width) in [(1, 1), (360, 10), (10_000, 10), (2000, 1), (3, 100_000), (777, 6)] {
            let step = step(rows, width);
            let points: Vec<_> = (0..rows * width).step_by(step).collect();
            assert!(points.len() <= MAX_POINTS && points.len() * 3 >= MAX_POINTS.min(rows * width));
            let mut columns: Vec<_> = points.iter().map(|at| at % width).collect();
            columns.sort();
            columns.dedup();
            assert!(columns.len() == width.min(points.len()), "{rows} x {width}: {step}");
        }
    }
}
