//! Files that were made to harm: the fields of layers of real numbers. See `hostile.rs`.

mod common;

use common::forge::{forged, refusal, refuse_word, word};
use signfold::layers::{
    Activation, Affine, Aggregate, FloatDense, FloatMax, Layer, LayerNorm, LogSoftmax, Pointwise,
};
use signfold::{ErrorKind, Model, TensorType, WeightLayout};

/// The first tensor of a file of one layer; all of them take 64 bytes.
const TENSORS: usize = 192;

fn file(layer: impl Into<Layer<'static>>) -> Vec<u8> {
    let model = Model::builder("float", TensorType::f32(3)).layer(layer);
    model.build().expect("a sound layer").write()
}

fn weights() -> Vec<f32> {
    vec![1.0, -2.0, 0.5, 4.0, 0.0, 1.5]
}

fn dense() -> Vec<u8> {
    let layer = FloatDense::new(weights(), WeightLayout::OutIn, 2, 3).expect("the lengths fit");
    file(layer.bias(vec![0.25, -0.25]))
}

fn max(aggregate: Aggregate, pruned: bool) -> Vec<u8> {
    let new = if pruned { FloatMax::pruned } else { FloatMax::new };
    let layer = new(aggregate, weights(), WeightLayout::OutIn, 2, 3).expect("the lengths fit");
    file(layer.bias(vec![0.25, -0.25]))
}

fn affine() -> Vec<u8> {
    file(Affine::new(3, vec![1.0, 2.0, 3.0], vec![0.5]).expect("the lengths fit"))
}

fn layer_norm() -> Vec<u8> {
    let layer = LayerNorm::new(1e-5, vec![1.0, 2.0, 3.0], vec![0.5, 0.25, 0.125]);
    file(layer.expect("the lengths fit"))
}

const SOFT: Aggregate = Aggregate::SoftAbsMax { alpha: 2.5 };

/// What a number that must be finite is not, and how messages show it.
const NOT_FINITE: [(f32, &str); 3] =
    [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")];

#[test]
fn the_files_are_what_docs_say() {
    let words = |file: &[u8]| -> Vec<u32> {
        let words = file[128..192].chunks_exact(4);
        words.map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let floats = |file: &[u8], tensor: usize, len: usize| -> Vec<f32> {
        let values = file[TENSORS + 64 * tensor..].chunks_exact(4).take(len);
        values.map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
    };
    let record = |fields: &[u32]| {
        let mut record = fields.to_vec();
        record.resize(16, 0);
        record
    };
    let file = dense();
    assert_eq!(words(&file), record(&[8, 3, 2, 1]));
    assert_eq!(floats(&file, 0, 6), weights());
    assert_eq!(floats(&file, 1, 2), [0.25, -0.25]);
    let codes = [
        (Aggregate::Max, 0, 0.0_f32),
        (Aggregate::Min, 1, 0.0),
        (Aggregate::AbsMax, 2, 0.0),
        (SOFT, 3, 2.5),
        (Aggregate::Mean, 4, 0.0),
        (Aggregate::Mam, 5, 0.0),
    ];
    for (aggregate, code, alpha) in codes {
        for (pruned, more) in [(false, 0), (true, 16)] {
            let file = max(aggregate, pruned);
            assert_eq!(words(&file), record(&[9, 3, 2, 1, code + more, alpha.to_bits(), 1]));
            assert_eq!(floats(&file, 0, 6), weights());
            assert_eq!(floats(&file, 1, 2), [0.25, -0.25]);
        }
    }
    let file = affine();
    assert_eq!(words(&file), record(&[10, 3, 3, 1]));
    assert_eq!(floats(&file, 0, 3), [1.0, 2.0, 3.0]);
    assert_eq!(floats(&file, 1, 1), [0.5]);
    let file = layer_norm();
    assert_eq!(words(&file), record(&[11, 3, 1e-5_f32.to_bits()]));
    assert_eq!(floats(&file, 0, 3), [1.0, 2.0, 3.0]);
    assert_eq!(floats(&file, 1, 3), [0.5, 0.25, 0.125]);
    assert_eq!(words(&self::file(LogSoftmax)), record(&[12]));
}

#[test]
fn truncated() {
    for file in [dense(), max(SOFT, true), affine(), layer_norm()] {
        for len in 0..file.len() {
            let mut cut = file[..len].to_vec();
            common::seal(&mut cut);
            assert!(Model::read(&cut).is_err(), "{len} bytes");
        }
    }
}

/// Words and padding that no layer of the kind uses.
#[test]
fn unused_bytes() {
    let kinds = [
        (dense(), 4, "float dense"),
        (max(SOFT, false), 7, "float max product"),
        (affine(), 4, "affine"),
        (layer_norm(), 3, "layer norm"),
        (file(LogSoftmax), 1, "log softmax"),
    ];
    for (file, first, kind) in kinds {
        for unused in first..16 {
            let says = [kind, "unused bytes of the record are not zero"];
            refuse_word(&file, word(0, unused), 1, ErrorKind::Format, &says);
        }
    }
    for (file, lens) in [(dense(), [24, 8]), (affine(), [12, 4]), (layer_norm(), [12, 12])] {
        for (tensor, len) in lens.into_iter().enumerate() {
            for at in len..64 {
                let forged = forged(&file, TENSORS + 64 * tensor + at, &[1]);
                let message = refusal(&forged, ErrorKind::Format);
                assert!(message.contains("the padding after it is not zero"), "{message}");
            }
        }
    }
}

#[test]
fn shapes_of_weights() {
    use ErrorKind::*;
    for file in [dense(), max(Aggregate::Mam, true)] {
        let refuse = |at, value, kind, what| {
            refuse_word(&file, word(0, at), value, kind, &["layer 0 (float ", what]);
        };
        refuse(1, 0, Format, "2 x 0 weights");
        refuse(2, 0, Format, "0 x 3 weights");
        refuse(1, 2, Format, "tensor 0: the padding after it");
        refuse(1, 4, Model, "3 wide, but its parameters are for 4 inputs");
        refuse(2, 1, Format, "tensor 0: the padding after it");
        refuse(1, u32::MAX, Format, "tensor 0: its 34359738360 bytes");
        refuse(2, u32::MAX, Format, "tensor 0: its 51539607540 bytes");
        refuse(3, 2, Unsupported, "unknown kind of bias 2");
        let both = forged(&file, word(0, 1), &[0xFF; 8]);
        assert!(refusal(&both, Format).contains("tensor 0: "));
    }
}

#[test]
fn weights_that_are_not_finite() {
    for file in [dense(), max(Aggregate::AbsMax, false)] {
        for (value, shown) in NOT_FINITE {
            let refuse = |at: usize, says: String| {
                refuse_word(&file, at, value.to_bits(), ErrorKind::Model, &["layer 0 (", &says]);
            };
            let weight = |n: usize, k: usize| TENSORS + 4 * (3 * n + k);
            for (n, k) in [(0, 0), (0, 2), (1, 1)] {
                let says = format!("channel {n}: the weight for input {k} is {shown}");
                refuse(weight(n, k), says);
            }
            refuse(TENSORS + 64 + 4, format!("bias 1 is {shown}"));
        }
    }
}

#[test]
fn joins() {
    use ErrorKind::*;
    let file = max(Aggregate::Max, false);
    for code in (6..16).chain(22..48).chain([256, 1 << 16, u32::MAX]) {
        let says = ["layer 0 (float max product)", &format!("unknown aggregate {code}")];
        refuse_word(&file, word(0, 4), code, Unsupported, &says);
    }
    for alpha in [1.0_f32, -0.0, f32::NAN] {
        refuse_word(&file, word(0, 5), alpha.to_bits(), Format, &["alpha", "uses none"]);
    }
    for splits in [0, 4, 1 << 20, u32::MAX] {
        let says = ["layer 0 (float max)", &format!("3 inputs do not fill {splits} splits")];
        refuse_word(&file, word(0, 6), splits, Model, &says);
    }
    for splits in [2_u32, 3] {
        let file = forged(&file, word(0, 6), &splits.to_le_bytes());
        assert!(signfold::Model::read(&file).is_ok(), "{splits} splits");
    }
    for pruned in [false, true] {
        let mean = max(Aggregate::Mean, pruned);
        refuse_word(&mean, word(0, 6), 3, Model, &["layer 0 (float mean)", "no splits"]);
        let soft = max(SOFT, pruned);
        // The last two are sound, but one over them is not.
        for alpha in [0.0, -0.0, -2.5, f32::NAN, f32::INFINITY, 1e-40, f32::MAX, 3e38_f32] {
            let says = ["layer 0 (float soft_abs_max)", "alpha"];
            refuse_word(&soft, word(0, 5), alpha.to_bits(), Model, &says);
        }
    }
}

#[test]
fn affine_layers() {
    use ErrorKind::*;
    let file = affine();
    let refuse = |at, value, kind, what| {
        refuse_word(&file, word(0, at), value, kind, &["layer 0 (affine)", what]);
    };
    refuse(1, 0, Model, "3 scales for 0 columns");
    refuse(1, 4, Model, "3 scales for 4 columns");
    refuse(2, 0, Format, "padding after it");
    refuse(2, 2, Format, "tensor 0: the padding after it");
    refuse(2, u32::MAX, Format, "tensor 0: its 17179869180 bytes");
    refuse(3, 0, Model, "0 shifts for 3 columns");
    refuse(3, 2, Model, "2 shifts for 3 columns");
    refuse(3, u32::MAX, Format, "tensor 1: its 17179869180 bytes");
    for (value, shown) in NOT_FINITE {
        let says = |what: &str| format!("{what} is {shown}, not finite");
        refuse_word(&file, TENSORS + 8, value.to_bits(), Model, &["affine", &says("scale 2")]);
        refuse_word(&file, TENSORS + 64, value.to_bits(), Model, &["affine", &says("shift 0")]);
    }
    // One of each fits any width, but the layer has its own.
    let narrow = self::file(Affine::new(3, vec![2.0], vec![0.5]).unwrap());
    refuse_word(&narrow, word(0, 1), 4, Model, &["layer 0 (affine)", "3 wide", "for 4 inputs"]);
}

#[test]
fn layer_norms() {
    use ErrorKind::*;
    let file = layer_norm();
    let refuse = |at, value, kind, what| {
        refuse_word(&file, word(0, at), value, kind, &["layer 0 (layer norm)", what]);
    };
    refuse(1, 0, Model, "0 scales and 0 shifts");
    refuse(1, 2, Format, "tensor 0: the padding after it");
    refuse(1, 4, Model, "3 wide, but its parameters are for 4 inputs");
    refuse(1, u32::MAX, Format, "tensor 0: its 17179869180 bytes");
    for epsilon in [-1e-5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refuse(2, epsilon.to_bits(), Model, "epsilon");
    }
    for (value, shown) in NOT_FINITE {
        let says = |what: &str| format!("{what} is {shown}, not finite");
        refuse_word(&file, TENSORS + 4, value.to_bits(), Model, &["norm", &says("scale 1")]);
        refuse_word(&file, TENSORS + 72, value.to_bits(), Model, &["norm", &says("shift 2")]);
    }
}

#[test]
fn parameters_of_functions() {
    let file = |activation| file(Pointwise { activation, output: None });
    let (first, second) = (word(0, 2), word(0, 3));
    let one = Activation::Elu { alpha: 1.0 };
    let two = [
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Selu { alpha: 1.7, gamma: 1.1 },
    ];
    for (value, _) in NOT_FINITE {
        let refuse = |activation, at| {
            let says = ["layer 0 (pointwise)", "not finite"];
            refuse_word(&file(activation), at, value.to_bits(), ErrorKind::Model, &says);
        };
        refuse(one, first);
        for activation in two {
            refuse(activation, first);
            refuse(activation, second);
        }
    }
    let unused = ["layer 0 (pointwise)", "a parameter it does not use"];
    refuse_word(&file(one), second, 1, ErrorKind::Format, &unused);
    use Activation::{Exp, HardSwish, Mish, Silu, Softplus, Softsign};
    for activation in [Exp, HardSwish, Mish, Silu, Softplus, Softsign] {
        refuse_word(&file(activation), first, 1, ErrorKind::Format, &unused);
    }
    let says = ["layer 0 (pointwise)", "unknown activation 18"];
    refuse_word(&file(one), word(0, 1), 18, ErrorKind::Unsupported, &says);
}

/// Values that only code can have, no file.
#[test]
fn parts_that_do_not_fit() {
    let says = |error: signfold::Error, what: &str| {
        assert!(error.to_string().contains(what), "{error}");
    };
    let layout = WeightLayout::InOut;
    says(FloatDense::new(weights(), layout, 2, 4).unwrap_err(), "6 weights do not make");
    says(FloatDense::new(vec![], layout, 0, 4).unwrap_err(), "without weights");
    says(FloatMax::new(SOFT, weights(), layout, 7, 1).unwrap_err(), "6 weights do not make");
    let biased = FloatDense::new(weights(), layout, 2, 3).unwrap().bias(vec![1.0]);
    let model = Model::builder("", TensorType::f32(3)).layer(biased).build();
    says(model.unwrap_err(), "layer 0 (float dense): 1 biases for 2 outputs");
    says(LayerNorm::new(0.1, vec![1.0], vec![]).unwrap_err(), "1 scales and 0 shifts");
    says(Affine::new(2, vec![1.0; 3], vec![1.0]).unwrap_err(), "3 scales for 2 columns");
    let int8 = signfold::quant::QuantParams::new(signfold::quant::Int8::U8, 1.0, 0).unwrap();
    let int8 = Model::builder("", TensorType::int8(3, int8)).layer(LogSoftmax).build();
    says(int8.unwrap_err(), "layer 0 (log softmax): its input is 3 x u8, but it takes f32 rows");
}
