//! Any bytes as a TFLite model: refused, or a sound model that can be written and run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signfold::quant::{Int8, Rounding};
use signfold::{Element, Engine, Model, Values};
use signfold_import::tflite::{TfLiteOptions, read};

fuzz_target!(|bytes: &[u8]| {
    let rule = bytes.last().map_or(0, |&byte| usize::from(byte));
    let rounding = Rounding::ALL[rule % Rounding::ALL.len()];
    let Ok(imported) = read(bytes, &TfLiteOptions { rounding, ..TfLiteOptions::default() }) else {
        return;
    };
    let model = imported.model;
    assert_eq!(Model::read(&model.write()).expect("what is written can be read"), model);
    let elements: usize = model.tensors().map(|id| model.tensor_type(id).width).sum();
    if elements > 1 << 12 {
        return; // too slow to run many of them
    }
    let inputs: Vec<Values<'_>> = model.inputs().map(|id| row(&model, id, bytes)).collect();
    // Real sums may overflow, and end in a NaN that is refused.
    _ = model.reference_all(&inputs);
    Engine::new(&model).expect("a sound model compiles");
});

/// A row of the file's own bytes.
fn row(model: &Model<'_>, id: signfold::TensorId, bytes: &[u8]) -> Values<'static> {
    let of = model.tensor_type(id);
    let bytes = bytes.iter().copied().cycle().take(of.width);
    match of.element {
        Element::F32 => Values::F32(bytes.map(|byte| f32::from(byte) - 128.0).collect()),
        Element::Int8(params) if params.kind() == Int8::I8 => {
            Values::I8(bytes.map(|byte| byte as i8).collect())
        }
        _ => Values::U8(bytes.collect()),
    }
}
