//! A sound model of any layers, rules and wiring, on any rows: every kernel's engine computes the
//! reference's bits, whatever the chunks, and so does the model that its file gives back.
//!
//! The input's bytes are what the generator of random models draws from.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{Rng, bits, extreme_input, graph_of, is_per_tensor, model_of, random_inputs, run_all};
use libfuzzer_sys::fuzz_target;
use signfold::layers::EarlyExit;
use signfold::{Engine, Model, kernels};

/// Multiplications that a run may take: naive loops, checked at every step, do some 10^7 a second.
const MAX_PRODUCTS: usize = 1 << 18;

fuzz_target!(|bytes: &[u8]| {
    let rng = &mut Rng::of_bytes(bytes);
    let (graph, rows, extreme, seed) = (rng.one_in(2), rng.below(6), rng.one_in(3), rng.next());
    let model = if graph { graph_of(rng, String::new()) } else { model_of(rng, String::new()) };
    let file = model.write();
    assert_eq!(Model::read(&file).as_ref(), Ok(&model), "the format keeps it");

    let mut engines =
        vec![Engine::with_early_exit(&model, EarlyExit::Always).expect("it is sound")];
    if engines[0].products() * rows > MAX_PRODUCTS {
        return;
    }
    for kernel in kernels::available() {
        engines.push(Engine::with_kernel(&model, kernel.name()).expect("it is available"));
    }
    let mut inputs = random_inputs(&model, rows, seed);
    if extreme {
        inputs[0] = extreme_input(&model, rows, seed);
    }
    // A NaN that is to be quantized is refused, by all alike.
    let wanted = model.reference_all(&inputs).ok();
    let wanted = wanted.map(|outputs| outputs.iter().map(bits).collect::<Vec<_>>());
    let capacity = if is_per_tensor(&model) { rows } else { 1 + rows / 2 };
    for engine in engines {
        let engine = engine.with_threads(1);
        let found = run_all(&model, &engine, &inputs, &mut engine.scratch_for(capacity)).ok();
        let found = found.map(|outputs| outputs.iter().map(bits).collect::<Vec<_>>());
        assert_eq!(found, wanted, "{rows} rows, {:?}: {model:?}", engine.kernels());
    }
});
