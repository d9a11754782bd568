//! Reading safetensors: what the description may say, and errors that name the place.

mod common;

use ::safetensors::tensor::Dtype;
use common::{Tensor, description, f32s, file, forward};
use signfold::layers::{Activation, Aggregate, FloatDense, Layer};
use signfold::{Error, ErrorKind, Limits, Model};
use signfold_import::safetensors;

const DENSE: &str = r#"{"kind":"dense","weight":"w","layout":"out_in","bias":"b"}"#;
const WEIGHTS: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

fn tensors() -> Vec<Tensor> {
    vec![f32s("w", &[2, 3], &WEIGHTS), f32s("b", &[2], &[0.5, -0.5])]
}

fn read_bytes(bytes: &[u8]) -> Result<Model<'static>, Error> {
    safetensors::read(bytes, &Limits::default()).map(|imported| imported.model)
}

fn read(layers: &str, tensors: &[Tensor]) -> Result<Model<'static>, Error> {
    read_bytes(&file(Some(&description(layers)), tensors))
}

fn dense<'m>(net: &'m Model<'static>) -> &'m FloatDense<'static> {
    match net.layers().next() {
        Some((Layer::FloatDense(dense), ..)) => dense,
        other => panic!("{other:?}"),
    }
}

/// What follows the first layer.
fn activation(net: &Model<'_>) -> Activation {
    match net.layers().nth(1) {
        None => Activation::Identity,
        Some((Layer::Pointwise(pointwise), ..)) => pointwise.activation,
        other => panic!("{other:?}"),
    }
}

/// Asserts kind and text of the error.
#[track_caller]
fn refused(result: Result<Model<'static>, Error>, kind: ErrorKind, parts: &[&str]) {
    let error = result.expect_err("refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn layouts_and_kinds_of_bias_mean_the_same_network() {
    let expected = read(DENSE, &tensors()).unwrap();
    let in_out = r#"{"kind":"dense","weight":"w","layout":"in_out","bias":"b"}"#;
    let transposed = f32s("w", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(read(in_out, &[transposed, f32s("b", &[2], &[0.5, -0.5])]).unwrap(), expected);

    let column = r#"{"kind":"dense","weight":"w","layout":"out_in","bias_column":true}"#;
    let weights = f32s("w", &[2, 4], &[1.0, 2.0, 3.0, 0.5, 4.0, 5.0, 6.0, -0.5]);
    assert_eq!(read(column, &[weights]).unwrap(), expected);

    let row = r#"{"kind":"dense","weight":"w","layout":"in_out","bias_column":true}"#;
    let weights = f32s("w", &[4, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 0.5, -0.5]);
    assert_eq!(read(row, &[weights]).unwrap(), expected);

    let none = r#"{"kind":"dense","weight":"w","layout":"out_in","bias":null}"#;
    assert_eq!(dense(&read(none, &tensors()[..1]).unwrap()).bias_values(), None);
    assert_eq!(forward(&expected, &[1.0, 0.0, -1.0, 0.0, 0.0, 1.0]), [-1.5, -2.5, 3.5, 5.5]);
}

#[test]
fn every_activation() {
    let clip = |min, max| Activation::Clip { min, max };
    let cases = [
        ("null", Activation::Identity),
        (r#""relu""#, Activation::Relu),
        (r#""relu6""#, Activation::Relu6),
        (r#""hardtanh""#, clip(-1.0, 1.0)),
        (r#""tanh""#, Activation::Tanh),
        (r#""sigmoid""#, Activation::Sigmoid),
        (r#""gelu""#, Activation::Gelu),
        (r#""gelu_tanh""#, Activation::GeluTanh),
        (r#""leaky_relu""#, Activation::LeakyRelu { alpha: 0.01 }),
        (r#"{"name":"leaky_relu","alpha":0.2}"#, Activation::LeakyRelu { alpha: 0.2 }),
        (r#""elu""#, Activation::Elu { alpha: 1.0 }),
        (r#"{"name":"elu","alpha":0.5}"#, Activation::Elu { alpha: 0.5 }),
        (
            r#"{"name":"hard_sigmoid","alpha":0.2,"beta":0.5}"#,
            Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        ),
        (r#""silu""#, Activation::Silu),
        (r#""hard_swish""#, Activation::HardSwish),
        (r#""selu""#, Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
        (r#"{"name":"selu","alpha":1,"gamma":2}"#, Activation::Selu { alpha: 1.0, gamma: 2.0 }),
        (r#""softplus""#, Activation::Softplus),
        (r#""softsign""#, Activation::Softsign),
        (r#""mish""#, Activation::Mish),
        (r#""exp""#, Activation::Exp),
        (r#"{"name":"hardtanh","min":-2,"max":3}"#, clip(-2.0, 3.0)),
        (r#"{"name":"clip","min":0,"max":0.5}"#, clip(0.0, 0.5)),
        (r#"{"name":"relu"}"#, Activation::Relu),
    ];
    for (json, expected) in cases {
        let layer = format!(
            r#"{{"kind":"dense","weight":"w","layout":"out_in","bias":"b","activation":{json}}}"#
        );
        let net = read(&layer, &tensors()).unwrap();
        assert_eq!(activation(&net), expected, "{json}");
        let row = [0.25, -0.5, 0.125];
        let sums = [0.125_f32, -1.25];
        assert_eq!(forward(&net, &row), sums.map(|x| expected.apply(x)), "{json}");
    }
}

#[test]
fn softmax_and_argmax() {
    let net = read(&format!(r#"{DENSE},{{"kind":"softmax"}}"#), &tensors()).unwrap();
    let out = forward(&net, &[0.0, 0.0, 0.0]);
    assert!((out[0] - 1.0 / (1.0 + (-1.0_f32).exp())).abs() < 1e-6);
    assert!((out[0] + out[1] - 1.0).abs() < 1e-6);
    let layers = format!(r#"{DENSE},{{"kind":"softmax"}},{{"kind":"argmax"}}"#);
    let net = read(&layers, &tensors()).unwrap();
    assert_eq!(net.output().width, 1);
    assert_eq!(forward(&net, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]), [0.0, 1.0]);
    let more = format!(r#"{layers},{{"kind":"softmax"}}"#);
    refused(
        read(&more, &tensors()),
        ErrorKind::Model,
        &["layer 3 (softmax)", "its input is 1 x u32"],
    );
}

#[test]
fn tensors_have_names() {
    let layer = |weight: &str, activation: &str| {
        format!(
            r#"{{"kind":"dense","weight":"{weight}","layout":"out_in","activation":{activation}}}"#
        )
    };
    let layers = [
        r#"{"kind":"softmax"}"#.to_owned(),
        layer("fc.0.weight", r#"{"name":"clip","min":0,"max":1}"#),
        layer("out", "null"),
        r#"{"kind":"softmax"},{"kind":"argmax"}"#.to_owned(),
    ];
    let tensors = [f32s("fc.0.weight", &[3, 3], &[0.0; 9]), f32s("out", &[2, 3], &WEIGHTS)];
    let net = read(&layers.join(","), &tensors).unwrap();
    let names: Vec<_> = net.tensors().map(|id| net.tensor_name(id)).collect();
    let expected = ["input", "softmax", "fc.0", "fc.0.clip", "out", "out.softmax", "out.argmax"];
    assert_eq!(names, expected);
}

#[test]
fn other_float_dtypes() {
    let bytes = |f: fn(f32) -> Vec<u8>| WEIGHTS.iter().flat_map(|&x| f(x)).collect::<Vec<u8>>();
    let expected = read(DENSE, &tensors()).unwrap();
    for (dtype, data) in [
        (Dtype::F64, bytes(|x| f64::from(x).to_le_bytes().to_vec())),
        (Dtype::F16, bytes(|x| half::f16::from_f32(x).to_le_bytes().to_vec())),
        (Dtype::BF16, bytes(|x| half::bf16::from_f32(x).to_le_bytes().to_vec())),
    ] {
        let mut tensors = tensors();
        tensors[0] = Tensor { name: "w", dtype, shape: vec![2, 3], data };
        assert_eq!(read(DENSE, &tensors).unwrap(), expected, "{dtype}");
    }
    let mut tensors = tensors();
    tensors[1] = Tensor { name: "b", dtype: Dtype::I32, shape: vec![2], data: vec![0; 8] };
    let parts = ["layer 0 (dense)", "tensor \"b\"", "F32", "I32"];
    refused(read(DENSE, &tensors), ErrorKind::Unsupported, &parts);
}

#[test]
fn tensors_that_do_not_fit() {
    let with = |i: usize, tensor: Tensor| {
        let mut tensors = tensors();
        tensors[i] = tensor;
        tensors
    };
    let model = |tensors: &[Tensor], parts: &[&str]| {
        refused(read(DENSE, tensors), ErrorKind::Model, &[&["layer 0 (dense)"], parts].concat());
    };
    model(&tensors()[..1], &["tensor \"b\"", "not in the file", "\"w\""]);
    model(&with(0, f32s("w", &[3, 2], &WEIGHTS)), &["\"w\"", "[outputs, 3]", "[3, 2]", "out_in"]);
    model(&with(0, f32s("w", &[6], &WEIGHTS)), &["\"w\"", "[outputs, 3]", "[6]"]);
    model(&with(0, f32s("w", &[0, 3], &[])), &["\"w\"", "without elements"]);
    model(&with(1, f32s("b", &[3], &[0.0; 3])), &["\"b\"", "[2]", "[3]"]);
    model(&with(1, f32s("b", &[1, 2], &[0.0; 2])), &["\"b\"", "[2]", "[1, 2]"]);
    model(&with(1, f32s("b", &[2], &[0.0, f32::INFINITY])), &["\"b\"", "element 1", "inf"]);
    let mut nan = WEIGHTS;
    nan[4] = f32::NAN;
    model(&with(0, f32s("w", &[2, 3], &nan)), &["\"w\"", "element 4", "NaN"]);
    let huge = (0..6).flat_map(|_| 1e300_f64.to_le_bytes()).collect();
    let huge = Tensor { name: "w", dtype: Dtype::F64, shape: vec![2, 3], data: huge };
    model(&with(0, huge), &["\"w\"", "element 0", "inf"]);

    let mut more = tensors();
    more.push(f32s("forgotten", &[1], &[0.0]));
    refused(read(DENSE, &more), ErrorKind::Model, &["tensor \"forgotten\"", "no layer"]);

    let second = r#"{"kind":"dense","weight":"v","layout":"in_out"}"#;
    let mut chain = tensors();
    chain.push(f32s("v", &[3, 1], &[0.0; 3]));
    let parts = ["layer 1 (dense)", "\"v\"", "[2, outputs]", "in_out", "[3, 1]"];
    refused(read(&format!("{DENSE},{second}"), &chain), ErrorKind::Model, &parts);

    let square = r#"{"kind":"dense","weight":"w","layout":"out_in"}"#;
    let parts = ["layer 1 (dense)", "\"w\"", "second time"];
    let tensors = [f32s("w", &[3, 3], &[0.0; 9])];
    refused(read(&format!("{square},{square}"), &tensors), ErrorKind::Model, &parts);

    let column = r#"{"kind":"dense","weight":"w","layout":"out_in","bias_column":true}"#;
    let parts = ["layer 0 (dense)", "[outputs, 4]", "3 inputs and a bias column", "[3, 3]"];
    refused(read(column, &tensors), ErrorKind::Model, &parts);
}

#[test]
fn descriptions_that_are_refused() {
    let layer = |fields: &str| format!(r#"{{"kind":"dense","weight":"w",{fields}}}"#);
    let out_in = |fields: &str| layer(&format!(r#""layout":"out_in","bias":"b",{fields}"#));
    let cases = [
        (r#"{"kind":"conv"}"#.to_owned(), "`conv`"),
        (r#"{"weight":"w"}"#.to_owned(), "`kind`"),
        (r#"{"kind":"softmax","axis":1}"#.to_owned(), "`axis`"),
        (r#"{"kind":"argmax","axis":1}"#.to_owned(), "`axis`"),
        (layer(r#""bias":"b""#), "`layout`"),
        (layer(r#""layout":"oi""#), "`oi`"),
        (r#"{"kind":"dense","layout":"out_in"}"#.to_owned(), "`weight`"),
        (out_in(r#""dilation":1"#), "`dilation`"),
        (out_in(r#""bias":"c""#), "duplicate field `bias`"),
        (out_in(r#""bias_column":1"#), "boolean"),
        (out_in(r#""bias_column":true"#), "exclude"),
        (r#"["argmax"]"#.to_owned(), "expected a JSON object"),
        (out_in(r#""activation":["relu"]"#), "activation: expected a name"),
        (out_in(r#""activation":"swish""#), "activation: unknown variant `swish`"),
        (out_in(r#""activation":3"#), "activation"),
        (out_in(r#""activation":"clip""#), "`min`"),
        (out_in(r#""activation":{"name":"relu","min":0}"#), "`min`"),
        (out_in(r#""activation":{"name":"hardtanh","low":0}"#), "`low`"),
        (out_in(r#""activation":{"name":"clip","min":-1e99,"max":0}"#), "beyond f32"),
        (out_in(r#""activation":{"alpha":0.1}"#), "`name`"),
    ];
    for (layers, part) in cases {
        refused(read(&layers, &tensors()), ErrorKind::Format, &["layer 0", part]);
    }
    for (layers, part) in [
        (out_in(r#""activation":{"name":"hardtanh","min":1,"max":0}"#), "clip from 1 to 0"),
        (out_in(r#""activation":{"name":"leaky_relu","alpha":1e99}"#), "slope inf"),
    ] {
        refused(read(&layers, &tensors()), ErrorKind::Model, &["layer 0 (dense)", part]);
    }
}

#[test]
fn max_product_layers() {
    let layer = |kind: &str, fields: &str| {
        let fields = format!(r#""weight":"w","layout":"out_in","bias":"b"{fields}"#);
        format!(r#"{{"kind":"{kind}",{fields}}}"#)
    };
    let soft = Aggregate::SoftAbsMax { alpha: 0.5 };
    for (kind, fields, aggregate, splits, pruned) in [
        ("max", "", Aggregate::Max, 1, false),
        ("min", r#","splits":2"#, Aggregate::Min, 2, false),
        ("abs_max", r#","pruned":true"#, Aggregate::AbsMax, 1, true),
        ("soft_abs_max", r#","alpha":0.5,"splits":3,"pruned":true"#, soft, 3, true),
        ("mean", r#","pruned":false"#, Aggregate::Mean, 1, false),
        ("mam", r#","splits":1,"alpha":null"#, Aggregate::Mam, 1, false),
    ] {
        let fields = format!(r#"{fields},"activation":"relu""#);
        let net = read(&layer(kind, &fields), &tensors()).unwrap();
        let Some((Layer::FloatMax(max), ..)) = net.layers().next() else { panic!("{net:?}") };
        assert_eq!((max.aggregate(), max.split_count()), (aggregate, splits));
        assert_eq!((max.is_pruned(), max.weights()), (pruned, &WEIGHTS[..]));
        assert_eq!(max.bias_values(), Some(&[0.5, -0.5][..]));
        assert_eq!(activation(&net), Activation::Relu);
    }
    let in_out = r#"{"kind":"max","weight":"w","layout":"in_out"}"#;
    let transposed = f32s("w", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let net = read(in_out, &[transposed]).unwrap();
    assert_eq!(forward(&net, &[1.0, 1.0, -1.0]), [2.0, 5.0]);

    for (kind, fields, part) in [
        ("max", r#","size":1"#, "`size`"),
        ("max", r#","bias_column":true"#, "`bias_column`"),
        ("max", r#","alpha":1"#, "max has no field `alpha`"),
        ("mean", r#","alpha":1"#, "mean has no field `alpha`"),
        ("mean", r#","splits":1"#, "mean has no field `splits`"),
        ("soft_abs_max", "", "`alpha` is missing"),
        ("soft_abs_max", r#","alpha":"1""#, "f32"),
        ("mam", r#","splits":-1"#, "-1"),
        ("mam", r#","splits":1.5"#, "1.5"),
        ("mam", r#","pruned":1"#, "boolean"),
        ("dense", r#","splits":1"#, "`splits`"),
    ] {
        let result = read(&layer(kind, fields), &tensors());
        refused(result, ErrorKind::Format, &["layer 0", part]);
    }
    for (kind, fields, part) in [
        ("max", r#","splits":0"#, "fill 0 splits"),
        ("max", r#","splits":4"#, "3 inputs do not fill 4 splits"),
        ("soft_abs_max", r#","alpha":0"#, "alpha: scale 0e0"),
        ("soft_abs_max", r#","alpha":-1"#, "alpha: scale -1e0"),
        ("soft_abs_max", r#","alpha":1e99"#, "alpha: scale inf"),
    ] {
        let place = format!("layer 0 ({kind})");
        let result = read(&layer(kind, fields), &tensors());
        refused(result, ErrorKind::Model, &[&place, part]);
    }
    let wide = f32s("w", &[1, 4], &[0.0; 4]);
    let parts = ["layer 0 (mam)", "\"w\"", "[outputs, 3]", "[1, 4]"];
    refused(read(&layer("mam", ""), &[wide]), ErrorKind::Model, &parts);
    let mut long = tensors();
    long[1] = f32s("b", &[3], &[0.0; 3]);
    refused(read(&layer("mam", ""), &long), ErrorKind::Model, &["(mam)", "\"b\"", "[2]", "[3]"]);
    let second = r#"{"kind":"max","weight":"v","layout":"in_out"}"#;
    let mut chain = tensors();
    chain.push(f32s("v", &[3, 1], &[0.0; 3]));
    let parts = ["layer 1 (max)", "\"v\"", "[2, outputs]", "[3, 1]"];
    refused(read(&format!("{DENSE},{second}"), &chain), ErrorKind::Model, &parts);
}

#[test]
fn metadata_that_is_refused() {
    let read = |json: &str| read_bytes(&file(Some(json), &tensors()));
    let top = |start: &str| format!(r#"{{{start},"layers":[{DENSE}]}}"#);
    let key = "metadata key \"signfold\"";
    for (json, part) in [
        ("{".to_owned(), "EOF"),
        ("[1]".to_owned(), "expected a JSON object"),
        (r#"{"name":"x"}"#.to_owned(), "`version`"),
        (top(r#""version":1,"inputs":3"#), "`name`"),
        (top(r#""version":1,"name":"x""#), "`inputs`"),
        (top(r#""version":1,"name":"x","inputs":-3"#), "-3"),
        (top(r#""version":1,"name":"x","inputs":3,"outputs":2"#), "`outputs`"),
        (r#"{"version":1,"name":"x","inputs":3}"#.to_owned(), "`layers`"),
    ] {
        refused(read(&json), ErrorKind::Format, &[key, part]);
    }
    let future = r#"{"version":2,"anything":1}"#;
    refused(read(future), ErrorKind::Unsupported, &[key, "version 2"]);
    let none = top(r#""version":1,"name":"x","inputs":0"#);
    refused(read(&none), ErrorKind::Model, &[key, "inputs"]);
    let wide = top(r#""version":1,"name":"x","inputs":9999999999"#);
    refused(read(&wide), ErrorKind::Limit, &[key, "9999999999"]);
    let long = top(&format!(r#""version":1,"name":"{}","inputs":3"#, "x".repeat(256)));
    refused(read(&long), ErrorKind::Limit, &["256 bytes"]);
    let deep = vec![r#"{"kind":"softmax"}"#; 1025].join(",");
    refused(read(&description(&deep)), ErrorKind::Limit, &["1025 layers"]);
    let bytes = file(Some(&description("")), &[]);
    refused(read_bytes(&bytes), ErrorKind::Model, &["without layers"]);
    let bytes = file(None, &tensors());
    refused(read_bytes(&bytes), ErrorKind::Format, &[key, "not there"]);
}

/// No change of a file may do worse than an error, and no cut may go unnoticed.
#[test]
fn damaged_files() {
    let bytes = file(Some(&description(DENSE)), &tensors());
    read_bytes(&bytes).unwrap();
    for length in 0..bytes.len() {
        let cut = read_bytes(&bytes[..length]);
        refused(cut, ErrorKind::Format, &["safetensors"]);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    refused(read_bytes(&longer), ErrorKind::Format, &["33 follow"]);
    for i in 0..bytes.len() {
        for value in [0, 0x20, b'"', b'9', 0x7F, 0xFF, bytes[i] ^ 1, bytes[i] ^ 0x80] {
            let mut damaged = bytes.clone();
            damaged[i] = value;
            let _ = read_bytes(&damaged);
        }
    }
}

/// Lengths that add up to nearly 2^64 bytes.
#[test]
fn lengths_that_overflow() {
    let step = (1_u64 << 61) - 1;
    let entry = |i: u64| {
        let (start, end) = (i * step, (i + 1) * step);
        format!(r#""t{i}":{{"dtype":"U8","shape":[{step}],"data_offsets":[{start},{end}]}}"#)
    };
    let mut entries: Vec<_> = (0..8).map(entry).collect();
    let last = 8 * step;
    entries
        .push(format!(r#""z":{{"dtype":"U8","shape":[7],"data_offsets":[{last},{}]}}"#, last + 7));
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    refused(read_bytes(&bytes), ErrorKind::Format, &["0 follow"]);
}

/// Writes the files that fuzzing starts from.
#[test]
#[ignore = "writes to the source tree"]
fn write_seeds() {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../fuzz/seeds/import_safetensors");
    std::fs::create_dir_all(&folder).unwrap();
    let column = r#"{"kind":"dense","weight":"w","layout":"out_in","bias_column":true,
        "activation":{"name":"clip","min":-1,"max":0.5}}"#;
    let soft = r#"{"kind":"soft_abs_max","alpha":2.5,"weight":"w","layout":"in_out","splits":2,
        "activation":"gelu"}, {"kind":"softmax"}"#;
    let pruned = r#"{"kind":"mam","weight":"w","layout":"out_in","bias":"b","pruned":true},
        {"kind":"argmax"}"#;
    let two = r#"{"kind":"dense","weight":"w","layout":"out_in","bias":"b","activation":"relu"},
        {"kind":"abs_max","weight":"v","layout":"out_in"}"#;
    let more = [tensors(), vec![f32s("v", &[3, 2], &WEIGHTS)]].concat();
    let half = WEIGHTS.iter().flat_map(|&w| half::f16::from_f32(w).to_le_bytes()).collect();
    let half = Tensor { name: "w", dtype: Dtype::F16, shape: vec![2, 3], data: half };
    for (name, layers, tensors) in [
        ("dense", DENSE, tensors()),
        ("column", column, vec![f32s("w", &[1, 4], &WEIGHTS[..4])]),
        ("soft", soft, vec![f32s("w", &[3, 2], &WEIGHTS)]),
        ("pruned", pruned, tensors()),
        ("two", two, more),
        ("half", r#"{"kind":"min","weight":"w","layout":"out_in"}"#, vec![half]),
    ] {
        let file = file(Some(&description(layers)), &tensors);
        if let Err(error) = read_bytes(&file) {
            println!("{name} is refused: {error}");
        }
        std::fs::write(folder.join(name), file).unwrap();
    }
}
