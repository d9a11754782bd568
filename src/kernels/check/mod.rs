//! Holds every kernel that this CPU can run to the naive loops, bit by bit. All tests go through
//! [`available`], so that a new kernel needs no line here.
//!
//! `SIGNFOLD_CHECK_CASES` sets how many random cases a test draws, 200 if it is not set. Set it
//! lower where the CPU is emulated: lists of cases are thinned to match, but sizes and values keep
//! their full ranges.

mod epilogues;
mod float;
mod map;
mod max;
mod quantize;
mod requantize;
mod rows;
mod softmax;
mod sums;
mod zeros;

use std::fmt::Debug;

use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::sum::{Correction, Epilogue, Inputs, Skip};
use super::{GROUP, Kernel, available, reference};
use crate::pack::PackedMatrix;

/// Sizes of random cases: odd, and beyond the tiles of any kernel.
const LARGEST: usize = 67;

/// Distances of slices from the start of their memory.
const OFFSETS: std::ops::RangeInclusive<usize> = 0..=17;

/// The lengths of a product of matrices, and the seed of all that fills it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    outputs: usize,
    inputs: usize,
    seed: u64,
}

impl Arbitrary for Shape {
    fn arbitrary(g: &mut Gen) -> Self {
        let [rows, outputs, inputs] = [(); 3].map(|()| 1 + up_to(g, LARGEST - 1));
        Self { rows, outputs, inputs, seed: u64::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let Self { rows, outputs, inputs, seed } = *self;
        let smaller = (rows, outputs, inputs).shrink();
        Box::new(
            smaller
                .filter(|&(rows, outputs, inputs)| rows.min(outputs).min(inputs) > 0)
                .map(move |(rows, outputs, inputs)| Self { rows, outputs, inputs, seed }),
        )
    }
}

impl Shape {
    fn new(rows: usize, outputs: usize, inputs: usize) -> Self {
        Self { rows, outputs, inputs, seed: (rows << 20 | outputs << 10 | inputs) as u64 }
    }

    fn random(&self) -> Gen {
        Gen::from_size_and_seed(100, self.seed)
    }
}

/// Inputs `[rows][inputs]` and weights `[outputs][inputs]`.
struct Matrices {
    x: Vec<i8>,
    w: Vec<i8>,
}

impl Matrices {
    fn random(shape: &Shape, g: &mut Gen) -> Self {
        // Some are small, so that requantizing does not always clamp.
        let small = up_to(g, 3) == 0;
        let mut values = |len| {
            let value = |_| if small { up_to(g, 4) as i8 - 2 } else { byte(g) };
            (0..len).map(value).collect()
        };
        Self { x: values(shape.rows * shape.inputs), w: values(shape.outputs * shape.inputs) }
    }

    /// Both made of two values in turn.
    fn alternating(shape: &Shape, x: [i8; 2], w: [i8; 2]) -> Self {
        let turns = |of: [i8; 2], rows| {
            let row = (0..shape.inputs).map(move |k| of[k % 2]);
            (0..rows).flat_map(|_| row.clone()).collect()
        };
        Self { x: turns(x, shape.rows), w: turns(w, shape.outputs) }
    }

    fn sums(&self, shape: &Shape) -> Vec<i64> {
        reference::sums(&self.x, &self.w, shape.inputs, 0, &vec![0; shape.outputs])
    }

    fn pack(&self, kernel: &'static Kernel, shape: &Shape) -> PackedMatrix {
        PackedMatrix::new(kernel, &self.w, shape.outputs, shape.inputs).expect("lengths fit")
    }
}

fn cases() -> u64 {
    let cases = std::env::var("SIGNFOLD_CHECK_CASES");
    cases.map_or(200, |cases| cases.parse().expect("SIGNFOLD_CHECK_CASES is a number"))
}

/// All of `cases`, or on slow machines some: as few of them as of the random ones.
fn thinned<C>(cases: impl Iterator<Item = C>) -> impl Iterator<Item = C> {
    cases.step_by((200 / self::cases()).max(1) as usize)
}

fn sample<C: Arbitrary + Debug>(check: fn(C)) {
    QuickCheck::new().tests(cases()).quickcheck(check);
}

fn up_to(g: &mut Gen, most: usize) -> usize {
    u32::arbitrary(g) as usize % (most + 1)
}

/// Any byte, but the extremes far more often than one time in 256.
fn byte(g: &mut Gen) -> i8 {
    match bool::arbitrary(g) {
        true => *g.choose(&[-128, 127, 0, -1]).expect("not empty"),
        false => i8::arbitrary(g),
    }
}

fn sign(g: &mut Gen) -> f32 {
    if bool::arbitrary(g) { 1.0 } else { -1.0 }
}

/// A positive normal number, as scales and multipliers are: any, a power of two that makes ties,
/// or an extreme.
fn scale(g: &mut Gen) -> f32 {
    match up_to(g, 3) {
        0 => f32::from_bits(0x0080_0000 + u32::arbitrary(g) % 0x7F00_0000),
        1 => *g.choose(&[1.0, 0.5, 0.25, 0.125, 1.0 / 1024.0]).expect("not empty"),
        2 => *g.choose(&[f32::MIN_POSITIVE, 1e-30, 1e30, f32::MAX]).expect("not empty"),
        _ => (1.0 + up_to(g, 99_999) as f32) / 1e7,
    }
}

/// Compares all elements, and names the first that differs.
fn same<T: PartialEq + Debug>(
    kernel: &Kernel,
    what: &dyn Debug,
    width: usize,
    got: impl IntoIterator<Item = T>,
    wanted: impl IntoIterator<Item = T>,
) {
    let (got, wanted): (Vec<T>, Vec<T>) = (got.into_iter().collect(), wanted.into_iter().collect());
    let name = kernel.name();
    assert_eq!(got.len(), wanted.len(), "{name}, {what:?}: number of elements");
    for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        let (row, column) = (i / width, i % width);
        assert_eq!(got, wanted, "{name}, {what:?}: row {row}, column {column}");
    }
}

/// What a kernel is given beside weights and epilogue.
struct Given {
    /// One for each padded output.
    bias: Vec<i32>,
    /// Rows and columns.
    corrections: Vec<(Vec<i32>, Vec<i32>)>,
    bytes: Vec<u8>,
    offset: usize,
    stride: usize,
}

impl Given {
    /// Rows as the kernel reads them, from `offset` on, with `gap` bytes from one to the next. All
    /// but the values is `filler`: what lies behind the last input must not matter.
    fn new(
        kernel: &Kernel,
        shape: &Shape,
        matrices: &Matrices,
        [offset, gap]: [usize; 2],
        filler: u8,
    ) -> Self {
        let (flip, whole) = (kernel.technique().flip(), shape.inputs.next_multiple_of(GROUP));
        let stride = whole + gap;
        let mut bytes = vec![filler; offset + shape.rows * stride - gap];
        let rows = bytes[offset..].chunks_mut(stride);
        for (row, x) in rows.zip(matrices.x.chunks_exact(shape.inputs)) {
            for (byte, &x) in row.iter_mut().zip(x) {
                *byte = x as u8 ^ flip;
            }
        }
        let bias = vec![0; shape.outputs.next_multiple_of(kernel.lanes())];
        Self { bias, corrections: Vec::new(), bytes, offset, stride }
    }

    fn random(kernel: &Kernel, shape: &Shape, matrices: &Matrices, g: &mut Gen) -> Self {
        let spaces = [up_to(g, *OFFSETS.end()), up_to(g, 9)];
        let mut given = Self::new(kernel, shape, matrices, spaces, u8::arbitrary(g));
        let wide = bool::arbitrary(g);
        let mut numbers = |len: usize| -> Vec<i32> {
            let number = |_| if wide { i32::arbitrary(g) } else { up_to(g, 20) as i32 - 10 };
            (0..len).map(number).collect()
        };
        let padded = given.bias.len();
        given.bias = numbers(padded);
        let corrections = [(); 2].map(|()| (numbers(shape.rows), numbers(padded)));
        given.corrections = corrections.into_iter().take(up_to(g, 2)).collect();
        given
    }

    /// What the sums must be.
    fn sums(&self, shape: &Shape, matrices: &Matrices) -> Vec<i32> {
        let mut sums: Vec<i32> = matrices.sums(shape).iter().map(|&sum| sum as i32).collect();
        for (row, sums) in sums.chunks_exact_mut(shape.outputs).enumerate() {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(self.bias[n]);
                for (rows, columns) in &self.corrections {
                    *sum = sum.wrapping_add(rows[row].wrapping_mul(columns[n]));
                }
            }
        }
        sums
    }

    fn run(&self, shape: &Shape, matrix: &PackedMatrix, epilogue: Epilogue<'_>) {
        self.run_skipping(shape, matrix, None, epilogue);
    }

    fn run_skipping(
        &self,
        shape: &Shape,
        matrix: &PackedMatrix,
        skip: Option<Skip<'_>>,
        epilogue: Epilogue<'_>,
    ) {
        let rows = &self.bytes[self.offset..];
        let prepared = Prepared::of(matrix, shape, rows.chunks(self.stride));
        let mut corrections = self.corrections.iter();
        let mut next = || corrections.next().map(|(rows, columns)| Correction { rows, columns });
        let inputs = Inputs {
            bytes: prepared.as_ref().map_or(rows, |prepared| &prepared.bytes),
            stride: prepared.as_ref().map_or(self.stride, |_| matrix.row_bytes()),
            rows: shape.rows,
            row_constants: prepared.as_ref().map(|prepared| &prepared.constants[..]),
            corrections: [next(), next()],
        };
        let constants = matrix.constants(self.bias.iter().copied());
        matrix.run(&constants, &inputs, skip, epilogue);
    }
}

/// Rows in the form that a kernel asks for, end to end.
struct Prepared {
    bytes: Vec<u8>,
    constants: Vec<i32>,
}

impl Prepared {
    /// `None` if they are read as they are.
    fn of<'a>(
        matrix: &PackedMatrix,
        shape: &Shape,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let prepare = matrix.prepare()?;
        let mut prepared = Self { bytes: Vec::new(), constants: Vec::new() };
        for row in rows {
            // Full of what must be overwritten.
            let mut bytes = vec![0xA5; matrix.row_bytes()];
            prepared.constants.push(prepare(&row[..shape.inputs], &mut bytes));
            prepared.bytes.extend(bytes);
        }
        Some(prepared)
    }
}

/// Where a kernel puts its rows.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    width: usize,
    stride: usize,
}

impl Place {
    fn random(kernel: &Kernel, shape: &Shape, g: &mut Gen) -> Self {
        let padded = shape.outputs.next_multiple_of(kernel.lanes());
        let width = shape.outputs + up_to(g, padded + 3 - shape.outputs);
        let (offset, gap) = (up_to(g, *OFFSETS.end()), up_to(g, 9));
        Self { offset, width, stride: width + gap }
    }

    /// Gives `write` a slice that ends with the last row, inside of memory full of `guard`, and
    /// answers what it put there. Nothing outside the rows may change.
    fn guarded<T: Copy + PartialEq + Debug>(
        self,
        kernel: &Kernel,
        shape: &Shape,
        guard: T,
        write: impl FnOnce(&mut [T]),
    ) -> Vec<T> {
        let Self { offset, width, stride } = self;
        let len = (shape.rows - 1) * stride + width;
        let mut memory = vec![guard; offset + len + 64];
        write(&mut memory[offset..][..len]);
        for (i, &element) in memory.iter().enumerate() {
            let inside = i >= offset && i < offset + len && (i - offset) % stride < width;
            let name = kernel.name();
            assert!(inside || element == guard, "{name}, {shape:?}, {self:?}: element {i} written");
        }
        let rows = memory[offset..].chunks(stride).take(shape.rows);
        rows.flat_map(|row| &row[..shape.outputs]).copied().collect()
    }
}

/// Lengths of rows: each around all borders of vectors, and some long ones.
fn lengths() -> impl Iterator<Item = usize> {
    thinned((0..=70).chain([127, 128, 129, 191, 192, 193, 255, 256, 784, 1001]))
}

/// Any number, with a liking for those that are no ordinary ones.
fn wild(g: &mut Gen) -> f32 {
    let bits = match up_to(g, 6) {
        0 => *g.choose(&[0, 0x8000_0000]).expect("not empty"),
        1 => *g.choose(&[0x7F80_0000, 0xFF80_0000, 0x7F7F_FFFF, 0xFF7F_FFFF]).expect("not empty"),
        2 => u32::arbitrary(g) & 0x807F_FFFF, // subnormal
        3 => u32::arbitrary(g),
        _ => (up_to(g, 40) as f32 - 20.0).to_bits(), // often equal ones
    };
    f32::from_bits(bits)
}

/// A NaN, of either sign, quiet or not.
fn any_nan(g: &mut Gen) -> f32 {
    let signs = *g.choose(&[0x7F80_0000, 0xFF80_0000]).expect("not empty");
    f32::from_bits(signs | (u32::arbitrary(g) & 0x007F_FFFF).max(1))
}

/// Wild numbers: some rows hold no NaN, some a few, some nothing else.
fn wild_row(g: &mut Gen, length: usize) -> Vec<f32> {
    let one_in = *g.choose(&[1, 2, 20, usize::MAX]).expect("not empty");
    let number = |g: &mut Gen| match up_to(g, one_in - 1) {
        0 => any_nan(g),
        _ => Some(wild(g)).filter(|x| !x.is_nan()).unwrap_or(-0.0),
    };
    let few = (up_to(g, 2) == 0).then(|| [number(g), number(g)]);
    let element = |_| match &few {
        Some(few) => *g.choose(few).expect("not empty"),
        None => number(g),
    };
    let mut row: Vec<f32> = (0..length).map(element).collect();
    if one_in == usize::MAX && up_to(g, 1) == 0 {
        row.iter_mut().for_each(|x| *x = if bool::arbitrary(g) { 0.0 } else { -x.abs() });
    }
    row
}

/// The same values, `offset` elements behind the start of their memory.
fn moved<T: Copy + Default>(values: &[T], offset: usize) -> Vec<T> {
    let mut memory = vec![T::default(); offset];
    memory.extend_from_slice(values);
    memory
}

/// Gives `write` room for `length` elements, `offset` behind the start of memory full of `guard`,
/// and answers what it put there. Nothing beside may change.
fn guarded_row<T: Copy + PartialEq + Debug>(
    kernel: &Kernel,
    what: &dyn Debug,
    [offset, length]: [usize; 2],
    guard: T,
    write: impl FnOnce(&mut [T]),
) -> Vec<T> {
    let mut memory = vec![guard; offset + length + 64];
    write(&mut memory[offset..][..length]);
    let (before, rest) = memory.split_at(offset);
    let (row, after) = rest.split_at(length);
    let untouched = before.iter().chain(after).all(|&element| element == guard);
    assert!(untouched, "{}, {what:?}: elements beside the row written", kernel.name());
    row.to_vec()
}

/// The bits of numbers, to compare also NaN and zeros.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// A name finds its kernel and no other; the loops that measure limits do what they say.
#[test]
fn the_table_is_sound() {
    let names: std::collections::HashSet<_> = super::table().map(Kernel::name).collect();
    assert_eq!(names.len(), super::table().count(), "two kernels share a name");
    for entry in super::all() {
        let (name, missing) = (entry.name(), entry.missing());
        assert_eq!(entry.kernel().is_some(), missing.is_empty(), "{name} lacks {missing:?}");
        if let Err(error) = super::by_name(name) {
            assert!(error.to_string().contains(&missing.join(", ")), "{error}");
        }
    }
    for kernel in available() {
        assert!(std::ptr::eq(super::by_name(kernel.name()).expect("it is available"), kernel));
        let (mr, nr, kr) = kernel.tile();
        assert!(kernel.float_peak(3) >= 3 * kernel.lanes(), "{}: real products", kernel.name());
        assert_eq!(kernel.peak(3), 3 * mr * nr * kr, "{}: products", kernel.name());
        let read = kernel.read(&[1; 1024]);
        assert!((1024 - 144..=1024).contains(&read), "{}: {read} of 1024", kernel.name());
    }
    assert!(super::by_name("portable").is_ok(), "the portable kernel runs everywhere");
}

/// A run that claims to test an instruction set must fail where the CPU, or its emulation, lacks
/// it: `SIGNFOLD_EXPECT_KERNELS` lists, with commas, all that [`available`] must answer, and
/// nothing else.
#[test]
fn the_expected_kernels_are_there() {
    let Ok(expected) = std::env::var("SIGNFOLD_EXPECT_KERNELS") else { return };
    let mut expected: Vec<&str> = expected.split(',').map(str::trim).collect();
    let mut there: Vec<&str> = available().map(Kernel::name).collect();
    expected.sort_unstable();
    there.sort_unstable();
    assert_eq!(there, expected, "available kernels (left), SIGNFOLD_EXPECT_KERNELS (right)");
}
