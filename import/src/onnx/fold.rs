//! Constants worked out from constants: weights that a file stores transposed, square roots that it
//! spells out, shapes that it takes apart and joins again.

use std::collections::HashMap;
use std::iter;

use half::{bf16, f16};
use signfold::{Error, ErrorKind, Limits, Result};

use super::dims::{
    axes, broadcast, broadcast_tables, known, offsets, part_of_shape, permutation, position,
    reshape, squeeze, tables, unsqueeze,
};
use super::graph::Graph;
use super::lower::{BATCH, unsupported};
use super::node::{Attribute, Node};
use super::tensor::{Data, Tensor, cost, elements, type_name, types};

/// How many elements may be copied from constants, so that no file makes much more of itself than
/// it is long.
pub(super) struct Copies {
    left: usize,
    /// Bytes of what was copied, at most.
    bytes: u64,
    limits: Limits,
}

impl Copies {
    /// Sixteen times what the constants hold, and some for small ones.
    pub fn of(constants: &HashMap<String, Tensor>, limits: &Limits) -> Self {
        let decoded = |t: &&Tensor| !matches!(t.data, Data::Other(_));
        let elements: usize = constants.values().filter(decoded).map(Tensor::len).sum();
        let left = elements.saturating_mul(16).saturating_add(1 << 20);
        Self { left, bytes: 0, limits: *limits }
    }

    /// Counts elements that are about to be copied.
    pub fn spend(&mut self, elements: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(8 * elements as u64);
        self.limits.check_memory(Some(self.bytes), "copies of constants, with those before")?;
        self.left = self.left.checked_sub(elements).ok_or_else(|| {
            let message = "what is made of its constants is many times what the file holds";
            Error::new(ErrorKind::Limit, message)
        })?;
        Ok(())
    }
}

/// Works out the nodes of which all inputs are constant.
pub(super) fn fold(graph: &mut Graph, copies: &mut Copies) -> Result<()> {
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let input = |name: &String| match &name[..] {
            "" => Some(None),
            _ => graph.constants.get(name).map(Some),
        };
        let inputs: Option<Vec<_>> = node.inputs.iter().map(input).collect();
        let result = match inputs {
            Some(inputs) => evaluate(&node, &inputs, copies).map_err(|e| e.at(node.place()))?,
            None => None,
        };
        match result {
            Some(tensor) => _ = graph.constants.insert(node.output()?.to_owned(), tensor),
            None => kept.push(node),
        }
    }
    graph.nodes = kept;
    Ok(())
}

/// What a node gives for these constants; `None` if its operator is not one of those known here.
///
/// Among whole numbers [`BATCH`] may stand for a number that is not known: it is moved about, but
/// not calculated with.
pub(super) fn evaluate(
    node: &Node,
    inputs: &[Option<&Tensor>],
    copies: &mut Copies,
) -> Result<Option<Tensor>> {
    if !node.domain.is_empty() {
        return Ok(None);
    }
    let input = |i: usize| {
        let missing = || Error::new(ErrorKind::Format, format!("input {i} is missing"));
        inputs.get(i).copied().flatten().ok_or_else(missing)
    };
    let ints = |i: usize| inputs.get(i).copied().flatten().map(Tensor::ints).transpose();
    let mut evaluation = Evaluation { copies };
    Ok(Some(match &node.op[..] {
        "Identity" => evaluation.reshaped(input(0)?, input(0)?.shape.clone())?,
        "Shape" => {
            let dims: Vec<i64> = input(0)?.shape.iter().map(|&d| d as i64).collect();
            part_of_shape(node, &dims)?
        }
        "Cast" => evaluation.cast(input(0)?, node.int("to", 0)?)?,
        "Reshape" => {
            let tensor = input(0)?;
            let dims: Vec<i64> = tensor.shape.iter().map(|&d| d as i64).collect();
            let target = reshape(&dims, &input(1)?.ints()?, node.flag("allowzero")?)?;
            evaluation.reshaped(tensor, known(&target)?)?
        }
        "Flatten" => {
            let tensor = input(0)?;
            let rank = tensor.shape.len();
            let axis = position(node.int("axis", 1)?, rank, rank + 1)?;
            let (before, after) = tensor.shape.split_at(axis);
            evaluation.reshaped(tensor, vec![elements(before)?, elements(after)?])?
        }
        "Squeeze" | "Unsqueeze" => {
            let tensor = input(0)?;
            let axes = axes(node, ints(1)?)?;
            let shape = match &node.op[..] {
                "Squeeze" => squeeze(&tensor.shape, axes.as_deref())?,
                _ => unsqueeze(&tensor.shape, axes.as_deref())?,
            };
            evaluation.reshaped(tensor, shape)?
        }
        "Transpose" => {
            let tensor = input(0)?;
            let perm = permutation(node.ints("perm")?, tensor.shape.len())?;
            let tables = evaluation.tables(tensor)?;
            evaluation.taken(tensor, perm.iter().map(|&d| tables[d].clone()).collect(), None)?
        }
        "Gather" => {
            let (tensor, indices) = (input(0)?, input(1)?);
            let rank = tensor.shape.len();
            let axis = position(node.int("axis", 0)?, rank, rank)?;
            let mut tables = evaluation.tables(tensor)?;
            let along = |i: i64| position(i, tensor.shape[axis], tensor.shape[axis]);
            let picked = indices.ints()?.into_iter().map(|i| Ok(tables[axis][along(i)?]));
            tables[axis] = picked.collect::<Result<_>>()?;
            let (before, after) = (&tensor.shape[..axis], &tensor.shape[axis + 1..]);
            let shape = [before, &indices.shape, after].concat();
            evaluation.taken(tensor, tables, Some(shape))?
        }
        "Slice" => {
            let (starts, ends) = (input(1)?.ints()?, input(2)?.ints()?);
            evaluation.slice(input(0)?, &starts, &ends, ints(3)?, ints(4)?)?
        }
        "Concat" => {
            let more = (1..node.inputs.len()).map(input).collect::<Result<Vec<_>>>()?;
            evaluation.concat(input(0)?, &more, node.int("axis", 0)?)?
        }
        "Expand" => {
            let tensor = input(0)?;
            let target = known(&input(1)?.ints()?)?;
            let shape = broadcast(&tensor.shape, &target)?;
            evaluation.expanded(tensor, &shape)?
        }
        "ConstantOfShape" => {
            let shape = known(&input(0)?.ints()?)?;
            let value = match node.attributes.get("value") {
                Some(Attribute::Tensor(value)) => value.clone(),
                _ => Tensor::scalar(0.0),
            };
            let value = evaluation.reshaped(&value, Vec::new())?;
            evaluation.expanded(&value, &shape)?
        }
        "Add" | "Sub" | "Mul" | "Div" | "Pow" => {
            evaluation.calculated(&node.op, input(0)?, input(1)?)?
        }
        "Sqrt" => evaluation.mapped(input(0)?, f32::sqrt)?,
        "Neg" => evaluation.mapped(input(0)?, |x| -x)?,
        "Reciprocal" => evaluation.mapped(input(0)?, |x| 1.0 / x)?,
        _ => return Ok(None),
    }))
}

struct Evaluation<'a> {
    copies: &'a mut Copies,
}

impl Evaluation<'_> {
    /// The same elements with another shape.
    fn reshaped(&mut self, tensor: &Tensor, shape: Vec<usize>) -> Result<Tensor> {
        self.copies.spend(tensor.len())?;
        if elements(&shape)? != tensor.len() {
            let message = format!("shape {shape:?} for elements of shape {:?}", tensor.shape);
            return Err(Error::new(ErrorKind::Model, message));
        }
        Tensor::new(shape, tensor.data.clone())
    }

    /// What each place on each axis adds to the position of an element.
    fn tables(&mut self, tensor: &Tensor) -> Result<Vec<Vec<usize>>> {
        self.copies.spend(cost(&tensor.shape)?)?;
        Ok(tables(tensor))
    }

    /// The same elements, repeated to fill the shape.
    fn expanded(&mut self, tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
        self.copies.spend(cost(shape)?)?;
        self.taken(tensor, broadcast_tables(tensor, shape), None)
    }

    /// The elements at the sums of one entry of each table, in order.
    fn taken(
        &mut self,
        tensor: &Tensor,
        tables: Vec<Vec<usize>>,
        shape: Option<Vec<usize>>,
    ) -> Result<Tensor> {
        let taken: Vec<usize> = tables.iter().map(Vec::len).collect();
        self.copies.spend(elements(&taken)?)?;
        let data = tensor.data.take(offsets(&tables))?;
        Tensor::new(shape.unwrap_or(taken), data)
    }

    fn concat(&mut self, first: &Tensor, more: &[&Tensor], axis: i64) -> Result<Tensor> {
        let rank = first.shape.len();
        let axis = position(axis, rank, rank)?;
        let mut shape = first.shape.clone();
        for tensor in more {
            let same = |d| d == axis || tensor.shape[d] == shape[d];
            if tensor.shape.len() != rank || !(0..rank).all(same) {
                let message = format!("shape {:?} beside {:?}", tensor.shape, first.shape);
                return Err(Error::new(ErrorKind::Model, message));
            }
            shape[axis] = shape[axis].saturating_add(tensor.shape[axis]);
        }
        self.copies.spend(cost(&shape)?)?;
        // Part by part: the elements of each tensor below one place before the axis.
        let before: usize = shape[..axis].iter().product();
        let mut data = first.data.take(iter::empty())?;
        for i in 0..before {
            for tensor in iter::once(&first).chain(more) {
                let part = tensor.len() / before;
                data.extend(tensor.data.take(i * part..(i + 1) * part)?)?;
            }
        }
        Tensor::new(shape, data)
    }

    fn slice(
        &mut self,
        tensor: &Tensor,
        starts: &[i64],
        ends: &[i64],
        axes: Option<Vec<i64>>,
        steps: Option<Vec<i64>>,
    ) -> Result<Tensor> {
        let rank = tensor.shape.len();
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            let message = "starts, ends, axes and steps are not equally many";
            return Err(Error::new(ErrorKind::Format, message));
        }
        let mut tables = self.tables(tensor)?;
        for (i, &axis) in axes.iter().enumerate() {
            if steps[i] < 1 {
                return Err(unsupported(format!("a step of {}", steps[i])));
            }
            let table = &mut tables[position(axis, rank, rank)?];
            let size = table.len() as i64;
            let bound =
                |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(0, size);
            let (start, end) = (bound(starts[i]) as usize, bound(ends[i]) as usize);
            let step = usize::try_from(steps[i]).unwrap_or(usize::MAX);
            *table = table[start..end.max(start)].iter().step_by(step).copied().collect();
        }
        self.taken(tensor, tables, None)
    }

    fn cast(&mut self, tensor: &Tensor, to: i64) -> Result<Tensor> {
        self.copies.spend(tensor.len())?;
        let data = match (&tensor.data, to) {
            (Data::F32(x), types::FLOAT | types::DOUBLE) => Data::F32(x.clone()),
            (Data::F32(x), types::FLOAT16) => {
                Data::F32(x.iter().map(|&x| f16::from_f32(x).to_f32()).collect())
            }
            (Data::F32(x), types::BFLOAT16) => {
                Data::F32(x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect())
            }
            (Data::F32(x), types::INT64) => Data::I64(x.iter().map(|&x| x as i64).collect()),
            (Data::F32(x), types::INT32) => Data::I32(x.iter().map(|&x| x as i32).collect()),
            (Data::I64(_) | Data::I32(_) | Data::I8(_) | Data::U8(_), _) => {
                let x = tensor.ints()?;
                match to {
                    types::INT64 => Data::I64(x),
                    types::INT32 => Data::I32(x.iter().map(|&x| x as i32).collect()),
                    types::FLOAT | types::DOUBLE => {
                        expect_known(&x)?;
                        Data::F32(x.iter().map(|&x| x as f32).collect())
                    }
                    _ => return Err(no_cast(tensor, to)),
                }
            }
            _ => return Err(no_cast(tensor, to)),
        };
        Tensor::new(tensor.shape.clone(), data)
    }

    fn mapped(&mut self, tensor: &Tensor, function: fn(f32) -> f32) -> Result<Tensor> {
        self.copies.spend(tensor.len())?;
        let data = tensor.floats()?.iter().map(|&x| function(x)).collect();
        Tensor::new(tensor.shape.clone(), Data::F32(data))
    }

    fn calculated(&mut self, op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let shape = broadcast(&a.shape, &b.shape)?;
        self.copies.spend(cost(&shape)?)?;
        let (a_tables, b_tables) = (broadcast_tables(a, &shape), broadcast_tables(b, &shape));
        let pairs = offsets(&a_tables).zip(offsets(&b_tables));
        let data = match &a.data {
            Data::F32(a) => {
                let b = b.floats()?;
                Data::F32(pairs.map(|(i, j)| real(op, a[i], b[j])).collect::<Result<_>>()?)
            }
            kind => {
                let (a, b) = (a.ints()?, b.ints()?);
                expect_known(&a)?;
                expect_known(&b)?;
                let whole: Vec<i64> =
                    pairs.map(|(i, j)| whole(op, a[i], b[j])).collect::<Result<_>>()?;
                match kind {
                    Data::I64(_) => Data::I64(whole),
                    _ => return Err(unsupported(format!("arithmetic of type {}", kind.name()))),
                }
            }
        };
        Tensor::new(shape, data)
    }
}

impl Data {
    /// The elements at these positions.
    pub fn take(&self, at: impl Iterator<Item = usize>) -> Result<Data> {
        Ok(match self {
            Data::F32(x) => Data::F32(at.map(|i| x[i]).collect()),
            Data::I8(x) => Data::I8(at.map(|i| x[i]).collect()),
            Data::U8(x) => Data::U8(at.map(|i| x[i]).collect()),
            Data::I32(x) => Data::I32(at.map(|i| x[i]).collect()),
            Data::I64(x) => Data::I64(at.map(|i| x[i]).collect()),
            Data::Bool(x) => Data::Bool(at.map(|i| x[i]).collect()),
            Data::Other(name) => return Err(unsupported(format!("elements of type {name}"))),
        })
    }

    fn extend(&mut self, more: Data) -> Result<()> {
        match (self, more) {
            (Data::F32(x), Data::F32(more)) => x.extend(more),
            (Data::I8(x), Data::I8(more)) => x.extend(more),
            (Data::U8(x), Data::U8(more)) => x.extend(more),
            (Data::I32(x), Data::I32(more)) => x.extend(more),
            (Data::I64(x), Data::I64(more)) => x.extend(more),
            (Data::Bool(x), Data::Bool(more)) => x.extend(more),
            (x, more) => {
                let message = format!("elements of type {} beside {}", more.name(), x.name());
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        Ok(())
    }
}

fn real(op: &str, a: f32, b: f32) -> Result<f32> {
    Ok(match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        _ if b == 2.0 => a * a,
        _ if b == 0.5 => a.sqrt(),
        _ => return Err(unsupported(format!("the power {b}"))),
    })
}

fn whole(op: &str, a: i64, b: i64) -> Result<i64> {
    let result = match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        _ => None,
    };
    result.ok_or_else(|| unsupported(format!("{op} of {a} and {b}")))
}

fn expect_known(values: &[i64]) -> Result<()> {
    match values.contains(&BATCH) {
        false => Ok(()),
        true => Err(unsupported("a calculation with the number of rows")),
    }
}

fn no_cast(tensor: &Tensor, to: i64) -> Error {
    unsupported(format!("a cast from {} to {}", tensor.data.name(), type_name(to)))
}
