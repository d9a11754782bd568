//! What an engine tells of its steps, and that profiling computes what a run does.

#![cfg(feature = "std")]

mod common;

use common::{assert_same, bits, dynamic_mlp, mlp, random_input, random_model, run};
use signfold::layers::{Argmax, DenseInput};
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, Model, Output, Scratch, TensorType, Values, kernels};

/// Outputs and times of a profile whose every step runs `repeats` times.
fn profile(
    engine: &Engine,
    input: &Values<'_>,
    scratch: &mut Scratch,
    repeats: u32,
) -> signfold::Result<(Values<'static>, usize)> {
    let len = input.len() / engine.input().width * engine.output().width;
    macro_rules! profile {
        ($before:expr) => {{
            let mut out = vec![$before; len];
            let times =
                engine.profile(input.clone(), Output::from(&mut out[..]), scratch, repeats)?;
            Ok((out.into(), times.len()))
        }};
    }
    match engine.output().element.name() {
        "f32" => profile!(-77.25_f32),
        "i8" => profile!(-77_i8),
        "u8" => profile!(77_u8),
        _ => profile!(77_u32),
    }
}

#[test]
fn a_profile_computes_what_a_run_does() {
    let dynamic = [DenseInput::PerRow, DenseInput::PerTensor].map(|of| dynamic_mlp(&[7, 9, 3], of));
    for model in (0..40).map(random_model).chain(dynamic) {
        let input = random_input(&model, 11, 1);
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(&model, kernel.name()).expect("it is available");
            let wanted = bits(&run(&engine, &input, &mut engine.scratch_for(11)).expect("no NaN"));
            // All rows at once and, where that is allowed, in chunks.
            let rows = if common::is_per_tensor(&model) { 11 } else { 4 };
            for (rows, repeats) in [(11, 0), (11, 3), (rows, 2)] {
                let mut scratch = engine.scratch_for(rows);
                let (output, times) =
                    profile(&engine, &input, &mut scratch, repeats).expect("no NaN");
                assert_eq!(times, engine.steps().len());
                assert_same(&bits(&output), &wanted, model.name());
            }
        }
    }
}

#[test]
fn a_profile_refuses_what_a_run_does() {
    let engine = Engine::new(&mlp(&[5, 4, 3])).expect("a valid model");
    let mut rows = vec![0.5; 50];
    rows[13] = f32::NAN;
    for input in [Values::from(rows), Values::from(vec![0.5; 51]), Values::from(vec![1_i8; 50])] {
        let refused = run(&engine, &input, &mut engine.scratch()).expect_err("it must be refused");
        let error = profile(&engine, &input, &mut engine.scratch(), 2).expect_err("it, too");
        assert_eq!(error, refused);
    }
}

#[test]
fn steps_say_what_they_do() {
    for kernel in kernels::available() {
        let engine = |model: &Model<'_>| Engine::with_kernel(model, kernel.name()).expect("valid");
        let engine_of_mlp = engine(&mlp(&[64, 48, 10]));
        let steps: Vec<_> = engine_of_mlp.steps().collect();
        // Some kernels prepare rows, in steps of their own.
        let prepared = steps.iter().filter(|step| step.name == "prepare").count();
        let steps: Vec<_> = steps.into_iter().filter(|step| step.name != "prepare").collect();
        let names: Vec<_> = steps.iter().map(|step| &step.name[..]).collect();
        assert_eq!(names, ["quantize", "dense 64x48", "dense 48x10"]);
        let products: Vec<_> = steps.iter().map(|step| step.products).collect();
        assert_eq!(products, [0, 64 * 48, 48 * 10]);
        assert_eq!(products.iter().sum::<usize>(), engine_of_mlp.products());
        let bytes: Vec<_> = steps.iter().map(|s| (s.input_bytes, s.output_bytes)).collect();
        match prepared {
            0 => assert_eq!(bytes, [(256, 64), (64, 48), (48, 40)]),
            _ => assert_eq!(bytes[0], (256, 64)),
        }
        assert_eq!(steps[0].weight_bytes, 0);
        assert!(steps[1].weight_bytes >= 64 * 48 && steps[2].weight_bytes >= 48 * 10);
        assert!(engine_of_mlp.chunk_rows() > 0);

        let params = QuantParams::new(Int8::U8, 1.0, 0).expect("valid");
        let argmax = Model::builder("", TensorType::int8(6, params)).layer(Argmax).build();
        let names: Vec<_> = engine(&argmax.expect("valid")).steps().map(|s| s.name).collect();
        assert_eq!(names, ["argmax"]);
    }
}
