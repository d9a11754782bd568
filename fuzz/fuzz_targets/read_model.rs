//! Any bytes as a model file: refused, or a sound model that all kernels run alike.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{bits, extreme_input, random_input, run, seal};
use libfuzzer_sys::fuzz_target;
use signfold::{Engine, Model, Values, kernels};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same bytes, past length and checksum.
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    check(&sealed);
});

type Input = fn(&Model<'_>, usize, u64) -> Values<'static>;

fn check(file: &[u8]) {
    let Ok(model) = Model::read(file) else { return };
    assert_eq!(model.write(), file, "one model, one file");
    let elements: usize = model.layers().map(|(_, input, output)| input.width + output.width).sum();
    if elements > 1 << 12 {
        return; // too slow to run many of them
    }
    let seed = xxhash_rust::xxh3::xxh3_64(file);
    for (rows, input) in [(0, random_input as Input), (1, random_input), (3, extreme_input)] {
        let input = input(&model, rows, seed);
        let wanted = model.reference(&input).ok().map(|values| bits(&values));
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
            let engine = engine.with_threads(1);
            let found = run(&engine, &input, &mut engine.scratch_for(rows));
            let found = found.ok().map(|values| bits(&values));
            assert_eq!(found, wanted, "{rows} rows, {}", kernel.name());
        }
    }
}
