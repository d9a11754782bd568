//! Which tensors of two forms of a network belong together.
//!
//! ```text
//! names in common?   tensors of one name, and what quantizes one
//! none               what the first layer with weights takes, what the second takes, ...:
//!                    there every fused activation has been applied, in both forms
//! and always         outputs, by their position
//! ```

use std::collections::BTreeMap;

use signfold::layers::Layer;
use signfold::{Element, Model, TensorId};

use super::Matching;

/// Tensors of two models that belong together.
pub(crate) struct Pair {
    pub a: TensorId,
    pub b: TensorId,
    pub name: String,
}

/// All that can be compared.
pub(crate) struct Plan {
    pub matching: Matching,
    /// Tensors whose values are real numbers or stand for such, in the order of the second model.
    pub tensors: Vec<Pair>,
    /// Outputs of the same position.
    pub outputs: Vec<Pair>,
    /// What cannot be compared, and why.
    pub notes: Vec<String>,
}

impl Plan {
    pub fn of(a: &Model<'_>, b: &Model<'_>) -> Self {
        let mut notes = Vec::new();
        let (mut tensors, matching) = match by_name(a, b, &mut notes) {
            named if !named.is_empty() => (named, Matching::Names),
            _ => match by_position(a, b) {
                Ok(pairs) => (pairs, Matching::Positions),
                Err(why) => {
                    notes.push(format!("no layers are compared: they share no names, and {why}"));
                    (Vec::new(), Matching::Outputs)
                }
            },
        };
        let (ours, theirs) = (a.outputs(), b.outputs());
        if ours.len() != theirs.len() {
            let (ours, theirs) = (ours.len(), theirs.len());
            notes.push(format!(
                "{ours} outputs in one, {theirs} in the other: the first are compared"
            ));
        }
        let mut outputs = Vec::new();
        for (i, (&a_id, &b_id)) in ours.iter().zip(theirs).enumerate() {
            let names = [a.tensor_name(a_id), b.tensor_name(b_id)];
            let name = names.into_iter().find(|name| !name.is_empty());
            let name = name.map_or_else(|| format!("output {i}"), str::to_string);
            if are_reals(a, a_id, b, b_id) && !tensors.iter().any(|pair| pair.b == b_id) {
                tensors.push(Pair { a: a_id, b: b_id, name: name.clone() });
            }
            outputs.push(Pair { a: a_id, b: b_id, name });
        }
        tensors.sort_by_key(|pair| pair.b);
        Self { matching, tensors, outputs, notes }
    }
}

/// Whether two tensors hold, or stand for, as many real numbers.
fn are_reals(a: &Model<'_>, a_id: TensorId, b: &Model<'_>, b_id: TensorId) -> bool {
    let (a, b) = (a.tensor_type(a_id), b.tensor_type(b_id));
    a.width == b.width && a.element != Element::Index && b.element != Element::Index
}

/// Tensors of the same name and width. Where several tensors of a model have a name, as a tensor and
/// its quantized form may, the 8-bit one shows what is lost.
fn by_name(a: &Model<'_>, b: &Model<'_>, notes: &mut Vec<String>) -> Vec<Pair> {
    fn named<'m>(model: &'m Model<'_>, int8_first: bool) -> BTreeMap<&'m str, TensorId> {
        let mut named = BTreeMap::new();
        for id in model.tensors().filter(|&id| !model.tensor_name(id).is_empty()) {
            let is_int8 = |id| matches!(model.tensor_type(id).element, Element::Int8(_));
            let first = *named.entry(model.tensor_name(id)).or_insert(id);
            if int8_first && is_int8(id) && !is_int8(first) {
                named.insert(model.tensor_name(id), id);
            }
        }
        named
    }
    let (ours, theirs) = (named(a, false), named(b, true));
    let is_input = |model: &Model<'_>, id: TensorId| {
        model.inputs().any(|input| input == id) && model.tensor_type(id).element == Element::F32
    };
    let mut pairs = Vec::new();
    for (name, &b_id) in &theirs {
        match ours.get(name) {
            // The rows themselves.
            Some(&a_id) if is_input(a, a_id) && is_input(b, b_id) => {}
            Some(&a_id) if are_reals(a, a_id, b, b_id) => {
                pairs.push(Pair { a: a_id, b: b_id, name: name.to_string() });
            }
            Some(&a_id) if a.tensor_type(a_id).width != b.tensor_type(b_id).width => {
                let (ours, theirs) = (a.tensor_type(a_id).width, b.tensor_type(b_id).width);
                notes.push(format!("{name:?} is not compared: rows of {ours} and of {theirs}"));
            }
            _ => {}
        }
    }
    // A tensor that is only quantized has no other name in the first model.
    for node in b.nodes().filter(|node| matches!(node.layer, Layer::Quantize(_))) {
        let (of, q) = (node.inputs[0], node.output);
        if let Some(&a_id) = ours.get(b.tensor_name(of))
            && are_reals(a, a_id, b, q)
            && !pairs.iter().any(|pair| pair.b == q)
        {
            let name = match b.tensor_name(q) {
                "" => format!("{}.quantized", b.tensor_name(of)),
                name => name.to_string(),
            };
            pairs.push(Pair { a: a_id, b: q, name });
        }
    }
    pairs
}

/// What the layers with weights take, in their order.
fn by_position(a: &Model<'_>, b: &Model<'_>) -> Result<Vec<Pair>, String> {
    let weighted = |model: &Model<'_>| -> Vec<TensorId> {
        let nodes = model.nodes().filter(|node| has_weights(node.layer));
        nodes.map(|node| node.inputs[0]).collect()
    };
    let (ours, theirs) = (weighted(a), weighted(b));
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len(), theirs.len());
        return Err(format!("there are {ours} layers with weights in one, {theirs} in the other"));
    }
    let mut pairs: Vec<Pair> = Vec::new();
    for (i, (a_id, b_id)) in ours.into_iter().zip(theirs).enumerate() {
        let (a_width, b_width) = (a.tensor_type(a_id).width, b.tensor_type(b_id).width);
        if a_width != b_width {
            return Err(format!(
                "layer {i} of those with weights takes rows of {a_width} in one, of {b_width} in the other"
            ));
        }
        let is_new = !pairs.iter().any(|pair| pair.b == b_id);
        // Rows that both take as they are cannot differ.
        let is_row = a_id.index() < a.inputs().len() && b_id.index() < b.inputs().len();
        let element = b.tensor_type(b_id).element;
        if is_new && are_reals(a, a_id, b, b_id) && !(is_row && element == Element::F32) {
            pairs.push(Pair { a: a_id, b: b_id, name: format!("into layer {i} with weights") });
        }
    }
    Ok(pairs)
}

fn has_weights(layer: &Layer<'_>) -> bool {
    use Layer::{Dense, FloatDense, FloatMax, MaxProduct};
    matches!(layer, Dense(_) | MaxProduct(_) | FloatDense(_) | FloatMax(_))
}
