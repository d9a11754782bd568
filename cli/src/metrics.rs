//! How good a model's answers are.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::report;

/// Confusion matrices of more classes are left out: nobody reads them.
const MAX_CLASSES: usize = 64;

/// The quality of answers, by the kind of task.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Metrics {
    /// The answers are classes.
    Classification {
        /// Answers that are right.
        correct: usize,
        /// Their share.
        accuracy: f64,
        /// How often label `i` got answer `j`: `confusion[i][j]`.
        #[serde(skip_serializing_if = "Option::is_none")]
        confusion: Option<Vec<Vec<u64>>>,
    },
    /// The answers are numbers.
    Regression {
        /// The share of the labels' variance that the answers explain.
        r2: f64,
        /// The root of the mean squared error.
        rmse: f64,
        /// The mean absolute error.
        mae: f64,
    },
}

impl Metrics {
    /// Compares answered classes with labels, both below `classes`.
    pub fn classification(answers: &[usize], labels: &[f64], classes: usize) -> Result<Self> {
        let mut confusion = (classes <= MAX_CLASSES).then(|| vec![vec![0; classes]; classes]);
        let mut correct = 0;
        for (row, (&answer, &label)) in answers.iter().zip(labels).enumerate() {
            let class = label as usize;
            ensure!(
                class as f64 == label && class < classes,
                "label {label} of row {row} is none of the {classes} classes"
            );
            correct += usize::from(answer == class);
            if let Some(count) = confusion.as_mut().and_then(|c| c[class].get_mut(answer)) {
                *count += 1;
            }
        }
        let accuracy = correct as f64 / labels.len() as f64;
        Ok(Metrics::Classification { correct, accuracy, confusion })
    }

    /// Compares numbers.
    pub fn regression(answers: &[f64], labels: &[f64]) -> Self {
        let n = labels.len() as f64;
        let mean = labels.iter().sum::<f64>() / n;
        let variance: f64 = labels.iter().map(|y| (y - mean).powi(2)).sum();
        let errors = || answers.iter().zip(labels).map(|(answer, y)| y - answer);
        let squares: f64 = errors().map(|e| e * e).sum();
        Metrics::Regression {
            r2: 1.0 - squares / variance,
            rmse: (squares / n).sqrt(),
            mae: errors().map(f64::abs).sum::<f64>() / n,
        }
    }

    /// The metrics for people.
    pub fn text(&self) -> String {
        match self {
            Metrics::Regression { r2, rmse, mae } => {
                format!("R²        {r2:.4}\nRMSE      {rmse:.4}\nMAE       {mae:.4}\n")
            }
            Metrics::Classification { correct, accuracy, confusion } => {
                let share = 100.0 * accuracy;
                let line = format!("accuracy  {share:.2} % ({correct} correct)\n");
                match confusion {
                    Some(counts) => format!("{line}\n{}\n", confusion_table(counts)),
                    None => line,
                }
            }
        }
    }
}

fn confusion_table(counts: &[Vec<u64>]) -> comfy_table::Table {
    let answers: Vec<String> = (0..counts.len()).map(|class| class.to_string()).collect();
    let heads = std::iter::once("label \\ answer").chain(answers.iter().map(String::as_str));
    let mut table = report::table(heads);
    for (class, row) in counts.iter().enumerate() {
        // Zeros would hide what there is to see.
        let cell = |&n: &u64| if n == 0 { String::new() } else { n.to_string() };
        table.add_row(std::iter::once(class.to_string()).chain(row.iter().map(cell)));
    }
    table
}

/// The position of the largest of a row, the first one among equals.
pub fn argmax(row: &[f64]) -> usize {
    let better = |best, i| if row[i] > row[best] { i } else { best };
    (0..row.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted() {
        let metrics = Metrics::classification(&[0, 1, 1], &[0.0, 1.0, 0.0], 2).unwrap();
        let confusion = Some(vec![vec![1, 1], vec![0, 1]]);
        assert_eq!(metrics, Metrics::Classification { correct: 2, accuracy: 2.0 / 3.0, confusion });
        for label in [-1.0, 0.5, 2.0, 1e300, f64::NAN] {
            assert!(Metrics::classification(&[0], &[label], 2).is_err(), "{label}");
        }
    }

    #[test]
    fn regression_of_known_numbers() {
        let metrics = Metrics::regression(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0]);
        let rmse = (4.0_f64 / 3.0).sqrt();
        assert_eq!(metrics, Metrics::Regression { r2: -1.0, rmse, mae: 2.0 / 3.0 });
    }

    #[test]
    fn argmax_takes_the_first_and_survives_nan() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f64::NAN, 1.0]), 0);
        assert_eq!(argmax(&[]), 0);
    }
}
