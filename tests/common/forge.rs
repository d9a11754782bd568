//! Model files whose bytes are changed, and how they are refused.

use signfold::{ErrorKind, Model, Values};

/// Gives a file that was tampered with the length and the checksum that its bytes ask for.
pub fn seal(file: &mut [u8]) {
    if file.len() >= 64 {
        let length = file.len() as u64;
        file[16..24].copy_from_slice(&length.to_le_bytes());
        file[24..32].fill(0);
        let checksum = Values::from(&*file).digest();
        file[24..32].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Where the fields of the header are.
pub mod header {
    pub const VERSION: usize = 8;
    pub const FLAGS: usize = 12;
    pub const LENGTH: usize = 16;
    pub const CHECKSUM: usize = 24;
    pub const LAYERS: usize = 32;
    pub const GOLDEN_ROWS: usize = 36;
    pub const NAME: usize = 40;
    pub const INPUTS: usize = 44;
    pub const OUTPUTS: usize = 48;
    pub const UNUSED: usize = 52;
}

/// Where the fields of the first input's record are.
pub mod input {
    pub const WIDTH: usize = 64;
    pub const KIND: usize = 68;
    pub const SCALE: usize = 72;
    pub const ZERO_POINT: usize = 76;
    pub const UNUSED: usize = 80;
}

/// Where a word of a layer's record is, in a model of one input.
pub fn word(layer: usize, word: usize) -> usize {
    64 * (2 + layer) + 4 * word
}

/// The file with some of its bytes replaced, sealed again.
pub fn forged(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut file);
    file
}

/// The message with which a file is refused, for a reason of this kind.
#[track_caller]
pub fn refusal(file: &[u8], kind: ErrorKind) -> String {
    match Model::read(file) {
        Ok(model) => panic!("accepted, as {model:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error}");
            error.to_string()
        }
    }
}

/// Forges a 32-bit field; checks that the message has all of `says`.
#[track_caller]
pub fn refuse_word(file: &[u8], at: usize, value: u32, kind: ErrorKind, says: &[&str]) {
    let message = refusal(&forged(file, at, &value.to_le_bytes()), kind);
    for part in says {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}
