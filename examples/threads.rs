//! One engine, many threads, as in a service: each thread has a scratch of its own.
//!
//! ```sh
//! cargo run --release --example threads
//! ```

use std::time::Instant;

use signfold::{Engine, Model, Result};

static MODEL: &[u8] = include_bytes!("../models/digits-hardtanh.sfold");

const REQUESTS: u32 = 100_000;

fn main() -> Result<()> {
    // Requests of one row are run by the thread that has them: the engine needs no more.
    let engine = Engine::new(&Model::read(MODEL)?)?.with_threads(1);
    // The golden rows in the file: this machine computes what the one did that made it.
    engine.self_check()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let serve = || -> Result<f32> {
            let mut scratch = engine.scratch();
            let mut logits = [0.0_f32; 10];
            let mut sum = 0.0;
            for request in 0..REQUESTS {
                let image = [(request % 17) as f32 / 16.0; 64];
                engine.run(&image, &mut logits, &mut scratch)?;
                sum += logits[0];
            }
            Ok(sum)
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(serve)).collect();
        let sums: Result<Vec<f32>> =
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
        let sums = sums?;
        assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()), "the same bits");
        Ok(())
    })?;
    let rows = f64::from(REQUESTS) * threads as f64;
    let seconds = start.elapsed().as_secs_f64();
    println!("{threads} threads, {:.0} requests of one row per second", rows / seconds);
    Ok(())
}
