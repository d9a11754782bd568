//! The `.sfold` file: what is written is read back, in one form only, and in place.

mod common;

use std::path::PathBuf;

use common::{Placed, Rng, bits, cases, random_graph, random_input, random_model, seal};
use signfold::layers::{Activation, Bias, Dense, DenseInput, Layer, Pointwise, Quantize, Softmax};
use signfold::quant::{Int8, QuantParams};
use signfold::{
    Element, ErrorKind, MAX_LAYERS, MAX_NAME_BYTES, Model, TensorType, Values, WeightLayout,
};

/// The seeds of models whose files are no longer than this.
fn small_models(bytes: usize) -> impl Iterator<Item = u64> {
    (0..400).filter(move |&seed| random_model(seed).write().len() <= bytes)
}

#[test]
fn random_models_are_read_back() {
    for seed in 0..2 * cases() {
        let model = random_model(seed);
        let file = model.write();
        assert_eq!(file.len() % 64, 0);
        let read = Model::read(&file).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(read, model, "seed {seed}");
        assert_eq!(read.write(), file, "seed {seed}: one model, one file");
        assert_eq!(read.into_owned(), model, "seed {seed}");
    }
}

/// What the files say matters bit by bit: two models that differ in a bit have different files.
#[test]
fn a_sign_of_zero_is_kept() {
    let clip = |min| {
        Model::builder("clip", TensorType::f32(1))
            .layer(Pointwise { activation: Activation::Clip { min, max: 1.0 }, output: None })
            .build()
            .unwrap()
            .write()
    };
    assert_ne!(clip(0.0), clip(-0.0));
    assert_eq!(Model::read(&clip(-0.0)).unwrap().write(), clip(-0.0));
}

/// Bytes that stand for something are all the bytes there are: changing any one of them gives a
/// file that is refused, or that means something else.
#[test]
fn every_accepted_file_has_its_own_meaning() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in small_models(1280).take(8) {
        let file = random_model(seed).write();
        // 0.0 == -0.0, but what is printed tells them apart.
        let meaning = format!("{:?}", Model::read(&file).unwrap());
        let rng = &mut Rng::new(seed);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1 << rng.below(8);
            seal(&mut changed);
            if (16..32).contains(&at) {
                continue; // sealing undid the change
            }
            match Model::read(&changed) {
                Err(_) => refused += 1,
                Ok(read) => {
                    assert_eq!(read.write(), changed, "seed {seed}, byte {at}");
                    assert_ne!(format!("{read:?}"), meaning, "seed {seed}, byte {at}");
                    accepted += 1;
                }
            }
        }
    }
    assert!(refused > 1000 && accepted > 500, "{refused} refused, {accepted} accepted");
}

#[test]
fn weights_stay_where_they_are() {
    for seed in 0..2 * cases() {
        let file = Placed::new(&random_model(seed).write(), 0);
        let range = file.bytes().as_ptr_range();
        let inside = |start: *const u8| range.contains(&start);
        let model = Model::read(file.bytes()).unwrap();
        assert!(inside(model.name().as_ptr()));
        // Words are copied where the machine has another byte order.
        let borrowed = |at| cfg!(target_endian = "big") || inside(at);
        for (layer, ..) in model.layers() {
            let (scales, bias) = match layer {
                Layer::Dense(dense) => {
                    let (weights, zero_points) = (dense.weights(), dense.zero_points());
                    assert!(inside(weights.as_ptr().cast()));
                    assert!(zero_points.is_empty() || borrowed(zero_points.as_ptr().cast()));
                    (dense.scales(), dense.bias_values())
                }
                Layer::MaxProduct(layer) => (layer.scales(), layer.bias_values()),
                _ => continue,
            };
            assert!(borrowed(scales.as_ptr().cast()));
            assert!(match bias {
                Bias::None => true,
                Bias::I32(bias) => borrowed(bias.as_ptr().cast()),
                Bias::F32(bias) => borrowed(bias.as_ptr().cast()),
            });
        }
        let golden = model.golden();
        for values in golden.iter().flat_map(|golden| [&golden.inputs[0], &golden.outputs[0]]) {
            assert!(match values {
                Values::F32(values) => borrowed(values.as_ptr().cast()),
                Values::I8(values) => inside(values.as_ptr().cast()),
                Values::U8(values) => inside(values.as_ptr()),
                Values::U32(values) => borrowed(values.as_ptr().cast()),
                other => panic!("unknown values {other:?}"),
            });
        }
    }
}

#[test]
fn any_alignment_reads_the_same_model() {
    for seed in 0..2 * cases() {
        let model = random_model(seed);
        let file = Placed::new(&model.write(), 1 + seed as usize % 63);
        assert_eq!(Model::read(file.bytes()).unwrap(), model, "seed {seed}");
    }
}

#[test]
fn the_largest_models_that_limits_allow() {
    let relu = Pointwise { activation: Activation::Relu, output: None };
    let name = "n".repeat(MAX_NAME_BYTES);
    let builder = Model::builder(name.clone(), TensorType::f32(signfold::MAX_WIDTH));
    let model = (0..MAX_LAYERS).fold(builder, |builder, _| builder.layer(relu)).build().unwrap();
    let file = model.write();
    let words = (4 * (MAX_LAYERS + 1)).next_multiple_of(64);
    assert_eq!(file.len(), 128 + 64 * MAX_LAYERS + 2 * words + 256);
    assert_eq!(Model::read(&file).unwrap(), model);

    let empty = Model::builder("", TensorType::f32(1)).layer(relu).build().unwrap();
    assert_eq!(empty.write().len(), 5 * 64);
    assert_eq!(Model::read(&empty.write()).unwrap().name(), "");
}

/// Layouts of 64 bytes are part of the format: these bytes must never change.
#[test]
fn a_file_byte_by_byte() {
    let params = QuantParams::new(Int8::U8, 0.5, 3).unwrap();
    let model = Model::builder("été", TensorType::f32(2))
        .layer(Quantize { output: params })
        .build()
        .unwrap()
        .with_golden(vec![1.0, -1.5])
        .unwrap();
    let word = |word: u32| word.to_le_bytes();
    let words = |words: &[u32]| words.iter().flat_map(|w| word(*w)).collect::<Vec<u8>>();
    let header = words(&[2, 0, 9 * 64, 0, 0, 0, 1, 1, 5, 1, 1]);
    let mut file = [b"\x89SFOLD\r\n", &header[..]].concat();
    let digest = xxhash_rust::xxh3::xxh3_64(&[5, 0]);
    let golden = [1.0_f32.to_le_bytes(), (-1.5_f32).to_le_bytes()].concat();
    let parts: [&[u8]; 8] = [
        &words(&[2]),                          // the input: rows of two real numbers
        &words(&[2, 2, 0.5_f32.to_bits(), 3]), // the layer
        &words(&[0, 1]),                       // it takes tensor 0; the output is tensor 1
        &words(&[0, 0]),                       // no names but the model's
        "été".as_bytes(),
        &golden,
        &[5, 0],
        &digest.to_le_bytes(),
    ];
    for (i, part) in parts.iter().enumerate() {
        file.resize(64 * (i + 1), 0);
        file.extend(*part);
    }
    file.resize(9 * 64, 0);
    seal(&mut file);
    assert_eq!(model.write(), file);
    assert_eq!(file[24..32], 0xCE95_C61A_4B23_C320_u64.to_le_bytes(), "the checksum");
}

/// Files written by this release or an earlier one. They are the fuzzer's seeds, too.
#[test]
fn committed_files_stay_readable() {
    let mut count = 0;
    for entry in std::fs::read_dir(seeds().join("read_model")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        let model = Model::read(&file).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(model.write(), file, "{}", path.display());
        if let Some(golden) = model.golden() {
            let outputs = model.reference_all(&golden.inputs).unwrap();
            let bits = |values: &[Values<'_>]| values.iter().map(bits).collect::<Vec<_>>();
            assert_eq!(bits(&outputs), bits(&golden.outputs), "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 10, "{count} files");
}

fn seeds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}

#[test]
#[ignore = "a tool: writes the seeds of the fuzz targets"]
fn write_fuzz_seeds() {
    // Files that there are stay: some are of earlier releases.
    let write = |name: String, bytes: &[u8]| {
        let path = seeds().join(name);
        if !path.exists() {
            std::fs::write(path, bytes).unwrap();
        }
    };
    let is_max = |seed: &u64| {
        let model = random_model(*seed);
        let count = model.layers().filter(|(l, ..)| matches!(l, Layer::MaxProduct(_))).count();
        count > 0
    };
    for seed in small_models(2048).filter(|seed| !is_max(seed)).take(16) {
        write(format!("read_model/random-{seed}.sfold"), &random_model(seed).write());
    }
    for seed in small_models(2048).filter(is_max).take(24) {
        write(format!("read_model/max-{seed}.sfold"), &random_model(seed).write());
    }
    for seed in (0..200).filter(|&seed| random_graph(seed).write().len() < 4096).take(16) {
        write(format!("read_model/graph-{seed}.sfold"), &random_graph(seed).write());
    }
    for seed in 0..16 {
        let bytes = Rng::new(seed).vec(20 + 20 * seed as usize, |rng| rng.next() as u8);
        write(format!("engine_vs_reference/{seed}"), &bytes);
    }
    for seed in 0..8 {
        let bytes = Rng::new(seed).vec(100 + 100 * seed as usize, |rng| rng.i8() as u8);
        write(format!("max_vs_reference/{seed}"), &bytes);
    }
    for (i, [m, n, k]) in [[1, 1, 1], [13, 33, 7], [4, 17, 64], [2, 64, 5]].iter().enumerate() {
        let mut bytes = vec![*m, *n, *k];
        bytes.extend(Rng::new(i as u64).vec(200, |rng| rng.i8() as u8));
        write(format!("gemm_vs_reference/{m}x{n}x{k}"), &bytes);
    }
}

#[test]
fn models_do_not_take_positions() {
    let input = TensorType { width: 3, element: Element::Index };
    let error = Model::builder("", input).layer(signfold::layers::Argmax).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().starts_with("input 0: "), "{error}");
}

#[test]
fn golden_pairs_are_checked_when_attached() {
    let softmax = Model::builder("", TensorType::f32(2)).layer(Softmax).build().unwrap();
    let refused = |input: Vec<f32>, what: &str| {
        let error = softmax.clone().with_golden(input).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(vec![], "0 input rows");
    refused(vec![1.0, f32::NAN], "golden: element 1 of the input is NaN");
    refused(vec![1.0, f32::INFINITY], "of the output is NaN");
    let model = softmax.with_golden(vec![1.0, 2.0, 3.0, 3.0]).unwrap();
    assert_eq!(model.golden().unwrap().outputs[0].len(), 4);
}

#[test]
fn a_whole_batch_of_golden_rows_is_one_batch() {
    // Quantized per tensor, a row's result depends on the rows it comes with.
    let dense = Dense::new(vec![1, -2], WeightLayout::OutIn, 1, 2).unwrap();
    let model = Model::builder("", TensorType::f32(2))
        .layer(dense.input(DenseInput::PerTensor))
        .build()
        .unwrap();
    let model = model.clone().with_golden(random_input(&model, 5, 1)).unwrap();
    let file = model.write();
    let read = Model::read(&file).unwrap();
    let golden = read.golden().unwrap();
    assert_eq!(read.reference(&golden.inputs[0]).unwrap(), golden.outputs[0]);
}
