//! The seven things that never change a bit, each as a property of random networks of all kinds of
//! layers. The reference says which bits; it knows none of the seven.
//!
//! | what | the property | where more is asked of it |
//! | --- | --- | --- |
//! | thread count | `threads` | `tests/threads.rs`: pools of the caller, shared engines, errors |
//! | batch split | `batch_split` | `tests/engine.rs`: each number of rows |
//! | alignment | `alignment` | `src/kernels/check/`: guard bytes, on each kernel function |
//! | chunking | `chunking` | `tests/engine.rs`: thousands of rows, scratches of other engines |
//! | early exit | `early_exit` | `tests/max/`: rows made to mislead it |
//! | zero skipping | `zero_skipping` | `src/kernels/check/zeros.rs`: every byte as the zero point |
//! | kernel choice | `kernel_choice` | `src/kernels/check/`: all shapes around borders |

mod common;

use common::{
    AGGREGATES, Rng, assert_same, bits, cases, int8_dense, is_per_tensor, random_graph,
    random_inputs, random_max_product, random_model, random_params, run_all, slice,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use signfold::layers::{Activation, EarlyExit, Layer, Quantize};
use signfold::{Element, Engine, Model, Output, TensorType, Values, kernels};

/// A network, rows for it, and what the reference makes of them.
#[derive(Clone, Debug)]
struct Case {
    model: Model<'static>,
    rows: usize,
    inputs: Vec<Values<'static>>,
    wanted: Vec<Values<'static>>,
    /// For what else a property draws.
    seed: u64,
}

impl Case {
    /// Rows of a model, if the reference takes them: a division may give what cannot be quantized.
    fn new(model: Model<'static>, rows: usize, seed: u64) -> Option<Self> {
        Self::of(model.clone(), rows, random_inputs(&model, rows, seed), seed)
    }

    fn of(
        model: Model<'static>,
        rows: usize,
        inputs: Vec<Values<'static>>,
        seed: u64,
    ) -> Option<Self> {
        let wanted = model.reference_all(&inputs).ok()?;
        Some(Self { model, rows, inputs, wanted, seed })
    }

    /// Rows `first..last` of all inputs.
    fn part(&self, first: usize, last: usize) -> Vec<Values<'static>> {
        let widths = self.model.inputs().map(|id| self.model.tensor_type(id).width);
        let inputs = self.inputs.iter().zip(widths);
        inputs.map(|(values, width)| slice(values, width, first, last)).collect()
    }

    /// All bits of all outputs that an engine gives with room for so many rows.
    fn run(&self, engine: &Engine, capacity: usize) -> Vec<Vec<u32>> {
        let scratch = &mut engine.scratch_for(capacity);
        let outputs = run_all(&self.model, engine, &self.inputs, scratch);
        outputs.expect("as the reference").iter().map(bits).collect()
    }

    #[track_caller]
    fn assert(&self, got: &[Vec<u32>], what: impl std::fmt::Display) {
        assert_eq!(got.len(), self.wanted.len());
        for (i, (got, wanted)) in got.iter().zip(&self.wanted).enumerate() {
            let name = self.model.name();
            assert_same(got, &bits(wanted), format_args!("output {i}, {name}, {what}"));
        }
    }
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Self {
        loop {
            let seed = u64::arbitrary(g);
            let rng = &mut Rng::new(seed);
            let model = if rng.one_in(2) { random_graph(seed) } else { random_model(seed) };
            let rows = if rng.one_in(4) { 1 } else { rng.below(30) };
            if let Some(case) = Self::new(model, rows, rng.next()) {
                return case;
            }
        }
    }
}

/// Checks a property of so many random cases.
fn check(cases: u64, property: fn(Case)) {
    QuickCheck::new().tests(cases).max_tests(cases).quickcheck(property);
}

/// Cases whose rows may be run apart: none quantizes per tensor, which is to depend on the batch.
fn check_apart(property: fn(Case)) {
    fn apart(case: &Case) -> bool {
        !is_per_tensor(&case.model)
    }
    let mut g = Gen::new(100);
    for _ in 0..cases() {
        let case = (0..).map(|_| Case::arbitrary(&mut g)).find(apart);
        property(case.expect("most are"));
    }
}

/// Networks with work for many threads, which share a batch by rows or by outputs.
#[test]
fn threads() {
    fn property(seed: u64) {
        let rng = &mut Rng::new(seed);
        let rows = if rng.one_in(2) { 1 + rng.below(4) } else { 20 + rng.below(40) };
        // 50 million products: for two threads and more with the widest vectors.
        let inputs = 900 + rng.below(300);
        let outputs = 50_000_000 / rows / inputs + 1;
        let input = TensorType::int8(inputs, random_params(rng));
        let layer = match rng.one_in(2) {
            true => Layer::from(int8_dense(rng, outputs, inputs, Activation::Relu)),
            false => {
                let aggregate = rng.pick(&AGGREGATES);
                random_max_product(rng, &input, aggregate, outputs / 4 + 1).into()
            }
        };
        let model = Model::builder("wide", input).layer(layer).build().expect("it fits");
        let inputs = random_inputs(&model, rows, seed);
        let run = |threads: usize| {
            let engine = Engine::new(&model).expect("a valid model").with_threads(threads);
            let outputs = run_all(&model, &engine, &inputs, &mut engine.scratch());
            bits(&outputs.expect("8-bit rows")[0])
        };
        let one = run(1);
        for threads in [2, 3 + rng.below(6)] {
            assert_same(&run(threads), &one, format_args!("seed {seed}, {threads} threads"));
        }
        let row = rng.below(rows);
        let alone = slice(&inputs[0], model.input().width, row, row + 1);
        let wanted = bits(&model.reference(&alone).expect("8-bit rows"));
        assert_same(&one[row * wanted.len()..][..wanted.len()], &wanted, "the reference");
    }
    QuickCheck::new().tests((cases() / 20).max(1)).quickcheck(property as fn(u64));
    // Small networks, which threads do not share: none of theirs is waited for.
    check(cases() / 4, |case| {
        for threads in [1, 2, 7] {
            let engine = Engine::new(&case.model).expect("a valid model").with_threads(threads);
            case.assert(&case.run(&engine, case.rows), format_args!("{threads} threads"));
        }
    });
}

/// A batch cut anywhere, into any number of runs with the same scratch.
#[test]
fn batch_split() {
    check_apart(|case| {
        let rng = &mut Rng::new(case.seed);
        let engine = Engine::new(&case.model).expect("a valid model");
        let mut scratch = engine.scratch();
        let mut joined = vec![Vec::new(); case.wanted.len()];
        let mut first = 0;
        while first < case.rows {
            let last = first + 1 + rng.below(case.rows - first);
            let part = run_all(&case.model, &engine, &case.part(first, last), &mut scratch);
            for (joined, part) in joined.iter_mut().zip(part.expect("as the reference")) {
                joined.extend(bits(&part));
            }
            first = last;
        }
        case.assert(&joined, "cut");
    });
}

/// Elements at some distance from the beginning of their memory, with others around them.
#[derive(Clone, Debug)]
struct Placed {
    values: Values<'static>,
    at: usize,
    len: usize,
}

/// What lies around the elements, in bytes.
const AROUND: u8 = 0xA5;

macro_rules! each_type {
    ($values:expr, $v:ident => $of:expr) => {
        match $values {
            Values::F32($v) => $of,
            Values::I8($v) => $of,
            Values::U8($v) => $of,
            Values::U32($v) => $of,
            _ => unreachable!("no other element types"),
        }
    };
}

impl Placed {
    fn new(values: &Values<'_>, at: usize) -> Self {
        let around = match values {
            Values::F32(_) => vec![f32::from_bits(0x01010101 * u32::from(AROUND)); at + 64].into(),
            Values::I8(_) => vec![AROUND as i8; at + 64].into(),
            Values::U8(_) => vec![AROUND; at + 64].into(),
            _ => vec![0x01010101 * u32::from(AROUND); at + 64].into(),
        };
        let mut placed = Self { values: around, at, len: values.len() };
        match (&mut placed.values, values) {
            (Values::F32(to), Values::F32(from)) => drop(to.to_mut().splice(at..at, from.to_vec())),
            (Values::I8(to), Values::I8(from)) => drop(to.to_mut().splice(at..at, from.to_vec())),
            (Values::U8(to), Values::U8(from)) => drop(to.to_mut().splice(at..at, from.to_vec())),
            (Values::U32(to), Values::U32(from)) => drop(to.to_mut().splice(at..at, from.to_vec())),
            _ => unreachable!("both are of one type"),
        }
        placed
    }

    fn input(&self) -> Values<'_> {
        each_type!(&self.values, v => Values::from(&v[self.at..][..self.len]))
    }

    fn output(&mut self) -> Output<'_> {
        each_type!(&mut self.values, v => Output::from(&mut v.to_mut()[self.at..][..self.len]))
    }

    /// The elements, if nothing around them was written to.
    fn found(&self) -> Vec<u32> {
        let mut all = bits(&self.values);
        let mut found = all.split_off(self.at);
        let after = found.split_off(self.len);
        let around = match self.values {
            Values::I8(_) | Values::U8(_) => u32::from(AROUND),
            _ => 0x01010101 * u32::from(AROUND),
        };
        assert!(all.iter().chain(&after).all(|&bits| bits == around), "written outside");
        found
    }
}

/// Inputs and outputs that begin anywhere, as slices of a service's memory do.
#[test]
fn alignment() {
    check(cases(), |case| {
        let rng = &mut Rng::new(case.seed);
        let engine = Engine::new(&case.model).expect("a valid model");
        let mut place = |values: &Values<'static>| Placed::new(values, rng.below(65));
        let inputs: Vec<Placed> = case.inputs.iter().map(&mut place).collect();
        let mut outputs: Vec<Placed> = case.wanted.iter().map(&mut place).collect();
        // What is right must not be there yet.
        outputs.iter_mut().for_each(|placed| match placed.output() {
            Output::F32(v) => v.fill(-77.25),
            Output::I8(v) => v.fill(-77),
            Output::U8(v) => v.fill(77),
            Output::U32(v) => v.fill(77),
            _ => unreachable!("no other element types"),
        });
        let from: Vec<Values<'_>> = inputs.iter().map(Placed::input).collect();
        let mut to: Vec<Output<'_>> = outputs.iter_mut().map(Placed::output).collect();
        let mut scratch = engine.scratch_for(case.rows);
        engine.run_all(&from, &mut to, &mut scratch).expect("as the reference");
        let found: Vec<Vec<u32>> = outputs.iter().map(Placed::found).collect();
        let at = |of: &[Placed]| of.iter().map(|placed| placed.at).collect::<Vec<_>>();
        let what = format!("inputs at {:?}, outputs at {:?}", at(&inputs), at(&outputs));
        case.assert(&found, what);
    });
}

/// Scratches in which one row fits, or some, or all and more.
#[test]
fn chunking() {
    check_apart(|case| {
        let engine = Engine::new(&case.model).expect("a valid model");
        for capacity in [1, 1 + Rng::new(case.seed).below(case.rows + 1), case.rows + 9] {
            case.assert(&case.run(&engine, capacity), format_args!("chunks of {capacity}"));
        }
    });
}

/// Networks with a max-product layer of any options, and any other.
#[test]
fn early_exit() {
    fn property(case: Case) {
        for early_exit in [EarlyExit::Auto, EarlyExit::Never, EarlyExit::Always] {
            let engine = Engine::with_early_exit(&case.model, early_exit).expect("a valid model");
            case.assert(&case.run(&engine, case.rows), format_args!("{early_exit:?}"));
        }
    }
    check(cases() / 2, property);
    fn of_maxima(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (inputs, outputs) = (1 + rng.below(400), 1 + rng.below(100));
        let input = match rng.one_in(3) {
            true => TensorType::f32(inputs),
            false => TensorType::int8(inputs, random_params(rng)),
        };
        let aggregate = rng.pick(&AGGREGATES);
        let layer = random_max_product(rng, &input, aggregate, outputs);
        let model = Model::builder(aggregate.name(), input).layer(layer).build().expect("it fits");
        let rows = 1 + rng.below(9);
        property(Case::new(model, rows, seed).expect("finite rows"));
    }
    QuickCheck::new().tests(cases()).quickcheck(of_maxima as fn(u64));
}

/// Rows of which any share is zero, as images and what follows a ReLU are. A single row passes over
/// its zeros, rows of a batch do not: both are to give the same.
#[test]
fn zero_skipping() {
    fn property(seed: u64) {
        let rng = &mut Rng::new(seed);
        let (inputs, inner, outputs) = (1 + rng.below(300), 1 + rng.below(150), 1 + rng.below(80));
        let params = random_params(rng);
        let input =
            if rng.one_in(3) { TensorType::f32(inputs) } else { TensorType::int8(inputs, params) };
        let mut model = Model::builder("zeros", input);
        if input.element == Element::F32 {
            model = model.layer(Quantize { output: params });
        }
        let hidden = int8_dense(rng, inner, inputs, Activation::Relu);
        let last = int8_dense(rng, outputs, inner, Activation::Identity);
        let model = model.layer(hidden).layer(last).build().expect("the layers fit");
        let rows = 9;
        let mut values = random_inputs(&model, rows, seed);
        for row in 0..rows {
            let percent = rng.pick(&[0, 3, 30, 100]);
            // Runs of zeros, as long as a vector or as short as an element.
            let run = rng.pick(&[1, 4, 64]);
            for first in (0..inputs).step_by(run) {
                if rng.below(100) >= percent {
                    let range = row * inputs + first..row * inputs + (first + run).min(inputs);
                    match &mut values[0] {
                        Values::F32(v) => v.to_mut()[range].fill(0.0),
                        Values::I8(v) => v.to_mut()[range].fill(params.zero_point() as i8),
                        Values::U8(v) => v.to_mut()[range].fill(params.zero_point() as u8),
                        _ => unreachable!("no input has another type"),
                    }
                }
            }
        }
        let case = Case::of(model, rows, values, seed).expect("finite rows");
        for kernel in kernels::available() {
            let engine = Engine::with_kernel(&case.model, kernel.name()).expect("it is available");
            case.assert(&case.run(&engine, rows), format_args!("{}, a batch", kernel.name()));
            let mut scratch = engine.scratch();
            let alone = |row: usize| {
                let outputs = run_all(&case.model, &engine, &case.part(row, row + 1), &mut scratch);
                bits(&outputs.expect("as the reference")[0])
            };
            let joined: Vec<u32> = (0..rows).flat_map(alone).collect();
            case.assert(&[joined], format_args!("{}, row by row", kernel.name()));
        }
    }
    QuickCheck::new().tests(cases()).quickcheck(property as fn(u64));
}

/// Each kernel for all layers, and for each layer the one that suits it best.
#[test]
fn kernel_choice() {
    check(cases(), |case| {
        let best = Engine::new(&case.model).expect("a valid model");
        let named = kernels::available().map(|kernel| {
            Engine::with_kernel(&case.model, kernel.name()).expect("it is available")
        });
        for engine in named.chain([best]) {
            let names: Vec<_> = engine.kernels().iter().map(|kernel| kernel.name()).collect();
            case.assert(&case.run(&engine, case.rows), format_args!("kernels {names:?}"));
        }
    });
}
