//! Reading TFLite models: the interpreter's integers, and errors that name the place.

mod hostile;
mod known;
mod refused;
mod write;

use signfold::quant::Rounding;
use signfold::{Result, Values};
use signfold_import::Imported;
use signfold_import::tflite::{TfLiteOptions, read};
use write::{F16, F32, Field, File, I8, I32, Tensor, U8};

// Operators, by their number in the schema.
const ADD: i32 = 0;
const CONCATENATION: i32 = 2;
const DEQUANTIZE: i32 = 6;
const FULLY_CONNECTED: i32 = 9;
const MUL: i32 = 18;
const RELU: i32 = 19;
const RESHAPE: i32 = 22;
const SOFTMAX: i32 = 25;
const SUB: i32 = 41;
const LEAKY_RELU: i32 = 98;
const QUANTIZE: i32 = 114;

fn import(file: &File) -> Result<Imported> {
    read(&file.write(), &TfLiteOptions::default())
}

/// Names of the layers' kinds.
fn kinds(imported: &Imported) -> Vec<&'static str> {
    imported.model.nodes().map(|node| node.layer.name()).collect()
}

fn le<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    le(values, f32::to_le_bytes)
}

fn dense(file: &mut File, input: i32, weights: i32, bias: i32, output: i32, activation: u8) {
    let options = Some((8, vec![Field::Byte(0, activation)]));
    file.operator(FULLY_CONNECTED, &[input, weights, bias], output, options);
}

/// A network of one int8 layer, 3 to 2: rows, weights, bias and outputs are tensors 0 to 3.
fn tiny() -> File {
    let mut file = File::new();
    let x = file.int8("x", &[1, 3], 0.5, 3, &[]);
    let w = file.int8("w", &[2, 3], 0.25, 0, &[1, -2, 3, 4, 5, -6]);
    let b = file.constant("b", &[2], I32, le(&[10, -20], i32::to_le_bytes));
    let y = file.int8("y", &[1, 2], 0.5, -1, &[]);
    dense(&mut file, x, w, b, y, 1);
    (file.inputs, file.outputs) = (vec![x], vec![y]);
    file
}

#[test]
fn a_layer_of_integers() {
    let imported = import(&tiny()).unwrap();
    let model = &imported.model;
    assert_eq!((model.name(), kinds(&imported)), ("tiny", vec!["dense"]));
    assert_eq!(imported.notes, Vec::<String>::new());
    let names: Vec<_> = model.tensors().map(|tensor| model.tensor_name(tensor)).collect();
    assert_eq!(names, ["x", "y"]);
    // x - 3 is (1, 0, 0): 1 + 10 = 11 and 4 - 20 = -16, a quarter of each, 0 at least.
    let y = model.reference(&Values::I8(vec![4, 3, 3].into())).unwrap();
    assert_eq!(y, Values::I8(vec![3 - 1, -1].into()));
}

#[test]
fn the_rule_is_the_one_asked_for() {
    // 2 of 4 quarters: half a step, and the same below 0.
    let row = |rounding, x: i8| {
        let options = TfLiteOptions { rounding, ..TfLiteOptions::default() };
        let mut file = tiny();
        file.tensors[1].data = vec![1, 0, 0, 1, 0, 0];
        file.tensors[2].data = le(&[0, 4], i32::to_le_bytes);
        file.operators[0].options = None;
        let model = read(&file.write(), &options).unwrap().model;
        let Values::I8(y) = model.reference(&Values::I8(vec![x, 3, 3].into())).unwrap() else {
            panic!("i8")
        };
        y.into_owned()
    };
    for (rounding, expected) in [
        (Rounding::Nearest, [[0, 2], [0, 0]]),
        (Rounding::TfLite, [[1, 2], [-1, 1]]),
        (Rounding::TfLiteSingleRounding, [[1, 2], [0, 1]]),
        (Rounding::TfLiteReference, [[1, 2], [-1, 1]]),
    ] {
        let less = expected.map(|row| row.map(|y| y - 1));
        assert_eq!([row(rounding, 5), row(rounding, 1)], less.map(Vec::from), "{rounding:?}");
    }
}

#[test]
fn weights_of_several_kinds_mean_the_same_real_network() {
    let weights = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0];
    let real = |tensor: Tensor, dequantize: bool| {
        let mut file = File::new();
        let x = file.reals("x", &[1, 3]);
        let mut w = file.tensor(Tensor { name: "w".into(), shape: vec![2, 3], ..tensor });
        if dequantize {
            let real = file.reals("w real", &[2, 3]);
            file.operator(DEQUANTIZE, &[w], real, None);
            w = real;
        }
        let b = file.constant("b", &[2], F32, f32s(&[0.5, -0.5]));
        let y = file.reals("y", &[1, 2]);
        dense(&mut file, x, w, b, y, 3);
        (file.inputs, file.outputs) = (vec![x], vec![y]);
        let imported = import(&file).unwrap();
        assert_eq!(kinds(&imported), ["float dense", "pointwise"]);
        let y = imported.model.reference(&Values::F32(vec![1.0, 2.0, 1.0].into())).unwrap();
        assert_eq!(y, Values::F32(vec![0.5, 6.0].into()));
        imported.notes
    };
    let float = Tensor { element: F32, data: f32s(&weights), ..Tensor::default() };
    assert!(real(float, false).is_empty());
    let half = le(&weights, |x| half::f16::from_f32(x).to_le_bytes());
    let half = Tensor { element: F16, data: half, ..Tensor::default() };
    assert!(real(half, true).is_empty());
    let int8 = Tensor {
        element: I8,
        data: [2, -4, 6, 16, 20, -24_i8].map(|x| x as u8).into(),
        scales: vec![0.5, 0.25],
        zero_points: vec![0, 0],
        ..Tensor::default()
    };
    assert!(real(int8.clone(), true).is_empty());
    let notes = real(int8, false);
    assert!(notes[0].starts_with("tensor 1 \"w\": 8-bit weights meet real inputs"), "{notes:?}");
    let uint8 = Tensor {
        element: U8,
        data: [102, 96, 106, 108, 110, 88].into(),
        scales: vec![0.5],
        zero_points: vec![100],
        ..Tensor::default()
    };
    assert!(real(uint8, true).is_empty());
}

#[test]
fn constants_of_real_networks() {
    for (code, kind, left, expected) in [
        (ADD, 11, false, [3.0, 0.0, 9.0]),
        (ADD, 11, true, [3.0, 0.0, 9.0]),
        (SUB, 28, false, [-1.0, 6.0, -3.0]),
        (SUB, 28, true, [1.0, -6.0, 3.0]),
        (MUL, 21, false, [2.0, -9.0, 18.0]),
    ] {
        let mut file = File::new();
        let x = file.reals("x", &[1, 3]);
        let c = file.constant("c", &[3], F32, f32s(&[2.0, -3.0, 6.0]));
        let y = file.reals("y", &[1, 3]);
        let inputs = if left { [c, x] } else { [x, c] };
        file.operator(code, &inputs, y, Some((kind, vec![])));
        (file.inputs, file.outputs) = (vec![x], vec![y]);
        let imported = import(&file).unwrap();
        assert_eq!(kinds(&imported), ["affine"]);
        let y = imported.model.reference(&Values::F32(vec![1.0, 3.0, 3.0].into())).unwrap();
        assert_eq!(y, Values::F32(expected.to_vec().into()), "{code}");
    }
}

#[test]
fn batches_views_and_what_no_output_needs() {
    // Four rows of 2 x 3; their shape is computed by operators that are not known.
    let mut file = File::new();
    let x = file.reals("x", &[4, 2, 3]);
    let shape = file.tensor(Tensor { element: I32, shape: vec![2], ..Tensor::default() });
    file.operator(77, &[x], shape, None);
    let flat = file.reals("flat", &[4, 6]);
    file.operator(RESHAPE, &[x, shape], flat, None);
    let both = file.reals("both", &[4, 12]);
    file.operator(CONCATENATION, &[flat, flat], both, Some((10, vec![Field::Int(0, -1)])));
    let y = file.reals("y", &[4, 12]);
    file.operator(SOFTMAX, &[both], y, Some((9, vec![Field::Float(0, 2.0)])));
    let unused = file.reals("unused", &[4, 12]);
    file.operator(RELU, &[y], unused, None);
    (file.inputs, file.outputs, file.subgraphs) = (vec![x], vec![y], 2);
    let imported = import(&file).unwrap();
    assert_eq!(kinds(&imported), ["concat", "affine", "softmax"]);
    assert_eq!(imported.model.input().width, 6);
    assert_eq!(
        imported.notes,
        [
            "the first subgraph is read, 1 more are not",
            "2 operators that no output needs are left off"
        ]
    );
}

#[test]
fn long_names_are_cut() {
    let mut file = tiny();
    file.tensors[3].name = "é".repeat(200);
    let model = import(&file).unwrap().model;
    assert_eq!(model.tensor_name(model.outputs()[0]), "é".repeat(127));
}
