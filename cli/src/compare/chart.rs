//! Charts as SVG, in the colour of the text around them.

use std::fmt::Display;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Bars that a chart has at most.
pub const MAX_BARS: usize = 60;

/// Characters of a name beside a bar.
const MAX_NAME: usize = 28;

/// Black stands for the colour of the text, which only the page knows.
const INK: RGBColor = BLACK;

/// A colour that can be seen on a light and on a dark ground.
const BAR: RGBColor = RGBColor(66, 133, 244);

const FONT: (&str, i32) = ("sans-serif", 15);

/// The ratio of signal to noise of each tensor; exact ones reach to the end, lighter.
pub fn bars(tensors: &[(&str, f64)]) -> Result<String> {
    let finite = || tensors.iter().map(|(_, ratio)| *ratio).filter(|ratio| ratio.is_finite());
    let low = finite().fold(0.0, f64::min);
    let high = finite().fold(10.0, f64::max) * 1.05;
    let count = tensors.len() as f64;
    draw((860, 70 + 26 * tensors.len() as u32), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(50)
            .y_label_area_size(220)
            .build_cartesian_2d(low..high, 0.0..count)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .max_light_lines(0)
            .x_desc("SQNR in dB")
            .label_style(FONT.into_font().color(&INK))
            .draw()?;
        // The first one is at the top, where the axis ends.
        let rows = || tensors.iter().enumerate().map(|(i, of)| (count - i as f64, of));
        chart.draw_series(rows().map(|(top, &(_, ratio))| {
            let (end, colour) = match ratio {
                f64::INFINITY => (high, BAR.mix(0.3)),
                ratio => (ratio.max(low), BAR.mix(1.0)),
            };
            Rectangle::new([(0.0, top - 0.85), (end, top - 0.15)], colour.filled())
        }))?;
        let beside = Pos::new(HPos::Right, VPos::Center);
        let style = FONT.into_font().color(&INK).pos(beside);
        chart.draw_series(rows().map(|(top, (name, _))| {
            let name = Text::new(shortened(name), (-10, 0), style.clone());
            EmptyElement::at((low, top - 0.5)) + name
        }))?;
        Ok(())
    })
}

/// Values of both models against each other; equal ones are on the line.
pub fn scatter(points: &[(f32, f32)]) -> Result<String> {
    let points = || {
        let reals = points.iter().map(|&(a, b)| (f64::from(a), f64::from(b)));
        reals.filter(|(a, b)| a.is_finite() && b.is_finite())
    };
    let all = || points().flat_map(|(a, b)| [a, b]);
    let (low, high) =
        all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let (low, high) = if low < high { (low, high) } else { (-1.0, 1.0) };
    let room = 0.03 * (high - low);
    let axis = low - room..high + room;
    draw((520, 520), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(50)
            .y_label_area_size(80)
            .build_cartesian_2d(axis.clone(), axis)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_labels(6)
            .y_labels(6)
            .x_desc("A")
            .y_desc("B")
            .label_style(FONT.into_font().color(&INK))
            .draw()?;
        let equal = PathElement::new([(low, low), (high, high)], INK.mix(0.5));
        chart.draw_series([equal])?;
        chart.draw_series(points().map(|point| Circle::new(point, 2, BAR.mix(0.6).filled())))?;
        Ok(())
    })
}

/// Draws on a ground of this size that one can see through.
fn draw<F>(size: (u32, u32), on: F) -> Result<String>
where
    F: FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), Trouble>,
{
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        on(&root)
            .and_then(|()| Ok(root.present()?))
            .map_err(|Trouble(e)| anyhow!("a chart: {e}"))?;
    }
    Ok(svg.replace("\"#000000\"", "\"currentColor\""))
}

/// What the library says if it fails.
struct Trouble(String);

impl<E: Display> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A name that fits beside a bar.
fn shortened(name: &str) -> String {
    match name.chars().count() {
        0..=MAX_NAME => name.to_string(),
        // The end is what tells the names of an exporter apart.
        count => format!("…{}", name.chars().skip(count - MAX_NAME + 1).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_bars_of_any_length() {
        let ratios =
            [f64::INFINITY, 47.9, f64::NEG_INFINITY, -2.5, 0.0, 1e-300, 6000.0, -6000.0, f64::NAN];
        for count in 1..=MAX_BARS {
            for first in 0..ratios.len() {
                let ratios = ratios.iter().cycle().skip(first).take(count);
                let bars: Vec<_> = ratios.map(|&ratio| ("fc<1>", ratio)).collect();
                let svg = super::bars(&bars).unwrap();
                assert_eq!(svg.matches("fc&lt;1&gt;").count(), count);
            }
        }
    }

    #[test]
    fn points_of_any_size() {
        let (max, least) = (f32::MAX, f32::from_bits(1));
        for points in [
            &[(0.0, 0.0)][..],
            &[(1.0, 1.000_000_1), (1.0, 1.0)],
            &[(-max, max), (max, -max), (0.0, 1.0)],
            &[(least, 0.0), (0.0, -least)],
            &[(max, max), (max, max.next_down())],
            &[(f32::NAN, 1.0), (f32::INFINITY, f32::NEG_INFINITY)],
            &[(1e-30, 2e-30), (-5e-31, 0.0)],
            &[],
        ] {
            let svg = scatter(points).unwrap();
            let finite = points.iter().filter(|(a, b)| a.is_finite() && b.is_finite());
            assert_eq!(svg.matches("<circle").count(), finite.count(), "{points:?}");
        }
    }

    #[test]
    fn the_end_of_a_long_name_stays() {
        assert_eq!(shortened("fc1"), "fc1");
        let long = shortened(&format!("{}/dense_2/MatMul", "é".repeat(30)));
        assert_eq!(long.chars().count(), MAX_NAME);
        assert!(long.starts_with('…') && long.ends_with("/dense_2/MatMul"), "{long}");
    }
}
