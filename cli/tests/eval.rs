//! `signfold eval`: scores of answers that are known.

mod common;

use std::io::Write;

use common::*;
use flate2::Compression;
use flate2::write::GzEncoder;

fn idx(shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn classes_from_idx_packed_or_not() {
    let folder = Folder::new();
    let images = idx(&[4, 1, 2], &[9, 1, 1, 9, 9, 1, 0, 255]);
    let labels = idx(&[4], &[0, 1, 1, 1]);
    // Pixels times 1/255, then the model's own scale: the default gives the bytes back.
    let model = folder.file("m.sfold", largest_pixel(1.0 / 255.0).write());
    for (images, labels) in [(images.clone(), labels.clone()), (gz(&images), gz(&labels))] {
        let (x, y) = (folder.file("x", images), folder.file("y", labels));
        let args = ["eval", &model, "--inputs", &x, "--labels", &y];
        let report = json(&args);
        assert_eq!(report["task"], "classification");
        assert_eq!((&report["rows"], &report["correct"]), (&4.into(), &3.into()));
        assert_eq!(report["accuracy"], 0.75);
        assert_eq!(report["confusion"], serde_json::json!([[1, 0], [1, 2]]));
        assert!(report["rows_per_second"].as_f64().unwrap() > 0.0);
        let text = ok(&args);
        assert!(text.contains("75.00 %") && text.contains("largest"), "{text}");
        // All pixels round to 0, so the first one wins.
        let args = [&args[..], &["--scale", "1e-9"]].concat();
        assert_eq!(json(&args)["correct"], 1);
    }
}

#[test]
fn a_regression_from_npy() {
    let folder = Folder::new();
    let model = folder.file("m.sfold", twice().write());
    let x = folder.file("x.npy", npy_f32(3, 1, &[0.5, 1.0, 2.5]));
    let y: Vec<u8> = [1.0_f64, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let y = folder.file("y.npy", npy("<f8", "(3,)", &y));
    let report = json(&["eval", &model, "--inputs", &x, "--labels", &y, "--threads", "1"]);
    assert_eq!(report["task"], "regression");
    assert_eq!(report["r2"], -1.0);
    assert_eq!(report["mae"], 2.0 / 3.0);
    assert_eq!(report["threads"], 1);
}

#[test]
fn sets_that_do_not_fit_are_errors() {
    let folder = Folder::new();
    let model = folder.file("m.sfold", two_layers("net").write());
    let error = fails(1, &["eval", &model]);
    assert!(error.contains("--inputs") && error.contains("--labels"), "{error}");
    let x = folder.file("x.npy", npy_f32(2, 6, &reals(12)));
    let none = folder.file("none.npy", npy_f32(0, 6, &[]));
    for (x, labels, expected) in [
        (&x, npy("|u1", "(3,)", &[0, 1, 2]), "labels of shape [3] for 2 rows"),
        (&x, npy("|u1", "(2,)", &[0, 3]), "label 3 of row 1"),
        (&x, npy("<u4", "(2,)", &[0, 0, 0, 0, 255, 255, 255, 255]), "label 4294967295"),
        (&x, npy_f32(2, 1, &[0.0, 0.5]), "label 0.5"),
        (&x, idx(&[u32::MAX, u32::MAX], &[0]), "y.npy"),
        (&none, npy("|u1", "(0,)", &[]), "no rows"),
    ] {
        let y = folder.file("y.npy", labels);
        let error = fails(1, &["eval", &model, "--inputs", x, "--labels", &y]);
        assert!(error.contains(expected), "{error}");
    }
    let error = fails(1, &["eval", &model, "--inputs", "no/x", "--labels", "no/y"]);
    assert!(error.contains("no/x"), "{error}");
}

#[test]
fn one_of_several_outputs_is_tested() {
    let folder = Folder::new();
    let model = folder.file("m.sfold", scores_and_class().write());
    let x = folder.file("x.csv", "0,1\n1,0\n2,3\n");
    let y = folder.file("y.csv", "label\n1\n0\n0\n");
    let args = ["eval", &model, "--inputs", &x, "--labels", &y];
    for output in [&[][..], &["--output", "class"], &["--output", "scores"], &["--output", "1"]] {
        let report = json(&[&args[..], output].concat());
        assert_eq!((&report["rows"], &report["correct"]), (&3.into(), &2.into()));
        assert_eq!(report["confusion"], serde_json::json!([[1, 1], [0, 1]]));
    }
    let error = fails(1, &[&args[..], &["--output", "none"]].concat());
    assert!(error.contains("\"class\", \"scores\""), "{error}");
    let two = folder.file("two.sfold", two_inputs().write());
    let error = fails(1, &["eval", &two, "--inputs", &x, "--labels", &y]);
    assert!(error.contains("one input"), "{error}");
}

#[test]
fn the_built_in_digits_are_recognized() {
    let report = json(&["eval"]);
    assert_eq!(report["rows"], 360);
    assert!(report["accuracy"].as_f64().unwrap() > 0.97, "{report}");
    assert!(ok(&["eval"]).contains("accuracy"));
}
