//! From scores to classes. The model answers positions and probabilities; labels and maps from
//! label to probability, which scikit-learn's exporter adds, stay with the caller.

use signfold::layers::Argmax;
use signfold::{Element, Result};

use crate::onnx::lower::{Batch, Lowering, Rows, Value, unsupported};
use crate::onnx::node::{Attribute, Node};

pub(super) fn argmax(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let input = lowering.rows(node, 0)?;
    let axis = node.int("axis", 0)?;
    input.expect_whole_row(axis)?;
    if node.flag("select_last_index")? {
        return Err(unsupported("the last among equals (select_last_index)"));
    }
    let mut shape = input.shape.clone();
    let at = input.axis(axis)?;
    match node.int("keepdims", 1)? {
        0 => _ = shape.remove(at),
        _ => shape[at] = 1,
    }
    lowering.layer(node.output()?, Argmax, &[&input], shape).map(|_| ())
}

/// Labels picked by position from a list. The positions are what the model answers.
pub(super) fn array_feature_extractor(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let labels = lowering.constant(node, 0)?;
    let rows = lowering.rows(node, 1)?;
    if lowering.kind(&rows).element != Element::Index {
        return Err(unsupported("positions that are not those of an ArgMax"));
    }
    let count = labels.len() as i64;
    if !labels.ints().is_ok_and(|labels| labels.into_iter().eq(0..count)) {
        let name = node.output()?;
        lowering.notes.push(format!(
            "value {name:?}: the model gives positions in the file's list of {count} labels, not \
             labels"
        ));
    }
    // [1, batch] in the standard, which only ever becomes [batch].
    let batch = if rows.batch == Batch::One { Batch::Fixed(1) } else { rows.batch };
    lowering.view(node, Rows { id: rows.id, batch, shape: Vec::new() })
}

/// Rows of probabilities as maps from labels; the model gives the rows.
pub(super) fn zip_map(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    let rows = lowering.rows(node, 0)?;
    let labels = match node.attributes.values().next() {
        Some(Attribute::Ints(labels)) => format!("{labels:?}"),
        Some(Attribute::Texts(labels)) => format!("{labels:?}"),
        _ => "those of the file".to_owned(),
    };
    let shown: String = labels.chars().take(100).collect();
    let name = node.output()?;
    lowering.notes.push(format!(
        "value {name:?}: the model gives rows of numbers, not maps; their labels are {shown}"
    ));
    lowering.view(node, rows)
}

/// What only makes labels of numbers is left off.
pub(super) fn labels(lowering: &mut Lowering<'_>, node: &Node) -> Result<()> {
    _ = lowering.rows(node, 0)?;
    let reason = format!("{} makes labels, which a model does not give", node.op);
    lowering.define(node.output()?, Value::LeftOff(reason));
    Ok(())
}
