//! What is refused, and in which words.

use signfold::ErrorKind;

use super::write::{Field, File, I16, I32};
use super::{ADD, FULLY_CONNECTED, LEAKY_RELU, QUANTIZE, RELU, SOFTMAX, import, le, tiny};

/// Asserts kind and text of the error for a file that was made from [`tiny`].
#[track_caller]
fn refused(change: impl FnOnce(&mut File), kind: ErrorKind, parts: &[&str]) {
    let mut file = tiny();
    change(&mut file);
    let error = import(&file).expect_err("refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.starts_with("tflite: "), "{text:?}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

use ErrorKind::{Format, Limit, Model, Unsupported};

#[test]
fn operators() {
    let conv = |file: &mut File| file.operators[0].code = 3;
    refused(conv, Unsupported, &["operator 0 (CONV_2D)", "FULLY_CONNECTED, LEAKY_RELU"]);
    let new = |file: &mut File| file.operators[0].code = 1234;
    refused(new, Unsupported, &["operator 0 (operator code 1234)"]);
    let custom = |file: &mut File| file.operators[0].code = 32;
    refused(custom, Unsupported, &["operator 0 (CUSTOM \"\")"]);
    let two = |file: &mut File| file.operators[0].outputs = vec![3, 3];
    refused(two, Unsupported, &["(FULLY_CONNECTED)", "2 outputs"]);
    let none = |file: &mut File| file.operators[0].inputs = vec![-1, 1];
    refused(none, Model, &["(FULLY_CONNECTED)", "input 0 is left out"]);
    let again = |file: &mut File| file.operators.push(file.operators[0].clone());
    refused(again, Model, &["operator 1", "tensor 3 \"y\"", "computed already"]);
    let late = |file: &mut File| file.operators[0].inputs[0] = 3;
    refused(late, Model, &["tensor 3 \"y\"", "no operator before has computed it"]);
    let options = |file: &mut File| file.operators[0].options = Some((11, vec![]));
    refused(options, Format, &["(FULLY_CONNECTED)", "options of kind 11, but 8"]);
}

#[test]
fn dense_layers() {
    let option = |field, value| {
        move |file: &mut File| {
            file.operators[0].options = Some((8, vec![Field::Byte(field, value)]));
        }
    };
    refused(option(0, 4), Unsupported, &["fused TANH"]);
    refused(option(0, 9), Unsupported, &["number 9"]);
    refused(option(1, 1), Unsupported, &["weights in another order"]);
    let width = |file: &mut File| file.tensors[0].shape = vec![1, 4];
    refused(width, Unsupported, &["rows have 4 elements, its weights 3"]);
    let rank = |file: &mut File| file.tensors[1].shape = vec![6];
    refused(rank, Unsupported, &["weights of shape [6]"]);
    let short = |file: &mut File| file.tensors[1].data.truncate(5);
    refused(short, Format, &["tensor 1 \"w\"", "5 bytes are not [2, 3] of INT8"]);
    let computed = |file: &mut File| file.tensors[1].data.clear();
    refused(computed, Unsupported, &["tensor 1 \"w\"", "computed, not a constant"]);
    let bias = |file: &mut File| file.tensors[2].element = 4;
    refused(bias, Unsupported, &["tensor 2 \"b\"", "INT64"]);
    let real = |file: &mut File| file.tensors[3].element = 0;
    refused(real, Model, &["operator 0", "output is of real numbers"]);
    let outputs = |file: &mut File| file.tensors[3].shape = vec![1, 3];
    refused(outputs, Model, &["tensor 3 \"y\"", "computes 2 x i8, but the file says 3 x i8"]);
    let sum = |file: &mut File| file.tensors[2].data = le(&[i32::MAX, 0], i32::to_le_bytes);
    refused(sum, Model, &["operator 0", "channel 0"]);
}

#[test]
fn quantizations() {
    let sixteen = |file: &mut File| file.tensors[0].element = I16;
    refused(sixteen, Unsupported, &["input: tensor 0 \"x\"", "INT16", "INT8 and UINT8"]);
    let bare = |file: &mut File| file.tensors[0].scales.clear();
    refused(bare, Unsupported, &["tensor 0 \"x\"", "0 scales"]);
    let each = |file: &mut File| {
        file.tensors[0].scales = vec![1.0; 3];
        file.tensors[0].zero_points = vec![0; 3];
    };
    refused(each, Unsupported, &["tensor 0 \"x\"", "3 scales and 3 zero points"]);
    let scale = |file: &mut File| file.tensors[0].scales = vec![0.0];
    refused(scale, Model, &["tensor 0 \"x\"", "scale 0e0"]);
    let zero = |file: &mut File| file.tensors[0].zero_points = vec![128];
    refused(zero, Model, &["tensor 0 \"x\"", "zero point 128"]);
    let far = |file: &mut File| file.tensors[0].zero_points = vec![i64::MIN];
    refused(far, Model, &["tensor 0 \"x\"", "zero point -9223372036854775808"]);
    let weights = |scales: usize, zero: i64, axis| {
        move |file: &mut File| {
            file.tensors[1].scales = vec![0.5; scales];
            file.tensors[1].zero_points = vec![zero; scales];
            file.tensors[1].axis = axis;
        }
    };
    refused(weights(3, 0, 0), Unsupported, &["tensor 1 \"w\"", "3 scales", "each of the 2"]);
    refused(weights(2, 0, 1), Unsupported, &["tensor 1 \"w\"", "along dimension 1"]);
    refused(weights(2, 1, 0), Unsupported, &["operator 0", "a zero point for each output"]);
    refused(weights(1, 200, 0), Model, &["tensor 1 \"w\"", "zero point 200 is no value of INT8"]);
}

#[test]
fn other_layers() {
    let behind = |code, options: Option<(u8, Vec<Field>)>| {
        move |file: &mut File| {
            let z = file.int8("z", &[1, 2], 1.0 / 256.0, -128, &[]);
            let constant = file.int8("c", &[1, 2], 1.0, 0, &[1, 2]);
            let inputs = if code == ADD { vec![3, constant] } else { vec![3] };
            file.operator(code, &inputs, z, options);
            file.outputs = vec![z];
        }
    };
    refused(behind(ADD, None), Unsupported, &["operator 1 (ADD)", "a constant and 8-bit numbers"]);
    refused(behind(SOFTMAX, None), Model, &["operator 1 (SOFTMAX)", "beta 0e0"]);
    let slope = Some((75, vec![Field::Float(0, f32::NAN)]));
    refused(behind(LEAKY_RELU, slope), Model, &["operator 1 (LEAKY_RELU)", "slope NaN"]);
    let cube = |file: &mut File| {
        behind(SOFTMAX, Some((9, vec![Field::Float(0, 1.0)])))(file);
        file.tensors[3].shape = vec![1, 2, 1];
    };
    refused(cube, Unsupported, &["tensor 3 \"y\"", "[1, 2, 1], dimension 2: only whole rows"]);
    let real = |file: &mut File| {
        behind(RELU, None)(file);
        file.tensors[4].element = 0;
    };
    refused(real, Model, &["operator 1 (RELU)", "output is of real numbers"]);
    let same = |file: &mut File| {
        behind(QUANTIZE, None)(file);
        file.outputs = vec![4, 4];
    };
    refused(same, Model, &["output 1", "an output already"]);
}

#[test]
fn batches_and_shapes() {
    let apart = |file: &mut File| {
        file.tensors[0].shape = vec![2, 3];
        file.tensors[3].shape = vec![2, 2];
        file.reals("unused", &[2, 2]);
        file.outputs = vec![0, 3];
        file.inputs = vec![4, 0];
        file.tensors[4].shape = vec![2];
    };
    // Not all of the same first dimension: rows are not told apart.
    refused(apart, Unsupported, &["rows have 6 elements, its weights 3"]);
    let empty = |file: &mut File| file.tensors[0].shape = vec![0, 3];
    refused(empty, Model, &["tensor 0 \"x\"", "[0, 3] has no elements"]);
    let negative = |file: &mut File| file.tensors[0].shape = vec![-1, 3];
    refused(negative, Format, &["tensor: 0: \"x\"", "a dimension of -1"]);
    let large = |file: &mut File| file.tensors[0].shape = vec![1, i32::MAX, i32::MAX, i32::MAX];
    refused(large, Limit, &["tensor 0 \"x\"", "too many elements"]);
    let wide = |file: &mut File| file.tensors[0].shape = vec![1, 1 << 21];
    refused(wide, Limit, &["input 0 \"x\"", "2097152 elements"]);
    let deep = |file: &mut File| file.tensors[0].shape = vec![1; 9];
    refused(deep, Limit, &["\"x\"", "9 dimensions"]);
    let twice = |file: &mut File| file.inputs = vec![0, 0];
    refused(twice, Model, &["tensor 0 \"x\"", "an input already"]);
}

#[test]
fn constants_that_many_share() {
    refused(
        |file| {
            // Each a layer whose weights are the same bytes.
            let weights = file.constant("w", &[64, 64], 0, vec![0; 4 * 64 * 64]);
            let mut x = file.reals("x", &[1, 64]);
            file.inputs = vec![x];
            for _ in 0..20 {
                let y = file.reals("y", &[1, 64]);
                file.operator(FULLY_CONNECTED, &[x, weights], y, None);
                x = y;
            }
            file.operators.remove(0);
            file.outputs = vec![x];
        },
        Limit,
        &["used more often"],
    );
}

#[test]
fn files_as_a_whole() {
    refused(|file| file.version = 2, Unsupported, &["schema version 2"]);
    refused(|file| file.subgraphs = 0, Format, &["no subgraph"]);
    refused(|file| file.outputs.clear(), Model, &["without layers"]);
    refused(|file| file.outputs = vec![0], Model, &["without layers"]);
    refused(|file| file.outputs = vec![7], Format, &["outputs: tensor 7 is not there"]);
    refused(|file| file.outputs = vec![-2], Format, &["outputs: tensor -2 is not there"]);
    refused(|file| file.inputs = vec![-1], Format, &["inputs: tensor -1 is not there"]);
    refused(|file| file.inputs = vec![0; 300], Limit, &["inputs: 300 tensors, more than 256"]);
    let many = |file: &mut File| {
        for _ in 0..1 << 14 {
            file.constant("", &[], I32, vec![]);
        }
    };
    refused(many, Limit, &["tensors: 16388, more than 16384"]);
}
