//! Networks whose answers interpreters have given: `models/NAME.tflite`, rows of its input, and all its
//! 8-bit outputs, end to end, of the reference kernels of tflite-runtime 2.14 (`tflite`) and of LiteRT 2.3
//! (`tflite-reference`). `tests/exporters/tflite.py` recorded them, and compares more of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use signfold::quant::Rounding;
use signfold::{Element, Engine, Output, Values};
use signfold_import::tflite::{TfLiteOptions, read};

const NAMES: [&str; 10] = [
    "keras-classifier",
    "random-238",
    "random-277",
    "random-416",
    "random-479",
    "random-5",
    "random-519",
    "random-612",
    "random-689",
    "random-7",
];

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/tflite/models", file].iter().collect()
}

fn npy<T: npyz::Deserialize>(name: &str, what: &str) -> Result<Vec<T>, npyz::DTypeError> {
    let file = std::fs::read(path(&format!("{name}-{what}.npy"))).unwrap();
    let file = npyz::NpyFile::new(&file[..]).unwrap();
    Ok(file.data::<T>()?.collect::<Result<_, _>>().unwrap())
}

fn input(name: &str) -> Values<'static> {
    if let Ok(values) = npy::<f32>(name, "input") {
        return Values::F32(values.into());
    }
    match npy::<i8>(name, "input") {
        Ok(values) => Values::I8(values.into()),
        Err(_) => Values::U8(npy(name, "input").unwrap().into()),
    }
}

#[test]
fn answers_are_the_interpreters() {
    let mut kinds = BTreeSet::new();
    let mut differ = 0;
    for name in NAMES {
        let file = std::fs::read(path(&format!("{name}.tflite"))).unwrap();
        let mut answers = Vec::new();
        for (rounding, rule) in
            [(Rounding::TfLite, "tflite"), (Rounding::TfLiteReference, "tflite-reference")]
        {
            let model =
                read(&file, &TfLiteOptions { rounding, ..TfLiteOptions::default() }).unwrap().model;
            kinds.extend(model.nodes().map(|node| node.layer.name()));
            let input = input(name);
            let bytes = |values: &Values<'_>| match values {
                Values::I8(values) => values.to_vec(),
                Values::U8(values) => values.iter().map(|&y| y as i8).collect(),
                _ => Vec::new(),
            };
            let reference = model.reference_all(std::slice::from_ref(&input)).unwrap();
            let found: Vec<i8> = reference.iter().flat_map(bytes).collect();
            assert_eq!(found, npy::<i8>(name, rule).unwrap(), "{name}, {rule}");
            answers.push(found);

            // And an engine's.
            let rows = input.len() / model.input().width;
            let engine = Engine::new(&model).unwrap();
            let mut outputs: Vec<Buffer> = Vec::new();
            for &id in model.outputs() {
                let of = model.tensor_type(id);
                outputs.push(Buffer::new(&of.element, rows * of.width));
            }
            let mut places: Vec<Output<'_>> = outputs.iter_mut().map(Buffer::place).collect();
            let mut scratch = engine.scratch();
            engine.run_all(std::slice::from_ref(&input), &mut places, &mut scratch).unwrap();
            for (buffer, expected) in outputs.into_iter().zip(&reference) {
                assert_eq!(&buffer.values(), expected, "{name}, {rule}");
            }
        }
        differ += answers[0].iter().zip(&answers[1]).filter(|(a, b)| a != b).count();
    }
    assert!(differ > 0, "the two rules are not told apart");
    let expected = [
        "add",
        "concat",
        "dense",
        "dequantize",
        "fixed softmax",
        "lookup",
        "mul",
        "quantize",
        "sub",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

/// Where an engine writes.
enum Buffer {
    F32(Vec<f32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
}

impl Buffer {
    fn new(element: &Element, len: usize) -> Self {
        match element.name() {
            "f32" => Buffer::F32(vec![0.0; len]),
            "i8" => Buffer::I8(vec![0; len]),
            _ => Buffer::U8(vec![0; len]),
        }
    }

    fn place(&mut self) -> Output<'_> {
        match self {
            Buffer::F32(values) => values.into(),
            Buffer::I8(values) => values.into(),
            Buffer::U8(values) => values.into(),
        }
    }

    fn values(self) -> Values<'static> {
        match self {
            Buffer::F32(values) => Values::F32(values.into()),
            Buffer::I8(values) => Values::I8(values.into()),
            Buffer::U8(values) => Values::U8(values.into()),
        }
    }
}
