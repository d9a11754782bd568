//! Shapes of ONNX graphs: what is only another view of the same rows becomes no layer, and what would
//! mix rows is refused.

#[path = "common/graph.rs"]
mod graph;

use graph::{FLOAT, Graph, INT32, INT64};
use signfold::{Error, ErrorKind, Model, Values};
use signfold_import::onnx::{OnnxOptions, read};

fn import(graph: &Graph) -> Result<Model<'static>, Error> {
    read(&graph.file(), &OnnxOptions::default()).map(|imported| imported.model)
}

/// A graph of nodes, then a ReLU, so that there is a layer. The input `x` has these dimensions.
fn views(dims: &str, nodes: &str) -> Graph {
    let graph = Graph::new().shaped("x", FLOAT, dims);
    let graph = graph
        .i64s("-1", &[1], &[-1])
        .i64s("0", &[1], &[0])
        .i64s("1", &[1], &[1])
        .i64s("2", &[1], &[2])
        .i64s("zero", &[], &[0])
        .i64s("[0,-1]", &[2], &[0, -1])
        .i64s("[-1,6]", &[2], &[-1, 6])
        .i64s("[-1,3]", &[2], &[-1, 3])
        .i64s("[4,6]", &[2], &[4, 6])
        .i64s("[0,3,2]", &[3], &[0, 3, 2])
        .i64s("[6,-1]", &[2], &[6, -1])
        .i64s("[-1,-1]", &[2], &[-1, -1]);
    graph.nodes(nodes).node("Relu", "v", "y").output("y")
}

#[track_caller]
fn refused(dims: &str, nodes: &str, parts: &[&str]) {
    let text = import(&views(dims, nodes)).expect_err("refused").to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn views_of_a_row_become_no_layer() {
    let cases = [
        ("n 6", "Identity: x > v"),
        ("n 6", "Cast to=1: x > v"),
        ("n 6", "Cast to=11: x > v"),
        ("n 6", "Dropout: x > v"),
        ("n 2 3", "Flatten: x > v"),
        ("n 2 3", "Flatten axis=-2: x > v"),
        ("n 1 6", "Flatten axis=2: x > v"),
        ("n 6", "Flatten: x > v"),
        ("n 2 3", "Reshape: x [0,-1] > v"),
        ("n 2 3", "Reshape: x [-1,6] > v"),
        ("n 6", "Reshape: x [0,3,2] > v"),
        ("4 2 3", "Reshape: x [4,6] > v"),
        ("4 2 3", "Reshape: x [-1,6] > v"),
        ("1 6", "Reshape: x -1 > v"),
        ("6", "Reshape: x [-1,6] > v"),
        ("n 1 6", "Squeeze: x 1 > v"),
        ("n 1 6", "Squeeze: x > v"),
        ("n 6", "Unsqueeze: x 1 > u; Squeeze: u 1 > v"),
        ("n 6", "Unsqueeze: x -1 > v"),
        ("n 1 6", "Transpose perm=0,2,1: x > v"),
        ("1 6", "Transpose perm=1,0: x > v"),
        ("n 1 2 3", "Transpose perm=0,2,3,1: x > v"),
        // x.view(x.size(0), -1) as TorchScript writes it.
        (
            "n 2 3",
            "Shape: x > s; Gather: s zero > b; Unsqueeze: b 0 > u; Concat axis=0: u -1 > t; \
             Reshape: x t > v",
        ),
        // The same by a slice, as TensorFlow's exporter writes it, and by part of a shape.
        (
            "n 2 3",
            "Shape: x > s; Cast to=6: s > c; Slice: c 0 1 0 > b; Cast to=7: b > d; \
             Concat axis=0: d -1 > t; Reshape: x t > v",
        ),
        ("n 2 3", "Shape start=0 end=1: x > s; Concat axis=0: s -1 > t; Reshape: x t > v"),
        // The other dimensions are multiplied.
        (
            "n 2 3",
            "Shape: x > s; Slice: s 0 1 > b; Gather: s 1 > m; Gather: s 2 > k; Mul: m k > mk; \
             Concat axis=0: b mk > t; Reshape: x t > v",
        ),
        // Where the batch is a number, so is the shape.
        ("4 2 3", "Shape: x > s; Gather: s 0 > b; Concat axis=0: b -1 > t; Reshape: x t > v"),
        (
            "4 2 3",
            "Shape: x > s; Gather: s 1 > a; Gather: s 2 > b; Mul: a b > c; \
             Concat axis=0: -1 c > t; Reshape: x t > v",
        ),
    ];
    for (dims, nodes) in cases {
        let model = import(&views(dims, nodes)).unwrap_or_else(|e| panic!("{nodes}: {e}"));
        assert_eq!(model.nodes().len(), 1, "{nodes}");
        assert_eq!(model.input().width, 6, "{nodes}");
        let rows = [1.0, -2.0, 3.0, -4.0, 5.0, 6.0];
        let found = model.reference(&Values::from(&rows)).unwrap();
        assert_eq!(found, Values::from(vec![1.0, 0.0, 3.0, 0.0, 5.0, 6.0]), "{nodes}");
    }
}

#[test]
fn a_row_of_one_element_may_have_no_dimension_for_it() {
    for nodes in ["Reshape: x -1 > v", "Squeeze: x 1 > v", "Squeeze axes=1: x > v"] {
        let opset = if nodes.contains("axes") { 11 } else { 21 };
        let model = import(&views("n 1", nodes).opset(opset)).unwrap();
        assert_eq!(model.output().width, 1);
    }
    let model = import(&views("n", "Unsqueeze: x 1 > v")).unwrap();
    assert_eq!(model.input().width, 1);
}

#[test]
fn what_would_mix_rows_is_refused() {
    refused("n 6", "Transpose: x > v", &["Transpose", "[1, 0]", "[batch, 6]"]);
    refused("n 2 3", "Transpose perm=0,2,1: x > v", &["moves elements", "[batch, 2, 3]"]);
    refused("n 6", "Reshape: x -1 > v", &["reshape from [batch, 6] to [-1]"]);
    refused("n 6", "Reshape: x [-1,3] > v", &["[batch, 6] to [-1, 3]"]);
    refused("4 6", "Reshape: x [-1,3] > v", &["[4, 6] to [8, 3]", "rows would mix"]);
    refused("4 6", "Reshape: x [6,-1] > v", &["[4, 6] to [6, 4]", "rows would mix"]);
    refused("n 6", "Reshape: x [-1,-1] > v", &["two dimensions"]);
    refused("n 6", "Flatten axis=0: x > v", &["Flatten", "rows would mix"]);
    refused("4 2 3", "Flatten axis=2: x > v", &["[4, 2, 3] to [8, 3]"]);
    refused("n 6", "Unsqueeze: x 0 > v", &["[batch, 6] to [1, batch, 6]"]);
    refused("n 1 6", "Squeeze: x 2 > v", &["axis 2", "not 1"]);
    refused("n 6", "Shape: x > s; Add: s s > t; Reshape: x t > v", &["Add", "number of rows"]);
    refused("n 6", "Shape: x > v", &["Relu", "expected rows"]);
    refused("n 6", "Cast to=7: x > v", &["a cast from f32 to int64"]);
    refused("n 6", "Reshape: x x > v", &["Reshape", "depends on an input's elements"]);
}

#[test]
fn inputs_that_are_no_rows_are_refused() {
    refused("", "Identity: x > v", &["input \"x\"", "number without dimensions"]);
    refused("n m", "Identity: x > v", &["input \"x\"", "only the first"]);
    refused("n 0", "Identity: x > v", &["only the first"]);
    refused("n 1048577", "Identity: x > v", &["input 0 \"x\"", "1048577"]);
    refused("n 65536 65536 65536 65536", "Identity: x > v", &["more than"]);
    refused("9223372036854775807 6", "Flatten axis=0: x > v", &["more than"]);
    refused("n 1 1 1 1 1 1 1 1", "Identity: x > v", &["9 dimensions"]);
    for kind in [INT32, INT64] {
        let graph = Graph::new().input("x", kind, 3).node("Relu", "x", "y").output("y");
        let error = import(&graph).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("elements of type int"), "{error}");
    }
}

/// A weight matrix `[2, 1]` worked out by nodes from `w`, the numbers 1 to 6 as `[2, 3]`.
fn worked_out(nodes: &str) -> Vec<f32> {
    let graph = Graph::new()
        .input("x", FLOAT, 2)
        .f32s("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .f32s("col", &[2, 1], &[10.0, 20.0])
        .f32s("c", &[], &[2.0])
        .i64s("i0", &[1], &[0])
        .i64s("i1", &[1], &[1])
        .i64s("i2", &[1], &[2])
        .i64s("i-1", &[1], &[-1])
        .i64s("last", &[], &[-1])
        .i64s("far", &[1], &[i64::MAX])
        .i64s("[2,1]", &[2], &[2, 1])
        .i64s("[0,1]", &[2], &[0, 1]);
    let model = import(&graph.nodes(nodes).node("MatMul", "x v", "y").output("y")).unwrap();
    let rows = [1.0, 0.0, 0.0, 1.0];
    match model.reference(&Values::from(&rows)).unwrap() {
        Values::F32(values) => values.to_vec(),
        other => panic!("{}", other.element_name()),
    }
}

#[test]
fn constants_are_moved_and_calculated() {
    let cases: [(&str, [f32; 2]); 12] = [
        ("Gather axis=1: w i1 > v", [2.0, 5.0]),
        ("Gather axis=1: w last > g; Unsqueeze: g i1 > v", [3.0, 6.0]),
        ("Slice: w i1 i2 i1 > v", [2.0, 5.0]),
        ("Slice: w i-1 far i1 > v", [3.0, 6.0]),
        ("Slice: w i0 far i1 i2 > s; Slice: s i1 far i1 > v", [3.0, 6.0]),
        ("Transpose: w > t; Gather: t i2 > g; Reshape: g [2,1] > v", [3.0, 6.0]),
        (
            "Transpose: w > t; Flatten axis=0: t > f; Gather axis=1: f [0,1] > g; \
          Reshape: g [2,1] > v",
            [1.0, 4.0],
        ),
        ("Concat axis=1: col w > k; Gather axis=1: k i0 > v", [10.0, 20.0]),
        ("Add: w col > a; Gather axis=1: a i2 > v", [13.0, 26.0]),
        ("Div: col c > v", [5.0, 10.0]),
        ("Expand: c [2,1] > v", [2.0, 2.0]),
        ("Pow: col c > p; Sqrt: p > q; Neg: q > v", [-10.0, -20.0]),
    ];
    for (nodes, expected) in cases {
        assert_eq!(worked_out(nodes), expected, "{nodes}");
    }
}
