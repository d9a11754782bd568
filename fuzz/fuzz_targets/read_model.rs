//! Any bytes as a model file: refused, or a sound model that all kernels run alike.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{extreme_input, random_input, seal};
use libfuzzer_sys::fuzz_target;
use signfold::quant::Int8;
use signfold::{Element, Engine, Model, Values, kernels};

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
        let wanted = model.reference(&input);
        for kernel in kernels::available() {
            let found = run(&model, &input, rows, kernel.name());
            assert_eq!(bits(&found), bits(&wanted), "{rows} rows, {}", kernel.name());
        }
    }
}

fn run(
    model: &Model<'_>,
    input: &Values<'_>,
    rows: usize,
    kernel: &str,
) -> signfold::Result<Values<'static>> {
    let engine = Engine::with_kernel(model, kernel).expect("the kernel is available");
    let engine = engine.with_threads(1);
    macro_rules! output {
        ($t:ty) => {{
            let mut output = vec![<$t>::default(); rows * model.output().width];
            engine.run(input.clone(), &mut output, &mut engine.scratch())?;
            output.into()
        }};
    }
    Ok(match model.output().element {
        Element::F32 => output!(f32),
        Element::Int8(params) => match params.kind() {
            Int8::I8 => output!(i8),
            Int8::U8 => output!(u8),
        },
        Element::Index => output!(u32),
        other => panic!("unknown elements {other:?}"),
    })
}

/// What must be the same: whether there is a result, and its bits, but for those of a NaN.
fn bits(values: &signfold::Result<Values<'_>>) -> Option<Vec<u32>> {
    Some(match values.as_ref().ok()? {
        Values::F32(v) => {
            v.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
        }
        Values::U32(v) => v.to_vec(),
        Values::I8(v) => v.iter().map(|&x| x as u32).collect(),
        Values::U8(v) => v.iter().map(|&x| x.into()).collect(),
        other => panic!("unknown values {other:?}"),
    })
}
