//! Random graphs: branches that meet again, several inputs and outputs, layers that nothing needs.

use signfold::layers::{Combine, CombineOp, Concat, DenseOutput, Layer, Lookup};
use signfold::quant::Rounding;
use signfold::{
    Element, Engine, GraphBuilder, Model, Output, Result, Scratch, TensorId, TensorType, Values,
};

use super::Rng;
use super::random::{random_clamp, random_layer, random_params, random_rows, random_width};

/// A model of up to three inputs and ten layers, of which some take several tensors, and some are
/// read by none. Over 200 seeds there is every operation and rule; `tests/graph.rs` checks that.
pub fn random_graph(seed: u64) -> Model<'static> {
    let rng = &mut Rng::new(seed);
    let model = graph_of(rng, format!("graph {seed}"));
    let rows = 1 + rng.below(4);
    let inputs = random_inputs(&model, rows, rng.next());
    match rng.one_in(2) {
        // A division may have given what is not golden.
        true => model.clone().with_golden_all(inputs).unwrap_or(model),
        false => model,
    }
}

/// The same without golden rows.
pub fn graph_of(rng: &mut Rng, name: String) -> Model<'static> {
    let mut graph = Model::graph(name);
    let width = random_width(rng);
    let mut tensors = Vec::new();
    for i in 0..rng.below(3) + 1 {
        // Many of one width, so that they can be combined.
        let width = if rng.one_in(3) { random_width(rng) } else { width };
        let of = match rng.below(3) {
            0 => TensorType::f32(width),
            _ => TensorType::int8(width, random_params(rng)),
        };
        let name = if rng.one_in(2) { format!("input {i}") } else { String::new() };
        tensors.push(graph.input(name, of).expect("a sound input"));
    }
    let inputs = tensors.len();
    let mut read = [false; 64];
    for i in 0..rng.below(9) + 2 {
        let Some((layer, of)) = random_node(rng, &graph, &tensors) else { continue };
        let name = if rng.one_in(2) { format!("λ{i}") } else { String::new() };
        // Not every rule takes every scale.
        if let Ok(tensor) = graph.layer(name, layer, &of) {
            of.iter().for_each(|id| read[id.index()] = true);
            tensors.push(tensor);
        }
    }
    if tensors.len() == inputs {
        let layer = random_layer(rng, &graph.tensor(tensors[0]));
        tensors.push(graph.layer("only", layer, &tensors[..1]).expect("a sound layer"));
    }
    let mut outputs = Vec::new();
    for id in &tensors {
        let chance = match (id.index() < inputs, read[id.index()]) {
            (true, _) => 8,
            (false, true) => 5,
            (false, false) if rng.one_in(4) => 100,
            (false, false) => 1,
        };
        if rng.one_in(chance) && graph.tensor(*id).element != Element::Index
            || id.index() + 1 == tensors.len()
        {
            outputs.push(*id);
        }
    }
    // In any order.
    for i in (1..outputs.len()).rev() {
        outputs.swap(i, rng.below(i + 1));
    }
    outputs.iter().for_each(|id| graph.output(*id));
    graph.build().expect("random graphs are sound")
}

/// A layer, and what it takes, if there is something.
fn random_node(
    rng: &mut Rng,
    graph: &GraphBuilder<'static>,
    tensors: &[TensorId],
) -> Option<(Layer<'static>, Vec<TensorId>)> {
    let first = rng.pick(tensors);
    let of = graph.tensor(first);
    if of.element == Element::Index {
        return None;
    }
    let is_int8 = |of: &TensorType| matches!(of.element, Element::Int8(_));
    let alike = |id: &&TensorId| {
        let other = graph.tensor(**id);
        other.element != Element::Index && is_int8(&other) == is_int8(&of)
    };
    let alike: Vec<TensorId> = tensors.iter().filter(alike).copied().collect();
    match rng.below(6) {
        0..=1 => {
            let fits = |id: &&TensorId| graph.tensor(**id).width == of.width;
            let second: Vec<TensorId> = alike.iter().filter(fits).copied().collect();
            let second = rng.pick(&second);
            let output = is_int8(&of).then(|| (random_params(rng), rng.pick(&Rounding::ALL)));
            let layer = Combine { op: random_op(rng), activation: random_clamp(rng), output };
            Some((layer.into(), vec![first, second]))
        }
        2 => {
            let inputs: Vec<TensorId> = (0..rng.below(3) + 2).map(|_| rng.pick(&alike)).collect();
            let width: usize = inputs.iter().map(|id| graph.tensor(*id).width).sum();
            let params = is_int8(&of).then(|| match (of.element, rng.one_in(2)) {
                (Element::Int8(params), true) => params,
                _ => random_params(rng),
            });
            let layer = Concat { inputs: inputs.len(), output: params };
            (width <= 300).then(|| (layer.into(), inputs))
        }
        3 if is_int8(&of) && rng.one_in(2) => {
            let table = rng.vec(256, |rng| rng.next() as i8);
            let layer = Lookup::new(table, random_params(rng)).expect("256 entries");
            Some((layer.into(), vec![first]))
        }
        _ => {
            let layer = match random_layer(rng, &of) {
                Layer::Dense(dense) => match dense.output_kind() {
                    DenseOutput::Int8(params, _) => {
                        let rule = rng.pick(&Rounding::ALL);
                        Layer::Dense(dense.output(DenseOutput::Int8(params, rule)))
                    }
                    DenseOutput::F32 => Layer::Dense(dense),
                },
                other => other,
            };
            Some((layer, vec![first]))
        }
    }
}

fn random_op(rng: &mut Rng) -> CombineOp {
    use CombineOp::{Add, Div, Max, Min, Mul, Sub};
    rng.pick(&[Add, Sub, Mul, Div, Max, Min])
}

/// Rows for each input.
pub fn random_inputs(model: &Model<'_>, rows: usize, seed: u64) -> Vec<Values<'static>> {
    let types = model.inputs().map(|id| model.tensor_type(id));
    types.enumerate().map(|(i, of)| random_rows(of, rows, seed + i as u64)).collect()
}

/// Runs batches into new memory, which held something else before.
pub fn run_all(
    model: &Model<'_>,
    engine: &Engine,
    inputs: &[Values<'_>],
    scratch: &mut Scratch,
) -> Result<Vec<Values<'static>>> {
    let rows = inputs[0].len() / model.input().width;
    let new = |id: &TensorId| {
        let of = model.tensor_type(*id);
        let len = rows * of.width;
        match of.element.name() {
            "f32" => vec![-77.25_f32; len].into(),
            "i8" => vec![-77_i8; len].into(),
            "u8" => vec![77_u8; len].into(),
            _ => vec![77_u32; len].into(),
        }
    };
    let mut values: Vec<Values<'static>> = model.outputs().iter().map(new).collect();
    let mut outputs: Vec<Output<'_>> = values
        .iter_mut()
        .map(|values| match values {
            Values::F32(v) => Output::from(v.to_mut()),
            Values::I8(v) => Output::from(v.to_mut()),
            Values::U8(v) => Output::from(v.to_mut()),
            Values::U32(v) => Output::from(v.to_mut()),
            _ => unreachable!("no other element types"),
        })
        .collect();
    engine.run_all(inputs, &mut outputs, scratch)?;
    Ok(values)
}
