//! Any bytes as an ONNX file: refused, or a sound model, which its own format keeps and which runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signfold::quant::Int8;
use signfold::{Element, Model, Values};
use signfold_import::onnx::{OnnxOptions, read};

fuzz_target!(|bytes: &[u8]| {
    let Ok(imported) = read(bytes, &OnnxOptions::default()) else { return };
    let model = imported.model;
    let file = model.write();
    assert_eq!(Model::read(&file).as_ref(), Ok(&model), "the format keeps it");
    let elements: usize = model.tensors().map(|id| model.tensor_type(id).width).sum();
    if elements > 1 << 12 {
        return; // too slow to run many of them
    }
    let row = |id| -> Values<'static> {
        let of = model.tensor_type(id);
        match of.element {
            Element::Int8(params) if params.kind() == Int8::U8 => vec![3_u8; of.width].into(),
            Element::Int8(_) => vec![-3_i8; of.width].into(),
            _ => vec![0.5_f32; of.width].into(),
        }
    };
    let inputs: Vec<_> = model.inputs().map(row).collect();
    // Rows that are quantized by their range may have none that is finite.
    _ = model.reference_all(&inputs);
});
