//! Any bytes as a file of an array: refused, or an array no larger than the limits, whose rows have
//! the width they are read as.
//!
//! The first byte says how: as text, as an archive's array of that name, or by what the bytes tell.
#![no_main]

#[path = "../../cli/src/array/mod.rs"]
#[allow(dead_code, reason = "the command reads files, too")]
mod array;
#[path = "../../cli/src/batch.rs"]
#[allow(dead_code, reason = "arrays need a part of it")]
mod batch;
#[path = "../../cli/src/data.rs"]
#[allow(dead_code, reason = "arrays need a part of it")]
mod data;

use std::io::Cursor;

use array::{Array, Kind};
use libfuzzer_sys::fuzz_target;
use signfold::quant::{Int8, QuantParams};
use signfold::{Limits, TensorType};

/// A run stays short, however much the bytes unpack to.
const MEMORY: u64 = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, file)) = bytes.split_first() else { return };
    let mut limits = Limits::default();
    limits.memory = MEMORY;
    let kind = Kind { scale: 0.5, text: how & 1 != 0, limits };
    let member = (how & 2 != 0).then_some("a");
    let Ok(array) = Array::read(Cursor::new(file), file.len() as u64, member, &kind) else {
        return;
    };
    for width in [1, 2, 3, 1 + usize::from(*how)] {
        let params = QuantParams::new(Int8::U8, 0.5, 3).expect("valid");
        for of in [TensorType::f32(width), TensorType::int8(width, params)] {
            if let Ok(rows) = array.rows(&of) {
                assert!(rows.len() % width == 0 && rows.len() as u64 <= MEMORY);
            }
        }
    }
    for rows in [1, 2, 3] {
        assert!(array.labels(rows).map_or(true, |labels| labels.len() == rows));
    }
});
