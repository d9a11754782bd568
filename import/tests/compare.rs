//! Two models beside each other: what is compared with what, and the numbers that come of it.

mod common;

use common::noise;
use signfold::layers::{
    Activation, Argmax, Dense, DenseInput, Dequantize, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams};
use signfold::{ErrorKind, Model, TensorType, Values, WeightLayout};
use signfold_import::{Comparison, Difference, MAX_POINTS, Matching, TensorComparison, compare};

fn params(scale: f32, zero_point: i32) -> QuantParams {
    QuantParams::new(Int8::I8, scale, zero_point).unwrap()
}

fn relu(output: Option<QuantParams>) -> Pointwise {
    Pointwise { activation: Activation::Relu, output }
}

/// x -> relu -> tanh, in real numbers.
fn real(width: usize) -> Model<'static> {
    let mut graph = Model::graph("real");
    let x = graph.input("x", TensorType::f32(width)).unwrap();
    let h = graph.layer("h", relu(None), &[x]).unwrap();
    let tanh = Pointwise { activation: Activation::Tanh, output: None };
    let y = graph.layer("y", tanh, &[h]).unwrap();
    graph.output(y);
    graph.build().unwrap()
}

/// The same, quantized after the first layer.
fn quantized(width: usize, h: QuantParams) -> Model<'static> {
    let mut graph = Model::graph("quantized");
    let x = graph.input("x", TensorType::f32(width)).unwrap();
    let q = graph.layer("", Quantize { output: params(1.0 / 1024.0, 0) }, &[x]).unwrap();
    let h8 = graph.layer("h", relu(Some(h)), &[q]).unwrap();
    let h32 = graph.layer("h", Dequantize, &[h8]).unwrap();
    let tanh = Pointwise { activation: Activation::Tanh, output: None };
    let y = graph.layer("y", tanh, &[h32]).unwrap();
    graph.output(y);
    graph.build().unwrap()
}

fn named<'c>(found: &'c Comparison, name: &str) -> &'c TensorComparison {
    found.tensors.iter().find(|of| of.name == name).unwrap()
}

fn kind(result: signfold::Result<Comparison>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn a_model_is_like_itself() {
    let model = real(3);
    let rows = noise(30, 1);
    let found = compare(&model, &model, &[(&rows[..]).into()]).unwrap();
    assert_eq!((found.rows, found.matching), (10, Matching::Names));
    let names: Vec<_> = found.tensors.iter().map(|of| (&of.name[..], of.kind)).collect();
    assert_eq!(names, [("h", "pointwise"), ("y", "pointwise")], "x is the rows themselves");
    assert!(found.tensors.iter().all(|of| of.difference.sqnr_db() == f64::INFINITY));
    assert_eq!(found.outputs[0].same_class, Some(1.0));
    assert_eq!(found.outputs[0].points.len(), 30);
    assert!(found.outputs[0].points.iter().all(|(a, b)| a == b));
    assert_eq!(found.largest_loss(), None);
    assert!(found.notes.is_empty());
}

#[test]
fn numbers_that_are_known() {
    // The input reaches from -0.125 to 127 / 1024; steps of 0.25 then leave nothing of it.
    let h = params(0.25, -64);
    let rows = [0.0625, -0.125, 0.109375, 0.09375];
    let found = compare(&real(2), &quantized(2, h), &[(&rows).into()]).unwrap();
    let names: Vec<_> = found.tensors.iter().map(|of| (&of.name[..], of.kind)).collect();
    assert_eq!(names, [("x.quantized", "quantize"), ("h", "pointwise"), ("y", "pointwise")]);
    assert_eq!(found.tensors[0].difference.sqnr_db(), f64::INFINITY);
    let (of, difference) = (&found.tensors[1], &found.tensors[1].difference);
    assert_eq!(of.params, Some(h));
    assert_eq!((difference.values, difference.clipped), (4, Some(0)));
    assert_eq!(difference.max_abs_error, 0.109375);
    assert_eq!(difference.abs_errors, 0.0625 + 0.109375 + 0.09375);
    assert_eq!(difference.signal, difference.noise, "all is lost");
    assert_eq!(difference.sqnr_db(), 0.0);
    assert_eq!((difference.expected.max, difference.found.max), (0.109375, 0.0));
    assert_eq!(of.sqnr_before_db, f64::INFINITY);
    assert_eq!(found.tensors[2].sqnr_before_db, 0.0, "behind the dequantized one");
    assert_eq!(found.largest_loss().unwrap().name, "h");
    // The largest of two zeros is the first.
    assert_eq!(found.outputs[0].same_class, Some(1.0));
    let swapped = [-0.125, 0.0625, 0.109375, 0.09375];
    let found = compare(&real(2), &quantized(2, h), &[(&swapped).into()]).unwrap();
    assert_eq!(found.outputs[0].same_class, Some(0.5));
    // What the input loses is not the next layer's loss.
    let found = compare(&real(2), &quantized(2, h), &[(&[1.0, 2.0]).into()]).unwrap();
    assert_eq!(found.largest_loss().unwrap().name, "x.quantized");
    assert_eq!(found.tensors[0].difference.clipped, Some(2));
}

#[test]
fn clipped_values_are_counted() {
    // Reaches to 127 / 2048, the input to 127 / 1024.
    let h = params(1.0 / 2048.0, 0);
    let rows = [0.01, 0.12, 0.0625, 0.062, 0.0621, -3.0];
    let found = compare(&real(2), &quantized(2, h), &[(&rows[..]).into()]).unwrap();
    assert_eq!(named(&found, "h").difference.clipped, Some(2));
    assert_eq!(named(&found, "y").difference.clipped, None);
}

#[test]
fn long_batches_are_compared_in_parts() {
    let (width, rows) = (4096, 1100);
    let values = noise(width * rows, 3);
    let (h, model) = (params(0.01, -3), quantized(width, params(0.01, -3)));
    let found = compare(&real(width), &model, &[(&values).into()]).unwrap();
    // The sums go on from row to row.
    let id = model.tensors().find(|&id| model.tensor_name(id) == "h").unwrap();
    let model = model.with_outputs(&[id]).unwrap();
    let mut by_row = Difference::new(Some(h));
    for row in values.chunks_exact(width) {
        let expected: Vec<f32> = row.iter().map(|x| x.max(0.0)).collect();
        let Values::I8(q) = model.reference(&row.into()).unwrap() else { unreachable!() };
        let reals: Vec<f32> = q.iter().map(|&q| h.dequantize(q.into())).collect();
        by_row.add(&expected, &reals, Some(h));
    }
    assert_eq!(named(&found, "h").difference, by_row);
    assert_eq!(found.rows, rows);
    let points = &found.outputs[0].points;
    assert!(points.len() > MAX_POINTS / 2 && points.len() <= MAX_POINTS);
}

#[test]
fn layers_without_names_are_found_by_their_places() {
    let read = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
        Model::read(&std::fs::read(format!("{folder}/{name}.sfold")).unwrap()).unwrap().into_owned()
    };
    let unnamed = |model: Model<'_>| {
        let layers = model.layers().map(|(layer, ..)| layer.clone());
        let builder = Model::builder("unnamed", model.input());
        layers.fold(builder, |builder, layer| builder.layer(layer)).build().unwrap().into_owned()
    };
    let (relu, mam) = (unnamed(read("digits-relu")), unnamed(read("digits-mam")));
    let rows = noise(64 * 20, 1);
    let found = compare(&relu, &mam, &[(&rows[..]).into()]).unwrap();
    assert_eq!(found.matching, Matching::Positions);
    let widths: Vec<_> = found.tensors.iter().map(|of| of.width).collect();
    assert_eq!(widths, [64, 128, 64, 10]);
    assert_eq!(found.tensors[1].name, "into layer 1 with weights");
    assert!(found.tensors.iter().all(|of| of.difference.values == 20 * of.width as u64));

    let tanh = unnamed(read("digits-hardtanh"));
    let found = compare(&relu, &tanh, &[(&rows[..]).into()]).unwrap();
    assert_eq!(found.matching, Matching::Outputs);
    assert_eq!(found.tensors.len(), 1);
    assert!(found.notes[0].contains("3 layers with weights"), "{:?}", found.notes);
    assert!(found.outputs[0].same_class.is_some());
}

#[test]
fn classes_are_compared_with_scores() {
    let scores = Model::builder("scores", TensorType::f32(4)).layer(Softmax).build().unwrap();
    let class = Model::builder("class", TensorType::f32(4)).layer(Argmax).build().unwrap();
    let rows = noise(40, 2);
    for (a, b) in [(&scores, &class), (&class, &scores), (&class, &class)] {
        let found = compare(a, b, &[(&rows[..]).into()]).unwrap();
        assert_eq!(found.outputs[0].same_class, Some(1.0));
        assert!(found.tensors.is_empty() && found.outputs[0].points.is_empty());
    }
    let one = Model::builder("one", TensorType::f32(1)).layer(Softmax).build().unwrap();
    assert_eq!(compare(&one, &one, &[(&rows[..]).into()]).unwrap().outputs[0].same_class, None);
}

#[test]
fn batches_that_are_quantized_together_stay_together() {
    let dense = Dense::new(vec![1, 2, 3, 4], WeightLayout::OutIn, 2, 2).unwrap();
    let model = |input| {
        let dense = dense.clone().input(input);
        Model::builder("dynamic", TensorType::f32(2)).layer(dense).build().unwrap()
    };
    let (whole, single) = (model(DenseInput::PerTensor), model(DenseInput::PerRow));
    // More than an engine's usual room.
    let rows = noise(2 * 100_000, 4);
    let found = compare(&single, &whole, &[(&rows[..]).into()]).unwrap();
    assert_eq!(found.rows, 100_000);
    assert!(found.tensors[0].difference.sqnr_db() > 30.0);
}

#[test]
fn several_inputs_and_outputs() {
    let model = |quantized: bool| {
        let mut graph = Model::graph("two");
        let int8 = TensorType::int8(3, params(0.01, 0));
        let x = graph.input("x", if quantized { int8 } else { TensorType::f32(3) }).unwrap();
        let y = graph.input("y", TensorType::f32(2)).unwrap();
        let x = if quantized { graph.layer("", Dequantize, &[x]).unwrap() } else { x };
        let a = graph.layer("a", relu(None), &[x]).unwrap();
        let b = graph.layer("b", Softmax, &[y]).unwrap();
        graph.output(a);
        graph.output(b);
        if quantized {
            graph.output(y);
        }
        graph.build().unwrap()
    };
    let (x, y) = (noise(30, 1), noise(20, 2));
    let found = compare(&model(false), &model(true), &[(&x).into(), (&y).into()]).unwrap();
    let names: Vec<_> = found.tensors.iter().map(|of| (&of.name[..], of.kind)).collect();
    assert_eq!(names, [("x", "input"), ("a", "pointwise"), ("b", "softmax")]);
    assert!(found.tensors[0].difference.noise > 0.0 && found.tensors[2].difference.noise == 0.0);
    assert_eq!(found.tensors[1].sqnr_before_db, found.tensors[0].difference.sqnr_db());
    assert_eq!(found.outputs.len(), 2);
    assert!(found.notes[0].contains("2 outputs in one, 3 in the other"), "{:?}", found.notes);
    for inputs in [&[&x[..]][..], &[&x, &y[..18]], &[&x[..29], &y], &[&x, &y, &y], &[&[], &[]]] {
        let inputs: Vec<Values<'_>> = inputs.iter().map(|&rows| rows.into()).collect();
        assert_eq!(kind(compare(&model(false), &model(true), &inputs)).0, ErrorKind::Input);
    }
    // Rows of 8 bits stand for real numbers.
    let q: Vec<i8> = (-15..15).collect();
    let found = compare(&model(true), &model(false), &[q.into(), (&y).into()]).unwrap();
    let names: Vec<_> = found.tensors.iter().map(|of| (&of.name[..], of.kind)).collect();
    assert_eq!(names, [("x", "input"), ("a", "pointwise"), ("b", "softmax")]);
    assert!(found.tensors.iter().all(|of| of.difference.noise == 0.0));
}

#[test]
fn what_cannot_be_compared_is_said() {
    let rows = noise(6, 1);
    let (kind_of, message) = kind(compare(&real(3), &real(2), &[(&rows[..]).into()]));
    assert_eq!(kind_of, ErrorKind::Input);
    assert!(message.contains("[3]") && message.contains("[2]"), "{message}");
    let nan = [0.0, 1.0, 2.0, 3.0, f32::NAN, 5.0];
    let (_, message) = kind(compare(&real(3), &real(3), &[(&nan).into()]));
    assert!(message.contains("row 1, column 1 is NaN"), "{message}");
    // A range that sets no scale.
    let dense = Dense::new(vec![1, 2, 3], WeightLayout::OutIn, 1, 3).unwrap();
    let dynamic = Model::builder("dynamic", TensorType::f32(3))
        .layer(dense.input(DenseInput::PerRow))
        .build()
        .unwrap();
    let far = [f32::MAX, f32::MIN, 0.0];
    let (_, message) = kind(compare(&real(3), &dynamic, &[(&far).into()]));
    assert!(message.contains("rows of 3 and of 1"), "{message}");
    let (_, message) = kind(compare(&dynamic, &dynamic, &[(&far).into()]));
    assert!(message.contains("the first model"), "{message}");
}
