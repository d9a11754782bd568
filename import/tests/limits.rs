//! Limits on what readers make of files: held in every format, and told by name.

use std::fs;
use std::path::{Path, PathBuf};

use signfold::{Error, ErrorKind, Limits, Result};
use signfold_import::onnx::OnnxOptions;
use signfold_import::tflite::TfLiteOptions;
use signfold_import::{ImportOptions, Imported, onnx, read_file, safetensors, tflite};

type Read = fn(&[u8], &Limits) -> Result<Imported>;

const FORMATS: [(&str, Read); 3] = [
    ("onnx", |bytes, &limits| onnx::read(bytes, &OnnxOptions { limits, ..OnnxOptions::default() })),
    ("tflite", |bytes, &limits| {
        tflite::read(bytes, &TfLiteOptions { limits, ..TfLiteOptions::default() })
    }),
    ("safetensors", safetensors::read),
];

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

fn seeds(format: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../fuzz/seeds", &format!("import_{format}")].iter().collect()
}

/// The files of a format, and their names.
fn files(format: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(seeds(format)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

#[test]
fn any_limit_refuses_or_reads_the_network() {
    type Set = fn(&mut Limits, u64);
    let sets: [(&str, Set); 4] = [
        ("bytes", |l, x| l.bytes = x),
        ("memory", |l, x| l.memory = x),
        ("layers", |l, x| l.layers = x as usize),
        ("width", |l, x| l.width = x as usize),
    ];
    for (format, read) in FORMATS {
        for (name, set) in sets {
            let mut refused = 0;
            for (path, file) in files(format) {
                let Ok(Imported { model, .. }) = read(&file, &Limits::default()) else { continue };
                for most in (0..12).map(|shift| 1 << shift >> 1) {
                    match read(&file, &limits(|l| set(l, most))) {
                        Ok(found) => assert_eq!(found.model, model, "{path}"),
                        Err(error) => {
                            let text = error.to_string();
                            assert_eq!(error.kind(), ErrorKind::Limit, "{path}: {text}");
                            let end = format!("the limit on {name} is {most}");
                            assert!(text.ends_with(&end), "{path}: {text:?} is not {end:?}");
                            refused += 1;
                        }
                    }
                }
            }
            assert!(refused > 0, "{format}: nothing is larger than any limit on {name}");
        }
    }
}

fn read(path: &Path, limits: Limits) -> Result<Imported, Error> {
    read_file(path, &ImportOptions { limits, external_data: true, ..ImportOptions::default() })
}

#[test]
fn files_are_held_to_their_bytes_before_they_are_read() {
    let folder = [env!("CARGO_MANIFEST_DIR"), "../models"].iter().collect::<PathBuf>();
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.extend(fs::read_dir(folder.join("float")).unwrap().map(|e| e.unwrap().path()));
    let networks = ["sfold", "onnx", "safetensors"];
    paths.retain(|path| networks.iter().any(|end| path.extension() == Some(end.as_ref())));
    for path in &paths {
        let bytes = fs::metadata(path).unwrap().len();
        let error = read(path, limits(|l| l.bytes = bytes - 1)).unwrap_err();
        let text = format!("{bytes} bytes of a file: the limit on bytes is {}", bytes - 1);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Limit, text));
        read(path, limits(|l| l.bytes = bytes)).unwrap_or_else(|e| panic!("{e}"));
    }
    assert!(paths.len() > 5, "{paths:?}");
}
