//! Limits on models and engines: each is held, at the value itself and one beyond it, and told by name.

mod common;

use common::{cases, mlp, random_graph, random_input};
use signfold::layers::{
    Activation, Combine, CombineOp, Dense, DenseInput, Pointwise, Quantize, Softmax,
};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{
    Engine, ErrorKind, Limits, MAX_LAYERS, MAX_THREADS, MAX_WIDTH, Model, Result, TensorType,
    WeightLayout,
};

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

/// Checks that something is refused because of a limit, with this text.
#[track_caller]
fn refused<T>(result: Result<T>, text: &str) {
    match result {
        Ok(_) => panic!("accepted, where {text:?} was expected"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert_eq!(error.to_string(), text);
        }
    }
}

/// `count` layers on rows of `width` numbers.
fn softmaxes(count: usize, width: usize) -> Model<'static> {
    let start = Model::builder("", TensorType::f32(width));
    (0..count).fold(start, |model, _| model.layer(Softmax)).build().expect("it is sound")
}

#[test]
fn a_file_is_held_to_each_limit() {
    let file = mlp(&[5, 7, 3]).write();
    let bytes = file.len() as u64;
    Model::read_with(&file, &limits(|l| l.bytes = bytes)).expect("just as many bytes");
    let text = format!("{bytes} bytes of a file: the limit on bytes is {}", bytes - 1);
    refused(Model::read_with(&file, &limits(|l| l.bytes = bytes - 1)), &text);

    Model::read_with(&file, &limits(|l| l.layers = 3)).expect("just as many layers");
    let text = "3 layers: the limit on layers is 2";
    refused(Model::read_with(&file, &limits(|l| l.layers = 2)), text);

    Model::read_with(&file, &limits(|l| l.width = 7)).expect("just as wide");
    let text = "layer 1 (dense): rows of 7 elements: the limit on width is 6";
    refused(Model::read_with(&file, &limits(|l| l.width = 6)), text);
    let text = "input 0: rows of 5 elements: the limit on width is 4";
    refused(Model::read_with(&file, &limits(|l| l.width = 4)), text);

    // Weights, one scale, and biases of four bytes, for both dense layers.
    let memory = (5 * 7 + 4 + 4 * 7) + (7 * 3 + 4 + 4 * 3);
    Model::read_with(&file, &limits(|l| l.memory = memory)).expect("just as much memory");
    let text = "layer 2 (dense): 104 bytes of weights, with those of the layers before: the limit on \
                memory is 103";
    refused(Model::read_with(&file, &limits(|l| l.memory = memory - 1)), text);
}

#[test]
fn no_limit_allows_what_no_model_can_have() {
    let most = limits(|l| (l.layers, l.width) = (usize::MAX, usize::MAX));
    refused(most.check_layers(MAX_LAYERS + 1), "1025 layers: the limit on layers is 1024");
    refused(
        most.check_width(MAX_WIDTH + 1),
        "rows of 1048577 elements: the limit on width is 1048576",
    );
    refused(
        most.check_memory(None, "weights"),
        &format!("more than 2^64 bytes of weights: the limit on memory is {}", most.memory),
    );
    Model::read_with(&softmaxes(MAX_LAYERS, 2).write(), &most).expect("the most there can be");
}

/// However a model comes about, one layer too many is told in the same words.
#[test]
fn the_limit_on_layers_is_told_in_one_way() {
    let text = "1025 layers: the limit on layers is 1024";
    let start = Model::builder("", TensorType::f32(1));
    let built = (0..=MAX_LAYERS).fold(start, |model, _| model.layer(Softmax)).build();
    refused(built, text);
    let mut graph = Model::graph("");
    let mut at = graph.input("", TensorType::f32(1)).expect("it is sound");
    for _ in 0..MAX_LAYERS {
        at = graph.layer("", Softmax, &[at]).expect("it is sound");
    }
    let error = graph.layer("", Softmax, &[at]).expect_err("one too many");
    assert_eq!(error.to_string(), format!("layer 1024 (softmax): {text}"));
    let mut file = softmaxes(1, 1).write();
    file[common::forge::header::LAYERS..][..4].copy_from_slice(&1025_u32.to_le_bytes());
    common::seal(&mut file);
    refused(Model::read(&file), text);
}

type Set = fn(&mut Limits, u64);

/// Every limit between nothing and enough refuses or reads the same model, and never panics.
#[test]
fn any_limit_refuses_or_reads_the_model() {
    let sets: [Set; 4] = [
        |l, x| l.bytes = x,
        |l, x| l.memory = x,
        |l, x| l.layers = x as usize,
        |l, x| l.width = x as usize,
    ];
    for seed in 0..cases() / 4 {
        let model = random_graph(seed);
        let file = model.write();
        let (mut read, mut refused) = (0, 0);
        for shift in 0..20 {
            for set in sets {
                match Model::read_with(&file, &limits(|l| set(l, 1 << shift))) {
                    Ok(found) => {
                        assert_eq!(found, model);
                        read += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(read > 0 && refused > 0, "seed {seed}: {read} read, {refused} refused");
    }
}

/// A dense layer of many outputs and one input, a table for each pair of bytes.
#[test]
fn an_engine_is_held_to_its_memory() {
    let params = QuantParams::new(Int8::I8, 0.5, 0).expect("valid");
    let dense = Dense::new(vec![1; 1000], WeightLayout::OutIn, 1000, 1).expect("they fit");
    let model = Model::builder("", TensorType::int8(1, params)).layer(dense).build().unwrap();
    Engine::with_limits(&model, &limits(|l| l.memory = 1 << 20)).expect("enough");
    let error = Engine::with_limits(&model, &limits(|l| l.memory = 2000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = error.to_string();
    assert!(text.starts_with("layer 0 (dense): ") && text.ends_with("memory is 2000"), "{text}");

    let mut graph = Model::graph("pairs");
    let a = graph.input("a", TensorType::int8(1, params)).unwrap();
    let mut at = a;
    for _ in 0..100 {
        let output = Some((params, Rounding::Nearest));
        let add = Combine { op: CombineOp::Add, activation: Activation::Identity, output };
        at = graph.layer("", add, &[at, a]).unwrap();
    }
    graph.output(at);
    let model = graph.build().unwrap();
    assert!(model.write().len() < 20_000, "a small file");
    // A table takes 64 KiB.
    let error = Engine::with_limits(&model, &limits(|l| l.memory = 50 << 16)).unwrap_err();
    let text = "layer 50 (add): 3342336 bytes of packed weights, with those of the layers before: the \
                limit on memory is 3276800";
    assert_eq!(error.to_string(), text);
    Engine::with_limits(&model, &limits(|l| l.memory = 100 << 16)).expect("just enough");
}

/// A small file can ask for a buffer for each of a thousand wide tensors.
#[test]
fn a_scratch_is_held_to_the_memory() {
    let mut graph = Model::graph("all at once");
    let x = graph.input("x", TensorType::f32(MAX_WIDTH)).unwrap();
    let relu = Pointwise { activation: Activation::Relu, output: None };
    let tensors: Vec<_> = (0..500).map(|_| graph.layer("", relu, &[x]).unwrap()).collect();
    let mut at = x;
    for &tensor in tensors.iter().rev() {
        let add = Combine { op: CombineOp::Add, activation: Activation::Identity, output: None };
        at = graph.layer("", add, &[at, tensor]).unwrap();
    }
    graph.output(at);
    let model = graph.build().unwrap();
    assert!(model.write().len() < 100_000, "a small file");
    let error = Engine::with_limits(&model, &limits(|l| l.memory = 1 << 30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = error.to_string();
    assert!(
        text.contains("bytes of scratch for 1 rows: the limit on memory is 1073741824"),
        "{text}"
    );
}

#[test]
fn numbers_of_rows_and_threads_from_outside_are_no_danger() {
    let params = QuantParams::new(Int8::I8, 0.5, 0).expect("valid");
    let dense = Dense::new(vec![1; 6], WeightLayout::OutIn, 2, 3).expect("they fit");
    let whole = dense.clone().input(DenseInput::PerTensor);
    let whole = Model::builder("", TensorType::f32(3)).layer(whole).build().unwrap();
    let plain = Model::builder("", TensorType::f32(3)).layer(Quantize { output: params });
    let plain = plain.layer(dense).build().unwrap();
    for model in [whole, plain] {
        let engine = Engine::new(&model).unwrap();
        for rows in [usize::MAX, usize::MAX / 2, usize::MAX >> 4, usize::MAX >> 6] {
            let error = engine.try_scratch_for(rows).expect_err("nobody has so much memory");
            assert_eq!(error.kind(), ErrorKind::Limit);
            assert!(error.to_string().contains(&format!("scratch for {rows} rows")), "{error}");
        }
        let engine = engine.with_threads(usize::MAX);
        assert!(engine.threads() <= MAX_THREADS);
        let input = random_input(&model, 5, 1);
        let mut scratch = engine.try_scratch_for(5).expect("little memory");
        let found = common::run(&engine, &input, &mut scratch).unwrap();
        assert_eq!(found, model.reference(&input).unwrap());
    }
}

/// Where the limit has room for some threads' scratch only, the others are not used.
#[test]
fn fewer_threads_where_there_is_no_memory_for_all() {
    let model = mlp(&[1000, 500, 63]);
    let one = Engine::new(&model).unwrap().with_threads(1);
    let input = random_input(&model, 60, 1);
    let expected = common::run(&one, &input, &mut one.scratch()).unwrap();
    let mut found = Vec::new();
    for shift in 17..26 {
        let limits = limits(|l| l.memory = 1 << shift);
        let Ok(engine) = Engine::with_limits(&model, &limits) else { continue };
        let engine = engine.with_threads(8);
        let Ok(mut scratch) = engine.try_scratch_for(60) else { continue };
        assert_eq!(common::run(&engine, &input, &mut scratch).unwrap(), expected, "2^{shift}");
        found.push(shift);
    }
    assert!(found.len() > 2, "{found:?}");
}
