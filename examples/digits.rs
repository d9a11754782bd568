//! A network inside the program: no file to deploy, nothing to load at run time.
//!
//! ```sh
//! cargo run --release --example digits
//! ```

use signfold::{Engine, Model, Result};

static MODEL: &[u8] = include_bytes!("../models/digits-hardtanh.sfold");

/// A seven, 8 x 8 pixels, as the data set has them: 0 is paper, 9 is ink.
const IMAGE: [&str; 8] = [
    "00799971", //
    "00744793", //
    "00000492", //
    "00139940", //
    "00699981", //
    "00069200", //
    "00096000", //
    "00790000",
];

fn main() -> Result<()> {
    let model = Model::read(MODEL)?;
    let engine = Engine::new(&model)?;
    let mut scratch = engine.scratch();

    let pixels = IMAGE.iter().flat_map(|row| row.bytes());
    let pixels: Vec<f32> = pixels.map(|digit| f32::from(digit - b'0') / 9.0).collect();
    let mut logits = [0.0_f32; 10];
    engine.run(&pixels, &mut logits, &mut scratch)?;

    for row in IMAGE {
        println!("{}", row.replace('0', ".").replace(|c: char| c.is_ascii_digit(), "#"));
    }
    for (digit, logit) in logits.iter().enumerate() {
        println!("{digit}: {logit:7.2}");
    }
    Ok(())
}
