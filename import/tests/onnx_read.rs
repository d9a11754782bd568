//! Reading ONNX files: element types, files beside the model's, and files that are broken or hostile.

#[path = "common/graph.rs"]
mod graph;

use std::fs;
use std::path::PathBuf;

use graph::{FLOAT, Graph, INT8, INT32, INT64, Told, UINT8, field, number, text, varint};
use signfold::{Error, ErrorKind, Model, Values};
use signfold_import::onnx::{OnnxOptions, read};

fn read_bytes(bytes: &[u8]) -> Result<Model<'static>, Error> {
    read(bytes, &OnnxOptions::default()).map(|imported| imported.model)
}

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, parts: &[&str]) {
    let error = read_bytes(bytes).expect_err("refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// A network of two layers: 3 inputs, 2 outputs.
fn network() -> Graph {
    Graph::new()
        .input("x", FLOAT, 3)
        .f32s("w", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
        .f32s("b", &[2], &[0.5, -0.5])
        .nodes("Gemm: x w b > g; Relu: g > y")
        .output("y")
}

const ROW: [f32; 3] = [1.0, -1.0, 2.0];

fn run(model: &Model<'_>) -> Values<'static> {
    model.reference(&Values::from(&ROW)).unwrap()
}

#[test]
fn every_way_to_store_real_numbers() {
    const DOUBLE: u64 = 11;
    const FLOAT16: u64 = 10;
    const BFLOAT16: u64 = 16;
    let values = [1.0_f32, 4.0, 2.0, 5.0, 3.0, -6.0];
    let halves: Vec<u16> = values.iter().map(|&x| half::f16::from_f32(x).to_bits()).collect();
    let brains: Vec<u16> = values.iter().map(|&x| half::bf16::from_f32(x).to_bits()).collect();
    let floats: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let doubles: Vec<u8> = values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    let words = |bits: &[u16]| bits.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let widened = |bits: &[u16]| bits.iter().flat_map(|&x| varint(x.into())).collect::<Vec<u8>>();
    let cases = [
        (FLOAT, field(9, &floats)),
        (FLOAT, field(4, &floats)),
        // One field for each number, as writers that do not pack have it.
        (FLOAT, floats.chunks(4).flat_map(|x| [&[4 << 3 | 5], x].concat()).collect()),
        (DOUBLE, field(9, &doubles)),
        (DOUBLE, field(10, &doubles)),
        (FLOAT16, field(9, &words(&halves))),
        (FLOAT16, field(5, &widened(&halves))),
        (BFLOAT16, field(9, &words(&brains))),
        (BFLOAT16, field(5, &widened(&brains))),
    ];
    for (kind, data) in cases {
        let graph = Graph::new().input("x", FLOAT, 3).tensor("w", kind, &[3, 2], &data);
        let model = read_bytes(&graph.node("MatMul", "x w", "y").output("y").file()).unwrap();
        assert_eq!(run(&model), Values::from(vec![5.0, -13.0]), "type {kind}");
    }
}

#[test]
fn every_way_to_store_whole_numbers() {
    let data = |kind: u64, at: u64, packed: Vec<u8>| (kind, field(at, &packed));
    let negative = varint(-1_i64 as u64);
    let cases = [
        data(INT64, 7, [negative.clone(), varint(3)].concat()),
        data(INT64, 9, [(-1_i64).to_le_bytes(), 3_i64.to_le_bytes()].concat()),
        data(INT32, 5, [negative.clone(), varint(3)].concat()),
        data(INT32, 9, [(-1_i32).to_le_bytes(), 3_i32.to_le_bytes()].concat()),
        data(INT8, 5, [negative, varint(3)].concat()),
        data(INT8, 9, vec![255, 3]),
    ];
    for (kind, data) in cases {
        let graph = Graph::new().input("x", FLOAT, 3).tensor("t", kind, &[2], &data);
        let model = read_bytes(&graph.nodes("Reshape: x t > r; Relu: r > y").output("y").file());
        assert_eq!(model.unwrap().output().width, 3, "type {kind}");
    }
    let large = Graph::new().input("x", FLOAT, 3);
    let large = large.tensor("t", UINT8, &[1], &field(5, &varint(256))).node("Relu", "x", "y");
    refused(&large.output("y").file(), ErrorKind::Format, &["initializer \"t\"", "256"]);
}

#[test]
fn elements_that_do_not_fit_their_shape_are_refused() {
    let graph = |kind, shape: &[u64], data: &[u8]| {
        let graph = Graph::new().input("x", FLOAT, 3).tensor("t", kind, shape, data);
        graph.node("Relu", "x", "y").output("y").file()
    };
    let format = ErrorKind::Format;
    let at = "initializer \"t\"";
    refused(&graph(FLOAT, &[2], &field(9, &[0; 12])), format, &[at, "[2]", "2 elements", "3"]);
    refused(&graph(FLOAT, &[2], &field(9, &[0; 7])), format, &[at, "7 bytes"]);
    refused(&graph(FLOAT, &[2], &[]), format, &[at, "0"]);
    refused(&graph(FLOAT, &[2], &field(5, &[1, 2])), format, &[at]);
    refused(&graph(FLOAT, &[u64::MAX], &[]), format, &[at, "negative"]);
    let huge = [u64::MAX >> 1, u64::MAX >> 1];
    refused(&graph(FLOAT, &huge, &[]), ErrorKind::Limit, &[at, "more than"]);
    refused(&graph(FLOAT, &[0, 1 << 40], &[]), ErrorKind::Limit, &[at, "more than"]);
    refused(&graph(FLOAT, &[1; 9], &field(9, &[0; 4])), ErrorKind::Limit, &[at, "9 dimensions"]);
    let segment = [field(9, &[0; 8]), field(3, &[])].concat();
    refused(&graph(FLOAT, &[2], &segment), ErrorKind::Unsupported, &[at, "segment"]);
    // Types that nothing uses may stand there.
    read_bytes(&graph(8, &[2], &text(6, "label"))).unwrap();
}

#[test]
fn names_are_given_once_and_before_they_are_taken() {
    let graph = || Graph::new().input("x", FLOAT, 3);
    let format = ErrorKind::Format;
    let nodes = |nodes: &str| graph().nodes(nodes).output("y").file();
    refused(&nodes("Relu: z > y"), format, &["(Relu, opset 21)", "\"z\""]);
    refused(&nodes("Add: x b > a; Add: a x > b; Relu: b > y"), format, &["\"b\""]);
    refused(&nodes("Add: x y > y"), format, &["\"y\""]);
    refused(&nodes("Relu: x > x; Relu: x > y"), format, &["\"x\" is given twice"]);
    refused(&nodes("Relu: x > y; Tanh: x > y"), format, &["Tanh", "\"y\" is given twice"]);
    refused(&nodes("Relu: x > z"), format, &["output", "\"y\""]);
    refused(&graph().node("Relu", "x", "y").file(), format, &["without outputs"]);
    let twice = graph().f32s("w", &[], &[1.0]).f32s("w", &[], &[2.0]).node("Relu", "x", "y");
    refused(&twice.output("y").file(), format, &["\"w\" is given twice"]);
    let nameless = graph().f32s("", &[], &[1.0]).node("Relu", "x", "y").output("y");
    refused(&nameless.file(), format, &["without a name"]);
    // Initializers may be inputs too: before version 4 they had to.
    let listed = graph().input("w", FLOAT, 3).f32s("w", &[3], &[1.0, 2.0, 3.0]);
    let model = read_bytes(&listed.node("Mul", "x w", "y").output("y").file()).unwrap();
    assert_eq!(model.inputs().len(), 1);
    let constant = graph().f32s("w", &[], &[1.0]).output("w").file();
    refused(&constant, ErrorKind::Model, &["no output depends"]);
}

#[test]
fn versions_that_are_not_known_are_refused() {
    for opset in [1, 10, 28] {
        let file = network().opset(opset).file();
        refused(&file, ErrorKind::Unsupported, &[&format!("opset {opset}"), "11 to 27"]);
    }
    for opset in 11..=27 {
        let model = read_bytes(&network().opset(opset).file()).unwrap();
        assert_eq!(run(&model), Values::from(vec![5.5, 10.5]));
    }
    let domain = network().node("org.example:Op", "x", "z").file();
    refused(&domain, ErrorKind::Format, &["Op", "\"org.example\""]);
    let graph = network();
    let file = |more: &[u8]| [graph.file(), more.to_vec()].concat();
    let again = field(8, &number(2, 12));
    refused(&file(&again), ErrorKind::Format, &["two operator sets"]);
    refused(&file(&field(25, &text(1, "f"))), ErrorKind::Unsupported, &["1 functions"]);
    let sparse = network().field(15, &[]).file();
    refused(&sparse, ErrorKind::Unsupported, &["sparse"]);
    refused(&graph.opsets(), ErrorKind::Format, &["without a graph"]);
    refused(&[], ErrorKind::Format, &["without a graph"]);
    refused(b"not an ONNX file at all", ErrorKind::Format, &["not an ONNX file"]);
}

#[test]
fn broken_files_are_refused_or_read_but_never_panic() {
    let file = network().file();
    let whole = run(&read_bytes(&file).unwrap());
    for end in 0..file.len() {
        if let Ok(model) = read_bytes(&file[..end]) {
            assert_eq!(run(&model), whole, "{end} bytes");
        }
    }
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut file = file.clone();
            file[at] ^= 1 << bit;
            _ = read_bytes(&file);
        }
    }
}

#[test]
fn small_files_do_not_fill_the_memory() {
    let limit = ErrorKind::Limit;
    let graph = |fields: Vec<u8>| [field(7, &fields), network().opsets()].concat();
    // Messages of two bytes, of each kind, far more of them than a network has.
    let many = 2_usize << 20;
    for at in [1, 5, 11, 12] {
        refused(&graph(field(at, &[]).repeat(many)), limit, &["fields"]);
    }
    let node = |field_of_it: Vec<u8>| graph(field(1, &field_of_it.repeat(many)));
    refused(&node(text(1, "")), limit, &["fields"]);
    refused(&node(field(5, &[])), limit, &["fields"]);
    refused(&graph(field(1, &[]).repeat(1 << 17)), limit, &["131072 nodes"]);
    // A constant that is doubled again and again.
    let start = Graph::new().input("x", FLOAT, 1).f32s("c0", &[1], &[1.0]);
    let doubled = (0..60)
        .fold(start, |graph, i| graph.nodes(&format!("Concat axis=0: c{i} c{i} > c{}", i + 1)));
    refused(&doubled.nodes("Mul: x c60 > y").output("y").file(), limit, &["many times"]);
    // And one that a shape makes large.
    for shape in [&[1_i64 << 40][..], &[0, 1 << 40], &[1 << 30], &[0, 1 << 30]] {
        let large = Graph::new().input("x", FLOAT, 1).i64s("s", &[shape.len() as u64], shape);
        let large = large.nodes("ConstantOfShape: s > c; Mul: x c > y").output("y").file();
        refused(&large, limit, &["ConstantOfShape"]);
    }
    // Weights that many layers share are copied for each.
    let shared = Graph::new().input("l0", FLOAT, 512).f32s("w", &[512, 512], &[0.0; 512 * 512]);
    let shared =
        (0..60).fold(shared, |graph, i| graph.nodes(&format!("MatMul: l{i} w > l{}", i + 1)));
    refused(&shared.output("l60").file(), limit, &["many times"]);
}

#[test]
fn deep_nesting_is_refused() {
    // Graphs in attributes of nodes in graphs, which are not even decoded; groups in groups.
    let mut inner = Vec::new();
    for _ in 0..1000 {
        let attribute = [text(1, "g"), field(6, &inner), number(20, 5)].concat();
        inner = field(1, &[text(4, "If"), field(5, &attribute)].concat());
    }
    let branch = [("then_branch", Told::Message(6, inner, 5))];
    let graph = Graph::new().input("x", FLOAT, 3).told("If", "x", "y", &branch).output("y");
    refused(&graph.file(), ErrorKind::Unsupported, &["(If, opset 21)", "not supported"]);
    let groups = [[99 << 3 & 0x7f | 3, 6].repeat(1000), [99 << 3 & 0x7f | 4, 6].repeat(1000)];
    refused(&groups.concat(), ErrorKind::Format, &["not an ONNX file"]);
}

/// A folder for one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// [`network`], with the weights elsewhere.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| field(13, &[text(1, key), text(2, value)].concat());
    let data: Vec<u8> = entries.iter().flat_map(entry).chain(number(14, 1)).collect();
    let graph = Graph::new().input("x", FLOAT, 3).tensor("w", FLOAT, &[3, 2], &data);
    graph.node("MatMul", "x w", "y").output("y").file()
}

#[test]
fn elements_in_a_file_beside_the_model() {
    let folder = folder("beside");
    let weights = [1.0_f32, 4.0, 2.0, 5.0, 3.0, -6.0];
    let bytes: Vec<u8> = weights.iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(folder.join("all"), &bytes).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/part"), [&[7; 8], &bytes[..]].concat()).unwrap();
    let options = OnnxOptions { external_data: Some(folder), ..OnnxOptions::default() };
    for entries in [
        &[("location", "all")][..],
        &[("location", "./all"), ("offset", "0"), ("length", "24"), ("checksum", "?")],
        &[("location", "sub/part"), ("offset", "8"), ("length", "24")],
    ] {
        let file = external(entries);
        let model = read(&file, &options).unwrap().model;
        assert_eq!(run(&model), Values::from(vec![5.0, -13.0]));
        refused(&file, ErrorKind::Unsupported, &["initializer \"w\"", "another file"]);
    }
}

#[test]
fn elements_elsewhere_are_refused() {
    let outer = folder("outer");
    let inner = outer.join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(outer.join("secret"), [0; 24]).unwrap();
    fs::write(inner.join("short"), [0; 23]).unwrap();
    fs::write(inner.join("data"), [0; 40]).unwrap();
    fs::create_dir(inner.join("folder")).unwrap();
    let absolute = outer.join("secret");
    let absolute = absolute.to_str().unwrap();
    let options = OnnxOptions { external_data: Some(inner.clone()), ..OnnxOptions::default() };
    let refused = |entries: &[(&str, &str)], part: &str| {
        let error = read(&external(entries), &options).expect_err("refused").to_string();
        assert!(error.starts_with("initializer \"w\"") && error.contains(part), "{error}");
    };
    refused(&[("location", "../secret")], "not inside");
    refused(&[("location", "folder/../../secret")], "not inside");
    refused(&[("location", absolute)], "not inside");
    refused(&[("location", "missing")], "missing");
    refused(&[("location", "folder")], "folder");
    refused(&[("location", "")], "file");
    refused(&[("offset", "0")], "without a location");
    refused(&[("location", "short")], "23 bytes");
    refused(&[("location", "data"), ("offset", "17")], "24 bytes from 17 on");
    refused(&[("location", "data"), ("offset", "18446744073709551615")], "not in its 40");
    refused(&[("location", "data"), ("offset", "-1")], "not a number");
    refused(&[("location", "data"), ("length", "23")], "expected 24");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outer.join("secret"), inner.join("link")).unwrap();
        refused(&[("location", "link")], "not inside");
        std::os::unix::fs::symlink(&outer, inner.join("up")).unwrap();
        refused(&[("location", "up/secret")], "not inside");
    }
    // Tensors that share bytes.
    let data =
        [field(13, &[text(1, "location"), text(2, "data")].concat()), number(14, 1)].concat();
    let graph = Graph::new().input("x", FLOAT, 1).node("Relu", "x", "y").output("y");
    let graph = graph.tensor("a", FLOAT, &[6], &data).tensor("b", FLOAT, &[6], &data);
    let error = read(&graph.file(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}
