//! The report as a page that needs nothing else: no scripts, nothing to load, light or dark.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use signfold_import::TensorComparison;

use super::{Found, HEADS, cells, chart, classes, how, loss};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
code { overflow-wrap: anywhere; }
.loss { padding: .6rem .9rem; border-left: 4px solid #4285f4; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
dt { float: left; font-weight: bold; width: 2rem; }
";

/// Forbids all but the style above, should a name find a way to be more than a name.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page. Names from files are text in it, whatever they hold.
pub fn page(found: &Found<'_>) -> Result<String> {
    let of = found.comparison;
    let layers = layers(&of.tensors)?;
    let mut charts = Vec::new();
    for output in of.outputs.iter().filter(|output| !output.points.is_empty()) {
        charts.push((output, chart::scatter(&output.points)?));
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "signfold: " (found.a) " and " (found.b) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Two forms of a network" }
                dl {
                    dt { "A" } dd { code { (found.a) } " is what should be" }
                    dt { "B" } dd { code { (found.b) } " is compared with it" }
                }
                p { (how(of)) "." }
                @if !of.tensors.is_empty() {
                    p.loss { (loss(of)) "." }
                    (layers)
                }
                @if !of.outputs.is_empty() {
                    h2 { "Outputs" }
                    @for line in of.outputs.iter().filter_map(classes) { p { (line) "." } }
                }
                @for (output, chart) in &charts {
                    h2 { "Values of " code { (output.name) } }
                    p { (output.points.len()) " of the values, A against B." }
                    (PreEscaped(chart))
                }
                @if !of.notes.is_empty() {
                    h2 { "Notes" }
                    ul { @for note in &of.notes { li { (note) } } }
                }
            }
        }
    };
    Ok(page.into_string())
}

/// The chart and the table of the layers.
fn layers(tensors: &[TensorComparison]) -> Result<Markup> {
    // The worst ones, in the order of the network.
    let mut shown: Vec<&TensorComparison> = tensors.iter().collect();
    if shown.len() > chart::MAX_BARS {
        shown.sort_by(|a, b| a.difference.sqnr_db().total_cmp(&b.difference.sqnr_db()));
        let least = shown[chart::MAX_BARS - 1].difference.sqnr_db();
        shown = tensors.iter().filter(|of| of.difference.sqnr_db() <= least).collect();
        shown.truncate(chart::MAX_BARS);
    }
    let bars: Vec<_> = shown.iter().map(|of| (&of.name[..], of.difference.sqnr_db())).collect();
    let bars = chart::bars(&bars)?;
    Ok(html! {
        h2 { "Layers" }
        p {
            "SQNR is the ratio of signal to noise: 20 dB more is a tenth of the error, and what is exact "
            "has none; its bar is light. Clipped values are at an end of the 8-bit range although A "
            "lies beyond it."
            @if shown.len() < tensors.len() {
                " The chart has the " (shown.len()) " worst of " (tensors.len()) " layers."
            }
        }
        (PreEscaped(bars))
        div.wide {
            table {
                thead { tr { @for head in HEADS { th { (head) } } } }
                tbody {
                    @for of in tensors { tr { @for cell in cells(of) { td { (cell) } } } }
                }
            }
        }
    })
}
