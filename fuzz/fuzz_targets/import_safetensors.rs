//! Any bytes as a safetensors file with a description of its layers: refused, or a sound model, which
//! its own format keeps and which runs.
//!
//! Then the same with a header whose length is right.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{bits, run};
use libfuzzer_sys::fuzz_target;
use signfold::{Engine, Limits, Model};
use signfold_import::safetensors::read;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same with the header's length put right, up to the last bracket.
    if let Some(end) = bytes.iter().rposition(|&byte| byte == b'}')
        && end >= 8
    {
        let mut file = bytes.to_vec();
        file[..8].copy_from_slice(&(end as u64 - 7).to_le_bytes());
        check(&file);
    }
});

fn check(file: &[u8]) {
    let Ok(imported) = read(file, &Limits::default()) else { return };
    let model = imported.model;
    assert_eq!(Model::read(&model.write()).as_ref(), Ok(&model), "the format keeps it");
    let elements: usize = model.tensors().map(|id| model.tensor_type(id).width).sum();
    if elements > 1 << 12 {
        return; // too slow to run many of them
    }
    let row: Vec<f32> = (0..model.input().width).map(|i| i as f32 - 1.5).collect();
    let row = row.into();
    // Softmax of infinite sums is no number.
    let wanted = bits(&model.reference(&row).expect("real rows are not refused"));
    let engine = Engine::new(&model).expect("a sound model compiles").with_threads(1);
    let found = run(&engine, &row, &mut engine.scratch()).expect("real rows are not refused");
    assert_eq!(bits(&found), wanted, "{model:?}");
}
