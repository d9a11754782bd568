//! Any bytes as a model file: refused, or a sound model that all kernels run alike.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{bits, extreme_input, random_inputs, run_all, seal};
use libfuzzer_sys::fuzz_target;
use signfold::{Engine, Model, Result, Values, kernels};

/// What is larger takes too long to run.
const MAX_ELEMENTS: usize = 1 << 12;
const MAX_PRODUCTS: usize = 1 << 18;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same bytes, past length and checksum.
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    check(&sealed);
});

fn check(file: &[u8]) {
    let Ok(model) = Model::read(file) else { return };
    assert_eq!(model.write(), file, "one model, one file");
    let elements: usize = model.tensors().map(|id| model.tensor_type(id).width).sum();
    if elements > MAX_ELEMENTS {
        return;
    }
    let engines = kernels::available().map(|kernel| {
        Engine::with_kernel(&model, kernel.name()).expect("it is available").with_threads(1)
    });
    let engines: Vec<_> = engines.collect();
    if engines[0].products() > MAX_PRODUCTS {
        return;
    }
    let seed = xxhash_rust::xxh3::xxh3_64(file);
    for (rows, extreme) in [(0, false), (1, false), (3, true)] {
        let mut inputs = random_inputs(&model, rows, seed);
        if extreme {
            inputs[0] = extreme_input(&model, rows, seed);
        }
        let wanted = all_bits(model.reference_all(&inputs));
        for engine in &engines {
            let found = run_all(&model, engine, &inputs, &mut engine.scratch_for(rows));
            assert_eq!(all_bits(found), wanted, "{rows} rows, {}", engine.kernel().name());
        }
    }
}

/// The bits of each output; none where rows are refused.
fn all_bits(outputs: Result<Vec<Values<'_>>>) -> Option<Vec<Vec<u32>>> {
    outputs.ok().map(|outputs| outputs.iter().map(bits).collect())
}
