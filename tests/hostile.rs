//! Files that were made to harm: each field with values it must not have. All are sealed with the
//! right length and checksum, so that the field itself has to be refused, and with a message that
//! says where and what it is.

mod common;

use common::forge::{forged, header, input, refusal, refuse_word, word};
use common::seal;
use signfold::layers::{
    Activation, Argmax, Bias, Dense, DenseOutput, Dequantize, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{ErrorKind, Model, TensorType, WeightLayout};

/// i8 rows; dense, pointwise, dequantize, softmax; every tensor that a dense layer can have.
fn int8_file() -> Vec<u8> {
    let params = |kind, scale, zero_point| QuantParams::new(kind, scale, zero_point).unwrap();
    let dense = Dense::new(vec![1, -2, 3, 4, 5, -128], WeightLayout::OutIn, 2, 3)
        .unwrap()
        .weight_scales(vec![0.25, 0.5])
        .weight_zero_points(vec![1, -2])
        .bias(Bias::I32(vec![10, -20].into()))
        .activation(Activation::Clip { min: -1.0, max: 2.0 })
        .output(DenseOutput::Int8(params(Int8::U8, 0.125, 7), Rounding::Nearest));
    let pointwise = Pointwise {
        activation: Activation::LeakyRelu { alpha: 0.5 },
        output: Some(params(Int8::I8, 0.5, -8)),
    };
    Model::builder("int8", TensorType::int8(3, params(Int8::I8, 0.5, 3)))
        .layer(dense)
        .layer(pointwise)
        .layer(Dequantize)
        .layer(Softmax)
        .build()
        .unwrap()
        .with_golden(vec![1_i8, 2, 3, -4, -5, -6])
        .unwrap()
        .write()
}

/// f32 rows; quantize, dense with one scale and a real bias, argmax.
fn real_file() -> Vec<u8> {
    let dense = Dense::new(vec![1, -2, 3, 4], WeightLayout::OutIn, 2, 2)
        .unwrap()
        .bias(Bias::F32(vec![0.5, -0.5].into()));
    Model::builder("real", TensorType::f32(2))
        .layer(Quantize { output: QuantParams::new(Int8::I8, 0.5, 0).unwrap() })
        .layer(dense)
        .layer(Argmax)
        .build()
        .unwrap()
        .with_golden(vec![1.0, -1.0])
        .unwrap()
        .write()
}

/// Tensors of [`int8_file`], one after the other.
mod int8 {
    pub const WEIGHTS: usize = 384;
    pub const SCALES: usize = 448;
    pub const ZERO_POINTS: usize = 512;
    pub const BIAS: usize = 576;
    pub const WIRING: usize = 640;
    pub const LENGTHS: usize = 704;
    pub const NAME: usize = 768;
    pub const INPUT: usize = 832;
    pub const OUTPUT: usize = 896;
    pub const DIGEST: usize = 960;
    pub const END: usize = 1024;
}

/// Tensors of [`real_file`].
mod real {
    pub const SCALES: usize = 384;
    pub const BIAS: usize = 448;
    pub const INPUT: usize = 704;
    pub const END: usize = 896;
}

#[test]
fn the_files_are_what_the_offsets_say() {
    assert_eq!(int8_file().len(), int8::END);
    assert_eq!(real_file().len(), real::END);
    let file = int8_file();
    assert_eq!(file[int8::WEIGHTS..][..6], [1, 254, 3, 4, 5, 128]);
    assert_eq!(file[int8::SCALES..][..4], 0.25_f32.to_le_bytes());
    assert_eq!(file[int8::ZERO_POINTS..][..2], [1, 254]);
    assert_eq!(file[int8::BIAS..][..4], 10_i32.to_le_bytes());
    assert_eq!(file[int8::NAME..][..4], *b"int8");
    assert_eq!(file[int8::INPUT..][..3], [1, 2, 3]);
    let file = real_file();
    assert_eq!(file[real::SCALES..][..4], 1.0_f32.to_le_bytes());
    assert_eq!(file[real::BIAS..][..4], 0.5_f32.to_le_bytes());
    assert_eq!(file[real::INPUT..][..4], 1.0_f32.to_le_bytes());
}

#[test]
fn truncated() {
    for file in [int8_file(), real_file()] {
        for len in 0..file.len() {
            let mut cut = file[..len].to_vec();
            assert!(refusal(&cut, ErrorKind::Format).starts_with("truncated: "));
            seal(&mut cut);
            assert!(Model::read(&cut).is_err(), "{len} bytes");
        }
    }
    assert!(refusal(&[], ErrorKind::Format).contains("0 bytes"));
}

#[test]
fn longer_than_it_says() {
    for more in [1, 63, 64, 4096] {
        let mut file = int8_file();
        file.resize(int8::END + more, 0);
        let message = refusal(&file, ErrorKind::Format);
        assert!(message.starts_with("trailing bytes: the header says 1024 bytes"), "{message}");
        seal(&mut file);
        let message = refusal(&file, ErrorKind::Format);
        assert_eq!(message, format!("{more} bytes follow the last tensor"));
    }
}

#[test]
fn one_byte_changed() {
    for file in [int8_file(), real_file()] {
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                let error = Model::read(&changed).unwrap_err();
                if at >= header::CHECKSUM {
                    assert_eq!(error.kind(), ErrorKind::Checksum, "byte {at}, bit {bit}");
                }
            }
        }
    }
}

#[test]
fn another_kind_of_file() {
    let mut onnx = int8_file();
    onnx[..8].copy_from_slice(b"\x08\x07\x12\x04onnx");
    let message = refusal(&onnx, ErrorKind::Format);
    assert!(message.starts_with("not an .sfold file"), "{message}");
    // What a transfer as text makes of the line end.
    let unix: Vec<u8> = [b"\x89SFOLD\n", &int8_file()[8..]].concat();
    assert!(refusal(&unix, ErrorKind::Format).starts_with("not an .sfold file"));
}

#[test]
fn guards_of_the_header() {
    use ErrorKind::*;
    use header::*;
    let file = &int8_file();
    refuse_word(file, VERSION, 1, Unsupported, &["version 1", "reads 2"]);
    refuse_word(file, VERSION, 3, Unsupported, &["version 3", "reads 2"]);
    refuse_word(file, FLAGS, 0x10, Unsupported, &["flags 0x10"]);
    // These two are not sealed: sealing would put them right.
    for length in [0_u64, 1023, 1025, u64::MAX] {
        let mut file = file.clone();
        file[LENGTH..][..8].copy_from_slice(&length.to_le_bytes());
        assert!(refusal(&file, Format).contains(&format!("{length} bytes, there are 1024")));
    }
    let mut file = file.clone();
    file[CHECKSUM..][..8].copy_from_slice(&[0xAB; 8]);
    assert!(refusal(&file, Checksum).contains("abababababababab"));
}

/// Later versions may change everything after the flags, so nothing after them is looked at.
#[test]
fn the_version_is_judged_before_the_rest() {
    let mut file = int8_file();
    file[header::VERSION] = 9;
    file.truncate(100);
    assert!(refusal(&file, ErrorKind::Unsupported).contains("version 9"));
}

#[test]
fn fields_of_the_header() {
    use ErrorKind::*;
    use header::{INPUTS, LAYERS, OUTPUTS};
    let file = &int8_file();
    refuse_word(file, LAYERS, 0, Model, &["without layers"]);
    refuse_word(file, LAYERS, 1025, Limit, &["1025 layers", "1024"]);
    refuse_word(file, LAYERS, u32::MAX, Limit, &["4294967295 layers"]);
    refuse_word(file, LAYERS, 1024, Format, &["layer table", "65536 bytes", "896 are left"]);
    refuse_word(file, LAYERS, 3, Format, &["layer 0 (dense)", "tensor"]);
    refuse_word(file, LAYERS, 5, Format, &["layer 0 (dense)", "tensor"]);
    refuse_word(file, header::UNUSED, 1, Format, &["header", "not zero"]);
    refuse_word(file, OUTPUTS, 0, Format, &["wiring: the padding after it"]);
    refuse_word(file, OUTPUTS, u32::MAX, Format, &["wiring: its 17179869196 bytes"]);
    refuse_word(file, INPUTS, 0, Format, &["layer 0"]);
    refuse_word(file, INPUTS, u32::MAX, Format, &["inputs: its 274877906880 bytes"]);
    use input::{KIND, SCALE, WIDTH, ZERO_POINT};
    refuse_word(file, WIDTH, 0, Model, &["input", "without elements"]);
    refuse_word(file, WIDTH, 4, Model, &["layer 0 (dense)", "4 wide", "3 inputs"]);
    refuse_word(file, WIDTH, (1 << 20) + 1, Limit, &["input", "1048577", "1048576"]);
    refuse_word(file, WIDTH, u32::MAX, Limit, &["input", "4294967295"]);
    refuse_word(file, KIND, 3, Unsupported, &["input", "element type 3"]);
    refuse_word(file, KIND, 0, Format, &["input", "without an element type"]);
    refuse_word(file, ZERO_POINT, 128, Model, &["input", "zero point 128", "-128..=127"]);
    refuse_word(file, input::UNUSED, 1, Format, &["input 0", "not zero"]);
    let real = &real_file();
    refuse_word(real, SCALE, 1, Format, &["input", "without an element type"]);
    refuse_word(real, SCALE, (-0.0_f32).to_bits(), Format, &["without an element type"]);
    refuse_word(real, ZERO_POINT, 1, Format, &["input", "without an element type"]);
}

#[test]
fn names() {
    use ErrorKind::*;
    let file = &int8_file();
    refuse_word(file, header::NAME, 3, Format, &["name", "padding"]);
    let mut long = file.clone();
    long.splice(int8::NAME..int8::NAME + 64, [b'n'; 256]);
    refuse_word(&long, header::NAME, 256, Limit, &["256 bytes", "255"]);
    refuse_word(file, header::NAME, u32::MAX, Format, &["name", "4294967295 bytes"]);
    let message = refusal(&forged(file, int8::NAME + 1, &[0xFF]), Format);
    assert!(message.contains("name: not UTF-8 from byte 1"), "{message}");
}

/// A scale stands in six places; none of them takes what is no scale.
#[test]
fn scales() {
    let (int8, real) = (&int8_file(), &real_file());
    let places = [
        (int8, input::SCALE, "input"),
        (int8, word(0, 11), "layer 0 (dense)"),
        (int8, int8::SCALES + 4, "layer 0 (dense): channel 1"),
        (int8, word(1, 5), "layer 1 (pointwise)"),
        (real, word(0, 2), "layer 0 (quantize)"),
        (real, real::SCALES, "layer 1 (dense): channel 0"),
    ];
    let subnormal = f32::MIN_POSITIVE / 2.0;
    for (file, at, place) in places {
        for scale in [0.0, -0.0, -1.0, subnormal, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let says = [place, &format!("scale {scale:e}")];
            refuse_word(file, at, scale.to_bits(), ErrorKind::Model, &says);
        }
    }
}

/// Each scale may be sound, and what they multiply to may not.
#[test]
fn products_of_scales() {
    let says = ["layer 0 (dense): channel 0: input, weight and output scales together"];
    for scale in [1e38_f32, 1.2e-38] {
        let file = &forged(&int8_file(), input::SCALE, &scale.to_le_bytes());
        let output = if scale > 1.0 { 1e-3_f32 } else { 1e3 };
        refuse_word(file, word(0, 11), output.to_bits(), ErrorKind::Model, &says);
    }
    let file = &forged(&real_file(), word(0, 2), &1e38_f32.to_le_bytes());
    let says = ["layer 1 (dense): channel 0: input, weight and output scales together"];
    refuse_word(file, real::SCALES, 1e38_f32.to_bits(), ErrorKind::Model, &says);
}

#[test]
fn zero_points() {
    use ErrorKind::*;
    let (int8, real) = (&int8_file(), &real_file());
    let minus = |value: i32| value as u32;
    refuse_word(int8, word(0, 12), 256, Model, &["layer 0 (dense)", "256 is outside 0..=255"]);
    refuse_word(int8, word(0, 12), minus(-1), Model, &["layer 0 (dense)", "-1 is outside"]);
    refuse_word(int8, word(1, 6), 200, Model, &["layer 1 (pointwise)", "200", "-128..=127"]);
    refuse_word(real, word(0, 3), minus(-129), Model, &["layer 0 (quantize)", "-129"]);
    refuse_word(real, word(0, 3), minus(i32::MIN), Model, &["layer 0 (quantize)", "-2147483648"]);
}

#[test]
fn codes() {
    use ErrorKind::*;
    let file = &int8_file();
    refuse_word(file, word(0, 0), 0, Unsupported, &["layer 0: unknown layer kind 0"]);
    refuse_word(
        file,
        word(3, 0),
        u32::MAX,
        Unsupported,
        &["layer 3: unknown layer kind 4294967295"],
    );
    let dense = |at, code, what| {
        refuse_word(file, word(0, at), code, Unsupported, &["layer 0 (dense)", what]);
    };
    dense(5, 3, "unknown kind of bias 3");
    dense(6, 3, "unknown kind of input 3");
    dense(7, 99, "unknown activation 99");
    dense(10, 3, "unknown element type 3");
    dense(13, 9, "unknown requantize rule 9");
    refuse_word(file, word(1, 1), 99, Unsupported, &["layer 1 (pointwise)", "activation 99"]);
    refuse_word(file, word(1, 4), 7, Unsupported, &["layer 1 (pointwise)", "element type 7"]);
    refuse_word(&real_file(), word(0, 1), 5, Unsupported, &["layer 0 (quantize)", "type 5"]);
    // One layer's record under another's code.
    refuse_word(file, word(0, 0), 5, Format, &["layer 0 (softmax)", "not zero"]);
    refuse_word(file, word(3, 0), 2, Format, &["layer 3 (quantize)", "no output parameters"]);
}

#[test]
fn words_without_a_meaning() {
    use ErrorKind::*;
    let file = &int8_file();
    for (layer, used, name) in
        [(0, 14, "dense"), (1, 7, "pointwise"), (2, 1, "dequantize"), (3, 1, "softmax")]
    {
        for at in used..16 {
            let place = format!("layer {layer} ({name})");
            refuse_word(file, word(layer, at), 1 << 31, Format, &[&place, "not zero"]);
        }
    }
    // Parameters of functions that have none.
    refuse_word(file, word(0, 7), 1, Format, &["layer 0 (dense)", "parameter it does not use"]);
    refuse_word(file, word(1, 3), 1, Format, &["layer 1 (pointwise)", "parameter it does not use"]);
    // An output type without a rule, a rule without a type, parts of a type.
    refuse_word(file, word(0, 13), 0, Format, &["layer 0 (dense)", "go together"]);
    let real = &real_file();
    refuse_word(real, word(1, 13), 1, Format, &["layer 1 (dense)", "go together"]);
    refuse_word(real, word(1, 11), 1, Format, &["layer 1 (dense)", "without an element type"]);
    refuse_word(real, word(0, 1), 0, Format, &["layer 0 (quantize)", "without an element type"]);
}

#[test]
fn activations() {
    use ErrorKind::*;
    let file = &int8_file();
    let nan = f32::NAN.to_bits();
    refuse_word(file, word(0, 8), nan, Model, &["layer 0 (dense)", "clip from NaN to 2"]);
    refuse_word(file, word(0, 9), nan, Model, &["layer 0 (dense)", "clip from -1 to NaN"]);
    refuse_word(file, word(0, 8), 3_f32.to_bits(), Model, &["clip from 3 to 2 is empty"]);
    for slope in [f32::NAN, f32::INFINITY] {
        let says = ["layer 1 (pointwise)", &format!("slope {slope}")];
        refuse_word(file, word(1, 2), slope.to_bits(), Model, &says);
    }
    // A function that does more than clamp, inside a dense layer.
    let tanh = forged(file, word(0, 7), &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(refusal(&tanh, Model).contains("layer 0 (dense): tanh is not a clamp"));
}

#[test]
fn shapes_of_dense_layers() {
    use ErrorKind::*;
    let file = &int8_file();
    let dense = |at, value, kind, what| {
        refuse_word(file, word(0, at), value, kind, &["layer 0 (dense)", what]);
    };
    let (inputs, outputs, scales, zero_points) = (1, 2, 3, 4);
    dense(inputs, 0, Format, "2 x 0 weights");
    dense(outputs, 0, Format, "0 x 3 weights");
    dense(inputs, 2, Format, "tensor 0: the padding after it");
    dense(inputs, 4, Model, "3 wide, but its weights are for 4 inputs");
    dense(outputs, 1, Format, "tensor 0: the padding after it");
    dense(inputs, u32::MAX, Format, "tensor 0");
    dense(outputs, u32::MAX, Format, "tensor 0");
    dense(scales, 0, Format, "tensor 2: the padding after it");
    dense(scales, u32::MAX, Format, "tensor 1: its 17179869180 bytes");
    dense(scales, 3, Model, "3 weight scales for 2 outputs");
    dense(zero_points, u32::MAX, Format, "tensor 2: its 4294967295 bytes");
    dense(zero_points, 3, Model, "3 weight zero points for 2 outputs");
    // Their product is a length that 64 bits can hold; in 32 bits it overflows.
    let both = forged(file, word(0, inputs), &[0xFF; 8]);
    assert!(refusal(&both, Format).starts_with("layer 0 (dense): tensor 0: "));
}

#[test]
fn layers_that_do_not_fit() {
    use ErrorKind::*;
    let (int8, real) = (&int8_file(), &real_file());
    let input = word(1, 6);
    refuse_word(real, input, 1, Model, &["layer 1 (dense)", "2 x i8", "f32"]);
    refuse_word(int8, word(0, 6), 2, Model, &["layer 0 (dense)", "3 x i8", "f32"]);
    // Dequantize becomes softmax, softmax argmax.
    refuse_word(int8, word(2, 0), 5, Model, &["layer 2 (softmax)", "f32"]);
    let twice = forged(int8, word(2, 0), &6_u32.to_le_bytes());
    refuse_word(&twice, word(3, 0), 6, Model, &["layer 3 (argmax)", "u32"]);
    // A real bias for 8-bit outputs: its bytes are there, its meaning is not.
    refuse_word(int8, word(0, 5), 2, Model, &["layer 0 (dense)", "f32 bias needs f32 outputs"]);
}

#[test]
fn biases() {
    for bias in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let says = ["layer 1 (dense): channel 1", &format!("bias {bias} is not finite")];
        refuse_word(&real_file(), real::BIAS + 4, bias.to_bits(), ErrorKind::Model, &says);
    }
    for bias in [i32::MAX, i32::MIN] {
        let says = ["layer 0 (dense): channel 1", "its sum can reach", "2147483647"];
        refuse_word(&int8_file(), int8::BIAS + 4, bias as u32, ErrorKind::Model, &says);
    }
}

/// 131,072 products of -128 and -128 are 2^31: one more than an `i32` holds.
#[test]
fn sums_that_leave_i32() {
    let inputs = 1 << 17;
    let dense = Dense::new(vec![-127; 3 * inputs], WeightLayout::OutIn, 3, inputs).unwrap();
    let input = TensorType::int8(inputs, QuantParams::new(Int8::I8, 1.0, 0).unwrap());
    let file = Model::builder("", input).layer(dense).build().unwrap().write();
    let weights = 192;
    let worst = vec![-128_i8 as u8; inputs];
    let just = forged(&file, weights + inputs, &worst[1..]);
    assert!(Model::read(&just).is_ok());
    let message = refusal(&forged(&file, weights + inputs, &worst), ErrorKind::Model);
    let says = "layer 0 (dense): channel 1: its sum can reach 2147483648, more than the 2147483647";
    assert!(message.starts_with(says), "{message}");
}

/// No byte between the parts of a file can carry anything.
#[test]
fn padding() {
    use int8::*;
    let file = int8_file();
    let parts = [
        (WEIGHTS + 6, "layer 0 (dense): tensor 0"),
        (SCALES + 8, "layer 0 (dense): tensor 1"),
        (ZERO_POINTS + 2, "layer 0 (dense): tensor 2"),
        (BIAS + 8, "layer 0 (dense): tensor 3"),
        (WIRING + 20, "wiring"),
        (LENGTHS + 20, "lengths of names"),
        (NAME + 4, "names"),
        (INPUT + 6, "golden: input"),
        (OUTPUT + 16, "golden: output"),
        (DIGEST + 8, "golden: digest"),
    ];
    for (start, place) in parts {
        for at in start..start.next_multiple_of(64) {
            let message = refusal(&forged(&file, at, &[1]), ErrorKind::Format);
            assert_eq!(message, format!("{place}: the padding after it is not zero"));
        }
    }
}

#[test]
fn golden_pairs() {
    use ErrorKind::*;
    let file = &int8_file();
    let rows = header::GOLDEN_ROWS;
    refuse_word(file, rows, 0, Format, &["192 bytes follow the last tensor"]);
    refuse_word(file, rows, 1, Format, &["golden: input", "padding"]);
    refuse_word(file, rows, 3, Format, &["golden", "digest", "is stored"]);
    refuse_word(file, rows, 22, Format, &["golden: input", "padding"]);
    refuse_word(file, rows, u32::MAX, Format, &["golden: input", "12884901885 bytes"]);
    refuse_word(file, int8::DIGEST, 0, Format, &["golden", "digest"]);
    refuse_word(file, int8::OUTPUT, 1, Format, &["golden", "digest"]);
    let real = &real_file();
    let says = ["golden: element 1 of the input is NaN"];
    refuse_word(real, real::INPUT + 4, f32::NAN.to_bits(), Model, &says);
    // A digest that is right, of an output that is not.
    let mut nan = file.clone();
    nan[int8::OUTPUT + 8..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let digest = xxhash_rust::xxh3::xxh3_64(&nan[int8::OUTPUT..][..16]);
    let nan = forged(&nan, int8::DIGEST, &digest.to_le_bytes());
    assert_eq!(refusal(&nan, Model), "golden: element 2 of the output is NaN");
}
