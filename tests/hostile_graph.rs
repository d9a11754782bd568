//! Files of graphs that were made to harm: wiring, names and outputs that are not what they should
//! be, and layers of several tensors with fields they must not have. All are sealed with the right
//! length and checksum. At the end, what is refused where a graph is put together.

mod common;

use common::forge::{forged, header, refusal, refuse_word};
use common::seal;
use signfold::layers::{
    Activation, Aggregate, Argmax, Combine, CombineOp, Concat, Dense, DenseOutput, Dequantize,
    Layer, Lookup, MAX_ARITY, MaxProduct,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{ErrorKind, Model, TensorType, WeightLayout};

fn int8(scale: f32, zero_point: i32) -> QuantParams {
    QuantParams::new(Int8::I8, scale, zero_point).expect("valid parameters")
}

fn add(rule: Rounding) -> Combine {
    let output = Some((int8(0.5, -3), rule));
    Combine { op: CombineOp::Add, activation: Activation::Relu, output }
}

/// Tensors 0 and 1 are inputs, 2 their sum, 3 that and the first end to end, 4 a function of it, 5 its
/// real numbers. Outputs are 5 and 2.
fn file() -> Vec<u8> {
    let mut graph = Model::graph("graph");
    let a = graph.input("a", TensorType::int8(2, int8(0.5, 1))).unwrap();
    let b = graph.input("bé", TensorType::int8(2, int8(0.25, 2))).unwrap();
    let sum = graph.layer("sum", add(Rounding::Nearest), &[a, b]).unwrap();
    let concat = Concat { inputs: 2, output: Some(int8(0.5, 4)) };
    let both = graph.layer("both", concat, &[sum, a]).unwrap();
    let lookup = Lookup::new(vec![7; 256], int8(1.0, 0)).unwrap();
    let looked = graph.layer("", lookup, &[both]).unwrap();
    let real = graph.layer("real", Dequantize, &[looked]).unwrap();
    graph.output(real);
    graph.output(sum);
    let rows = vec![vec![1_i8, 2].into(), vec![3_i8, 4].into()];
    graph.build().unwrap().with_golden_all(rows).unwrap().write()
}

/// Where parts of [`file`] are.
mod at {
    /// A word of an input's record.
    pub const fn input(number: usize, word: usize) -> usize {
        64 * (1 + number) + 4 * word
    }
    /// A word of a layer's record.
    pub const fn layer(number: usize, word: usize) -> usize {
        64 * (3 + number) + 4 * word
    }
    pub const TABLE: usize = 448;
    pub const WIRING: usize = 704;
    /// The two outputs in the wiring.
    pub const OUTPUTS: usize = WIRING + 4 * 6;
    pub const LENGTHS: usize = 768;
    pub const NAMES: usize = 832;
    pub const GOLDEN: usize = 896;
}

#[track_caller]
fn refuse(at: usize, value: u32, kind: ErrorKind, says: &[&str]) {
    refuse_word(&file(), at, value, kind, says);
}

#[test]
fn the_file_is_what_the_offsets_say() {
    let file = file();
    Model::read(&file).expect("it is sound");
    let words = |at: usize, count: usize| -> Vec<u32> {
        let words = file[at..at + 4 * count].as_chunks().0;
        words.iter().map(|&word| u32::from_le_bytes(word)).collect()
    };
    let first_words = [at::input(0, 0), at::input(1, 0), at::layer(0, 0), at::layer(3, 0)];
    assert_eq!(first_words.map(|at| words(at, 1)[0]), [2, 2, 13, 3]);
    assert_eq!(file[at::TABLE..at::WIRING], [7; 256]);
    assert_eq!(words(at::WIRING, 8), [0, 1, 2, 0, 3, 4, 5, 2]);
    assert_eq!(words(at::OUTPUTS, 2), [5, 2]);
    assert_eq!(words(at::LENGTHS, 6), [1, 3, 3, 4, 0, 4]);
    assert!(file[at::NAMES..].starts_with("graphabésumbothreal".as_bytes()));
    assert_eq!(file[at::GOLDEN..][..2], [1, 2]);
}

/// A layer takes what was there before it: no cycles, nothing beyond.
#[test]
fn wiring() {
    for (place, layer, there) in [
        (0, "layer 0 (add) \"sum\"", 2),
        (1, "layer 0 (add) \"sum\"", 2),
        (3, "layer 1 (concat) \"both\"", 3),
        (4, "layer 2 (lookup)", 4),
        (5, "layer 3 (dequantize) \"real\"", 5),
        (6, "output 0", 6),
        (7, "output 1", 6),
    ] {
        for tensor in [there, there + 1, 1000, u32::MAX] {
            let says = format!("tensor {tensor} is not there: so far there are {there}");
            refuse(at::WIRING + 4 * place, tensor, ErrorKind::Model, &[layer, &says]);
        }
    }
}

#[test]
fn outputs() {
    refuse(at::OUTPUTS, 2, ErrorKind::Model, &["output 1", "tensor 2 is an output already"]);
    let file = forged(&file(), at::OUTPUTS, &[0; 8]);
    let none = forged(&file, header::OUTPUTS, &0_u32.to_le_bytes());
    assert!(refusal(&none, ErrorKind::Model).contains("a model without outputs"));
    refuse(header::OUTPUTS, 1, ErrorKind::Format, &["wiring: the padding after it is not zero"]);
    // What follows them is an input, as good as any: then golden rows are missing.
    refuse(header::OUTPUTS, 3, ErrorKind::Format, &["golden"]);
    refuse(header::OUTPUTS, 4, ErrorKind::Model, &["output 3", "tensor 0 is an output already"]);
    refuse(header::OUTPUTS, u32::MAX, ErrorKind::Format, &["wiring", "not there"]);
}

#[test]
fn inputs() {
    for count in [0, 1, 3, 64] {
        let file = forged(&file(), header::INPUTS, &u32::to_le_bytes(count));
        Model::read(&file).expect_err("inputs and layers are other records");
    }
    refuse(header::INPUTS, u32::MAX, ErrorKind::Format, &["inputs", "not there"]);
    refuse(at::input(1, 0), 3, ErrorKind::Model, &["layer 0", "2 and 3 wide"]);
    refuse(at::input(1, 0), 0, ErrorKind::Model, &["input 1 \"bé\"", "without elements"]);
    refuse(at::input(1, 4), 1, ErrorKind::Format, &["input 1", "unused"]);
}

/// More inputs than a model may have, all of them sound.
#[test]
fn too_many_inputs() {
    let mut graph = Model::graph("");
    let inputs: Vec<_> = (0..64)
        .map(|_| graph.input("", TensorType::f32(1)).expect("as many as there may be"))
        .collect();
    graph.input("", TensorType::f32(1)).expect_err("one too many");
    let output = graph.layer("", Argmax, &inputs[..1]).unwrap();
    graph.output(output);
    let mut file = graph.build().unwrap().write();
    let record = file[64..128].to_vec();
    file.splice(64..64, record);
    file[header::INPUTS..][..4].copy_from_slice(&65_u32.to_le_bytes());
    seal(&mut file);
    let message = refusal(&file, ErrorKind::Limit);
    assert!(message.contains("input 64") && message.contains("more than 64"), "{message}");
}

#[test]
fn arities() {
    for count in [0, 1, MAX_ARITY as u32 + 1, u32::MAX] {
        let says = format!("{count} inputs, but it takes 2 to {MAX_ARITY}");
        refuse(at::layer(1, 1), count, ErrorKind::Limit, &["layer 1 (concat)", &says]);
    }
    // The words that follow become the wiring of others.
    refuse(at::layer(1, 1), 3, ErrorKind::Model, &["layer 1 (concat)", "tensor 3 is not there"]);
}

#[test]
fn names() {
    let refuse = |places: &[(usize, u8)], says: &str| {
        let mut file = file();
        places.iter().for_each(|&(at, byte)| file[at] = byte);
        seal(&mut file);
        let message = refusal(&file, ErrorKind::Format);
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    };
    refuse(&[(at::NAMES + 1, 0xFF)], "name: not UTF-8 from byte 1");
    refuse(&[(at::NAMES + 9, 0xFF)], "name of tensor 2: not UTF-8 from byte 0");
    // A letter of two bytes, cut.
    let cut = [(at::LENGTHS, 3), (at::LENGTHS + 4, 1)];
    refuse(&cut, "name of tensor 0: not UTF-8 from byte 2");
    refuse(&[(at::LENGTHS + 4 * 5, 3)], "names: the padding after it is not zero");
    refuse(&[(at::LENGTHS + 4 * 5 + 3, 0xFF)], "names: its");
}

/// Bytes of one name moved to another.
#[test]
fn long_names() {
    let mut graph = Model::graph("m".repeat(200));
    let x = graph.input("x".repeat(200), TensorType::f32(1)).unwrap();
    let y = graph.layer("y".repeat(200), Argmax, &[x]).unwrap();
    graph.output(y);
    let file = graph.build().unwrap().write();
    // A record each, then the wiring.
    let lengths = 64 * 4;
    for (from, to, says) in [
        (lengths, header::NAME, "name: a name of 256 bytes, more than 255"),
        (lengths, lengths + 4, "layer 0 (argmax): a name of 256 bytes"),
        (lengths + 4, lengths, "input 0: a name of 256 bytes"),
    ] {
        let file = forged(&forged(&file, from, &[144]), to, &256_u32.to_le_bytes());
        let message = refusal(&file, ErrorKind::Limit);
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    }
}

#[test]
fn fields_of_combine() {
    let says = |what: &'static str| ["layer 0 (add)", what];
    let combine = |word, value, kind, what| refuse(at::layer(0, word), value, kind, &[what]);
    combine(1, 6, ErrorKind::Unsupported, "layer 0 (combine): unknown operation 6");
    combine(1, 3, ErrorKind::Model, "layer 0 (div) \"sum\": 8-bit values have no division");
    combine(2, 6, ErrorKind::Model, "sigmoid is not a clamp");
    combine(5, 0, ErrorKind::Format, "without an element type");
    combine(8, 0, ErrorKind::Format, "output parameters and requantize rule go together");
    combine(8, 6, ErrorKind::Unsupported, "unknown requantize rule 6");
    combine(8, 5, ErrorKind::Model, "requantize rule tf-lite-reference is one of dense layers");
    combine(9, 1, ErrorKind::Format, "unused bytes");
    // Real outputs of 8-bit inputs.
    let file = forged(&file(), at::layer(0, 5), &[0; 16]);
    assert!(refusal(&file, ErrorKind::Model).contains("their quantization is missing"));
    // Scales whose ratio no sum has use for.
    let scale = 1e30_f32.to_bits();
    refuse(at::input(0, 2), scale, ErrorKind::Model, &says("times the output's"));
    let scale = f32::MAX.to_bits();
    refuse(at::layer(0, 6), scale, ErrorKind::Model, &says("not a positive normal number"));
    for (word, op) in [(0, "add"), (1, "sub"), (2, "mul")] {
        let file = forged(&self::file(), at::layer(0, 1), &u32::to_le_bytes(word));
        for rule in [3_u32, 4] {
            let file = forged(&file, at::layer(0, 8), &rule.to_le_bytes());
            Model::read(&file).unwrap_or_else(|e| panic!("{op}, rule {rule}: {e}"));
            let says = [op, "too large for the output's"];
            refuse_word(&file, at::input(0, 2), 1e9_f32.to_bits(), ErrorKind::Model, &says);
        }
    }
    for op in [4_u32, 5] {
        let file = forged(&self::file(), at::layer(0, 1), &op.to_le_bytes());
        Model::read(&file).expect("max and min are those of real numbers");
        refuse_word(&file, at::layer(0, 8), 3, ErrorKind::Model, &["under this requantize rule"]);
    }
}

#[test]
fn fields_of_concat_and_lookup() {
    let real = forged(&file(), at::layer(1, 2), &[0; 12]);
    let message = refusal(&real, ErrorKind::Model);
    assert!(
        message.contains("layer 1 (concat) \"both\": input 0: its input is 2 x i8"),
        "{message}"
    );
    refuse(at::layer(1, 5), 1, ErrorKind::Format, &["layer 1 (concat)", "unused bytes"]);
    refuse(at::layer(1, 4), 128, ErrorKind::Model, &["layer 1 (concat)", "zero point 128"]);
    refuse(at::layer(2, 1), 0, ErrorKind::Format, &["layer 2 (lookup)", "element type"]);
    let none = forged(&file(), at::layer(2, 1), &[0; 12]);
    assert!(refusal(&none, ErrorKind::Format).contains("layer 2 (lookup): no output parameters"));
    refuse(at::layer(2, 4), 1, ErrorKind::Format, &["layer 2 (lookup)", "unused bytes"]);
}

/// Every byte set to others: whatever is read is a model that can be run.
#[test]
fn any_byte_changed() {
    let file = file();
    let bytes = if common::cases() < 200 { 97 } else { 1 };
    for at in (0..file.len()).step_by(bytes) {
        for byte in [0, 1, 2, 0x7F, 0x80, 0xFF] {
            let file = forged(&file, at, &[byte]);
            let Ok(model) = Model::read(&file) else { continue };
            assert_eq!(model.write(), file, "byte {at} is {byte}");
            let inputs = common::random_inputs(&model, 2, 1);
            model.reference_all(&inputs).expect("8-bit rows are sound");
        }
    }
}

/// What the layer says to inputs of these types.
#[track_caller]
fn refused(layer: impl Into<Layer<'static>>, types: &[TensorType], says: &str) {
    let mut graph = Model::graph("");
    let inputs: Vec<_> = types.iter().map(|of| graph.input("", *of).expect("sound")).collect();
    let message = graph.layer("y", layer, &inputs).expect_err("it does not fit").to_string();
    assert!(message.contains(says), "{message:?} does not say {says:?}");
}

#[test]
fn layers_that_do_not_fit() {
    let real = TensorType::f32(2);
    let bytes = TensorType::int8(2, int8(0.5, 0));
    let of = |output| Combine { op: CombineOp::Add, activation: Activation::Identity, output };
    refused(of(None), &[real], "layer 0 (add) \"y\": 1 inputs, but it takes 2");
    refused(of(None), &[real; 3], "3 inputs, but it takes 2");
    refused(of(None), &[real, TensorType::f32(3)], "its inputs are 2 and 3 wide");
    refused(of(None), &[real, bytes], "one input is f32, one is 8-bit");
    refused(of(None), &[bytes; 2], "their quantization is missing");
    refused(add(Rounding::Nearest), &[real; 2], "f32 inputs give f32 outputs");
    let concat = |output| Concat { inputs: 2, output };
    refused(concat(None), &[real, bytes], "layer 0 (concat) \"y\": input 1: its input is 2 x i8");
    refused(concat(Some(int8(1.0, 0))), &[real, bytes], "input 0: its input is 2 x f32");
    let wide = TensorType::f32(1 << 20);
    refused(concat(None), &[wide, real], "rows of 1048578 elements: the limit on width is 1048576");
    let lookup = Lookup::new(vec![0; 256], int8(1.0, 0)).unwrap();
    refused(lookup, &[real], "its input is 2 x f32, but it takes 8-bit rows");
    let short = Lookup::new(vec![0; 255], int8(1.0, 0)).expect_err("an entry is missing");
    assert!(short.to_string().contains("a table of 255 entries, not 256"));
}

#[test]
fn rules_that_do_not_fit() {
    let bytes = TensorType::int8(1, int8(1.0, 0));
    let output = |scale, rule| DenseOutput::Int8(int8(scale, 0), rule);
    let dense = |scale, rule| {
        let dense = Dense::new(vec![100_i8], WeightLayout::OutIn, 1, 1).expect("one weight");
        dense.output(output(scale, rule))
    };
    // 100 * 128, times 2^18, is more than an i32 holds; times 2^17 it is not.
    let says = "its sum can reach 12800, but with its multiplier only 8191 fits an i32";
    refused(dense(1.0 / (1 << 17) as f32, Rounding::TfLite), &[bytes], says);
    for (rule, shift) in Rounding::ALL.into_iter().zip([30, 30, 16, 30, 30]) {
        let mut graph = Model::graph("");
        let x = graph.input("", bytes).expect("sound");
        graph.layer("", dense(1.0 / (1 << shift) as f32, rule), &[x]).expect("it fits");
    }
    for aggregate in [Aggregate::Max, Aggregate::Mean] {
        for rule in Rounding::ALL.into_iter().skip(1) {
            let layer = MaxProduct::new(aggregate, vec![1_i8], WeightLayout::OutIn, 1, 1);
            let layer = layer.expect("one weight").output(output(1.0, rule));
            let says = format!("it has no requantize rule but nearest, not {}", rule.name());
            refused(layer, &[bytes], &says);
        }
    }
}
