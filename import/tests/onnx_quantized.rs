//! Quantized ONNX graphs: which layers they become, and the integers these compute.
//!
//! Where ONNX Runtime and the standard differ, numbers are written down that onnxruntime 1.32 and the
//! reference evaluator of onnx 1.22 gave.

#[path = "common/graph.rs"]
mod graph;

use graph::{FLOAT, Graph, INT4, INT8, INT16, Told, UINT8};
use signfold::layers::{Bias, Dense, DenseInput, DenseOutput, Layer};
use signfold::quant::Rounding;
use signfold::{Model, Values};
use signfold_import::onnx::{OnnxOptions, read};

fn import(graph: &Graph) -> Model<'static> {
    read(&graph.file(), &OnnxOptions::default()).unwrap().model
}

fn run(model: &Model<'_>, inputs: &[Values<'_>]) -> Values<'static> {
    model.reference_all(inputs).unwrap().remove(0)
}

/// The kinds of a model's layers, with the names of what they give.
fn layers(model: &Model<'_>) -> Vec<String> {
    let each =
        |n: signfold::NodeRef<'_, '_>| (n.layer.name(), model.tensor_name(n.output).to_owned());
    model.nodes().map(each).map(|(kind, name)| format!("{kind} {name}").trim().to_owned()).collect()
}

fn dense<'m>(model: &'m Model<'static>) -> &'m Dense<'static> {
    let dense = model.nodes().find_map(|n| match n.layer {
        Layer::Dense(dense) => Some(dense),
        _ => None,
    });
    dense.expect("a dense layer")
}

/// `x` quantized and dequantized again: `xd`. The weights `wd` of 3 inputs and 2 outputs, with a scale
/// for each output.
fn start() -> Graph {
    Graph::new()
        .input("x", FLOAT, 3)
        .f32s("sx", &[], &[0.5])
        .u8s("zx", &[], &[10])
        .node("QuantizeLinear", "x sx zx", "xq")
        .node("DequantizeLinear", "xq sx zx", "xd")
        .i8s("w", &[2, 3], &[1, -2, 3, 4, 5, -6])
        .f32s("sw", &[2], &[0.25, 0.125])
        .i8s("zw", &[2], &[0, 0])
        .told("DequantizeLinear", "w sw zw", "wd", &[("axis", Told::Int(-2))])
        .f32s("sy", &[], &[0.5])
        .u8s("zy", &[], &[7])
}

fn gemm(graph: Graph, inputs: &str, output: &str) -> Graph {
    graph.told("Gemm", inputs, output, &[("transB", Told::Int(1))])
}

/// Rows for [`start`], and the sums of products for them.
const X: [f32; 6] = [1.0, 2.0, -0.5, 4.5, -3.0, 8.0];
const SUMS: [[i32; 2]; 2] = [[2 - 8 - 3, 8 + 20 + 6], [9 + 12 + 48, 36 - 30 - 96]];

#[test]
fn products_between_dequantize_and_quantize_are_one_layer() {
    let graph = gemm(start(), "xd wd", "y").node("Relu", "y", "r");
    let model = import(&graph.node("QuantizeLinear", "r sy zy", "rq").output("rq"));
    assert_eq!(layers(&model), ["quantize xq", "dense r"]);
    assert_eq!(dense(&model).scales(), [0.25, 0.125]);
    assert!(dense(&model).zero_points().is_empty());
    // Multipliers 0.25 and 0.125; -9 is below 0, 34 * 0.125 = 4.25, 69 * 0.25 = 17.25.
    assert_eq!(run(&model, &[X[..].into()]), Values::from(vec![7_u8, 7 + 4, 7 + 17, 7]));
}

#[test]
fn a_bias_on_the_scale_of_the_sums_is_added_to_them() {
    let bias = start().i32s("b", &[2], &[100, -20]).f32s("sb", &[2], &[0.125, 0.0625]).told(
        "DequantizeLinear",
        "b sb",
        "bd",
        &[("axis", Told::Int(0))],
    );
    let quantized = gemm(bias.clone(), "xd wd bd", "y").node("QuantizeLinear", "y sy zy", "yq");
    let model = import(&quantized.output("yq"));
    assert_eq!(*dense(&model).bias_values(), Bias::I32(vec![100, -20].into()));
    assert_eq!(run(&model, &[X[..].into()]), Values::from(vec![30_u8, 9, 49, 0]));

    // Without a QuantizeLinear the sums become real numbers.
    let real = import(&gemm(bias, "xd wd bd", "y").output("y"));
    assert_eq!(layers(&real), ["quantize xq", "dense y"]);
    let expected = SUMS.map(|[a, b]| [(a + 100) as f32 * 0.125, (b - 20) as f32 * 0.0625]);
    assert_eq!(run(&real, &[X[..].into()]), Values::from(expected.concat()));
}

#[test]
fn any_other_bias_is_added_to_real_numbers() {
    let other_scale = start().i32s("b", &[2], &[5, -2]).f32s("sb", &[], &[0.1]);
    let other_scale = other_scale.node("DequantizeLinear", "b sb", "bd");
    let float = start().f32s("bd", &[2], &[0.5, -0.2]);
    for graph in [other_scale, float] {
        let graph = gemm(graph, "xd wd bd", "y").node("QuantizeLinear", "y sy zy", "yq");
        let model = import(&graph.output("yq"));
        assert_eq!(layers(&model), ["quantize xq", "dense y", "quantize yq"]);
        assert!(matches!(dense(&model).bias_values(), Bias::F32(_)));
        // (-9 * 0.125 + 0.5) / 0.5 = -1.25, (34 * 0.0625 - 0.2) / 0.5 = 3.85
        assert_eq!(run(&model, &[X[..3].into()]), Values::from(vec![7_u8 - 1, 7 + 4]));
    }
}

#[test]
fn a_matmul_takes_the_constant_that_is_added_to_it() {
    let graph = start().told("Transpose", "wd", "wt", &[("perm", Told::Ints(&[1, 0]))]);
    let graph = graph.node("MatMul", "xd wt", "p").f32s("b", &[1, 2], &[1.0, 2.0]);
    let model = import(&graph.node("Add", "b p", "y").output("y"));
    assert_eq!(layers(&model), ["quantize xq", "dense y"]);
    assert_eq!(run(&model, &[X[..3].into()]), Values::from(vec![1.0 - 1.125, 2.0 + 2.125_f32]));
}

#[test]
fn weights_of_u8_have_zero_points() {
    let graph = start().u8s("u", &[3, 2], &[129, 132, 126, 133, 131, 122]).f32s("su", &[], &[0.5]);
    let graph = graph.u8s("zu", &[], &[128]).node("DequantizeLinear", "u su zu", "ud");
    let shifted = graph.clone().u8s("zv", &[2], &[128, 100]).f32s("sv", &[2], &[0.5, 0.5]);
    let model = import(&graph.node("MatMul", "xd ud", "y").output("y"));
    assert_eq!(dense(&model).weights(), [1, -2, 3, 4, 5, -6]);
    assert!(dense(&model).zero_points().is_empty());

    let shifted = shifted.node("DequantizeLinear", "u sv zv", "vd").node("MatMul", "xd vd", "y");
    let model = import(&shifted.output("y"));
    assert_eq!(dense(&model).zero_points(), [0, -28]);
    let expected = vec![-9.0 * 0.25, (34.0 + 28.0 * (2.0 + 4.0 - 1.0)) * 0.25_f32];
    assert_eq!(run(&model, &[X[..3].into()]), Values::from(expected));
}

#[test]
fn scales_of_inputs_make_a_layer_of_real_numbers() {
    let graph = start().f32s("sk", &[3], &[1.0, 2.0, 4.0]).i8s("zk", &[3], &[0, 0, 0]);
    let graph = graph.told("DequantizeLinear", "w sk zk", "kd", &[("axis", Told::Int(1))]);
    let file = gemm(graph, "xd kd", "y").output("y").file();
    let imported = read(&file, &OnnxOptions::default()).unwrap();
    assert_eq!(layers(&imported.model), ["quantize xq", "dequantize xd", "float dense y"]);
    assert!(imported.notes[0].contains("one scale for each input"), "{:?}", imported.notes);

    // Real inputs, too: the weights are what they stand for.
    let model = import(&gemm(start(), "x wd", "y").output("y"));
    assert_eq!(layers(&model), ["float dense y"]);
    assert_eq!(run(&model, &[X[..3].into()]), Values::from(vec![-1.125, 2.125_f32]));
}

#[test]
fn weights_that_the_file_quantizes_itself() {
    let graph = start().f32s("f", &[2, 3], &[0.26, -0.5, 0.7, 0.5, 0.62, -0.8]);
    let graph = graph.told("QuantizeLinear", "f sw zw", "fq", &[("axis", Told::Int(0))]);
    let graph = graph.told("DequantizeLinear", "fq sw zw", "fd", &[("axis", Told::Int(0))]);
    let model = import(&gemm(graph, "xd fd", "y").output("y"));
    assert_eq!(dense(&model).weights(), [1, -2, 3, 4, 5, -6]);
}

#[test]
fn pairs_functions_and_views_of_integers() {
    let other = start().f32s("s2", &[], &[1.0]).u8s("z2", &[], &[0]);
    let same = other.clone().node("QuantizeLinear", "xd sx zx", "y").output("y");
    assert_eq!(layers(&import(&same)), ["quantize xq"]);

    let scaled = other.clone().node("QuantizeLinear", "xd s2 z2", "y").output("y");
    let model = import(&scaled);
    assert_eq!(layers(&model), ["quantize xq", "lookup y"]);
    // 0.5 and 1.5 lie between two integers: the even one.
    let x = [0.5, 1.5, 2.0];
    assert_eq!(run(&model, &[x[..].into()]), Values::from(vec![0_u8, 2, 2]));

    let table = other.clone().node("Flatten", "xd", "v").node("Sigmoid", "v", "f");
    let model = import(&table.node("QuantizeLinear", "f sx zx", "y").output("y"));
    assert_eq!(layers(&model), ["quantize xq", "pointwise f"]);

    let chain = other.clone().node("Tanh", "xd", "t").node("LeakyRelu", "t", "l");
    let model = import(&chain.node("QuantizeLinear", "l sx zx", "y").output("y"));
    assert_eq!(layers(&model), ["quantize xq", "lookup l"]);

    // A value that is also wanted as real numbers.
    let both = other.node("Relu", "xd", "r").node("QuantizeLinear", "xd s2 z2", "q");
    let model = import(&both.output("r").output("q"));
    assert_eq!(layers(&model), ["quantize xq", "dequantize xd", "pointwise r", "lookup q"]);
}

/// Two inputs of 8 bits and what a sum or product of them is quantized to.
fn pair() -> Graph {
    let graph = Graph::new().input("a", UINT8, 1).input("b", UINT8, 1);
    let graph = graph.f32s("sa", &[], &[0.1]).f32s("sb", &[], &[0.05]).f32s("sc", &[], &[0.1]);
    let graph = graph.u8s("za", &[], &[3]).u8s("zb", &[], &[10]).u8s("zc", &[], &[7]);
    graph.node("DequantizeLinear", "a sa za", "ad").node("DequantizeLinear", "b sb zb", "bd")
}

/// Pairs with what ONNX Runtime makes of them, and what real numbers do.
type Pairs = [[u8; 4]; 4];

fn check_pairs(model: &Model<'_>, pairs: Pairs, column: usize) {
    let column_of = |i: usize| Values::from(pairs.map(|p| p[i]).to_vec());
    assert_eq!(run(model, &[column_of(0), column_of(1)]), column_of(column));
}

#[test]
fn sums_and_products_of_tensors_as_onnx_runtime_computes_them() {
    let sums = [[2, 1, 2, 1], [141, 33, 156, 157], [51, 69, 84, 85], [9, 199, 108, 107]];
    let products = [[0, 0, 8, 9], [28, 20, 20, 19], [48, 76, 156, 155], [13, 135, 70, 69]];
    for (op, pairs) in [("Add", sums), ("Mul", products)] {
        let quantized = pair().node(op, "ad bd", "c").node("QuantizeLinear", "c sc zc", "y");
        check_pairs(&import(&quantized.output("y")), pairs, 2);
        let operator = pair().node(
            &format!("com.microsoft:QLinear{op}"),
            "a sa za b sb zb sc zc",
            "c_quantized",
        );
        let model = import(&operator.clone().output("c_quantized"));
        assert_eq!(layers(&model), [format!("{} c", op.to_lowercase())]);
        check_pairs(&model, pairs, 2);
        // The other rule; and what ONNX Runtime does not take for one operator.
        let options = OnnxOptions { rounding: Rounding::OnnxReference, ..OnnxOptions::default() };
        let model = read(&operator.output("c_quantized").file(), &options).unwrap().model;
        check_pairs(&model, pairs, 3);
        let clamped = pair().node(op, "ad bd", "c").f32s("least", &[], &[-0.6]);
        let clamped = clamped.node("Clip", "c least", "d").node("QuantizeLinear", "d sc zc", "y");
        let model = import(&clamped.output("y"));
        assert_eq!(layers(&model), [format!("{} d", op.to_lowercase())]);
        check_pairs(&model, pairs, 3);
    }
}

#[test]
fn rows_end_to_end_and_probabilities() {
    let joined = pair().told("Concat", "ad bd", "c", &[("axis", Told::Int(1))]);
    let model = import(&joined.node("QuantizeLinear", "c sc zc", "y").output("y"));
    assert_eq!(layers(&model), ["concat c"]);
    let (a, b) = (Values::from(vec![13_u8]), Values::from(vec![20_u8]));
    assert_eq!(run(&model, &[a.clone(), b.clone()]), Values::from(vec![17_u8, 12]));

    let operator = pair().told(
        "com.microsoft:QLinearConcat",
        "sc zc a sa za b sb zb",
        "y",
        &[("axis", Told::Int(1))],
    );
    assert_eq!(run(&import(&operator.output("y")), &[a, b]), Values::from(vec![17_u8, 12]));

    // The integers of 1 / 3 and 2 / 3: 85.3 and 170.7 of 256.
    let graph = Graph::new().input("x", INT8, 2).f32s("sx", &[], &[std::f32::consts::LN_2]);
    let graph = graph.i8s("zx", &[], &[0]).f32s("sy", &[], &[1.0 / 256.0]);
    let graph = graph.i8s("zy", &[], &[-128]).node("DequantizeLinear", "x sx zx", "d");
    let graph = graph.node("Softmax", "d", "p").node("QuantizeLinear", "p sy zy", "y");
    let model = import(&graph.output("y"));
    let y = run(&model, &[Values::from(vec![5_i8, 6])]);
    assert_eq!(y, Values::from(vec![-43_i8, 43]));
}

/// The sums of [`start`], as one operator: 8-bit rows `a`.
fn operator() -> Graph {
    Graph::new()
        .input("a", UINT8, 3)
        .f32s("sa", &[], &[0.5])
        .u8s("za", &[], &[10])
        .i8s("w", &[3, 2], &[1, 4, -2, 5, 3, -6])
        .f32s("sw", &[2], &[0.25, 0.125])
        .i8s("zw", &[2], &[0, 0])
        .i32s("c", &[2], &[100, -20])
        .f32s("sy", &[], &[0.5])
        .u8s("zy", &[], &[7])
}

const A: [u8; 6] = [12, 14, 9, 19, 4, 26];

#[test]
fn operators_of_integers() {
    let graph = operator().node("QLinearMatMul", "a sa za w sw zw sy zy", "y").output("y");
    let model = import(&graph);
    assert_eq!(layers(&model), ["dense y"]);
    assert_eq!(run(&model, &[A[..].into()]), Values::from(vec![5_u8, 11, 24, 0]));

    let graph = operator().node("com.microsoft:QGemm", "a sa za w sw zw c sy zy", "y");
    let model = import(&graph.output("y"));
    assert_eq!(*dense(&model).bias_values(), Bias::I32(vec![100, -20].into()));
    assert_eq!(run(&model, &[A[..].into()]), Values::from(vec![30_u8, 9, 49, 0]));

    let graph = operator().node("com.microsoft:QGemm", "a sa za w sw zw c", "y");
    let expected = SUMS.map(|[a, b]| [(a + 100) as f32 * 0.125, (b - 20) as f32 * 0.0625]);
    let y = run(&import(&graph.output("y")), &[A[..].into()]);
    assert_eq!(y, Values::from(expected.concat()));
}

#[test]
fn ties_go_to_even_before_or_after_the_zero_point() {
    let mut graph = operator().node("QLinearMatMul", "a sa za w sw zw sy zy", "y").output("y");
    // (2 - 0 + 0) * 0.25 = 0.5, and 8 * 0.125 = 1.
    let a = [12_u8, 10, 10];
    for (rounding, y) in [(Rounding::Nearest, [7_u8, 8]), (Rounding::OnnxReference, [8, 8])] {
        let options = OnnxOptions { rounding, ..OnnxOptions::default() };
        let model = read(&graph.file(), &options).unwrap().model;
        assert!(
            matches!(dense(&model).output_kind(), DenseOutput::Int8(_, rule) if rule == rounding)
        );
        assert_eq!(run(&model, &[a[..].into()]), Values::from(y.to_vec()));
    }
    // QuantizeLinear rounds first: there the rules agree.
    graph = gemm(start(), "xd wd", "y").node("QuantizeLinear", "y sy zy", "yq").output("yq");
    let options = OnnxOptions { rounding: Rounding::OnnxReference, ..OnnxOptions::default() };
    let model = read(&graph.file(), &options).unwrap().model;
    assert_eq!(run(&model, &[[1.0_f32, 0.0, 0.0][..].into()]), Values::from(vec![7_u8, 8]));
}

#[test]
fn scales_found_at_run_time() {
    let start = || {
        let graph = Graph::new().input("x", FLOAT, 3).i8s("w", &[3, 2], &[1, 4, -2, 5, 3, -6]);
        let graph = graph.f32s("sw", &[2], &[0.25, 0.125]).i8s("zw", &[2], &[0, 1]);
        graph.f32s("b", &[2], &[1.0, 2.0])
    };
    let spelled = |product: &str, sum: &str| {
        let graph = start().node("DynamicQuantizeLinear", "x", "xq xs xz");
        let graph = graph.node("MatMulInteger", "xq w xz zw", "acc");
        let graph = graph.told("Cast", "acc", "real", &[("to", Told::Int(1))]);
        let graph = graph.node("Mul", product, "s").node("Mul", sum, "p").node("Add", "b p", "y");
        graph.node("Relu", "y", "r").output("r")
    };
    let operator = start().node("com.microsoft:DynamicQuantizeMatMul", "x w sw zw b", "y");
    let operator = operator.node("Relu", "y", "r").output("r");
    let split = start().node("DynamicQuantizeLinear", "x", "xq xs xz");
    let split = split.node("com.microsoft:MatMulIntegerToFloat", "xq w xs sw xz zw b", "y");
    let split = split.node("Relu", "y", "r").output("r");
    // Range -1 to 4: scale 5 / 255, zero point 51; the integers less it are 204, 51 and -51.
    let (x, scale) = ([4.0, 1.0, -1.0_f32], 5.0 / 255.0_f32);
    let real = |sum: i32, weight: f32, bias: f32| sum as f32 * (scale * weight) + bias;
    let expected = [real(204 - 102 - 153, 0.25, 1.0), real(612 + 204 + 357, 0.125, 2.0)];
    for graph in [spelled("xs sw", "real s"), spelled("sw xs", "s real"), operator, split] {
        let model = import(&graph);
        assert_eq!(layers(&model), ["dense r"]);
        assert_eq!(dense(&model).input_kind(), DenseInput::PerTensor);
        assert_eq!(run(&model, &[x[..].into()]), Values::from(expected.to_vec()));
    }
}

#[test]
fn integers_of_a_caller_are_quantized_as_their_taker_says() {
    let graph = operator().i8s("zu", &[], &[0]).node("MatMulInteger", "a w za zu", "acc");
    let graph = graph.told("Cast", "acc", "y", &[("to", Told::Int(1))]);
    let model = import(&graph.clone().output("y"));
    assert_eq!(run(&model, &[A[..3].into()]), Values::from(vec![-9.0, 34.0_f32]));
    let scaled = import(&graph.node("Mul", "y sw", "z").output("z"));
    assert_eq!(layers(&scaled), ["dense z"]);
    assert_eq!(run(&scaled, &[A[..3].into()]), Values::from(vec![-2.25, 4.25_f32]));
}

#[test]
fn what_cannot_be_is_named() {
    let short = |bytes: usize| vec![0; bytes];
    let axis = |n| [("axis", Told::Int(n))];
    let cases: [(Graph, &str); 14] = [
        (
            start().constant("z16", INT16, &[], short(2)).node("QuantizeLinear", "xd sx z16", "y"),
            "int16",
        ),
        (
            start().constant("w4", INT4, &[2, 3], short(3)).node("DequantizeLinear", "w4 sx", "y"),
            "quantization to int4; the integers supported are int8 and uint8",
        ),
        (
            start().told("DequantizeLinear", "w sw zw", "y", &[("block_size", Told::Int(2))]),
            "scales of blocks of 2",
        ),
        (
            start().told("DequantizeLinear", "w sw zw", "y", &axis(1)),
            "2 scales for axis 1 of shape [2, 3]",
        ),
        (
            start().told("DequantizeLinear", "w sw zw", "y", &axis(2)),
            "2 scales for axis 2 of shape [2, 3]",
        ),
        (start().node("DequantizeLinear", "w sx zx", "y"), "elements are int8, zero points uint8"),
        (
            start().i8s("z3", &[3], &[0; 3]).node("DequantizeLinear", "w sw z3", "y"),
            "2 scales, 3 zero points",
        ),
        (start().node("QuantizeLinear", "x sw zw", "y"), "2 scales for rows"),
        (start().f32s("s0", &[], &[0.0]).node("QuantizeLinear", "x s0 zx", "y"), "scale 0e0"),
        (start().told("Gemm", "xd wd", "y", &[("transA", Told::Int(1))]), "transA"),
        (start().node("MatMul", "xd wd", "y"), "weights of shape [2, 3] for rows of 3"),
        (
            gemm(start().f32s("b", &[3], &[0.0; 3]), "xd wd b", "y"),
            "a bias of shape [3] for 2 outputs",
        ),
        (
            start().node("DynamicQuantizeLinear", "x", "q s z").node(
                "DequantizeLinear",
                "q s z",
                "y",
            ),
            "computed, expected a constant",
        ),
        (
            operator().node("MatMulInteger", "a w za zw", "y"),
            "sums of 32 bits, is taken without a Cast",
        ),
    ];
    for (graph, expected) in cases {
        let error = read(&graph.output("y").file(), &OnnxOptions::default());
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?}, expected {expected:?}");
        assert!(error.contains("\"y\""), "no node is named: {error}");
    }
}
