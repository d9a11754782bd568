//! Files that were made to harm: the fields of max-product layers. See `hostile.rs`.

mod common;

use common::forge::{forged, input, refusal, refuse_word, word};
use signfold::layers::{Aggregate, Bias, DenseOutput, MaxProduct};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Engine, ErrorKind, Model, TensorType, WeightLayout};

/// Words of the record.
const INPUTS: usize = 1;
const OUTPUTS: usize = 2;
const SCALES: usize = 3;
const AGGREGATE: usize = 4;
const BIAS: usize = 5;
const INPUT: usize = 6;
const ACTIVATION: usize = 7;
const RULE: usize = 13;
const ALPHA: usize = 14;
const SPLITS: usize = 15;

/// The first tensor; each of these files has tensors of 64 bytes.
const TENSORS: usize = 192;

fn file(layer: MaxProduct<'_>) -> Vec<u8> {
    let params = |kind, scale, zero_point| QuantParams::new(kind, scale, zero_point).unwrap();
    let layer = layer.weight_scales(vec![0.25, 0.5]).bias(Bias::I32(vec![10, -20].into()));
    let output = DenseOutput::Int8(params(Int8::U8, 0.125, 7), Rounding::Nearest);
    let input = TensorType::int8(5, params(Int8::I8, 0.5, 3));
    Model::builder("max", input).layer(layer.output(output)).build().unwrap().write()
}

/// Five inputs, two outputs, all weights.
fn all(aggregate: Aggregate) -> Vec<u8> {
    let weights = vec![1, 0, 3, 4, 5, -128, 7, 0, 9, 10];
    file(MaxProduct::new(aggregate, weights, WeightLayout::OutIn, 2, 5).unwrap())
}

/// The same without the connections of weight zero: 4 and 4 are left.
fn pruned(aggregate: Aggregate) -> Vec<u8> {
    let weights = vec![1, 0, 3, 4, 5, -128, 7, 0, 9, 10];
    file(MaxProduct::pruned(aggregate, weights, WeightLayout::OutIn, 2, 5).unwrap().splits(2))
}

const SOFT: Aggregate = Aggregate::SoftAbsMax { alpha: 2.5 };

#[test]
fn the_files_are_what_docs_say() {
    let codes = [
        (Aggregate::Max, 0, 0.0_f32),
        (Aggregate::Min, 1, 0.0),
        (Aggregate::AbsMax, 2, 0.0),
        (SOFT, 3, 2.5),
        (Aggregate::Mean, 4, 0.0),
        (Aggregate::Mam, 5, 0.0),
    ];
    let words = |file: &[u8]| -> Vec<u32> {
        let words = file[128..192].chunks_exact(4);
        words.map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let scale = 0.125_f32.to_bits();
    for (aggregate, code, alpha) in codes {
        let alpha = alpha.to_bits();
        let file = all(aggregate);
        assert_eq!(words(&file), [7, 5, 2, 2, code, 1, 0, 0, 0, 0, 2, scale, 7, 1, alpha, 1]);
        assert_eq!(file.len(), TENSORS + 6 * 64);
        let tensor = |i: usize| &file[TENSORS + 64 * i..];
        assert_eq!(tensor(0)[..11], [1, 0, 3, 4, 5, 128, 7, 0, 9, 10, 0]);
        assert_eq!(tensor(1)[..8], [0.25_f32.to_le_bytes(), 0.5_f32.to_le_bytes()].concat());
        assert_eq!(tensor(2)[..8], [10_i32.to_le_bytes(), (-20_i32).to_le_bytes()].concat());
        assert_eq!(tensor(5)[..4], *b"max\0");
        if aggregate == Aggregate::Mean {
            continue;
        }
        let file = pruned(aggregate);
        assert_eq!(words(&file), [7, 5, 2, 2, code + 16, 1, 0, 0, 0, 0, 2, scale, 7, 1, alpha, 2]);
        assert_eq!(file.len(), TENSORS + 8 * 64);
        let tensor = |i: usize| &file[TENSORS + 64 * i..];
        let u32s = |values: &[u32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        assert_eq!(tensor(0)[..8], u32s(&[4, 8]));
        assert_eq!(tensor(1)[..32], u32s(&[0, 2, 3, 4, 0, 1, 3, 4]));
        assert_eq!(tensor(2)[..9], [1, 3, 4, 5, 128, 7, 9, 10, 0]);
        assert_eq!(tensor(3)[..4], 0.25_f32.to_le_bytes());
        assert_eq!(tensor(4)[..4], 10_i32.to_le_bytes());
        assert_eq!(tensor(7)[..4], *b"max\0");
    }
}

#[test]
fn truncated() {
    for file in [all(SOFT), pruned(Aggregate::Mam)] {
        for len in 0..file.len() {
            let mut cut = file[..len].to_vec();
            common::seal(&mut cut);
            assert!(Model::read(&cut).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn codes() {
    use ErrorKind::Unsupported;
    for file in [all(Aggregate::Max), pruned(Aggregate::Max)] {
        let unknown = (6..16).chain(22..48).chain([255, 256, 1 << 16, 1 << 31, u32::MAX]);
        for code in unknown {
            let says = ["layer 0 (max product)", &format!("unknown aggregate {code}")];
            refuse_word(&file, word(0, AGGREGATE), code, Unsupported, &says);
        }
        let refuse = |at, code, what| {
            refuse_word(&file, word(0, at), code, Unsupported, &["layer 0 (max product)", what]);
        };
        refuse(BIAS, 3, "unknown kind of bias 3");
        refuse(INPUT, 3, "input 3");
        refuse(ACTIVATION, 99, "unknown activation 99");
        refuse(RULE, 9, "unknown requantize rule 9");
    }
}

#[test]
fn alphas() {
    use ErrorKind::{Format, Model};
    let hard = [Aggregate::Max, Aggregate::Min, Aggregate::AbsMax, Aggregate::Mam];
    let bits = [1.0_f32, -0.0, f32::NAN, f32::INFINITY, 1e-40].map(f32::to_bits);
    let files = hard.iter().flat_map(|&of| [all(of), pruned(of)]).chain([all(Aggregate::Mean)]);
    for file in files {
        for bits in bits {
            let says = ["layer 0 (max product)", "alpha", "uses none"];
            refuse_word(&file, word(0, ALPHA), bits, Format, &says);
        }
    }
    let subnormal = f32::MIN_POSITIVE / 2.0;
    for file in [all(SOFT), pruned(SOFT)] {
        let bad = [0.0, -0.0, -2.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, subnormal];
        for alpha in bad {
            let says = ["layer 0 (soft_abs_max)", "alpha", &format!("{alpha:e}")];
            refuse_word(&file, word(0, ALPHA), alpha.to_bits(), Model, &says);
        }
        // Sound by itself, but its logarithms, in steps of the output, would not be.
        let file = forged(&file, word(0, 11), &1e-3_f32.to_le_bytes());
        let says = ["layer 0 (soft_abs_max)", "1 / (alpha * output scale)"];
        refuse_word(&file, word(0, ALPHA), 1.2e-38_f32.to_bits(), Model, &says);
    }
}

#[test]
fn splits() {
    use ErrorKind::Model;
    for file in [all(Aggregate::Max), pruned(SOFT)] {
        // Blocks of two inputs, of which the fourth would be empty.
        for splits in [0, 4, 6, 7, 1 << 20, 1 << 31, u32::MAX] {
            let says = ["layer 0 (", &format!("5 inputs do not fill {splits} splits")];
            refuse_word(&file, word(0, SPLITS), splits, Model, &says);
        }
        for splits in [1_u32, 2, 3, 5] {
            let file = forged(&file, word(0, SPLITS), &splits.to_le_bytes());
            assert!(signfold::Model::read(&file).is_ok(), "{splits} splits");
        }
    }
    let mean = all(Aggregate::Mean);
    refuse_word(&mean, word(0, SPLITS), 2, Model, &["layer 0 (mean)", "no splits"]);
    refuse_word(&mean, word(0, SPLITS), 0, Model, &["layer 0 (mean)", "0 splits"]);
    let pruned = pruned(Aggregate::Max);
    let pruned = forged(&pruned, word(0, SPLITS), &1_u32.to_le_bytes());
    refuse_word(&pruned, word(0, AGGREGATE), 20, Model, &["layer 0 (mean)", "not pruned"]);
}

#[test]
fn shapes() {
    use ErrorKind::*;
    let file = &all(Aggregate::Max);
    let refuse = |at, value, kind, what| {
        refuse_word(file, word(0, at), value, kind, &["layer 0 (max", what]);
    };
    refuse(INPUTS, 0, Format, "2 x 0 weights");
    refuse(OUTPUTS, 0, Format, "0 x 5 weights");
    refuse(INPUTS, 4, Format, "tensor 0: the padding after it");
    refuse(INPUTS, 6, Model, "5 wide, but its weights are for 6 inputs");
    refuse(OUTPUTS, 1, Format, "tensor 0: the padding after it");
    refuse(INPUTS, u32::MAX, Format, "tensor 0");
    refuse(OUTPUTS, u32::MAX, Format, "tensor 0");
    // The bias is read where the scales are, and the wiring where the bias is.
    refuse_word(file, word(0, SCALES), 0, Model, &["tensor 10 is not there"]);
    refuse(SCALES, 3, Model, "3 weight scales for 2 outputs");
    refuse(SCALES, u32::MAX, Format, "tensor 1: its 17179869180 bytes");
    let both = forged(file, word(0, INPUTS), &[0xFF; 8]);
    assert!(refusal(&both, Format).starts_with("layer 0 (max product): tensor 0: "));
    // Stored all, read as pruned: there are more weights than ends.
    refuse(AGGREGATE, 16, Format, "tensor 0: the padding after it");

    let file = &pruned(Aggregate::Max);
    let refuse = |at, value, kind, what| {
        refuse_word(file, word(0, at), value, kind, &["layer 0 (max", what]);
    };
    refuse(INPUTS, 0, Model, "0 inputs");
    refuse(INPUTS, 4, Model, "channel 0: a connection to input 4 of 4");
    refuse(INPUTS, 6, Model, "5 wide, but its weights are for 6 inputs");
    refuse(INPUTS, u32::MAX, ErrorKind::Limit, "4294967295 inputs, more than 1048576");
    // What is read where depends on the ends: without any, the wiring is where the inputs are.
    refuse_word(file, word(0, OUTPUTS), 0, Format, &["the padding after it"]);
    refuse(OUTPUTS, 1, Format, "tensor 0: the padding after it");
    refuse(OUTPUTS, u32::MAX, Format, "tensor 0: its 17179869180 bytes");
    // The third end is padding, a 0: there are no connections, and scales are where inputs are.
    refuse(OUTPUTS, 3, Format, "tensor 3: the padding after it");
}

#[test]
fn connections() {
    use ErrorKind::*;
    let file = &pruned(Aggregate::AbsMax);
    let (ends, inputs, weights) = (TENSORS, TENSORS + 64, TENSORS + 128);
    let refuse = |at, value, kind, what| {
        refuse_word(file, at, value, kind, &["layer 0 (", what]);
    };
    refuse(ends, 9, Model, "channel 0: connections from 0 to 9");
    refuse(ends, u32::MAX, Model, "channel 0: connections from 0 to 4294967295");
    // The last end is the number of connections.
    refuse(ends + 4, 7, Format, "tensor 1: the padding after it");
    refuse(ends + 4, 0, Format, "tensor 3: the padding after it");
    refuse(ends + 4, 9, Model, "channel 1: input 0 after input 4");
    refuse(ends + 4, u32::MAX, Format, "tensor 1: its 17179869180 bytes");
    // Ends of 5 and 8 give the first output an input that does not rise.
    refuse(ends, 5, Model, "channel 0: input 0 after input 4");
    for (at, value, says) in [
        (0, 2, "channel 0: input 2 after input 2"),
        (0, 3, "channel 0: input 2 after input 3"),
        (1, 0, "channel 0: input 0 after input 0"),
        (3, 5, "channel 0: a connection to input 5 of 5"),
        (3, u32::MAX, "channel 0: a connection to input 4294967295 of 5"),
        (7, 5, "channel 1: a connection to input 5 of 5"),
        (4, 1, "channel 1: input 1 after input 1"),
    ] {
        refuse(inputs + 4 * at, value, Model, says);
    }
    for (at, says) in [(0, "channel 0: the weight for input 0 is 0"), (7, "channel 1: the weight")]
    {
        let message = refusal(&forged(file, weights + at, &[0]), Model);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn ends_that_fall() {
    let layer = |ends: [u32; 3]| {
        let (inputs, weights) = (vec![0, 1, 2, 3], vec![1, 2, 3, 4]);
        MaxProduct::from_connections(Aggregate::Max, 5, ends.to_vec(), inputs, weights)
    };
    let input = TensorType::int8(5, QuantParams::new(Int8::I8, 1.0, 0).unwrap());
    let model = Model::builder("", input).layer(layer([1, 2, 4]).unwrap()).build().unwrap();
    let says = ["layer 0 (max)", "channel 1: connections from 3 to 2"];
    refuse_word(&model.write(), TENSORS, 3, ErrorKind::Model, &says);
    let error = layer([3, 2, 4]).unwrap_err().to_string();
    assert!(error.contains(says[1]), "{error}");
    let none = MaxProduct::from_connections(Aggregate::Max, 5, vec![], vec![], vec![]);
    assert!(none.unwrap_err().to_string().contains("without outputs"));
    // Other parts that do not fit, which no file can have.
    for ends in [[1, 2, 3], [1, 2, 5]] {
        let error = layer(ends).unwrap_err().to_string();
        assert!(error.contains("there are 4 inputs and 4 weights"), "{error}");
    }
}

#[test]
fn padding() {
    let parts = [(8, 0), (32, 1), (8, 2), (8, 3), (8, 4)];
    let file = pruned(Aggregate::Min);
    for (len, tensor) in parts {
        let start = TENSORS + 64 * tensor;
        for at in start + len..start + 64 {
            let message = refusal(&forged(&file, at, &[1]), ErrorKind::Format);
            let place = format!("layer 0 (max product): tensor {tensor}");
            assert_eq!(message, format!("{place}: the padding after it is not zero"));
        }
    }
}

/// What sums of blocks can reach. Of dense layers, `hostile.rs` has the same.
#[test]
fn sums_that_leave_i32() {
    let inputs = 1 << 17;
    let input = TensorType::int8(inputs, QuantParams::new(Int8::I8, 1.0, 0).unwrap());
    for (aggregate, splits) in [(Aggregate::AbsMax, 1 << 17), (Aggregate::Mam, 1 << 16)] {
        let mut weights = vec![-127; inputs];
        let layer = |weights| {
            MaxProduct::new(aggregate, weights, WeightLayout::OutIn, 1, inputs)
                .unwrap()
                .splits(splits)
        };
        let sound = Model::builder("", input).layer(layer(weights.clone())).build().unwrap();
        let mut file = sound.write();
        weights[inputs - 1] = -128;
        let error = Model::builder("", input).layer(layer(weights)).build().unwrap_err();
        assert!(error.to_string().contains("its sum can reach 2147483648"), "{error}");
        file = forged(&file, TENSORS + inputs - 1, &[128]);
        let message = refusal(&file, ErrorKind::Model);
        assert!(message.contains("channel 0: its sum can reach 2147483648"), "{message}");
    }
}

/// A matrix of 2^40 weights, of which a few are there: its engine takes no more room than its file.
#[test]
fn a_pruned_file_may_claim_many_absent_connections() {
    let width = 1 << 20;
    let mut ends = vec![0; width];
    ends[width - 2] = 1;
    ends[width - 1] = 3;
    let (inputs, weights) = (vec![width as u32 - 1, 0, 1], vec![1, -2, 3]);
    let layer = MaxProduct::from_connections(Aggregate::AbsMax, width, ends, inputs, weights);
    let input = TensorType::int8(width, QuantParams::new(Int8::I8, 1.0, 0).unwrap());
    let model = Model::builder("", input).layer(layer.unwrap()).build().unwrap();
    let file = model.write();
    assert!(file.len() < 5 << 20);
    let model = Model::read(&file).unwrap();
    let start = std::time::Instant::now();
    let engine = Engine::new(&model).unwrap();
    let mut rows = vec![0_i8; width];
    (rows[0], rows[1], rows[width - 1]) = (5, 2, 7);
    let mut output = vec![1.0; width];
    engine.run(&rows, &mut output, &mut engine.scratch_for(1)).unwrap();
    assert_eq!(output[width - 3..], [0.0, 7.0, -10.0]);
    assert!(output[..width - 2].iter().all(|&x| x == 0.0));
    let seconds = start.elapsed().as_secs_f64();
    println!("{seconds:.2} s");
    assert!(seconds < 20.0, "{seconds} s for a matrix of three weights");
    let claim = forged(&file, input::WIDTH, &u32::MAX.to_le_bytes());
    assert!(Model::read(&claim).is_err());
}
