//! `signfold run`: rows through a model, from file to file. Files may be larger than memory.

use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result};
use signfold::Model;

use crate::args::EngineArgs;
use crate::batch;
use crate::data::{self, Encoding};
use crate::npy::{self, Dtype};
use crate::{output, report};

/// Bytes of inputs and outputs that are in memory together, if a model lets a batch be split.
const CHUNK_BYTES: usize = 4 << 20;

/// Run a model on the rows of an array
///
/// Arrays are .npy files of f32, f64, i8 or u8. A flat array is one row, and its output is flat.
/// Models with 8-bit inputs quantize real rows; integers of another type are refused.
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// The rows to run, a .npy array
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where to write the results, a .npy array
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    let (file, len) = data::open(&args.input)?;
    let in_input = || args.input.display().to_string();
    let in_output = || args.output.display().to_string();
    let reader = npy::Reader::new(BufReader::new(file), len).with_context(in_input)?;
    let rows = batch::rows_of(reader.shape(), model.input().width).with_context(in_input)?;
    let width = model.output().width;
    let shape = if reader.shape().len() == 1 { vec![width] } else { vec![rows, width] };
    let header = npy::header(output_dtype(&model)?, &shape);
    let (chunks, row_bytes) = chunks(&model, rows, reader.dtype().size())?;

    let engine = args.engine.engine(&model)?;
    let mut scratch = batch::scratch(&engine, &model, rows);
    let bar = report::progress(rows, false);
    output::write(&args.output, |out| {
        out.write_all(&header).with_context(in_output)?;
        let (mut reader, mut bytes) = (reader, Vec::new());
        for (first, rows) in chunks {
            bytes.resize(rows * row_bytes, 0);
            reader.read(&mut bytes).with_context(in_input)?;
            let encoding = Encoding { dtype: reader.dtype(), scale: None };
            let inputs = encoding.rows(&bytes, &model.input(), first).with_context(in_input)?;
            let mut outputs = batch::zeros(model.output(), rows)?;
            engine
                .run(inputs, batch::output(&mut outputs)?, &mut scratch)
                .with_context(|| format!("{} (rows from {first} on)", in_input()))?;
            out.write_all(&batch::le_bytes(&outputs)?).with_context(in_output)?;
            bar.inc(rows as u64);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// The first row and the number of rows of each chunk, and the bytes of an input row.
fn chunks(
    model: &Model<'_>,
    rows: usize,
    element: usize,
) -> Result<(impl Iterator<Item = (usize, usize)> + use<>, usize)> {
    let row_bytes = model.input().width * element;
    let both = row_bytes + model.output().width * model.output().element.size();
    let chunk = match batch::is_whole(model) {
        true => rows.max(1),
        false => (CHUNK_BYTES / both).max(1),
    };
    batch::check_size(model, chunk.min(rows))?;
    let chunks = (0..rows).step_by(chunk).map(move |first| (first, chunk.min(rows - first)));
    Ok((chunks, row_bytes))
}

fn output_dtype(model: &Model<'_>) -> Result<Dtype> {
    let element = model.output().element;
    let known = [Dtype::F32, Dtype::I8, Dtype::U8, Dtype::U32];
    let dtype = known.into_iter().find(|dtype| dtype.name() == element.name());
    dtype.with_context(|| format!("outputs of type {} cannot be written", element.name()))
}
