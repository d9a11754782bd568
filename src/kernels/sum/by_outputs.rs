//! A lane for each output.
//!
//! ```text
//! for each panel of NR outputs                  (its weights stay in the cache)
//!   for each tile of MR rows
//!     sums[MR][NR] = constants[NR]              (in registers)
//!     for each group of 4 inputs
//!       sums += weights[NR][4] * inputs[MR][4]
//!     correct, scale, clamp, round, store
//! ```
//! Weights are packed `[panel][group][vector][WEIGHT_BYTES]` and read in that order, inputs row by
//! row as they lie in memory.
//!
//! A single row goes through two panels at once, which are two streams from memory, and splits its
//! inputs over several sets of sums, to hide the latency of the additions; sums of integers do not
//! depend on the order. If many of its groups are zeros, it lists those that are not and reads only
//! their weights.

#![expect(clippy::needless_range_loop, reason = "r and v say which row and vector")]

use core::marker::PhantomData;
use core::ops::Range;

use super::by_blocks::{Begun, Rows, Unit};
use super::finish::finish;
use super::{Epilogue, Inputs, Skip, Sums, Weights, equal_parts};
use crate::kernels::vector::{Broadcast, Op, Product, Vector};
use crate::kernels::{GROUP, proven};

/// Weights of more bytes than this are not in the second-level cache when their turn comes.
const CACHE_BYTES: usize = 2 << 20;

/// Panels that a single row goes through at once.
const STREAMS: usize = 2;

/// Computes all outputs of all rows.
pub(crate) fn by_outputs<P: Broadcast>(
    weights: &Weights<'_>,
    inputs: &Inputs<'_>,
    skip: Option<Skip<'_>>,
    mut epilogue: Epilogue<'_>,
) {
    const { assert!(P::VECTORS <= 2 && P::ROWS <= 12, "panels() and tile() know no larger tiles") };
    let vector = proven::<P::Vector>();
    let skip = skip.filter(|_| inputs.rows == 1);
    let Some(nonzero) = skip.and_then(|skip| NonZero::<P>::of(weights, inputs, skip)) else {
        return panels::<P>(vector, weights, inputs, (None, None), &mut epilogue);
    };
    let weights = Weights { constants: nonzero.constants, ..*weights };
    let row_constants = [nonzero.row_constant];
    let inputs = Inputs {
        row_constants: inputs.row_constants.map(|_| &row_constants[..]),
        corrections: [None, inputs.corrections[1]],
        ..*inputs
    };
    panels::<P>(vector, &weights, &inputs, (Some(&nonzero), None), &mut epilogue);
}

/// Computes all outputs of all rows, with a matrix unit for whole blocks.
pub(super) fn with_unit<P: Broadcast>(
    weights: &Weights<'_>,
    inputs: &Inputs<'_>,
    mut unit: Unit<'_>,
    mut epilogue: Epilogue<'_>,
) {
    panels::<P>(proven(), weights, inputs, (None, Some(&mut unit)), &mut epilogue);
}

/// The groups of a row that are not all zeros.
struct NonZero<'a, P: Broadcast> {
    list: &'a [u32],
    /// The group of zeros, unless its products are 0 as they are.
    zero: Option<P::Group>,
    /// What the sums start from.
    constants: &'a [i32],
    row_constant: i32,
}

impl<'a, P: Broadcast> NonZero<'a, P> {
    /// Lists them, if that pays.
    fn of(weights: &Weights<'a>, inputs: &Inputs<'a>, skip: Skip<'a>) -> Option<Self> {
        let groups = weights.inputs.div_ceil(GROUP);
        let row = row::<P>(inputs, 0, groups);
        let (zero, missing) = P::group([skip.zero; GROUP]);
        let count = row.iter().filter(|&&group| group != zero).count();
        let neutral = P::TECHNIQUE.neutral() == Some(skip.zero);
        // Going by the list costs a little. Where zeros have products, the groups that are listed
        // take those away again, which is twice the work.
        let worth = if neutral { 8 * count < 7 * groups } else { 2 * count < groups };
        if !worth {
            return None;
        }
        let mut listed = 0;
        for (i, &group) in row.iter().enumerate() {
            skip.list[listed] = i as u32;
            listed += usize::from(group != zero);
        }
        let row_constant = inputs.row_constants.map_or(0, |constants| constants[0]);
        Some(Self {
            list: &skip.list[..listed],
            zero: (!neutral).then_some(zero),
            constants: skip.constants,
            row_constant: row_constant.wrapping_sub(missing.wrapping_mul(groups as i32)),
        })
    }
}

/// The groups of one row.
#[inline(always)]
fn row<'a, P: Broadcast>(inputs: &Inputs<'a>, row: usize, groups: usize) -> &'a [P::Group] {
    let bytes = &inputs.bytes[row * inputs.stride..][..groups * size_of::<P::Group>()];
    bytemuck::cast_slice(bytes)
}

/// Panel by panel.
fn panels<P: Broadcast>(
    vector: P::Vector,
    weights: &Weights<'_>,
    inputs: &Inputs<'_>,
    (nonzero, mut unit): (Option<&NonZero<'_, P>>, Option<&mut Unit<'_>>),
    epilogue: &mut Epilogue<'_>,
) {
    let lanes = P::Vector::LANES;
    let groups = weights.inputs.div_ceil(GROUP);
    let mut packed = weights.packed;
    let mut first = 0;
    let mut take = |vectors: usize| {
        let (panel, rest) = packed.split_at(groups * vectors * P::WEIGHT_BYTES);
        packed = rest;
        (panel, rest)
    };
    while first < weights.constants.len() {
        let vectors = (weights.constants.len() - first) / lanes;
        let single = inputs.rows == 1 && P::VECTORS == 2 && vectors >= STREAMS * P::VECTORS;
        let (panel, next) = take(P::VECTORS.min(vectors));
        let (second, next) = if single { take(P::VECTORS) } else { (&[][..], next) };
        let panel = Panel {
            weights: [panel, second],
            next: if weights.packed.len() > CACHE_BYTES { next } else { &[] },
            groups,
            constants: weights.constants,
            first,
            nonzero,
        };
        let vectors = if single { STREAMS * P::VECTORS } else { P::VECTORS.min(vectors) };
        match vectors {
            4 => {
                let part = Part { rows: 0..1, next: &[], begun: None };
                let product = PhantomData::<P>;
                let panel = &panel;
                vector.vectorize(Tile::<P, 1, 4, false> { product, panel, inputs, part, epilogue });
            }
            2 => rows::<P, 2>(vector, &panel, inputs, unit.as_deref_mut(), epilogue),
            _ => rows::<P, 1>(vector, &panel, inputs, unit.as_deref_mut(), epilogue),
        }
        first += vectors * lanes;
    }
}

/// The weights of a few vectors of outputs, from output `first` on: of one panel, or of two.
struct Panel<'a, P: Broadcast> {
    weights: [&'a [u8]; STREAMS],
    /// What follows and should be fetched in the meantime; nothing if it is in the cache anyway.
    next: &'a [u8],
    groups: usize,
    constants: &'a [i32],
    first: usize,
    nonzero: Option<&'a NonZero<'a, P>>,
}

/// All rows of one panel, in tiles as equal as can be.
fn rows<P: Broadcast, const V: usize>(
    vector: P::Vector,
    panel: &Panel<'_, P>,
    inputs: &Inputs<'_>,
    unit: Option<&mut Unit<'_>>,
    epilogue: &mut Epilogue<'_>,
) {
    if let Some(unit) = unit {
        return blocks::<P, V>(vector, panel, inputs, unit, epilogue);
    }
    let tiles = inputs.rows.div_ceil(P::ROWS);
    let share = panel.next.len().min(panel.weights[0].len()) / tiles.max(1);
    let mut shares = panel.next.chunks(share.max(1));
    for rows in equal_parts(inputs.rows, P::ROWS) {
        // Tiles that fetch have code of their own, for the others would be slower for it; only the
        // largest two, as those are what many rows are split into.
        match shares.next() {
            Some(next) if rows.len() + 1 >= P::ROWS => {
                let part = Part { rows, next, begun: None };
                tile::<P, V, true>(vector, panel, inputs, part, epilogue);
            }
            _ => {
                let part = Part { rows, next: &[], begun: None };
                tile::<P, V, false>(vector, panel, inputs, part, epilogue);
            }
        }
    }
}

/// All rows of one panel, in blocks that a matrix unit begins.
fn blocks<P: Broadcast, const V: usize>(
    vector: P::Vector,
    panel: &Panel<'_, P>,
    inputs: &Inputs<'_>,
    unit: &mut Unit<'_>,
    epilogue: &mut Epilogue<'_>,
) {
    for rows in equal_parts(inputs.rows, unit.rows) {
        let of_block = Rows {
            bytes: &inputs.bytes[rows.start * inputs.stride..],
            stride: inputs.stride,
            count: rows.len(),
            groups: panel.groups,
        };
        let groups = (unit.multiply)(panel.weights[0], V, &of_block, unit.block);
        let begun = (groups > 0).then_some(Begun { block: unit.block, first: rows.start, groups });
        for tile_rows in equal_parts(rows.len(), P::ROWS) {
            let tile_rows = rows.start + tile_rows.start..rows.start + tile_rows.end;
            let part = Part { rows: tile_rows, next: &[], begun };
            tile::<P, V, false>(vector, panel, inputs, part, epilogue);
        }
    }
}

/// What one tile is to do.
struct Part<'a> {
    rows: Range<usize>,
    /// What is to be fetched meanwhile, bit by bit: a burst would get in the way of the products.
    next: &'a [u8],
    begun: Option<Begun<'a>>,
}

/// One tile, by the code made for just so many rows.
fn tile<P: Broadcast, const V: usize, const FETCH: bool>(
    vector: P::Vector,
    panel: &Panel<'_, P>,
    inputs: &Inputs<'_>,
    part: Part<'_>,
    epilogue: &mut Epilogue<'_>,
) {
    macro_rules! by_rows {
        ($($r:literal)*) => {
            match part.rows.len() {
                $($r if const { P::ROWS >= $r && (!FETCH || P::ROWS <= $r + 1) } => {
                    let product = PhantomData::<P>;
                    let tile = Tile::<P, $r, V, FETCH> { product, panel, inputs, part, epilogue };
                    vector.vectorize(tile);
                })*
                rows => unreachable!("no tile has {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// `R` rows times `V` vectors of outputs.
struct Tile<'t, 'e, P: Broadcast, const R: usize, const V: usize, const FETCH: bool> {
    product: PhantomData<P>,
    panel: &'t Panel<'t, P>,
    inputs: &'t Inputs<'t>,
    part: Part<'t>,
    epilogue: &'t mut Epilogue<'e>,
}

impl<P: Broadcast, const R: usize, const V: usize, const FETCH: bool> Op<P::Vector>
    for Tile<'_, '_, P, R, V, FETCH>
{
    type Output = ();

    #[inline(always)]
    fn run(self, vector: P::Vector) {
        if let Epilogue::Bytes { out, stride, .. } = &self.epilogue
            && R > 1
        {
            // The lines that are to be written are fetched while the products are under way.
            for r in 0..R {
                let at = (self.part.rows.start + r) * stride + self.panel.first;
                vector.prefetch(out[at..].as_ptr());
            }
        }
        let sums = match self.panel.nonzero {
            Some(nonzero) if R == 1 => match nonzero.zero {
                None => self.listed::<2>(vector, nonzero.list),
                Some(zero) => self.listed_less::<2>(vector, nonzero.list, zero),
            },
            // As many sets of sums as keep the multiplier busy while additions are under way.
            _ if const { R * V >= P::IN_FLIGHT } => self.products::<1>(vector),
            _ if const { R * V * 2 >= P::IN_FLIGHT } => self.products::<2>(vector),
            _ if const { R * V * 4 >= P::IN_FLIGHT } => self.products::<4>(vector),
            _ => self.products::<8>(vector),
        };
        let at = (self.part.rows.start, self.panel.first);
        finish(vector, at, self.inputs, self.epilogue, sums);
    }
}

impl<P: Broadcast, const R: usize, const V: usize, const FETCH: bool> Tile<'_, '_, P, R, V, FETCH> {
    /// Vectors of one of the panels.
    const OF_PANEL: usize = if V < P::VECTORS { V } else { P::VECTORS };
    /// Bytes of a panel's weights for one group.
    const BYTES: usize = Self::OF_PANEL * P::WEIGHT_BYTES;

    /// `S` sets of sums, the first of which starts from the constants.
    #[inline(always)]
    fn start<const S: usize>(&self, vector: P::Vector) -> [Sums<P::Vector, R, V>; S] {
        let mut sets = [[[vector.int(0); V]; R]; S];
        let lanes = P::Vector::LANES;
        for v in 0..V {
            let constants = &self.panel.constants[self.panel.first + v * lanes..][..lanes];
            let constant = vector.load_int(constants);
            for r in 0..R {
                sets[0][r][v] = constant;
                if let Some(Begun { block, first, .. }) = &self.part.begun {
                    let begun = &block[self.part.rows.start + r - first][v * lanes..];
                    sets[0][r][v] = vector.add(constant, vector.load_int(begun));
                }
            }
        }
        sets
    }

    /// The sums of products, with `S` sets of sums that take the groups in turn.
    #[inline(always)]
    fn products<const S: usize>(&self, vector: P::Vector) -> Sums<P::Vector, R, V> {
        let Panel { weights: [weights, second], groups, .. } = *self.panel;
        let done = self.part.begun.map_or(0, |begun| begun.groups);
        let rows: [&[P::Group]; R] = core::array::from_fn(|r| {
            &row::<P>(self.inputs, self.part.rows.start + r, groups)[done..]
        });
        let (weights, groups) = (&weights[done * Self::BYTES..], groups - done);
        let mut sets = self.start::<S>(vector);
        let (next, step) = (self.part.next.as_ptr(), self.part.next.len() / groups.max(1));
        let turns = groups / S;
        let in_turns = rows.map(|row| &row.as_chunks::<S>().0[..turns]);
        for (turn, weights) in weights.chunks_exact(S * Self::BYTES).enumerate() {
            let second = match V > Self::OF_PANEL {
                true => &second[turn * S * Self::BYTES..][..S * Self::BYTES],
                false => &[],
            };
            for (s, set) in sets.iter_mut().enumerate() {
                if FETCH {
                    vector.prefetch(next.wrapping_add((turn * S + s) * step));
                }
                Self::multiply(vector, set, [weights, second], s, |r| &in_turns[r][turn][s]);
            }
        }
        for group in turns * S..groups {
            Self::multiply(vector, &mut sets[0], [weights, second], group, |r| &rows[r][group]);
        }
        total::<P, R, V, S>(vector, sets)
    }

    /// The sums of products of the groups that are listed, with `S` sets of sums.
    #[inline(always)]
    fn listed<const S: usize>(&self, vector: P::Vector, list: &[u32]) -> Sums<P::Vector, R, V> {
        let Panel { weights, groups, .. } = *self.panel;
        let row = row::<P>(self.inputs, self.part.rows.start, groups);
        let mut sets = self.start::<S>(vector);
        let (turns, rest) = list.as_chunks::<S>();
        for turn in turns {
            for (set, &group) in sets.iter_mut().zip(turn) {
                let group = group as usize;
                Self::multiply(vector, set, weights, group, |_| &row[group]);
            }
        }
        for &group in rest {
            let group = group as usize;
            Self::multiply(vector, &mut sets[0], weights, group, |_| &row[group]);
        }
        total::<P, R, V, S>(vector, sets)
    }

    /// The same less the products of as many groups of zeros.
    #[inline(always)]
    fn listed_less<const S: usize>(
        &self,
        vector: P::Vector,
        list: &[u32],
        zero: P::Group,
    ) -> Sums<P::Vector, R, V> {
        let mut sums = self.listed::<S>(vector, list);
        let mut less = [[vector.int(0); V]; R];
        for &group in list {
            Self::multiply(vector, &mut less, self.panel.weights, group as usize, |_| &zero);
        }
        for (sums, less) in sums.iter_mut().zip(less) {
            for (sum, less) in sums.iter_mut().zip(less) {
                *sum = vector.sub(*sum, less);
            }
        }
        sums
    }

    /// One group of inputs of `R` rows, times its weights, onto the sums.
    #[inline(always)]
    fn multiply<'g>(
        vector: P::Vector,
        sums: &mut Sums<P::Vector, R, V>,
        weights: [&[u8]; STREAMS],
        group: usize,
        inputs: impl Fn(usize) -> &'g P::Group,
    ) where
        P: 'g,
    {
        let [first, second] = weights;
        let first = &first[group * Self::BYTES..][..Self::BYTES];
        let second = match V > Self::OF_PANEL {
            true => &second[group * Self::BYTES..][..Self::BYTES],
            false => &[],
        };
        let mut vectors = [P::weights(vector, &first[..P::WEIGHT_BYTES]); V];
        for v in 1..V {
            let (panel, v_of_panel) = match v < Self::OF_PANEL {
                true => (first, v),
                false => (second, v - Self::OF_PANEL),
            };
            let packed = &panel[v_of_panel * P::WEIGHT_BYTES..][..P::WEIGHT_BYTES];
            vectors[v] = P::weights(vector, packed);
        }
        for r in 0..R {
            let inputs = P::broadcast(vector, inputs(r));
            for v in 0..V {
                sums[r][v] = P::dot(vector, sums[r][v], vectors[v], inputs);
            }
        }
    }
}

/// All sets added up.
#[inline(always)]
fn total<P: Product, const R: usize, const V: usize, const S: usize>(
    vector: P::Vector,
    sets: [Sums<P::Vector, R, V>; S],
) -> Sums<P::Vector, R, V> {
    let mut sums = sets[0];
    for set in &sets[1..] {
        for r in 0..R {
            for v in 0..V {
                sums[r][v] = vector.add(sums[r][v], set[r][v]);
            }
        }
    }
    sums
}
