//! What a subcommand has to say: as text, or as JSON.

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// A result that people and machines may want to read.
pub trait Report: Serialize {
    /// The report as text for people.
    fn text(&self) -> String;
}

/// Prints a report on standard output.
pub fn show(report: &impl Report, json: bool) -> Result<()> {
    let mut text = match json {
        true => serde_json::to_string_pretty(report).context("cannot write JSON")?,
        false => report.text(),
    };
    text.truncate(text.trim_end().len());
    text.push('\n');
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads only the first lines, as `head` does, has all that was wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("standard output"),
    }
}

/// A table with these column heads. All columns but the first are numbers, to the right.
pub fn table<'a>(heads: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(heads);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A bar for work of `steps` steps: on a terminal only, and not if a machine reads the result.
pub fn progress(steps: usize, json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A share of 1 as text: `97.5 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A number in four digits, more or less.
pub fn short(number: f64) -> String {
    let magnitude = number.abs();
    match magnitude {
        0.0 => "0".into(),
        _ if (1e-3..1e5).contains(&magnitude) => {
            let digits = (3.0 - magnitude.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{number:.digits$}")
        }
        _ => format!("{number:.2e}"),
    }
}

/// Seconds with a unit that fits.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// A digest as text. JSON has no integers of 64 bits, hence text there, too.
pub fn digest(digest: u64) -> String {
    format!("{digest:016x}")
}

/// A number with its thousands set apart: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1.000"),
            (-12.3456, "-12.35"),
            (99_999.0, "99999"),
            (123_456.0, "1.23e5"),
            (0.00123456, "0.001235"),
            (0.000123456, "1.23e-4"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
