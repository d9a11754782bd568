//! Functions that exporters of ONNX files spell out in simpler operators: recognized where they are
//! the same, and only there.

#[path = "common/graph.rs"]
mod graph;

use graph::{FLOAT, Graph, Told, layers, model, refused, run};
use signfold::layers::{Activation, Layer, Pointwise};
use signfold::{ErrorKind, Model};

/// The functions of a model that has nothing else.
#[track_caller]
fn activations(model: &Model<'_>) -> Vec<Activation> {
    let function = |layer: &Layer<'_>| match *layer {
        Layer::Pointwise(Pointwise { activation, .. }) => activation,
        ref other => panic!("{} among {:?}", other.name(), layers(model)),
    };
    model.nodes().map(|n| function(n.layer)).collect()
}

/// A graph of nodes, with some constants.
fn spelled(nodes: &str) -> Graph {
    let constants = [
        ("half", 0.5),
        ("one", 1.0),
        ("two", 2.0),
        ("three", 3.0),
        ("six", 6.0),
        ("zero", 0.0),
        ("sixth", 1.0 / 6.0),
        ("root", 2.0_f32.sqrt()),
        ("rooted", 0.5_f32.sqrt()),
        ("kappa", 0.044_715),
        ("beta", (2.0 / std::f32::consts::PI).sqrt()),
        ("twenty", 20.0),
    ];
    let graph = constants
        .iter()
        .fold(Graph::new().input("x", FLOAT, 3), |g, (name, x)| g.f32s(name, &[], &[*x]));
    graph.nodes(nodes).output("y")
}

#[test]
fn functions_that_are_spelled_out() {
    let erf = "Div: x root > s; Erf: s > e; Add: e one > g;";
    let cube = "Mul: x x > x2; Mul: x2 x > x3; Mul: kappa x3 > k; Add: x k > i; Mul: i beta > a;";
    let tanh = format!("{cube} Tanh: a > t; Add: one t > g;");
    let cases = [
        (format!("{erf} Mul: x g > p; Mul: p half > y"), Activation::Gelu),
        (format!("{erf} Mul: x half > h; Mul: h g > y"), Activation::Gelu),
        (format!("{erf} Mul: half g > h; Mul: h x > y"), Activation::Gelu),
        (format!("{erf} Mul: g x > p; Div: p two > y"), Activation::Gelu),
        (
            "Mul: x rooted > s; Erf: s > e; Add: one e > g; Mul: x g > p; Mul: p half > y".into(),
            Activation::Gelu,
        ),
        (format!("{tanh} Mul: half x > h; Mul: h g > y"), Activation::GeluTanh),
        (format!("{tanh} Mul: x g > p; Mul: half p > y"), Activation::GeluTanh),
        (
            "Pow: x three > x3; Mul: x3 kappa > k; Add: x k > i; Mul: beta i > a; Tanh: a > t; \
          Add: t one > g; Mul: x half > h; Mul: h g > y"
                .into(),
            Activation::GeluTanh,
        ),
        (
            "Mul: x x > x2; Mul: x2 kappa > k; Add: k one > s; Mul: x beta > b; Mul: b s > a; \
          Tanh: a > t; Add: t one > g; Mul: x half > h; Mul: h g > y"
                .into(),
            Activation::GeluTanh,
        ),
        ("Sigmoid: x > s; Mul: x s > y".into(), Activation::Silu),
        ("Sigmoid: x > s; Mul: s x > y".into(), Activation::Silu),
        (
            "Add: x three > s; Clip: s zero six > c; Mul: x c > p; Div: p six > y".into(),
            Activation::HardSwish,
        ),
        (
            "Add: x three > s; Clip: s zero six > c; Mul: c sixth > p; Mul: p x > y".into(),
            Activation::HardSwish,
        ),
        ("Softplus: x > s; Tanh: s > t; Mul: x t > y".into(), Activation::Mish),
        ("Abs: x > a; Add: one a > s; Div: x s > y".into(), Activation::Softsign),
        ("Softplus: x > s; Greater: x twenty > g; Where: g x s > y".into(), Activation::Softplus),
    ];
    for (nodes, activation) in cases {
        let found = model(&spelled(&nodes));
        assert_eq!(layers(&found), ["pointwise y"], "{nodes}");
        assert_eq!(activations(&found), [activation], "{nodes}");
    }
}

#[test]
fn what_only_looks_like_a_function_is_not_one() {
    // Another constant, and another input in one place.
    for nodes in [
        "Div: x root > s; Erf: s > e; Add: e one > g; Mul: x g > p; Mul: p two > y",
        "Div: x two > s; Erf: s > e; Add: e one > g; Mul: x g > p; Mul: p half > y",
        "Tanh: x > z; Div: x root > s; Erf: s > e; Add: e one > g; Mul: z g > p; Mul: p half > y",
    ] {
        refused(&spelled(nodes), ErrorKind::Unsupported, &["Erf", "not supported"]);
    }
    let gated = model(&spelled("Tanh: x > z; Sigmoid: z > s; Mul: x s > y"));
    assert_eq!(layers(&gated), ["pointwise z", "pointwise s", "mul y"]);
    // Of an argument that is a product itself, the product is recognized.
    let product = "Mul: x two > z; Div: z root > s; Erf: s > e; Add: e one > g; Mul: z g > p; \
                   Mul: p half > y";
    assert_eq!(layers(&model(&spelled(product))), ["affine z", "pointwise y"]);
}

#[test]
fn layer_normalization_as_an_operator_and_spelled_out() {
    let start = || {
        Graph::new()
            .input("x", FLOAT, 2)
            .f32s("g", &[2], &[1.0, 2.0])
            .f32s("b", &[1, 2], &[0.5, 0.0])
            .f32s("e", &[], &[3.0])
            .f32s("two", &[], &[2.0])
    };
    let epsilon = [("epsilon", Told::Float(3.0))];
    let op = start().told("LayerNormalization", "x g b", "y", &epsilon).output("y");
    let axes = [("axes", Told::Ints(&[-1]))];
    let spelled = |square: &str| {
        let mean = start().opset(17).told("ReduceMean", "x", "m", &axes).node("Sub", "x m", "d");
        let (op, inputs) = square.split_once(' ').unwrap();
        mean.node(op, inputs, "q")
            .told("ReduceMean", "q", "v", &axes)
            .node("Add", "v e", "w")
            .node("Sqrt", "w", "r")
            .node("Div", "d r", "n")
    };
    let full = |graph: Graph| graph.node("Mul", "n g", "s").node("Add", "s b", "y").output("y");
    for graph in [op, full(spelled("Pow d two")), full(spelled("Mul d d"))] {
        let model = model(&graph);
        assert_eq!(layers(&model), ["layer norm y"]);
        // The mean is 2, the variance 1.
        assert_eq!(run(&model, &[1.0, 3.0]), [0.0, 1.0]);
    }
    // As Keras has it: one factor and one summand for each element, with gain and bias or without.
    let keras = |nodes: &str| {
        let start = start().opset(17).told("ReduceMean", "x", "m", &axes).node("Neg", "m", "minus");
        let spread = start.node("Sub", "x m", "d").node("Mul", "d d", "q");
        let spread = spread.told("ReduceMean", "q", "v", &axes);
        model(
            &spread.nodes("Add: v e > w; Sqrt: w > r; Reciprocal: r > i").nodes(nodes).output("y"),
        )
    };
    let full = keras("Mul: i g > s; Mul: x s > a; Mul: minus s > c; Add: c b > t; Add: a t > y");
    assert_eq!(layers(&full), ["layer norm y"]);
    assert_eq!(run(&full, &[1.0, 3.0]), [0.0, 1.0]);
    let bare = keras("Mul: x i > a; Mul: i minus > c; Add: c a > y");
    assert_eq!(layers(&bare), ["layer norm y"]);
    assert_eq!(run(&bare, &[1.0, 3.0]), [-0.5, 0.5]);
    let bare = model(&spelled("Mul d d").output("n"));
    assert_eq!(layers(&bare), ["layer norm n"]);
    assert_eq!(run(&bare, &[1.0, 3.0]), [-0.5, 0.5]);
    refused(
        &start().told("ReduceMean", "x", "y", &axes).output("y"),
        ErrorKind::Unsupported,
        &["ReduceMean, opset 21", "not supported; supported: Gemm", "docs/import.md"],
    );
}
