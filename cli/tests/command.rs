//! The other subcommands, and what all of them promise: exit codes, JSON, errors that name files.

mod common;

use common::*;
use signfold::kernels;

#[test]
fn inspect_shows_what_a_file_holds() {
    let folder = Folder::new();
    let model = two_layers("a name");
    let bytes = model.write();
    let file = folder.file("m.sfold", &bytes);
    let report = json(&["inspect", &file]);
    assert_eq!(report["name"], "a name");
    assert_eq!(report["bytes"], bytes.len());
    assert_eq!(report["parameters"], 45);
    assert_eq!(report["layers"].as_array().unwrap().len(), 3);
    assert_eq!(report["layers"][1]["activation"], "relu");
    assert_eq!(report["layers"][1]["dense"]["weight_scales"]["count"], 5);
    assert_eq!(report["layers"][1]["dense"]["requantize"], "nearest");
    assert!(report["layers"][2]["dense"]["worst_sum"].as_i64().unwrap() > 0);
    assert_eq!(report["golden"]["rows"], 10);
    let digest = format!("{:016x}", model.golden().unwrap().digest());
    assert_eq!(report["golden"]["output_digest"], digest);
    let text = ok(&["inspect", &file]);
    assert!(text.contains(&digest) && text.contains("6 -> 5"), "{text}");
}

#[test]
fn inspect_shows_how_layers_hang_together() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_inputs().write());
    let report = json(&["inspect", &file]);
    let names = |of: &serde_json::Value| -> Vec<String> {
        let tensors = of.as_array().unwrap().iter();
        tensors.map(|tensor| tensor["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&report["inputs"]), ["a", "b"]);
    assert_eq!(names(&report["outputs"]), ["scores", "class"]);
    assert_eq!(report["outputs"][1]["from"], "layer 4");
    assert_eq!(report["outputs"][1]["element"], "u32");
    assert_eq!(report["parameters"], 21);
    let sum = &report["layers"][2];
    assert_eq!((&sum["kind"], &sum["activation"]), (&"add".into(), &"relu".into()));
    assert_eq!(sum["output"]["name"], "sum");
    assert_eq!(sum["from"], serde_json::json!(["layer 0", "layer 1"]));
    assert_eq!(report["layers"][1]["from"], serde_json::json!(["input 1"]));
    let text = ok(&["inspect", &file]);
    for part in ["3 x f32 \"b\"", "layer 0, layer 1", "3, 3 -> 3", "9 f32 ", "from layer 4"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A row of layers has no wiring to show.
    let row = ok(&["inspect", &folder.file("m.sfold", two_layers("net").write())]);
    assert!(!row.contains("takes") && !row.contains("from"), "{row}");
}

#[test]
fn verify_agrees_on_every_kernel() {
    let folder = Folder::new();
    for model in [two_layers("net"), per_tensor(), two_inputs()] {
        let file = folder.file("m.sfold", model.write());
        let report = json(&["verify", &file]);
        let checks = report["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 1 + kernels::available().count());
        assert!(checks.iter().all(|c| c["agrees"] == true && c["digest"] == report["digest"]));
        let text = ok(&["verify", &file]);
        assert!(kernels::available().all(|kernel| text.contains(kernel.name())), "{text}");
    }
    let file = folder.file("m.sfold", twice().write());
    assert!(fails(1, &["verify", &file]).contains("no golden rows"));
}

/// Without a model: the battery, whose digest is the library's.
#[test]
fn verify_computes_the_battery() {
    let report = json(&["verify"]);
    let digest = format!("{:016x}", signfold::battery::DIGEST);
    assert_eq!(report["digest"], digest);
    let checks = report["checks"].as_array().unwrap();
    let by: Vec<_> = checks.iter().map(|check| check["by"].as_str().unwrap()).collect();
    let kernels = kernels::available().map(|kernel| kernel.name());
    assert_eq!(by, std::iter::once("reference").chain(kernels).collect::<Vec<_>>());
    assert!(checks.iter().all(|c| c["agrees"] == true && c["digest"] == report["digest"]));
    let models = signfold::battery::Battery::new().unwrap().models().len();
    assert_eq!(report["models"], models);
    let text = ok(&["verify"]);
    assert!(text.starts_with(&format!("battery: {models} models, digest {digest}\n")), "{text}");
    assert_eq!(text.matches("ok\n").count(), by.len(), "{text}");
}

#[test]
fn verify_notices_a_weight_that_changed() {
    let folder = Folder::new();
    let mut bytes = two_layers("net").write();
    let of_first_layer = weights(30).iter().map(|&w| w as u8).collect::<Vec<_>>();
    let at = bytes.windows(30).position(|window| window == of_first_layer).unwrap();
    bytes[at..at + 6].fill(100);
    // With a checksum that fits, the file itself is sound.
    bytes[24..32].fill(0);
    let checksum = signfold::Values::from(&bytes).digest();
    bytes[24..32].copy_from_slice(&checksum.to_le_bytes());
    let file = folder.file("m.sfold", bytes);
    let all = 1 + kernels::available().count();
    let error = fails(1, &["verify", &file]);
    assert!(error.contains(&format!("{all} of {all}")) && error.contains(&file), "{error}");
    let output = signfold(&["verify", &file, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["checks"][0]["agrees"], false);
    let difference = report["checks"][1]["difference"].as_str().unwrap();
    assert!(difference.starts_with("golden: output, row "), "{difference}");
    let text = String::from_utf8(signfold(&["verify", &file]).stdout).unwrap();
    assert!(text.contains("DIFFERS") && text.contains(difference), "{text}");
}

#[test]
fn kernels_lists_those_of_this_cpu() {
    let report = json(&["kernels", "--shape", "8x64x40", "--seconds", "0.01"]);
    let names: Vec<_> = report["kernels"].as_array().unwrap().iter().map(|k| &k["name"]).collect();
    let expected: Vec<_> = kernels::available().map(|kernel| kernel.name()).collect();
    assert_eq!(names, expected);
    for kernel in report["kernels"].as_array().unwrap() {
        for field in ["median_seconds", "limit_gmacs", "measured_gmacs", "share_of_limit"] {
            assert!(kernel[field].as_f64().unwrap() > 0.0, "{field}");
        }
        assert!(LIMITS.contains(&kernel["limit"].as_str().unwrap()), "{kernel}");
    }
    expect_unavailable(&report);
}

/// What can bind.
const LIMITS: [&str; 5] = ["instructions", "L1", "L2", "L3", "DRAM"];

/// The kernels that the CPU lacks are listed with what is missing.
fn expect_unavailable(report: &serde_json::Value) {
    let unavailable = report["unavailable"].as_array().unwrap();
    let lacking: Vec<_> = kernels::all().filter(|entry| entry.kernel().is_none()).collect();
    assert_eq!(unavailable.len(), lacking.len());
    for (listed, entry) in unavailable.iter().zip(lacking) {
        assert_eq!(listed["name"], entry.name());
        assert_eq!(listed["missing"], serde_json::json!(entry.missing()));
        assert!(!entry.missing().is_empty());
    }
}

#[test]
fn limits_of_the_machine() {
    let report = json(&["kernels", "--limits", "--seconds", "0.001"]);
    assert!(!report["cpu"].as_str().unwrap().is_empty());
    assert!(["detected", "assumed"].contains(&report["caches"].as_str().unwrap()));
    assert_eq!(report["reader"], kernels::best().name());
    let peaks = report["kernels"].as_array().unwrap();
    let names: Vec<_> = peaks.iter().map(|peak| &peak["name"]).collect();
    assert_eq!(names, kernels::available().map(|kernel| kernel.name()).collect::<Vec<_>>());
    assert!(peaks.iter().all(|peak| peak["gmacs"].as_f64().unwrap() > 0.0));
    expect_unavailable(&report);
    let memory = report["memory"].as_array().unwrap();
    assert!(memory.len() >= 2, "a cache at least, and what is beyond");
    assert_eq!(memory[0]["level"], "L1");
    assert_eq!(memory.last().unwrap()["level"], "DRAM");
    assert!(memory.last().unwrap()["bytes"].is_null());
    assert!(memory.iter().all(|level| level["gigabytes_per_second"].as_f64().unwrap() > 0.0));
    let read: Vec<_> = memory.iter().map(|level| level["bytes_read"].as_u64().unwrap()).collect();
    assert!(read.is_sorted(), "{read:?}");
    let text = ok(&["kernels", "--limits", "--seconds", "0.001"]);
    assert!(text.contains("GB/s") && text.contains("DRAM"), "{text}");
    assert!(kernels::all().all(|entry| text.contains(entry.name())), "{text}");
}

#[test]
fn profiles_name_each_step() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let short = ["bench", &file, "--profile", "--seconds", "0.001"];
    let report = json(&[&short[..], &["--kernel", "all", "--batch", "1,5"]].concat());
    assert_eq!(report["model"], "net");
    let profiles = report["profiles"].as_array().unwrap();
    assert_eq!(profiles.len(), 2 * kernels::available().count());
    for (profile, batch) in profiles.iter().zip([1, 5].into_iter().cycle()) {
        assert_eq!(profile["batch"], batch);
        let steps = profile["steps"].as_array().unwrap();
        // Some kernels prepare rows, in steps of their own.
        let named = steps.iter().filter(|step| step["name"] != "prepare");
        let names: Vec<_> = named.clone().map(|step| step["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["quantize", "dense 6x5", "dense 5x3"]);
        let products: Vec<_> = named.map(|step| step["products"].as_u64().unwrap()).collect();
        assert_eq!(products, [0, 30 * batch, 15 * batch]);
        let sum = |field: &str| steps.iter().map(|s| s[field].as_f64().unwrap()).sum::<f64>();
        assert!((sum("share") - 1.0).abs() < 1e-9);
        assert!((sum("median_seconds") / profile["seconds"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        let outside = steps.iter().filter(|step| step["products"] == 0);
        let outside: f64 = outside.map(|step| step["share"].as_f64().unwrap()).sum();
        let reported = profile["share_outside_products"].as_f64().unwrap();
        assert!(outside > 0.0 && (reported - outside).abs() < 1e-9);
        assert!(steps.iter().all(|step| LIMITS.contains(&step["limit"].as_str().unwrap())));
        assert!(steps.iter().all(|step| step["share_of_limit"].as_f64().unwrap() > 0.0));
    }
    let text = ok(&short);
    assert!(text.contains("dense 6x5") && text.contains("outside of products"), "{text}");
    // Whole batches, and models without a product.
    for model in [per_tensor(), largest_pixel(1.0)] {
        ok(&["bench", &folder.file("m.sfold", model.write()), "--profile", "--seconds", "0.001"]);
    }
}

#[test]
fn profiles_are_of_one_input_and_output() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_inputs().write());
    let error = fails(1, &["bench", &file, "--profile", "--seconds", "0.001"]);
    assert!(error.contains("this model has 2 and 2"), "{error}");
}

#[test]
fn bench_measures_each_combination() {
    let folder = Folder::new();
    for model in [two_layers("net"), largest_pixel(1.0), per_tensor(), two_inputs()] {
        let file = folder.file("m.sfold", model.write());
        let short = ["bench", &file, "--seconds", "0.01"];
        let all = ["--batch", "1,3", "--threads", "1,2", "--kernel", "all"];
        let report = json(&[&short[..], &all].concat());
        let measurements = report["measurements"].as_array().unwrap();
        assert_eq!(measurements.len(), 4 * kernels::available().count());
        for measurement in measurements {
            assert!(measurement["rows_per_second"].as_f64().unwrap() > 0.0);
            assert!(measurement["share_of_limit"].as_f64().unwrap() > 0.0);
            assert!(LIMITS.contains(&measurement["limit"].as_str().unwrap()));
        }
        let slowest = kernels::available().last().unwrap().name();
        let text = ok(&[&short[..], &["--kernel", slowest]].concat());
        assert!(text.contains(slowest) && text.contains("256"), "{text}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["bench", "m", "--batch", "0"][..],
        &["bench", "m", "--batch", "1,,2"],
        &["bench", "m", "--batch", "99999999999999999999"],
        &["bench", "m", "--threads", "0"],
        &["bench", "m", "--threads", "1000000"],
        &["bench", "m", "--kernel", "abacus"],
        &["bench", "m", "--profile", "--threads", "2"],
        &["bench", "m", "--seconds", "0"],
        &["bench", "m", "--seconds", "inf"],
        &["eval", "m", "--scale", "NaN"],
        &["eval", "m", "--scale", "-1"],
        &["eval", "m", "--inputs", "x"],
        &["eval", "m", "--labels", "y"],
        &["eval", "--inputs", "x", "--labels", "y"],
        &["eval", "m", "--kernel", "abacus"],
        &["run", "m", "--input", "x"],
        &["run", "m", "--output", "y"],
        &["eval", "--output", "y"],
        &["compare", "a", "b"],
        &["compare", "a", "--input", "x"],
        &["verify", "a", "b"],
        &["kernels", "--shape", "8x0x8"],
        &["kernels", "--shape", "8x8"],
        &["kernels", "--shape", "8x8x8", "--limits"],
        &["juggle"],
    ] {
        fails(2, args);
    }
    assert_eq!(signfold(&[]).status.code(), Some(2));
    assert!(ok(&["--help"]).contains("kernels"));
    assert!(ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn unreadable_models_are_named() {
    let folder = Folder::new();
    let mut damaged = two_layers("net").write();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let folder_path = folder.arg("");
    for file in [
        folder.arg("none.sfold"),
        folder.file("empty.sfold", b""),
        folder.file("damaged.sfold", damaged),
        folder_path,
        "-".to_string(),
    ] {
        for command in ["eval", "inspect", "bench", "verify"] {
            let error = fails(1, &[command, &file]);
            assert!(error.contains(&file), "{error}");
        }
    }
}

#[test]
fn batches_beyond_memory_are_refused() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let error = fails(1, &["bench", &file, "--batch", "4294967296"]);
    assert!(error.contains("GiB"), "{error}");
    for shape in ["99999999999x8x8", "8x1000000x1000000", "8x4294967296x4294967296"] {
        fails(1, &["kernels", "--shape", shape]);
    }
}
