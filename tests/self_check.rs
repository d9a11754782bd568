//! Engines check themselves with the golden rows of their models: all is well, or it is said what
//! is not.

mod common;

use common::{
    bits, cases, dynamic_mlp, is_per_tensor, mlp, random_graph, random_input, random_inputs,
    random_model, seal,
};
use signfold::layers::{Activation, Argmax, DenseInput, Pointwise, Quantize};
use signfold::quant::{Int8, QuantParams};
use signfold::{Engine, Error, ErrorKind, Golden, Model, TensorType, Values, kernels};

/// An error with which a self-check fails.
#[track_caller]
fn failure(engine: &Engine) -> Error {
    engine.self_check().expect_err("it must fail")
}

/// Random networks, of several inputs and outputs and of layers that quantize per tensor among them:
/// with a golden pair that is right all is well, without one that is what is said.
#[test]
fn golden_rows_are_computed_with_every_kernel() {
    let mut several = 0;
    let mut whole_batch = 0;
    let mut missing = 0;
    for seed in 0..cases() {
        let model = if seed % 2 == 0 { random_graph(seed) } else { random_model(seed) };
        let engines = kernels::available()
            .map(|kernel| Engine::with_kernel(&model, kernel.name()))
            .chain([Engine::new(&model).map(|engine| engine.with_threads(3))]);
        for engine in engines {
            let engine = engine.expect("a valid model");
            if model.golden().is_none() {
                missing += 1;
                assert_eq!(failure(&engine).kind(), ErrorKind::NoGolden);
                continue;
            }
            let checked = engine.self_check();
            checked.unwrap_or_else(|error| panic!("{}: {error}", model.name()));
            several += usize::from(model.inputs().len() > 1 && model.outputs().len() > 1);
            whole_batch += usize::from(is_per_tensor(&model));
        }
    }
    let all = [several, whole_batch, missing];
    assert!(all.iter().all(|&count| count > 0), "some kind was not drawn: {all:?}");
}

/// The rows of a batch with one scale stay together, be they more than go through the steps at once.
#[test]
fn batches_with_one_scale_stay_together() {
    let model = dynamic_mlp(&[6, 700, 4], DenseInput::PerTensor);
    let input = random_input(&model, 400, 1);
    let model = model.with_golden(input).expect("no NaN");
    let engine = Engine::new(&model).expect("a valid model");
    assert!(engine.whole_batch() && engine.chunk_rows() < 400);
    engine.self_check().expect("the golden rows are right");
}

/// An engine keeps what it needs: neither the model nor the file must live on.
#[test]
fn the_model_may_be_gone() {
    let engine = {
        let file = mlp(&[5, 4, 3]);
        let input = random_input(&file, 9, 1);
        let file = file.with_golden(input).expect("no NaN").write();
        Engine::new(&Model::read(&file).expect("a valid file")).expect("a valid model")
    };
    engine.self_check().expect("the golden rows are right");
}

/// A file in which some bits of one golden element were changed, and digest and checksum with them.
fn tampered(model: &Model<'_>, output: usize, at: usize, bits: u32) -> Vec<u8> {
    let Golden { inputs, outputs } = model.golden().expect("it has golden rows").clone();
    let mut changed = outputs.clone();
    match &mut changed[output] {
        Values::F32(v) => v.to_mut()[at] = f32::from_bits(v[at].to_bits() ^ bits),
        Values::U32(v) => v.to_mut()[at] ^= bits,
        Values::I8(v) => v.to_mut()[at] ^= bits as i8,
        Values::U8(v) => v.to_mut()[at] ^= bits as u8,
        _ => unreachable!("no other element types"),
    }
    let digest = |outputs| Golden { inputs: inputs.clone(), outputs }.digest().to_le_bytes();
    let mut file = model.write();
    let mut replace = |old: &[u8], new: &[u8]| {
        // Golden rows are the last thing in a file, and their digest comes after them.
        let place = file.windows(old.len()).rposition(|window| window == old);
        file[place.expect("the file has it")..][..old.len()].copy_from_slice(new);
    };
    replace(&le_bytes(&outputs[output]), &le_bytes(&changed[output]));
    replace(&digest(outputs), &digest(changed));
    seal(&mut file);
    file
}

fn le_bytes(values: &Values<'_>) -> Vec<u8> {
    match values {
        Values::I8(v) => v.iter().map(|&x| x as u8).collect(),
        Values::U8(v) => v.to_vec(),
        _ => bits(values).into_iter().flat_map(u32::to_le_bytes).collect(),
    }
}

/// Two inputs, and three outputs, of each type that there is but `u8`.
fn three_outputs() -> Model<'static> {
    let params = QuantParams::new(Int8::I8, 0.05, 3).expect("valid parameters");
    let mut graph = Model::graph("three outputs");
    let x = graph.input("x", TensorType::f32(7)).expect("a sound input");
    let y = graph.input("y", TensorType::f32(5)).expect("a sound input");
    let bytes = graph.layer("bytes", Quantize { output: params }, &[x]).expect("a sound layer");
    let class = graph.layer("class", Argmax, &[y]).expect("a sound layer");
    [bytes, class, y].into_iter().for_each(|id| graph.output(id));
    let model = graph.build().expect("a sound graph");
    let inputs = random_inputs(&model, 6, 2);
    model.with_golden_all(inputs).expect("no NaN")
}

/// Output, row and column of the first difference, and both values.
#[test]
fn what_differs_is_named() {
    let model = three_outputs();
    let golden = model.golden().expect("it was given");
    for (output, at, place) in [
        (0, 7 * 4 + 2, "output, row 4, column 2"),
        (1, 5, "output 1, row 5, column 0"),
        (2, 5 * 3 + 4, "output 2, row 3, column 4"),
    ] {
        let file = tampered(&model, output, at, 1);
        let wrong = Model::read(&file).expect("the checksum fits");
        let shown = |golden: &Golden<'_>| match &golden.outputs[output] {
            Values::F32(v) => format!("{} ({:#010x})", v[at], v[at].to_bits()),
            Values::I8(v) => v[at].to_string(),
            Values::U32(v) => v[at].to_string(),
            _ => unreachable!("no other type is among them"),
        };
        let expected = shown(wrong.golden().expect("it was kept"));
        let message = format!("golden: {place}: expected {expected}, found {}", shown(golden));
        for kernel in kernels::available() {
            let error = failure(&Engine::with_kernel(&wrong, kernel.name()).expect("available"));
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Mismatch, message.clone()));
        }
    }
}

/// Zeros of two signs are equal numbers, but not the same bits.
#[test]
fn signs_of_zeros_count() {
    let model = Model::builder("zeros", TensorType::f32(2))
        .layer(Pointwise { activation: Activation::Identity, output: None })
        .build()
        .expect("a sound layer")
        .with_golden(vec![1.0, -0.0])
        .expect("no NaN");
    Engine::new(&model).expect("a valid model").self_check().expect("they are right");
    let file = tampered(&model, 0, 1, 1 << 31);
    let wrong = Model::read(&file).expect("the checksum fits");
    let error = failure(&Engine::new(&wrong).expect("a valid model"));
    let message = "golden: output, row 0, column 1: expected 0 (0x00000000), found -0 (0x80000000)";
    assert_eq!(error.to_string(), message);
}
