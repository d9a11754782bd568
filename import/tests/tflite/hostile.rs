//! Bytes that are no model, or not the one they seem: an error, never a panic.

use signfold::{ErrorKind, Result};
use signfold_import::Imported;
use signfold_import::tflite::{TfLiteOptions, read};

use super::tiny;

fn import(bytes: &[u8]) -> Result<Imported> {
    read(bytes, &TfLiteOptions::default())
}

#[test]
fn other_formats() {
    for bytes in [&b""[..], b"TFL3", b"\x10\0\0\0ONNX\0\0\0\0", b"\xFF\xFF\xFF\xFFTFL3"] {
        let error = import(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    }
    let error = import(b"\x08\0\0\0ONNX").unwrap_err().to_string();
    assert_eq!(error, "tflite: its bytes 4 to 7 are \"ONNX\", but \"TFL3\" in a TFLite model");
}

#[test]
fn every_truncation() {
    let file = tiny().write();
    let whole = import(&file).unwrap();
    for end in 0..file.len() {
        // Padding at the end may be missing, but nothing else.
        match import(&file[..end]) {
            Ok(imported) => assert_eq!(imported, whole, "{end} of {}", file.len()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(import(&file[..file.len() / 2]).is_err());
}

/// Offsets outside the file, into each other, back to themselves; huge counts and shapes; unknown
/// types: whatever a byte or a word may be made to say.
#[test]
fn every_byte_and_word_changed() {
    let file = tiny().write();
    for at in 0..file.len() {
        for value in [0x00, 0x01, 0x04, 0x7F, 0x80, 0xFF, file[at] ^ 1, file[at].wrapping_add(4)] {
            let mut changed = file.clone();
            changed[at] = value;
            let _ = import(&changed);
        }
    }
    for at in (0..file.len() - 3).step_by(4) {
        let here = at as u32;
        for word in [
            0,
            1,
            4,
            8,
            u32::MAX,
            u32::MAX - 3,
            1 << 31,
            i32::MAX as u32,
            0x1000_0000,
            here,
            here.wrapping_neg(),
            file.len() as u32 - here,
            file.len() as u32 - here - 4,
        ] {
            let mut changed = file.clone();
            changed[at..at + 4].copy_from_slice(&word.to_le_bytes());
            let _ = import(&changed);
        }
    }
}

/// Pairs of changes, at places that a generator of numbers picks.
#[test]
fn several_bytes_changed() {
    let file = tiny().write();
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut changed = file.clone();
        for _ in 0..2 + random() % 4 {
            let at = random() % file.len();
            changed[at] = (random() % 256) as u8;
        }
        let _ = import(&changed);
    }
}
