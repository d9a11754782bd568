//! Shapes and positions: what reshaping, squeezing and broadcasting make of dimensions.

use signfold::{Error, ErrorKind, Result};

use super::lower::{BATCH, unsupported};
use super::node::Node;
use super::tensor::{Data, MAX_RANK, Tensor};

/// A position, counted from the end where it is negative: below `end`, of `count` from its start.
pub(super) fn position(at: i64, count: usize, end: usize) -> Result<usize> {
    let found = if at < 0 { at.checked_add(count as i64) } else { Some(at) };
    match found.and_then(|found| usize::try_from(found).ok()) {
        Some(found) if found < end => Ok(found),
        _ => Err(Error::new(ErrorKind::Model, format!("position {at} among {count}"))),
    }
}

/// The axes of a squeeze or an unsqueeze: an attribute before version 13, then an input.
pub(super) fn axes(node: &Node, input: Option<Vec<i64>>) -> Result<Option<Vec<i64>>> {
    Ok(match node.ints("axes")? {
        Some(axes) => Some(axes.to_vec()),
        None => input,
    })
}

/// Dimensions without those at `axes`, or without all that are 1.
pub(super) fn squeeze<T: Copy + PartialEq + From<u8>>(
    dims: &[T],
    axes: Option<&[i64]>,
) -> Result<Vec<T>> {
    let one = T::from(1);
    let Some(axes) = axes else {
        return Ok(dims.iter().copied().filter(|&d| d != one).collect());
    };
    let mut kept = vec![true; dims.len()];
    for &axis in axes {
        let at = position(axis, dims.len(), dims.len())?;
        if dims[at] != one {
            let message = format!("axis {axis} is squeezed, but it is not 1");
            return Err(Error::new(ErrorKind::Model, message));
        }
        kept[at] = false;
    }
    Ok(dims.iter().zip(kept).filter(|(_, kept)| *kept).map(|(&d, _)| d).collect())
}

/// Dimensions with some that are 1 added, so that they are at `axes`.
pub(super) fn unsqueeze<T: Copy + From<u8>>(dims: &[T], axes: Option<&[i64]>) -> Result<Vec<T>> {
    let Some(axes) = axes else {
        return Err(Error::new(ErrorKind::Format, "the axes are missing"));
    };
    let rank = dims.len() + axes.len();
    expect_rank(rank)?;
    let mut added = vec![false; rank];
    for &axis in axes {
        let at = position(axis, rank, rank)?;
        if std::mem::replace(&mut added[at], true) {
            return Err(Error::new(ErrorKind::Model, format!("axis {axis} is added twice")));
        }
    }
    let mut rest = dims.iter().copied();
    let dim = |added| if added { Some(T::from(1)) } else { rest.next() };
    Ok(added.into_iter().filter_map(dim).collect())
}

/// The dimensions that a reshape from `dims` to `target` gives. Of a number of rows that is not
/// known ([`BATCH`]) it is only known that it stays the same.
pub(super) fn reshape(dims: &[i64], target: &[i64], zeros: bool) -> Result<Vec<i64>> {
    expect_rank(target.len())?;
    let mut shape = Vec::with_capacity(target.len());
    for (i, &d) in target.iter().enumerate() {
        shape.push(match d {
            0 if !zeros => *dims.get(i).ok_or_else(|| {
                Error::new(ErrorKind::Model, format!("dimension {i} of {dims:?} is to be kept"))
            })?,
            -1 | BATCH | 0.. => d,
            _ => return Err(Error::new(ErrorKind::Model, format!("dimension {d}"))),
        });
    }
    let open = shape.iter().filter(|&&d| d == -1).count();
    if open > 1 {
        return Err(Error::new(ErrorKind::Model, "two dimensions are left to be worked out"));
    }
    // An unknown number of rows on both sides is the same, and cancels out.
    let batches = |dims: &[i64]| dims.iter().filter(|&&d| d == BATCH).count();
    let product = |dims: &[i64]| {
        let numbers = dims.iter().filter(|&&d| d != BATCH && d != -1);
        let product = numbers.copied().try_fold(1_i64, i64::checked_mul);
        product.ok_or_else(|| Error::new(ErrorKind::Limit, format!("shape {dims:?}")))
    };
    let (from, to) = (product(dims)?, product(&shape)?);
    let fits = match (batches(dims), batches(&shape), open) {
        (n, m, 0) => n == m && from == to,
        (n, m, _) if n == m && to != 0 && from % to == 0 => {
            shape.iter_mut().filter(|d| **d == -1).for_each(|d| *d = from / to);
            true
        }
        (1, 0, _) if from == to => {
            shape.iter_mut().filter(|d| **d == -1).for_each(|d| *d = BATCH);
            true
        }
        _ => false,
    };
    match fits {
        true => Ok(shape),
        false => {
            let (from, to) = (shown(dims), shown(target));
            Err(Error::new(ErrorKind::Model, format!("a reshape from {from} to {to}")))
        }
    }
}

/// Dimensions for messages.
pub(super) fn shown(dims: &[i64]) -> String {
    let dim = |&d: &i64| if d == BATCH { "batch".to_owned() } else { d.to_string() };
    format!("[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(", "))
}

/// Dimensions of which none is left open.
pub(super) fn known(dims: &[i64]) -> Result<Vec<usize>> {
    expect_rank(dims.len())?;
    let known = dims.iter().map(|&d| usize::try_from(d)).collect::<Result<_, _>>();
    known.map_err(|_| unsupported(format!("a constant of shape {}", shown(dims))))
}

/// What `Shape` gives of dimensions: all, or those from `start` up to `end`.
pub(super) fn part_of_shape(node: &Node, dims: &[i64]) -> Result<Tensor> {
    let rank = dims.len() as i64;
    let bound =
        |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(node.int("start", 0)?), bound(node.int("end", rank)?));
    let part = &dims[start..end.max(start)];
    Tensor::new(vec![part.len()], Data::I64(part.to_vec()))
}

/// An order of the axes; the reverse one if none is given.
pub(super) fn permutation(perm: Option<&[i64]>, rank: usize) -> Result<Vec<usize>> {
    let Some(perm) = perm else {
        return Ok((0..rank).rev().collect());
    };
    let found: Vec<usize> = perm.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    match perm.len() == rank && sorted.into_iter().eq(0..rank) {
        true => Ok(found),
        false => {
            let message = format!("{perm:?} is no order of {rank} axes");
            Err(Error::new(ErrorKind::Model, message))
        }
    }
}

/// The shape of two tensors that are aligned at the end and repeated where they are 1.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |of: &[usize], i: usize| (i + of.len()).checked_sub(rank).map_or(1, |i| of[i]);
    let join = |i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(Error::new(ErrorKind::Model, format!("shapes {a:?} and {b:?} do not fit"))),
    };
    (0..rank).map(join).collect()
}

/// For each axis, how far each of its places moves an element's position.
pub(super) fn tables(tensor: &Tensor) -> Vec<Vec<usize>> {
    let mut stride = 1;
    let mut tables: Vec<Vec<usize>> = Vec::with_capacity(tensor.shape.len());
    for &d in tensor.shape.iter().rev() {
        tables.push((0..d).map(|i| i * stride).collect());
        stride *= d;
    }
    tables.reverse();
    tables
}

/// [`tables`] for a shape that the tensor is broadcast to.
pub(super) fn broadcast_tables(tensor: &Tensor, shape: &[usize]) -> Vec<Vec<usize>> {
    let own = tables(tensor);
    let before = shape.len() - own.len();
    let table = |(i, &d): (usize, &usize)| match i.checked_sub(before) {
        Some(i) if own[i].len() == d => own[i].clone(),
        _ => vec![0; d],
    };
    shape.iter().enumerate().map(table).collect()
}

/// The sums of one entry of each table, the last table's fastest.
pub(super) fn offsets(tables: &[Vec<usize>]) -> impl Iterator<Item = usize> {
    let count = tables.iter().map(Vec::len).product();
    (0..count).map(move |mut i: usize| {
        let mut offset = 0;
        for table in tables.iter().rev() {
            offset += table[i % table.len()];
            i /= table.len();
        }
        offset
    })
}

fn expect_rank(rank: usize) -> Result<()> {
    match rank <= MAX_RANK {
        true => Ok(()),
        false => {
            Err(Error::new(ErrorKind::Limit, format!("{rank} dimensions, more than {MAX_RANK}")))
        }
    }
}
