//! `signfold compare`: the numbers, and the page, whatever names are in it.

mod common;

use common::*;
use signfold::layers::{Activation, Pointwise, Quantize};
use signfold::quant::{Int8, QuantParams};
use signfold::{Model, TensorType};

const MARKUP: &str = "<script>alert('&')</script>\"#000000\"";

/// Names that are markup, and a layer that rounds if it is asked to.
fn rounds(scale: Option<f32>) -> Model<'static> {
    let mut graph = Model::graph("rounds");
    let params = scale.map(|scale| QuantParams::new(Int8::I8, scale, 0).unwrap());
    let mut x = graph.input("x", TensorType::f32(3)).unwrap();
    if let Some(output) = params {
        x = graph.layer("", Quantize { output }, &[x]).unwrap();
    }
    let relu = Pointwise { activation: Activation::Relu, output: params };
    let y = graph.layer(MARKUP, relu, &[x]).unwrap();
    graph.output(y);
    graph.build().unwrap()
}

#[test]
fn a_table_and_json() {
    let folder = Folder::new();
    let a = folder.file("a.sfold", rounds(None).write());
    let b = folder.file("b.sfold", rounds(Some(0.5)).write());
    let x = folder.file("x.csv", "0.25,0.5,70\n-1,0,0\n");
    let args = ["compare", &a, &b, "--input", &x];
    let report = json(&args);
    assert_eq!((&report["rows"], &report["matching"]), (&2.into(), &"names".into()));
    assert_eq!(report["layers"][0]["name"], "x.quantized");
    let layer = &report["layers"][1];
    assert_eq!((&layer["name"], &layer["kind"]), (&MARKUP.into(), &"pointwise".into()));
    assert_eq!((&layer["scale"], &layer["zero_point"]), (&0.5.into(), &0.into()));
    assert_eq!(layer["max_abs_error"], 6.5);
    assert_eq!(layer["mean_abs_error"], 6.75 / 6.0);
    assert_eq!(layer["clipped_share"], 1.0 / 6.0);
    assert_eq!(layer["expected"], serde_json::json!([0.0, 70.0]));
    assert_eq!(layer["found"], serde_json::json!([0.0, 63.5]));
    assert_eq!(report["outputs"][0]["same_class"], 1.0);
    assert_eq!(report["largest_loss"], "x.quantized", "nothing more is lost behind it");
    let text = ok(&args);
    for part in [
        "20.6 dB",
        "16.67 %",
        "2 rows",
        "the largest loss is at `x.quantized` (quantize): exact",
        "100.0 %",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let same = ok(&["compare", &a, &a, "--input", &x]);
    assert!(same.contains("nothing is lost anywhere") && same.contains("exact"), "{same}");
}

#[test]
fn the_page_stands_alone() {
    let folder = Folder::new();
    let a = folder.file("a<b>.sfold", rounds(None).write());
    let b = folder.file("b.sfold", rounds(Some(0.5)).write());
    let x = folder.file("x.npy", npy_f32(1000, 3, &reals(3000)));
    let html = folder.arg("c.html");
    let args = ["compare", &a, &b, "--input", &x, "--html", &html];
    ok(&args);
    let page = std::fs::read_to_string(folder.path("c.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.matches("<circle").count() > 1000 && page.matches("<circle").count() <= 2000);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "names are text");
    assert!(!page.contains("a<b>") && page.contains("a&lt;b&gt;.sfold"));
    assert!(!page.contains("\"#000000\"") && page.contains("currentColor"));
    // Nothing is loaded from anywhere: the only address is the name of the SVG language.
    let addresses: Vec<_> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
    let known = |address: &&str| {
        ["http://www.w3.org/2000/svg", "http-equiv=\"Content-Securi"].contains(address)
    };
    assert!(addresses.iter().all(known), "{addresses:?}");
    ok(&args);
    assert_eq!(std::fs::read_to_string(folder.path("c.html")).unwrap(), page, "the same again");
}

#[test]
fn several_inputs_by_name() {
    let folder = Folder::new();
    let m = folder.file("m.sfold", two_inputs().write());
    let a = folder.file("a.npy", npy_f32(10, 4, &reals(40)));
    let b = format!("b={}", folder.file("b.npy", npy_f32(10, 3, &reals(30))));
    let report = json(&["compare", &m, &m, "--input", &b, "--input", &a]);
    assert_eq!(report["layers"].as_array().unwrap().len(), 4);
    assert_eq!(report["outputs"][1]["same_class"], 1.0);
    assert!(report["largest_loss"].is_null() && report["layers"][0]["sqnr_db"].is_null());
    let error = fails(1, &["compare", &m, &m, "--input", &b]);
    assert!(error.contains("too few files"), "{error}");
}

#[test]
fn a_quantized_network_beside_the_float_one() {
    let folder = Folder::new();
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let net = format!("{models}/float/digits-relu.safetensors");
    let rows = format!("{models}/data/digits-test-x.npy");
    let report = json(&["compare", &net, &format!("{models}/digits-relu.sfold"), "--input", &rows]);
    assert_eq!((&report["rows"], &report["matching"]), (&360.into(), &"names".into()));
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.len() >= 3, "{report}");
    for layer in layers {
        let sqnr = layer["sqnr_db"].as_f64();
        assert!(sqnr.is_none_or(|sqnr| sqnr > 30.0), "{layer}");
    }
    assert!(report["outputs"][0]["same_class"].as_f64().unwrap() > 0.98);
    assert!(layers.iter().any(|layer| layer["name"] == report["largest_loss"]));
    // Rows that are not like those of the calibration are clipped.
    let wide: Vec<f32> = reals(640).iter().map(|x| 9.0 * x).collect();
    let wide = folder.file("wide.npy", npy_f32(10, 64, &wide));
    let model = format!("{models}/digits-relu.sfold");
    let report = json(&["compare", &net, &model, "--input", &wide]);
    let clipped = report["layers"][0]["clipped_share"].as_f64().unwrap();
    assert!(clipped > 0.9, "{report}");
    assert_eq!(report["largest_loss"], "input.quantized");
    let html = folder.arg("c.html");
    ok(&["compare", &net, &model, "--input", &wide, "--html", &html]);
    assert!(std::fs::read_to_string(folder.path("c.html")).unwrap().contains(">0.relu<"));
}

#[test]
fn failures_name_the_file() {
    let folder = Folder::new();
    let three = folder.file("three.sfold", rounds(None).write());
    let six = folder.file("six.sfold", two_layers("net").write());
    let other = folder.file("other.bin", b"nonsense");
    let x = folder.file("x.npy", npy_f32(2, 3, &reals(6)));
    let html = folder.file("c.html", "old");
    for (b, x, expected) in [
        (&three, "none.npy", "none.npy"),
        (&three, &*three, "three.sfold: not an array"),
        (&six, &x, "one model takes rows of [3], the other of [6]"),
        (&other, &x, "other.bin: neither"),
        (&folder.arg("none.onnx"), &x, "none.onnx"),
        (&folder.arg(""), &x, "not a regular file"),
    ] {
        let error = fails(1, &["compare", &three, b, "--input", x, "--html", &html]);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(std::fs::read(folder.path("c.html")).unwrap(), b"old");
}
