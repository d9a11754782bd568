//! Float ONNX graphs: which layers each operator becomes, and what they compute.

#[path = "common/graph.rs"]
mod graph;

use graph::{FLOAT, Graph, INT64, Told, import, layers, model, refused, run, tensor};
use signfold::layers::{Activation, Layer, Pointwise};
use signfold::{ErrorKind, Model, Values};

/// An input of 3 elements, and a matrix `[3, 2]`.
fn start() -> Graph {
    Graph::new().input("x", FLOAT, 3).f32s("w", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
}

/// Rows for [`start`]; with its matrix they give `[6, 15]` and `[0.5, 2]`.
const X: [f32; 6] = [1.0, 1.0, 1.0, 0.5, 0.0, 0.0];

#[test]
fn gemm_and_matmul_are_one_layer() {
    let gemm = |inputs: &str, told: &[(&str, Told<'_>)]| {
        let graph = start()
            .f32s("t", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .f32s("b", &[2], &[10.0, 20.0])
            .f32s("row", &[1, 2], &[10.0, 20.0])
            .f32s("one", &[1], &[10.0])
            .f32s("scalar", &[], &[10.0])
            .told("Gemm", inputs, "y", told)
            .output("y");
        let model = model(&graph);
        assert_eq!(layers(&model), ["float dense y"]);
        run(&model, &X)
    };
    assert_eq!(gemm("x w", &[]), [6.0, 15.0, 0.5, 2.0]);
    assert_eq!(gemm("x t", &[("transB", Told::Int(1))]), [6.0, 15.0, 0.5, 2.0]);
    assert_eq!(gemm("x w b", &[]), [16.0, 35.0, 10.5, 22.0]);
    assert_eq!(gemm("x w row", &[]), [16.0, 35.0, 10.5, 22.0]);
    assert_eq!(gemm("x w one", &[]), [16.0, 25.0, 10.5, 12.0]);
    assert_eq!(gemm("x w scalar", &[]), [16.0, 25.0, 10.5, 12.0]);
    let both = [("alpha", Told::Float(2.0)), ("beta", Told::Float(0.5))];
    assert_eq!(gemm("x w b", &both), [17.0, 40.0, 6.0, 14.0]);
    let plain = model(&start().node("MatMul", "x w", "y").output("y"));
    assert_eq!(run(&plain, &X), [6.0, 15.0, 0.5, 2.0]);
    // A vector on the right: one output, which a dimension of its own does not have.
    let vector = start().f32s("v", &[3], &[1.0, 2.0, 3.0]).node("MatMul", "x v", "y").output("y");
    assert_eq!(run(&model(&vector), &X), [6.0, 0.5]);
}

#[test]
fn products_that_mix_rows_or_have_no_weights_are_refused() {
    let unsupported = ErrorKind::Unsupported;
    let transposed = start().told("Gemm", "x w", "y", &[("transA", Told::Int(1))]).output("y");
    refused(&transposed, unsupported, &["Gemm, opset 21", "transA"]);
    refused(&start().node("MatMul", "w x", "y").output("y"), unsupported, &["\"w\"", "constant"]);
    refused(&start().node("MatMul", "x x", "y").output("y"), unsupported, &["is computed"]);
    let cube = start().f32s("c", &[1, 3, 2], &[0.0; 6]).node("MatMul", "x c", "y").output("y");
    refused(&cube, unsupported, &["[1, 3, 2]", "matrix"]);
    let narrow = start().f32s("n", &[2, 2], &[0.0; 4]).node("MatMul", "x n", "y").output("y");
    refused(&narrow, ErrorKind::Model, &["rows of 3", "take 2"]);
    let nan = start().f32s("n", &[3, 1], &[0.0, f32::NAN, 0.0]).node("MatMul", "x n", "y");
    refused(&nan.output("y"), ErrorKind::Model, &["\"y\"", "NaN"]);
    let bias = start().f32s("b", &[3], &[0.0; 3]).node("Gemm", "x w b", "y").output("y");
    refused(&bias, unsupported, &["[3]", "[batch, 2]"]);
}

#[test]
fn a_bias_that_is_added_becomes_part_of_the_layer() {
    for inputs in ["m b", "b m"] {
        let graph = start().f32s("b", &[2], &[10.0, 20.0]).node("MatMul", "x w", "m");
        let model = model(&graph.node("Add", inputs, "y").output("y"));
        assert_eq!(layers(&model), ["float dense y"]);
        assert_eq!(run(&model, &X), [16.0, 35.0, 10.5, 22.0]);
    }
    // Not where the sum is wanted without it.
    let graph = start().f32s("b", &[], &[10.0]).node("MatMul", "x w", "m").node("Add", "m b", "y");
    let both = model(&graph.clone().output("m").output("y"));
    assert_eq!(layers(&both), ["float dense m", "affine y"]);
    let two = model(&graph.node("Sub", "y m", "z").output("z"));
    assert_eq!(layers(&two), ["float dense m", "affine y", "sub z"]);
}

#[test]
fn batch_normalization_is_a_part_of_the_layer_before_it_or_a_layer() {
    let graph = start()
        .f32s("g", &[2], &[2.0, 1.0])
        .f32s("b", &[2], &[0.0, 1.0])
        .f32s("m", &[2], &[6.0, 15.0])
        .f32s("v", &[2], &[0.75, 3.0]);
    let told = [("epsilon", Told::Float(0.25)), ("momentum", Told::Float(0.9))];
    let epsilon = [("epsilon", Told::Float(1.0))];
    let after = graph.clone().node("MatMul", "x w", "d").told(
        "BatchNormalization",
        "d g b m v",
        "y",
        &told,
    );
    let after = model(&after.output("y"));
    assert_eq!(layers(&after), ["float dense y"]);
    let found = run(&after, &X);
    let expected = [0.0, 1.0, -11.0, 1.0 - 13.0 / 3.25_f32.sqrt()];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");

    let alone = Graph::new().input("x", FLOAT, 2).f32s("p", &[2], &[1.0, 3.0]);
    let alone = model(&alone.told("BatchNormalization", "x p p p p", "y", &epsilon).output("y"));
    assert_eq!(layers(&alone), ["affine y"]);
    let found = run(&alone, &[1.0, 4.0]);
    assert!(found.iter().zip([1.0, 4.5]).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");

    let training =
        graph.told("BatchNormalization", "x g b m v", "y", &[("training_mode", Told::Int(1))]);
    refused(&training.output("y"), ErrorKind::Unsupported, &["training_mode"]);
}

#[test]
fn every_function_of_an_element() {
    let float = |name, x| vec![(name, Told::Float(x))];
    let clip = |min, max| Activation::Clip { min, max };
    let cases = [
        ("Relu", "x", vec![], Activation::Relu),
        ("Clip", "x min max", vec![], clip(-1.0, 2.0)),
        ("Clip", "x _ max", vec![], clip(f32::NEG_INFINITY, 2.0)),
        ("Clip", "x min", vec![], clip(-1.0, f32::INFINITY)),
        ("Clip", "x zero six", vec![], Activation::Relu6),
        ("Clip", "x zero", vec![], Activation::Relu),
        ("Clip", "x", vec![], Activation::Identity),
        ("Max", "x zero", vec![], Activation::Relu),
        ("Max", "x min", vec![], clip(-1.0, f32::INFINITY)),
        ("Min", "x max", vec![], clip(f32::NEG_INFINITY, 2.0)),
        ("LeakyRelu", "x", vec![], Activation::LeakyRelu { alpha: 0.01 }),
        ("LeakyRelu", "x", float("alpha", 0.5), Activation::LeakyRelu { alpha: 0.5 }),
        ("PRelu", "x max", vec![], Activation::LeakyRelu { alpha: 2.0 }),
        ("PRelu", "x same", vec![], Activation::LeakyRelu { alpha: 3.0 }),
        ("Elu", "x", vec![], Activation::Elu { alpha: 1.0 }),
        ("Celu", "x", vec![], Activation::Elu { alpha: 1.0 }),
        ("Selu", "x", float("gamma", 2.0), Activation::Selu { alpha: 1.673_263_2, gamma: 2.0 }),
        ("Tanh", "x", vec![], Activation::Tanh),
        ("Sigmoid", "x", vec![], Activation::Sigmoid),
        ("HardSigmoid", "x", vec![], Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        ("HardSwish", "x", vec![], Activation::HardSwish),
        ("Swish", "x", vec![], Activation::Silu),
        ("Gelu", "x", vec![], Activation::Gelu),
        ("Gelu", "x", vec![("approximate", Told::Text("tanh"))], Activation::GeluTanh),
        ("Softplus", "x", vec![], Activation::Softplus),
        ("Softsign", "x", vec![], Activation::Softsign),
        ("Mish", "x", vec![], Activation::Mish),
        ("Exp", "x", vec![], Activation::Exp),
    ];
    for (op, inputs, told, activation) in cases {
        let graph = start()
            .f32s("min", &[], &[-1.0])
            .f32s("max", &[1], &[2.0])
            .f32s("zero", &[], &[0.0])
            .f32s("six", &[], &[6.0])
            .f32s("same", &[3], &[3.0; 3])
            .told(op, inputs, "y", &told)
            .output("y");
        assert_eq!(activations(&model(&graph)), [activation], "{op}");
    }
    let slopes = start().f32s("s", &[3], &[1.0, 2.0, 3.0]).node("PRelu", "x s", "y").output("y");
    refused(&slopes, ErrorKind::Unsupported, &["PRelu", "slopes"]);
    for op in ["Clip", "Max", "Min"] {
        let bound = start().node(op, "x x", "y").output("y");
        refused(&bound, ErrorKind::Unsupported, &[op, "input 1"]);
    }
}

/// The functions of a model that has nothing else.
#[track_caller]
fn activations(model: &Model<'_>) -> Vec<Activation> {
    let function = |layer: &Layer<'_>| match *layer {
        Layer::Pointwise(Pointwise { activation, .. }) => activation,
        ref other => panic!("{} among {:?}", other.name(), layers(model)),
    };
    model.nodes().map(|n| function(n.layer)).collect()
}

#[test]
fn softmax_is_of_whole_rows() {
    let graph = |opset, dims: &str, axis: Option<i64>| {
        let told: Vec<_> = axis.map(|axis| ("axis", Told::Int(axis))).into_iter().collect();
        Graph::new()
            .opset(opset)
            .shaped("x", FLOAT, dims)
            .told("Softmax", "x", "y", &told)
            .output("y")
    };
    for fine in [
        graph(21, "n 4", None),
        graph(13, "n 4", Some(1)),
        graph(13, "n 1 4", Some(2)),
        graph(12, "n 4", None),
        graph(12, "n 2 2", None),
        graph(11, "n 1 2 2", Some(2)),
    ] {
        assert_eq!(layers(&model(&fine)), ["softmax y"]);
    }
    refused(&graph(13, "n 2 2", None), ErrorKind::Unsupported, &["axis -1", "[batch, 2, 2]"]);
    refused(&graph(12, "n 2 2", Some(2)), ErrorKind::Unsupported, &["axis", "[batch, 2, 2]"]);
    refused(&graph(13, "n 4", Some(0)), ErrorKind::Unsupported, &["axis 0", "rows do not mix"]);
    refused(&graph(13, "n 4", Some(2)), ErrorKind::Model, &["axis 2", "2 dimensions"]);
    let log = Graph::new().input("x", FLOAT, 4).node("LogSoftmax", "x", "y").output("y");
    assert_eq!(layers(&model(&log)), ["log softmax y"]);
}

#[test]
fn constants_scale_and_shift() {
    let constant = |op: &str, inputs: &str| {
        let graph = start().f32s("c", &[3], &[2.0, 4.0, 8.0]).f32s("s", &[], &[2.0]);
        let model = model(&graph.node(op, inputs, "y").output("y"));
        assert_eq!(layers(&model), ["affine y"]);
        run(&model, &[1.0, 2.0, 3.0])
    };
    assert_eq!(constant("Add", "x c"), [3.0, 6.0, 11.0]);
    assert_eq!(constant("Add", "s x"), [3.0, 4.0, 5.0]);
    assert_eq!(constant("Sub", "x c"), [-1.0, -2.0, -5.0]);
    assert_eq!(constant("Sub", "c x"), [1.0, 2.0, 5.0]);
    assert_eq!(constant("Mul", "c x"), [2.0, 8.0, 24.0]);
    assert_eq!(constant("Div", "x c"), [0.5, 0.5, 0.375]);
    assert_eq!(constant("Neg", "x"), [-1.0, -2.0, -3.0]);
    let both = start().f32s("c", &[1, 3], &[2.0, 4.0, 8.0]).f32s("s", &[1], &[0.5]);
    let both = both.node("Mul", "x c", "m").node("Add", "s m", "y").output("y");
    assert_eq!(layers(&model(&both)), ["affine y"]);
    assert_eq!(run(&model(&both), &[1.0, 2.0, 3.0]), [2.5, 8.5, 24.5]);
    let divided = start().f32s("s", &[], &[1.0]).node("Div", "s x", "y").output("y");
    refused(&divided, ErrorKind::Unsupported, &["Div", "constant divided"]);
    for shape in [&[2, 3][..], &[1, 1, 3], &[2]] {
        let values = vec![1.0; shape.iter().product::<u64>() as usize];
        let wide = start().f32s("c", shape, &values).node("Mul", "x c", "y").output("y");
        refused(&wide, ErrorKind::Unsupported, &["constant of shape", "[batch, 3]"]);
    }
}

#[test]
fn branches_meet() {
    let graph = Graph::new().input("a", FLOAT, 2).input("b", FLOAT, 2).input("unused", FLOAT, 9);
    let graph = graph.node("Sub", "a b", "d").node("Relu", "d", "r");
    let graph =
        graph.told("Concat", "r a", "c", &[("axis", Told::Int(-1))]).output("c").output("d");
    let imported = import(&graph).unwrap();
    assert_eq!(layers(&imported.model), ["sub d", "pointwise r", "concat c"]);
    assert_eq!(imported.notes, ["input \"unused\" left off: nothing takes it"]);
    let inputs = [Values::from(&[3.0, 1.0]), Values::from(&[1.0, 2.0])];
    let outputs = imported.model.reference_all(&inputs).unwrap();
    assert_eq!(outputs, [vec![2.0, 0.0, 3.0, 1.0].into(), vec![2.0, -1.0].into()]);

    let wide = start().node("MatMul", "x w", "m").node("Add", "x m", "y").output("y");
    refused(&wide, ErrorKind::Unsupported, &["[batch, 3] and [batch, 2]"]);
    let batch = start().told("Concat", "x x", "y", &[("axis", Told::Int(0))]).output("y");
    refused(&batch, ErrorKind::Unsupported, &["axis 0", "rows do not mix"]);
}

#[test]
fn classes_are_positions_and_labels_stay_with_the_caller() {
    let argmax = |told: &[(&str, Told<'_>)]| {
        import(&Graph::new().input("x", FLOAT, 3).told("ArgMax", "x", "y", told).output("y"))
    };
    let axis = |axis| ("axis", Told::Int(axis));
    for told in [vec![axis(1)], vec![axis(-1), ("keepdims", Told::Int(0))]] {
        let model = argmax(&told).unwrap().model;
        let found = model.reference_all(&[Values::from(&[1.0, 5.0, 5.0])]).unwrap();
        assert_eq!(found, [Values::from(vec![1_u32])]);
    }
    assert!(argmax(&[]).is_err(), "the default axis is the batch");
    assert!(argmax(&[axis(1), ("select_last_index", Told::Int(1))]).is_err());

    // As skl2onnx has it: labels, and maps from them to probabilities.
    let classifier = |labels: &[i64]| {
        let graph = Graph::new().input("x", FLOAT, 3).node("Softmax", "x", "p");
        graph
            .i64s("labels", &[3], labels)
            .i64s("flat", &[1], &[-1])
            .told("ArgMax", "p", "a", &[axis(1)])
            .told("ai.onnx.ml:ZipMap", "p", "maps", &[("classlabels_int64s", Told::Ints(labels))])
            .node("ai.onnx.ml:ArrayFeatureExtractor", "labels a", "e")
            .node("Reshape", "e flat", "r")
            .told("Cast", "r", "label", &[("to", Told::Int(INT64 as i64))])
            .output("label")
            .output("maps")
    };
    let imported = import(&classifier(&[0, 1, 2])).unwrap();
    assert_eq!(layers(&imported.model), ["softmax p", "argmax a"]);
    assert_eq!(imported.model.outputs().len(), 2);
    assert_eq!(imported.notes.len(), 1);
    assert!(imported.notes[0].contains("\"maps\"") && imported.notes[0].contains("[0, 1, 2]"));
    let imported = import(&classifier(&[3, 5, 7])).unwrap();
    assert!(imported.notes.iter().any(|note| note.contains("positions")), "{:?}", imported.notes);
    let binary = Graph::new().input("x", FLOAT, 3).node("Sigmoid", "x", "p");
    let binary = binary.node("ai.onnx.ml:Binarizer", "p", "b").output("b").output("p");
    let imported = import(&binary).unwrap();
    assert_eq!(
        imported.notes,
        ["output \"b\" left off: Binarizer makes labels, which a model does not give"]
    );
}

#[test]
fn a_scaler_shifts_and_then_scales() {
    let told = [("offset", Told::Floats(&[1.0, 2.0])), ("scale", Told::Floats(&[2.0, 0.5]))];
    let graph = Graph::new().input("x", FLOAT, 2);
    let model = model(&graph.told("ai.onnx.ml:Scaler", "x", "y", &told).output("y"));
    assert_eq!(layers(&model), ["affine ", "affine y"]);
    assert_eq!(run(&model, &[2.0, 4.0]), [2.0, 1.0]);
}

#[test]
fn constants_are_worked_out() {
    // The weights: transposed, scaled and cast; the bias: put together.
    let graph = Graph::new()
        .input("x", FLOAT, 3)
        .f32s("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .f32s("four", &[], &[4.0])
        .node("Transpose", "w", "t")
        .node("Sqrt", "four", "s")
        .node("Mul", "t s", "ts")
        .told("Cast", "ts", "tsc", &[("to", Told::Int(FLOAT as i64))])
        .told("Constant", "", "one", &[("value_float", Told::Float(1.0))])
        .told(
            "Constant",
            "",
            "two",
            &[(
                "value",
                Told::Message(
                    5,
                    tensor("", FLOAT, &[1], &graph::field(4, &2.0_f32.to_le_bytes())),
                    4,
                ),
            )],
        )
        .told("Unsqueeze", "one axis", "ones", &[])
        .i64s("axis", &[1], &[0])
        .told("Concat", "ones two", "b", &[("axis", Told::Int(0))])
        .node("Gemm", "x tsc b", "y")
        .output("y");
    let model = model(&graph);
    assert_eq!(layers(&model), ["float dense y"]);
    assert_eq!(run(&model, &[1.0, 1.0, 1.0]), [13.0, 32.0]);
}

#[test]
fn operators_and_attributes_that_are_not_known_are_refused() {
    let unsupported = ErrorKind::Unsupported;
    let conv = start().told("Conv", "x w", "y", &[]).output("y");
    refused(&conv, unsupported, &["node that gives \"y\" (Conv, opset 21)", "supported: Gemm"]);
    let other = start().node("com.microsoft:BiasGelu", "x w", "y").output("y");
    refused(&other, unsupported, &["BiasGelu, com.microsoft 1", "not supported"]);
    let told = start().told("Relu", "x", "y", &[("slope", Told::Float(1.0))]).output("y");
    refused(&told, unsupported, &["Relu", "\"slope\""]);
    refused(&start().node("Relu", "x w", "y").output("y"), ErrorKind::Format, &["2 inputs"]);
    refused(&start().node("Relu", "_", "y").output("y"), ErrorKind::Format, &["0 inputs"]);
    let kind = start().told("LeakyRelu", "x", "y", &[("alpha", Told::Int(1))]).output("y");
    refused(&kind, ErrorKind::Format, &["\"alpha\"", "an int", "a float"]);
    let branch = [("then_branch", Told::Message(6, vec![], 5))];
    refused(&start().told("If", "x", "y", &branch).output("y"), unsupported, &["If, opset 21"]);
    // What nothing needs is not looked at.
    let unused = start().node("Conv", "x w", "z").node("Relu", "x", "y").output("y");
    assert_eq!(layers(&model(&unused)), ["pointwise y"]);
    // The mask of a dropout, if something wants it.
    let mask = start().node("Dropout", "x", "d m").node("Relu", "m", "y").output("y");
    refused(&mask, unsupported, &["Relu", "\"m\""]);
}
