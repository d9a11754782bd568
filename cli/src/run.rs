//! `signfold run`: rows through a model, from file to file. Files may be larger than memory.

use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use signfold::Model;
use signfold::layers::Layer;

use crate::args::EngineArgs;
use crate::array::Encoding;
use crate::array::npy::{self, Dtype};
use crate::batch;
use crate::data;
use crate::output::Output;
use crate::report;

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
    #[arg(long, value_name = "FILE", required_unless_present = "winners")]
    output: Option<PathBuf>,
    /// Where to write which inputs of a max-product layer decided its outputs, a .npy array of u32
    ///
    /// For each row and output the position of the input whose product won. Where an output has
    /// several winners, they are a third axis: one for each split, of mam two, that of the largest
    /// product and that of the smallest. 4294967295 stands for a split without connections.
    #[arg(long, value_name = "FILE")]
    winners: Option<PathBuf>,
    /// The layer to find winners in, as `signfold inspect` numbers them [default: the last
    /// max-product layer that is not a mean]
    #[arg(long, value_name = "N", requires = "winners")]
    winners_layer: Option<usize>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    let bytes = data::read(&args.model)?;
    let model = data::model(&bytes, &args.model)?;
    ensure!(args.output != args.winners, "--output and --winners name the same file");
    let winners = args.winners.as_ref().map(|_| Winners::of(&model, args.winners_layer));
    let winners = winners.transpose().with_context(|| args.model.display().to_string())?;
    let (file, len) = data::open(&args.input)?;
    let in_input = || args.input.display().to_string();
    let mut reader = npy::Reader::new(BufReader::new(file), len).with_context(in_input)?;
    let rows = batch::rows_of(reader.shape(), model.input().width).with_context(in_input)?;
    let flat = reader.shape().len() == 1;
    let start = |path, dtype, row: &[usize]| {
        let rows = if flat { &[][..] } else { &[rows] };
        let mut out = Output::new(path)?;
        out.write(&npy::header(dtype, &[rows, row].concat()))?;
        anyhow::Ok(out)
    };
    let dtype = output_dtype(&model)?;
    let (chunks, row_bytes) = chunks(&model, rows, reader.dtype().size(), winners.as_ref())?;

    let engine = args.engine.engine(&model)?;
    let mut scratch = batch::scratch(&engine, &model, rows);
    let results = args.output.as_ref().map(|path| start(path, dtype, &[model.output().width]));
    let mut results = results.transpose()?;
    let winners = args.winners.as_ref().zip(winners).map(|(path, winners)| {
        anyhow::Ok((start(path, Dtype::U32, &winners.of_row)?, winners.layer))
    });
    let mut winners = winners.transpose()?;
    let bar = report::progress(rows, false);
    let mut bytes = Vec::new();
    for (first, rows) in chunks {
        bytes.resize(rows * row_bytes, 0);
        reader.read(&mut bytes).with_context(in_input)?;
        let encoding = Encoding { dtype: reader.dtype(), scale: None };
        let inputs = encoding.rows(&bytes, &model.input(), first).with_context(in_input)?;
        let in_rows = || format!("{} (rows from {first} on)", in_input());
        if let Some((out, layer)) = &mut winners {
            let winners = model.winners(*layer, &inputs).with_context(in_rows)?;
            out.write(&batch::le_bytes(&winners.into())?)?;
        }
        if let Some(out) = &mut results {
            let mut outputs = batch::zeros(model.output(), rows)?;
            let run = engine.run(inputs, batch::output(&mut outputs)?, &mut scratch);
            run.with_context(in_rows)?;
            out.write(&batch::le_bytes(&outputs)?)?;
        }
        bar.inc(rows as u64);
    }
    bar.finish_and_clear();
    results.map_or(Ok(()), Output::finish)?;
    winners.map_or(Ok(()), |(out, _)| out.finish())
}

/// Where to look for winners.
struct Winners {
    layer: usize,
    /// The shape of the winners of a row.
    of_row: Vec<usize>,
}

impl Winners {
    /// Those of this layer, or of the last one that has any.
    fn of(model: &Model<'_>, layer: Option<usize>) -> Result<Self> {
        let mut layers = model.layers().map(|(layer, ..)| layer).enumerate();
        let shape = |layer: &Layer<'_>| match layer {
            Layer::MaxProduct(max) if max.aggregate().winners() > 0 => {
                let of_output = max.split_count() * max.aggregate().winners();
                let mut shape = vec![max.outputs(), of_output];
                shape.truncate(if of_output > 1 { 2 } else { 1 });
                Some(shape)
            }
            _ => None,
        };
        let Some(layer) = layer else {
            let found = layers.filter_map(|(i, layer)| Some((i, shape(layer)?))).last();
            let (layer, of_row) = found.context("there is no layer in which an input wins")?;
            return Ok(Self { layer, of_row });
        };
        match layers.nth(layer).map(|(_, found)| (shape(found), found.name())) {
            Some((Some(of_row), _)) => Ok(Self { layer, of_row }),
            Some((None, name)) => bail!("layer {layer} ({name}): no input wins in it"),
            None => bail!("layer {layer}: there are {} layers", model.layers().len()),
        }
    }

    /// Bytes of a row's winners.
    fn row_bytes(&self) -> usize {
        self.of_row.iter().fold(size_of::<u32>(), |product, &n| product.saturating_mul(n))
    }
}

/// The first row and the number of rows of each chunk, and the bytes of an input row.
fn chunks(
    model: &Model<'_>,
    rows: usize,
    element: usize,
    winners: Option<&Winners>,
) -> Result<(impl Iterator<Item = (usize, usize)> + use<>, usize)> {
    let row_bytes = model.input().width * element;
    let of_winners = winners.map_or(0, Winners::row_bytes);
    let both = row_bytes + model.output().width * model.output().element.size();
    let chunk = match batch::is_whole(model) {
        true => rows.max(1),
        false => (CHUNK_BYTES / both.saturating_add(of_winners)).max(1),
    };
    batch::check_size(model, chunk.min(rows))?;
    batch::check_bytes(chunk.min(rows), of_winners).context("winners")?;
    let chunks = (0..rows).step_by(chunk).map(move |first| (first, chunk.min(rows - first)));
    Ok((chunks, row_bytes))
}

fn output_dtype(model: &Model<'_>) -> Result<Dtype> {
    let element = model.output().element;
    let known = [Dtype::F32, Dtype::I8, Dtype::U8, Dtype::U32];
    let dtype = known.into_iter().find(|dtype| dtype.name() == element.name());
    dtype.with_context(|| format!("outputs of type {} cannot be written", element.name()))
}
