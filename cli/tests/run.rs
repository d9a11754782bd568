//! `signfold run`: the same results as the library, whatever the file and its chunks.

mod common;

use common::*;
use signfold::{Engine, Model, kernels};

fn engine_output(model: &Model<'_>, input: &[f32]) -> Vec<u8> {
    let engine = Engine::new(model).unwrap();
    let rows = input.len() / model.input().width;
    let mut output = vec![0.0_f32; rows * model.output().width];
    engine.run(input, &mut output, &mut engine.scratch_for(rows)).unwrap();
    output.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn a_file_of_many_chunks_gives_what_one_run_gives() {
    let folder = Folder::new();
    let model = two_layers("net");
    let file = folder.file("m.sfold", model.write());
    let slowest = kernels::available().last().unwrap().name();
    for rows in [0, 1, 7, 250_001] {
        let input = reals(6 * rows);
        let x = folder.file("x.npy", npy_f32(rows, 6, &input));
        let y = folder.arg("y.npy");
        for extra in [&[][..], &["--threads", "2"], &["--kernel", slowest]] {
            if rows > 1000 && extra.contains(&"--kernel") {
                continue; // slow without optimization
            }
            ok(&[&["run", &file, "--input", &x, "--output", &y][..], extra].concat());
            assert_eq!(elements(&folder.path("y.npy")), engine_output(&model, &input), "{rows}");
        }
    }
    assert_eq!(folder.names(), ["m.sfold", "x.npy", "y.npy"]);
}

#[test]
fn a_batch_quantized_as_a_whole_stays_whole() {
    let folder = Folder::new();
    let model = per_tensor();
    let file = folder.file("m.sfold", model.write());
    let input = reals(4 * 300_000);
    let x = folder.file("x.npy", npy_f32(300_000, 4, &input));
    ok(&["run", &file, "--input", &x, "--output", &folder.arg("y.npy")]);
    assert_eq!(elements(&folder.path("y.npy")), engine_output(&model, &input));
}

#[test]
fn a_flat_row_gives_a_flat_row() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let row: Vec<u8> = reals(6).iter().flat_map(|x| x.to_le_bytes()).collect();
    let wide: Vec<u8> = reals(6).iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    for (descr, shape, bytes, expected) in [
        ("<f4", "(6,)", &row, "'shape': (3,), }"),
        ("<f4", "(1, 6)", &row, "'shape': (1, 3), }"),
        ("<f4", "(1, 2, 3)", &row, "'shape': (1, 3), }"),
        ("<f8", "(6,)", &wide, "'shape': (3,), }"),
    ] {
        let x = folder.file("x.npy", npy(descr, shape, bytes));
        ok(&["run", &file, "--input", &x, "--output", &folder.arg("y.npy")]);
        let bytes = std::fs::read(folder.path("y.npy")).unwrap();
        let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
        assert!(header.contains(expected), "{header}");
        assert_eq!(elements(&folder.path("y.npy")), engine_output(&two_layers("net"), &reals(6)));
    }
}

#[test]
fn integers_of_the_models_own_type_are_taken_as_they_are() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", largest_pixel(1.0).write());
    let y = folder.arg("y.npy");
    let x = folder.file("x.npy", npy("|u1", "(3, 2)", &[1, 2, 255, 0, 7, 7]));
    ok(&["run", &file, "--input", &x, "--output", &y]);
    assert_eq!(elements(&folder.path("y.npy")), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Real numbers are quantized as the model says.
    let x = folder.file("x.npy", npy_f32(1, 2, &[200.0, 201.0]));
    ok(&["run", &file, "--input", &x, "--output", &y]);
    assert_eq!(elements(&folder.path("y.npy")), [1, 0, 0, 0]);
    // Integers of the other type mean something else.
    let x = folder.file("x.npy", npy("|i1", "(1, 2)", &[1, 2]));
    let error = fails(1, &["run", &file, "--input", &x, "--output", &y]);
    assert!(error.contains("i8") && error.contains("u8"), "{error}");
}

#[test]
fn failures_name_the_file_and_leave_no_output() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let y = folder.arg("y.npy");
    let mut nan = reals(6 * 200_000);
    nan[6 * 190_000 + 4] = f32::NAN;
    for (bytes, expected) in [
        (npy_f32(200_000, 6, &nan), "row 190000, column 4 is NaN"),
        (npy_f32(2, 5, &reals(10)), "rows of 5"),
        (npy_f32(2, 6, &reals(11)), "44 bytes"),
        (npy("<f4", "(1000000000, 1000000000000)", &[]), "too large"),
        (npy("<f4", "(1000000000, 6)", &[0; 24]), "24 bytes"),
        (npy("<i4", "(1, 6)", &[0; 24]), "i32"),
        (npy("<c8", "(1, 6)", &[0; 48]), "<c8"),
        (b"nonsense".to_vec(), "not an array"),
        (Vec::new(), "not an array"),
    ] {
        let x = folder.file("x.npy", bytes);
        let error = fails(1, &["run", &file, "--input", &x, "--output", &y]);
        assert!(error.contains("x.npy") && error.contains(expected), "{error}");
        assert_eq!(folder.names(), ["m.sfold", "x.npy"], "{expected}");
    }
    let error = fails(1, &["run", &file, "--input", "-", "--output", &y]);
    assert!(error.contains("-: "), "{error}");
    let x = folder.file("x.npy", npy_f32(1, 6, &reals(6)));
    let nowhere = folder.arg("none/y.npy");
    let error = fails(1, &["run", &file, "--input", &x, "--output", &nowhere]);
    assert!(error.contains("none/y.npy"), "{error}");
    let error = fails(1, &["run", &x, "--input", &x, "--output", &y]);
    assert!(error.contains("x.npy"), "{error}");
}

#[test]
fn an_output_takes_the_place_of_its_own_input() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let x = folder.file("x.npy", npy_f32(2, 6, &reals(12)));
    ok(&["run", &file, "--input", &x, "--output", &x]);
    assert_eq!(elements(&folder.path("x.npy")), engine_output(&two_layers("net"), &reals(12)));
}

#[test]
fn arrays_of_all_formats_give_the_same() {
    let folder = Folder::new();
    let file = folder.file("m.sfold", two_layers("net").write());
    let input = reals(6 * 30);
    let lines: Vec<String> = (input.chunks_exact(6))
        .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(";"))
        .collect();
    let table = format!("a;b;c;d;e;f\n{}\n", lines.join("\n"));
    let array = npy_f32(30, 6, &input);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in [("other.npy", &b"nonsense"[..]), ("x.npy", &array)] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, bytes).unwrap();
    }
    let archive = folder.file("x.npz", archive.finish().unwrap().into_inner());
    let x = [folder.file("x.csv", table), format!("{archive}:x"), folder.file("x.npy", &array)];
    for x in &x {
        ok(&["run", &file, "--input", x, "--output", &folder.arg("y.npy")]);
        assert_eq!(elements(&folder.path("y.npy")), engine_output(&two_layers("net"), &input));
    }
    let error = fails(1, &["run", &file, "--input", &archive, "--output", &folder.arg("z.npy")]);
    assert!(error.contains("x.npz") && error.contains("\"other\", \"x\""), "{error}");
}

#[test]
fn several_inputs_and_outputs_have_files_of_their_own() {
    let folder = Folder::new();
    let model = two_inputs();
    let file = folder.file("m.sfold", model.write());
    let golden = model.golden().unwrap();
    let a = folder.file("a.npy", npy_f32(10, 4, &reals(40)));
    let b = folder.file("b.npy", npy_f32(10, 3, &reals(30)));
    let (named_a, named_b) = (format!("a={a}"), format!("b={b}"));
    let (y, class) = (folder.arg("y.npy"), folder.arg("class.npy"));
    let named_class = format!("class={class}");
    let bytes = |values: &signfold::Values<'_>| match values {
        signfold::Values::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(),
        signfold::Values::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => unreachable!(),
    };
    for inputs in [[&a, &b], [&named_b, &named_a], [&named_b, &a]] {
        let inputs = ["run", &file, "--input", inputs[0], "--input", inputs[1]];
        ok(&[&inputs[..], &["--output", &y, "--output", &named_class]].concat());
        assert_eq!(elements(&folder.path("y.npy")), bytes(&golden.outputs[0]));
        assert_eq!(elements(&folder.path("class.npy")), bytes(&golden.outputs[1]));
        std::fs::remove_file(folder.path("y.npy")).unwrap();
        ok(&[&inputs[..], &["--output", &named_class]].concat());
        assert_eq!(elements(&folder.path("class.npy")), bytes(&golden.outputs[1]));
        assert!(!folder.path("y.npy").exists(), "nobody wanted it");
    }
    let short = folder.file("short.npy", npy_f32(9, 3, &reals(27)));
    for (arguments, expected) in [
        (&["--input", &a, "--output", &y][..], "too few files"),
        (&["--input", &a, "--input", &short, "--output", &y], "9 rows, but the first input has 10"),
        (&["--input", &b, "--input", &a, "--output", &y], "rows of 3, the model takes 4"),
        (&["--input", &a, "--input", &b, "--output", &y, "--output", &y], "two results"),
        (&["--input", &a, "--input", &b, "--winners", &y], "no layer in which an input wins"),
    ] {
        let error = fails(1, &[&["run", &file][..], arguments].concat());
        assert!(error.contains(expected), "{error}");
    }
}
