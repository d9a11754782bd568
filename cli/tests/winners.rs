//! Max-product layers: `signfold run --winners`, and what the other subcommands make of them.

mod common;

use common::*;
use signfold::layers::{Aggregate, Dense, MaxProduct};
use signfold::quant::{Int8, QuantParams};
use signfold::{Model, TensorType, Values, WeightLayout, kernels};

/// 3 inputs of `i8`, 2 outputs.
fn one_layer(aggregate: Aggregate) -> Model<'static> {
    let weights = vec![1, -2, 3, 4, 5, -6];
    let layer = MaxProduct::new(aggregate, weights, WeightLayout::OutIn, 2, 3).unwrap();
    let input = TensorType::int8(3, QuantParams::new(Int8::I8, 1.0, 0).unwrap());
    Model::builder("one", input).layer(layer).build().unwrap()
}

/// The shape that a `.npy` file has, and its elements.
fn winners(folder: &Folder, name: &str) -> (String, Vec<u32>) {
    let bytes = std::fs::read(folder.path(name)).unwrap();
    let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
    assert!(header.contains("'<u4'"), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0.to_string();
    let elements = elements(&folder.path(name));
    let elements = elements.chunks_exact(4).map(|e| u32::from_le_bytes(e.try_into().unwrap()));
    (shape, elements.collect())
}

#[test]
fn shapes_and_winners_by_hand() {
    let folder = Folder::new();
    let (rows, row): (&[u8], &[u8]) = (&[7, 6, 1, 1, 0, 5], &[7, 6, 1]);
    let w = folder.arg("w.npy");
    for (aggregate, of_rows, of_row, expected) in [
        // Products 7, -12, 3 and 28, 30, -6; then 1, 0, 15 and 4, 0, -30.
        (Aggregate::AbsMax, "2, 2", "2,", &[1, 1, 2, 2][..]),
        (Aggregate::Max, "2, 2", "2,", &[0, 1, 2, 0]),
        (Aggregate::Mam, "2, 2, 2", "2, 2", &[0, 1, 1, 2, 2, 1, 0, 2]),
    ] {
        let file = folder.file("m.sfold", one_layer(aggregate).write());
        let x = folder.file("x.npy", npy("|i1", "(2, 3)", rows));
        ok(&["run", &file, "--input", &x, "--winners", &w]);
        assert_eq!(winners(&folder, "w.npy"), (of_rows.to_string(), expected.to_vec()));
        let x = folder.file("x.npy", npy("|i1", "(3,)", row));
        ok(&["run", &file, "--input", &x, "--winners", &w, "--winners-layer", "0"]);
        let first = expected[..expected.len() / 2].to_vec();
        assert_eq!(winners(&folder, "w.npy"), (of_row.to_string(), first));
        let x = folder.file("x.npy", npy("|i1", "(0, 3)", &[]));
        ok(&["run", &file, "--input", &x, "--winners", &w]);
        assert_eq!(winners(&folder, "w.npy").1, [0_u32; 0]);
    }
    assert_eq!(folder.names(), ["m.sfold", "w.npy", "x.npy"]);
}

#[test]
fn each_layer_with_winners_and_outputs_beside_them() {
    let folder = Folder::new();
    let model = max_products();
    let file = folder.file("m.sfold", model.write());
    for rows in [3, 60_000] {
        let input = reals(6 * rows);
        let x = folder.file("x.npy", npy_f32(rows, 6, &input));
        let (y, w) = (folder.arg("y.npy"), folder.arg("w.npy"));
        let both = ["run", &file, "--input", &x, "--output", &y, "--winners", &w];
        let expected = model.reference(&Values::from(&input)).unwrap().digest();
        // The last layer is a mean.
        for (extra, layer, shape) in [
            (&[][..], 2, format!("{rows}, 3")),
            (&["--winners-layer", "1"], 1, format!("{rows}, 5, 4")),
        ] {
            ok(&[&both[..], extra].concat());
            let found = model.winners(layer, &Values::from(&input)).unwrap();
            assert_eq!(winners(&folder, "w.npy"), (shape, found));
            let outputs = elements(&folder.path("y.npy"));
            let outputs =
                outputs.chunks_exact(4).map(|e| f32::from_le_bytes(e.try_into().unwrap()));
            assert_eq!(Values::from(outputs.collect::<Vec<f32>>()).digest(), expected);
        }
    }
}

#[test]
fn a_batch_quantized_as_a_whole_stays_whole() {
    let folder = Folder::new();
    let model = max_per_tensor();
    let file = folder.file("m.sfold", model.write());
    let input = reals(4 * 150_000);
    let x = folder.file("x.npy", npy_f32(150_000, 4, &input));
    ok(&["run", &file, "--input", &x, "--winners", &folder.arg("w.npy")]);
    let found = model.winners(0, &Values::from(&input)).unwrap();
    assert_eq!(winners(&folder, "w.npy").1, found);
}

#[test]
fn failures_name_the_file_and_leave_no_output() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", max_products().write());
    let dense = folder.file("dense.sfold", two_layers("net").write());
    let mean = folder.file("mean.sfold", one_layer(Aggregate::Mean).write());
    let x = folder.file("x.npy", npy_f32(2, 6, &reals(12)));
    let w = folder.arg("w.npy");
    for (model, layer, expected) in [
        (&dense, None, "dense.sfold: there is no layer in which an input wins"),
        (&mean, None, "mean.sfold: there is no layer"),
        (&mean, Some("0"), "mean.sfold: layer 0 (mean): no input wins"),
        (&file, Some("0"), "m.sfold: layer 0 (quantize): no input wins"),
        (&file, Some("3"), "m.sfold: layer 3 (mean)"),
        (&file, Some("4"), "m.sfold: layer 4: there are 4 layers"),
    ] {
        let layer = layer.map_or(vec![], |layer| vec!["--winners-layer", layer]);
        let args = [&["run", model, "--input", &x, "--winners", &w][..], &layer].concat();
        let error = fails(1, &args);
        assert!(error.contains(expected), "{error}");
    }
    let error = fails(1, &["run", &file, "--input", &x, "--winners", &w, "--output", &w]);
    assert!(error.contains("the same file"), "{error}");
    let nan = folder.file("nan.npy", npy_f32(1, 6, &[f32::NAN; 6]));
    let error = fails(1, &["run", &file, "--input", &nan, "--winners", &w]);
    assert!(error.contains("nan.npy") && error.contains("NaN"), "{error}");
    fails(2, &["run", &file, "--input", &x, "--output", &w, "--winners-layer", "1"]);
    let nowhere = folder.arg("none/w.npy");
    let (y, input) = (folder.arg("y.npy"), &x);
    let error = fails(1, &["run", &file, "--input", input, "--output", &y, "--winners", &nowhere]);
    assert!(error.contains("none/w.npy"), "{error}");
    assert_eq!(folder.names(), ["dense.sfold", "m.sfold", "mean.sfold", "nan.npy", "x.npy"]);
}

/// A small file can ask for winners without end.
#[test]
fn winners_beyond_memory_are_refused() {
    let folder = Folder::new();
    let wide = 1 << 20;
    let ends = vec![0; wide];
    let layer = MaxProduct::from_connections(Aggregate::Mam, wide, ends, vec![], vec![]).unwrap();
    let dense = Dense::new(vec![1; wide], WeightLayout::InOut, wide, 1).unwrap();
    let params = QuantParams::new(Int8::I8, 1.0, 0).unwrap();
    let dense = dense.output(signfold::layers::DenseOutput::Int8(params, Default::default()));
    let model = Model::builder("wide", TensorType::int8(1, params))
        .layer(dense)
        .layer(layer.splits(wide))
        .build()
        .unwrap();
    let file = folder.file("m.sfold", model.write());
    let x = folder.file("x.npy", npy("|i1", "(1, 1)", &[1]));
    let error = fails(1, &["run", &file, "--input", &x, "--winners", &folder.arg("w.npy")]);
    assert!(error.contains("winners: 1 rows of up to 8796093022208 bytes"), "{error}");
}

#[test]
fn inspect_shows_how_products_are_joined() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", max_products().write());
    let report = json(&["inspect", &file]);
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(report["parameters"], 30 + 8 + 3 + 6);
    let (mam, soft, mean) =
        (&layers[1]["max_product"], &layers[2]["max_product"], &layers[3]["max_product"]);
    assert!(layers[0]["max_product"].is_null() && layers[1]["dense"].is_null());
    assert_eq!((&layers[1]["kind"], &layers[1]["activation"]), (&"mam".into(), &"relu".into()));
    assert_eq!((&mam["aggregate"], &mam["splits"]), (&"mam".into(), &2.into()));
    assert!(mam["alpha"].is_null() && mam["connections"].is_null() && mam["density"].is_null());
    assert_eq!(
        (&mam["weight_scales"]["count"], &mam["requantize"]),
        (&5.into(), &"nearest".into())
    );
    assert_eq!((&soft["alpha"], &soft["connections"]), (&2.5.into(), &8.into()));
    assert!((soft["density"].as_f64().unwrap() - 8.0 / 15.0).abs() < 1e-9);
    assert_eq!((&soft["bias"], &soft["input"]), (&"i32".into(), &"static".into()));
    assert_eq!(mean["aggregate"], "mean");
    for layer in [mam, soft, mean] {
        assert!(layer["worst_sum"].as_i64().unwrap() > 0);
    }
    let text = ok(&["inspect", &file]);
    for part in ["1 mam, 2 splits", "2 soft_abs_max, alpha 2.5, 8 connections (53.3 %)", "3 mean"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn other_subcommands_take_max_products() {
    let folder = Folder::new();
    for model in [max_products(), max_per_tensor()] {
        let file = folder.file("m.sfold", model.write());
        let checks = json(&["verify", &file])["checks"].as_array().unwrap().len();
        assert_eq!(checks, 1 + kernels::available().count());
        ok(&["bench", &file, "--seconds", "0.001", "--batch", "1,3"]);
        ok(&["bench", &file, "--seconds", "0.001", "--profile"]);
        let width = model.input().width;
        let x = folder.file("x.npy", npy_f32(3, width, &reals(3 * width)));
        let y = folder.file("y.npy", npy("|u1", "(3,)", &[0, 1, 1]));
        let report = json(&["eval", &file, "--inputs", &x, "--labels", &y]);
        assert_eq!(report["rows"], 3);
    }
}
