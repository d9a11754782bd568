//! `signfold quantize`: from a float network to a model that verifies.

mod common;

use common::*;

const NET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/float/digits-relu.safetensors");
const ROWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/data/digits-calib-x.npy");

#[test]
fn every_way_gives_a_model_that_verifies_and_scores() {
    let folder = Folder::new();
    let m = folder.arg("m.sfold");
    for options in [
        &["--calibrate", ROWS][..],
        &["--calibrate", ROWS, "--weights", "per-tensor", "--activations", "symmetric"],
        &["--calibrate", ROWS, "--dynamic", "per-row", "--name", "other"],
        &["--calibrate", ROWS, "--dynamic", "per-tensor", "--golden", "3"],
        &["--calibrate", ROWS, "--method", "percentile"],
        &["--calibrate", ROWS, "--method", "percentile=99.9", "--bias-correction"],
        &["--calibrate", ROWS, "--method", "entropy", "--equalize"],
        &["--calibrate", ROWS, "--method", "mse", "--keep-float", "0"],
    ] {
        let report = json(&[&["quantize", NET, "-o", &m][..], options].concat());
        let named = if options.contains(&"other") { "other" } else { "digits-relu" };
        assert_eq!(report["model"], named);
        // A layer that is kept does not take its ReLU in.
        let layers = if options.contains(&"--keep-float") { 4 } else { 3 };
        assert_eq!(report["layers"].as_array().unwrap().len(), layers);
        assert_eq!(report["outputs"][0]["agreement"]["rows"], 256);
        let rows = if options.contains(&"3") { 3 } else { 8 };
        assert_eq!(json(&["verify", &m])["rows"], rows);
        // The float network has 351 of 360 right.
        let correct = json(&["eval", &m])["correct"].as_u64().unwrap();
        assert!((347..=355).contains(&correct), "{options:?}: {correct}");
    }
    assert_eq!(folder.names(), ["m.sfold"]);
    let text = ok(&["quantize", NET, "--calibrate", ROWS, "-o", &m]);
    assert!(text.contains("agreement"), "{text}");
}

#[test]
fn the_shipped_models_are_what_quantize_makes() {
    let folder = Folder::new();
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    for (name, data, score, expected) in [
        ("digits-hardtanh", "digits", "correct", 353.0..=353.0),
        ("digits-relu", "digits", "correct", 351.0..=351.0),
        ("digits-absmax", "digits", "correct", 348.0..=348.0),
        ("digits-softabsmax", "digits", "correct", 346.0..=346.0),
        ("digits-mam", "digits", "correct", 352.0..=352.0),
        ("regress-100-50-1", "regress", "r2", 0.97..=0.971),
    ] {
        let net = format!("{models}/float/{name}.safetensors");
        let rows = format!("{models}/data/{data}-calib-x.npy");
        let made = folder.arg("m.sfold");
        ok(&["quantize", &net, "--calibrate", &rows, "-o", &made]);
        let shipped = format!("{models}/{name}.sfold");
        let equal = std::fs::read(&made).unwrap() == std::fs::read(&shipped).unwrap();
        assert!(equal, "{name}: the quantizer has changed, so quantize it again");
        ok(&["verify", &shipped]);
        let report = json(&["eval", &shipped]);
        assert!(expected.contains(&report[score].as_f64().unwrap()), "{report}");
    }
}

#[test]
fn layers_are_kept_and_rows_to_compare_on_may_be_others() {
    let folder = Folder::new();
    let m = folder.arg("m.sfold");
    let test = ROWS.replace("calib", "test");
    let start = ["quantize", NET, "--calibrate", ROWS, "-o", &m];
    let report = json(&[&start[..], &["--evaluate", &test, "--keep-float", "0.relu"]].concat());
    assert_eq!(report["outputs"][0]["agreement"]["rows"], 360);
    let kinds: Vec<_> = report["layers"].as_array().unwrap().iter().map(|l| &l["kind"]).collect();
    assert_eq!(kinds, ["float dense", "pointwise", "dense", "dense"]);
    let error = fails(1, &[&start[..], &["--keep-float", "fc"]].concat());
    assert!(error.contains("\"fc\"") && error.contains("\"0.relu\""), "{error}");
}

#[test]
fn dynamic_models_need_no_calibration() {
    let folder = Folder::new();
    let m = folder.arg("m.sfold");
    let report = json(&["quantize", NET, "--dynamic", "per-row", "-o", &m]);
    assert!(report["outputs"][0]["agreement"].is_null());
    assert!(json(&["eval", &m])["correct"].as_u64().unwrap() >= 347);
}

#[test]
fn max_product_layers_are_quantized() {
    let folder = Folder::new();
    let layer = r#"{"kind":"mam","weight":"w","layout":"out_in","splits":2,"pruned":true}"#;
    let description = format!(r#"{{"version":1,"name":"mam","inputs":6,"layers":[{layer}]}}"#);
    let tensors = serde_json::json!({
        "__metadata__": { "signfold": description },
        "w": { "dtype": "F32", "shape": [2, 6], "data_offsets": [0, 48] },
    });
    let header = tensors.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(reals(12).iter().flat_map(|w| w.to_le_bytes()));
    let (net, m) = (folder.file("n.safetensors", file), folder.arg("m.sfold"));
    let rows = folder.file("x.npy", npy_f32(50, 6, &reals(300)));
    for options in [&["--calibrate", &rows][..], &["--dynamic", "per-row"]] {
        let report = json(&[&["quantize", &net, "-o", &m][..], options].concat());
        assert_eq!(report["layers"][0]["kind"], "mam");
        let layers = json(&["inspect", &m])["layers"].clone();
        let mam = &layers.as_array().unwrap().last().unwrap()["max_product"];
        assert_eq!((&mam["splits"], &mam["connections"]), (&2.into(), &12.into()));
    }
}

#[test]
fn failures_name_the_file_and_leave_the_old_model() {
    let folder = Folder::new();
    let m = folder.file("m.sfold", "old");
    let narrow = folder.file("narrow.npy", npy_f32(2, 3, &reals(6)));
    let nan = folder.file("nan.npy", npy_f32(1, 64, &[f32::NAN; 64]));
    for (net, rows, named) in [
        (NET, "none.npy", "none.npy"),
        (NET, &narrow, "narrow.npy"),
        (NET, &nan, "nan.npy"),
        (ROWS, ROWS, ROWS),
        ("none.safetensors", ROWS, "none.safetensors"),
    ] {
        let error = fails(1, &["quantize", net, "--calibrate", rows, "-o", &m]);
        assert!(error.contains(named), "{error}");
    }
    assert_eq!(std::fs::read(folder.path("m.sfold")).unwrap(), b"old");
    for args in [
        &["quantize", NET, "-o", &m][..],
        &["quantize", NET, "--calibrate", ROWS],
        &["quantize", NET, "--calibrate", ROWS, "-o", &m, "--golden", "-1"],
        &["quantize", NET, "--calibrate", ROWS, "-o", &m, "--weights", "none"],
        &["quantize", NET, "--calibrate", ROWS, "-o", &m, "--method", "percentile=50"],
        &["quantize", NET, "--calibrate", ROWS, "-o", &m, "--method", "mse=3"],
    ] {
        fails(2, args);
    }
}
