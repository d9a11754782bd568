//! One digest on every machine: the battery, with all kernels of this CPU, any number of threads,
//! and each way to make an engine.
//!
//! It prints one line, for the logs of many machines to be held against each other:
//! `signfold digest 0123456789abcdef kernels a,b,c`.

use std::io::Write as _;

use signfold::battery::{Battery, DIGEST};
use signfold::layers::{EarlyExit, Quantize};
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, ErrorKind, Model, Result, kernels};

#[test]
fn every_kernel_gives_the_digest() {
    let battery = Battery::new().expect("the layers take it");
    let check = |what: &str, engine: &dyn Fn(&Model<'static>) -> Result<Engine>| {
        let found = battery.run(engine).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found, battery.digest(), "{what}: the outputs are the reference's");
    };
    let mut names = Vec::new();
    for kernel in kernels::available() {
        check(kernel.name(), &|model| Engine::with_kernel(model, kernel.name()));
        names.push(kernel.name());
    }
    // A line of its own, whatever the harness has printed, and past the harness, which would keep it.
    let line = format!("\nsignfold digest {:016x} kernels {}\n", battery.digest(), names.join(","));
    std::io::stdout().write_all(line.as_bytes()).expect("the standard output takes it");
    for threads in [1, 3] {
        let engine = |model: &Model<'_>| Ok(Engine::new(model)?.with_threads(threads));
        check(&format!("{threads} threads"), &engine);
    }
    for early_exit in [EarlyExit::Never, EarlyExit::Always] {
        let engine = |model: &Model<'_>| Engine::with_early_exit(model, early_exit);
        check(&format!("early exit {early_exit:?}"), &engine);
    }
    assert_eq!(
        battery.digest(),
        DIGEST,
        "the digest is {:#018x}, not {DIGEST:#018x}: models, rows or the arithmetic have changed",
        battery.digest()
    );
}

/// An engine of another model is one that computes wrongly.
#[test]
fn what_differs_is_named() {
    let battery = Battery::new().expect("the layers take it");
    let wrong = |model: &Model<'static>| {
        if model.name() != "quantize to I8, 15 wide" {
            return Engine::new(model);
        }
        let output = QuantParams::new(Int8::I8, 1000.0, 7)?;
        Engine::new(&Model::builder("wrong", model.input()).layer(Quantize { output }).build()?)
    };
    let error = battery.run(wrong).expect_err("one model is another");
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let message = error.to_string();
    let kernel = kernels::best().name();
    let place = format!("model \"quantize to I8, 15 wide\", {kernel}: output, row ");
    assert!(message.starts_with(&place), "{message}");
    for part in [", column ", "expected ", "found "] {
        assert!(message.contains(part), "{message}");
    }
}
