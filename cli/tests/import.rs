//! `signfold import`: files of other programs become models that verify.

mod common;
#[path = "../../import/tests/common/graph.rs"]
mod graph;

use common::*;
use graph::{FLOAT, Graph, field, number, text};

const TFLITE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../import/tests/tflite/models/keras-classifier");

/// x -> Gemm -> Relu -> y, 3 inputs and 2 outputs.
fn onnx() -> Graph {
    Graph::new()
        .input("x", FLOAT, 3)
        .f32s("w", &[3, 2], &[1.0, 2.0, 0.5, -1.0, 0.25, 4.0])
        .f32s("b", &[2], &[0.5, -0.5])
        .node("Gemm", "x w b", "h")
        .node("Relu", "h", "y")
        .output("y")
}

#[test]
fn a_float_network_runs_in_f32() {
    let folder = Folder::new();
    let net = folder.file("net.onnx", onnx().file());
    let m = folder.arg("m.sfold");
    let report = json(&["import", &net, "-o", &m, "--name", "renamed"]);
    assert_eq!(report["name"], "renamed");
    assert_eq!(
        (&report["inputs"][0]["name"], &report["inputs"][0]["width"]),
        (&"x".into(), &3.into())
    );
    assert_eq!(report["outputs"][0]["name"], "y");
    assert_eq!(report["parameters"], 8);
    assert_eq!(report["golden"]["rows"], 8);
    let notes = report["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note.as_str().unwrap().contains("signfold quantize")));
    assert_eq!(json(&["verify", &m])["rows"], 8);
    let x = folder.file("x.csv", "1,2,4\n-1,0,0\n");
    ok(&["run", &m, "--input", &x, "--output", &folder.arg("y.npy")]);
    let expected: Vec<u8> =
        [3.5_f32, 15.5, 0.0, 0.0].iter().flat_map(|y| y.to_le_bytes()).collect();
    assert_eq!(elements(&folder.path("y.npy")), expected);
    let text = ok(&["import", &net, "-o", &m, "--golden", &x, "--golden-rows", "1"]);
    assert!(text.contains("note: all layers run in f32") && text.contains("float dense"), "{text}");
    assert_eq!(json(&["verify", &m])["rows"], 1);
    ok(&["import", &net, "-o", &m, "--golden-rows", "0"]);
    assert!(fails(1, &["verify", &m]).contains("no golden rows"));
    // A file is known by what is in it, and by its name where that does not tell.
    let unnamed = folder.file("net.bin", onnx().file());
    assert!(fails(1, &["import", &unnamed, "-o", &m]).contains("net.bin: neither"));
    let model = folder.file("model.bin", two_layers("net").write());
    assert_eq!(json(&["import", &model, "-o", &m])["name"], "net");
    // What was read is compared without having been imported.
    let report = json(&["compare", &net, &net, "--input", &x]);
    assert!(report["largest_loss"].is_null());
}

#[test]
fn an_int8_network_keeps_its_integers() {
    let folder = Folder::new();
    let (net, x) = (format!("{TFLITE}.tflite"), format!("{TFLITE}-input.npy"));
    let (m, y) = (folder.arg("m.sfold"), folder.arg("y.npy"));
    for rule in ["tf-lite", "tf-lite-reference"] {
        ok(&["import", &net, "-o", &m, "--rounding", rule, "--golden", &x]);
        ok(&["verify", &m]);
        ok(&["run", &m, "--input", &x, "--output", &y]);
        let recorded = format!("{TFLITE}-{}.npy", rule.replace("tf-", "tf"));
        assert_eq!(elements(&folder.path("y.npy")), elements(recorded.as_ref()), "{rule}");
    }
    let report = json(&["import", &net, "-o", &m]);
    assert_eq!(report["layers"][0]["dense"]["requantize"], "tf-lite");
    assert_eq!(report["notes"], serde_json::json!([]));
}

#[test]
fn data_outside_of_the_file_have_to_be_allowed() {
    let folder = Folder::new();
    let entry = [text(1, "location"), text(2, "w.bin")].concat();
    let outside = [field(13, &entry), number(14, 1)].concat();
    let graph = Graph::new()
        .input("x", FLOAT, 1)
        .tensor("w", FLOAT, &[1, 1], &outside)
        .node("MatMul", "x w", "y")
        .output("y");
    let net = folder.file("net.onnx", graph.file());
    folder.file("w.bin", 2.0_f32.to_le_bytes());
    let m = folder.arg("m.sfold");
    let error = fails(1, &["import", &net, "-o", &m]);
    assert!(error.contains("net.onnx") && error.contains("another file"), "{error}");
    ok(&["import", &net, "-o", &m, "--allow-external-data"]);
    let x = folder.file("x.csv", "3\n");
    ok(&["run", &m, "--input", &x, "--output", &folder.arg("y.npy")]);
    assert_eq!(elements(&folder.path("y.npy")), 6.0_f32.to_le_bytes());
    assert!(fails(1, &["compare", &m, &net, "--input", &x]).contains("another file"));
    ok(&["compare", &m, &net, "--input", &x, "--allow-external-data"]);
}

#[test]
fn random_rows_need_not_suit_a_network() {
    let folder = Folder::new();
    // 0 / 0 for what is below 0.
    let relu = Graph::new().input("x", FLOAT, 2).node("Relu", "x", "r");
    let graph = relu.node("Div", "r r", "y").output("y");
    let net = folder.file("net.onnx", graph.file());
    let m = folder.arg("m.sfold");
    let text = ok(&["import", &net, "-o", &m]);
    assert!(text.contains("note: no rows to verify with") && text.contains("NaN"), "{text}");
    let x = folder.file("x.csv", "4,9\n");
    ok(&["import", &net, "-o", &m, "--golden", &x]);
    ok(&["verify", &m]);
    let negative = folder.file("negative.csv", "-4,9\n");
    assert!(fails(1, &["import", &net, "-o", &m, "--golden", &negative]).contains("NaN"));
}

#[test]
fn failures_name_the_file_and_leave_the_old_model() {
    let folder = Folder::new();
    let m = folder.file("m.sfold", "old");
    let net = folder.file("net.onnx", onnx().file());
    let sfold = folder.file("other.sfold", two_layers("net").write());
    let cut = folder.file("cut.onnx", &onnx().file()[..40]);
    let narrow = folder.file("narrow.csv", "1,2\n");
    for (arguments, expected) in [
        (&[&*net, "--golden", "none.npy"][..], "none.npy"),
        (&[&net, "--golden", &narrow], "narrow.csv: shape [1, 2] has rows of 2"),
        (&[&net, "--golden", &narrow, "--golden-rows", "0"], "--golden-rows 0"),
        (&[&net, "--name", &"n".repeat(300)], "--name: a name of 300 bytes"),
        (&[&cut], "cut.onnx"),
        (&["none.onnx"], "none.onnx"),
        (&[&narrow], "narrow.csv: neither"),
        (&[&sfold, "--rounding", "nearest"], "other.sfold: a signfold file is not to be told"),
    ] {
        let error = fails(1, &[&["import", "-o", &m][..], arguments].concat());
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(std::fs::read(folder.path("m.sfold")).unwrap(), b"old");
    for arguments in [&[&*net][..], &[&net, "-o", &m, "--rounding", "up"]] {
        fails(2, &[&["import"][..], arguments].concat());
    }
}
