//! What the tests share: files made in memory, and every kernel held to the reference.
#![allow(dead_code)] // Each test binary uses a part.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use signfold::layers::DenseInput;
use signfold::quant::Int8;
use signfold::{Element, Engine, Model, Values, kernels};
use signfold_import::{ActivationRange, QuantizeOptions, WeightScales};

/// A tensor for [`file`].
pub struct Tensor {
    pub name: &'static str,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// A tensor of `f32`.
pub fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor { name, dtype: Dtype::F32, shape: shape.to_vec(), data }
}

/// A safetensors file with this description, or with no metadata.
pub fn file(description: Option<&str>, tensors: &[Tensor]) -> Vec<u8> {
    let views: Vec<_> = tensors
        .iter()
        .map(|t| (t.name, TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap()))
        .collect();
    let metadata = description.map(|d| HashMap::from([("signfold".to_owned(), d.to_owned())]));
    safetensors::serialize(views, metadata).unwrap()
}

/// The description of a network of 3 inputs with this list of layers.
pub fn description(layers: &str) -> String {
    format!(r#"{{"version":1,"name":"tiny","inputs":3,"layers":[{layers}]}}"#)
}

/// Numbers that look random, between -1 and 1, the same in each run.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Every option, with others or alone.
pub fn all_options() -> Vec<QuantizeOptions> {
    let default = QuantizeOptions::default;
    let per_tensor = WeightScales::PerTensor;
    vec![
        default(),
        QuantizeOptions { element: Int8::U8, ..default() },
        QuantizeOptions { activations: ActivationRange::Symmetric, ..default() },
        QuantizeOptions { weights: per_tensor, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerRow, ..default() },
        QuantizeOptions { dense_input: DenseInput::PerTensor, weights: per_tensor, ..default() },
    ]
}

/// The kinds of a model's layers.
pub fn names(model: &Model<'_>) -> Vec<&'static str> {
    model.layers().map(|(layer, _, _)| layer.name()).collect()
}

/// Runs `rows` on every kernel of this CPU; all must give what the reference gives. Answers it.
pub fn run_everywhere(model: &Model<'_>, rows: &[f32]) -> Values<'static> {
    let expected = model.reference(&Values::from(rows)).unwrap();
    let count = rows.len() / model.input().width;
    for kernel in kernels::available() {
        let engine = Engine::with_kernel(model, kernel.name()).unwrap();
        let mut scratch = engine.scratch_for(count);
        let found: Values<'_> = match model.output().element {
            Element::Index => {
                let mut out = vec![0_u32; expected.len()];
                engine.run(rows, &mut out, &mut scratch).unwrap();
                out.into()
            }
            _ => {
                let mut out = vec![0_f32; expected.len()];
                engine.run(rows, &mut out, &mut scratch).unwrap();
                out.into()
            }
        };
        assert_eq!(found.digest(), expected.digest(), "{} on {}", model.name(), kernel.name());
    }
    expected
}

/// Real values, or a failed test.
pub fn reals(values: &Values<'_>) -> Vec<f32> {
    match values {
        Values::F32(values) => values.to_vec(),
        other => panic!("{} instead of f32", other.element_name()),
    }
}
