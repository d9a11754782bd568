//! `signfold run`: rows through a model, from file to file. Files may be larger than memory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use signfold::layers::Layer;
use signfold::{Model, TensorType};

use crate::args::EngineArgs;
use crate::array::Stream;
use crate::array::npy::{self, Dtype};
use crate::output::Output;
use crate::{batch, data, report};

/// Bytes of inputs and outputs that are in memory together, if a model lets a batch be split.
const CHUNK_BYTES: usize = 4 << 20;

/// Run a model on the rows of arrays
///
/// Arrays are .npy files of f32, f64, i8 or u8, of any size; or .npz archives, as archive.npz:name if
/// they hold several arrays, .csv tables, or IDX images, whose pixels are divided by 255. A flat array
/// is one row, and its output is flat. Models with 8-bit inputs quantize real rows; integers of another
/// type are refused.
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// The rows to run
    ///
    /// For a model with several inputs once for each, as name=file or in their order.
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    input: Vec<String>,
    /// Where to write the results, a .npy array
    ///
    /// For a model with several outputs once for each that is wanted, as name=file or in their order.
    #[arg(long, value_name = "[NAME=]FILE", required_unless_present = "winners")]
    output: Vec<String>,
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
    let in_model = || args.model.display().to_string();
    let winners = args.winners.as_ref().map(|_| Winners::of(&model, args.winners_layer));
    let winners = winners.transpose().with_context(in_model)?;
    let (model, outputs) = outputs(model, args).with_context(in_model)?;
    let files = data::input_files(&model, &args.input).with_context(in_model)?;
    let mut inputs = Inputs::open(&batch::input_types(&model), &files)?;
    let rows = inputs.rows;
    let start = |path, dtype, row: &[usize]| {
        let rows = if inputs.flat { &[][..] } else { &[rows] };
        let mut out = Output::new(path)?;
        out.write(&npy::header(dtype, &[rows, row].concat()))?;
        anyhow::Ok(out)
    };
    let of_outputs = batch::output_types(&model);
    let dtypes = of_outputs.iter().map(output_dtype).collect::<Result<Vec<_>>>()?;
    let whole_row =
        inputs.row_bytes() + of_outputs.iter().map(|&of| batch::row_bytes(of)).sum::<usize>();

    let engine = args.engine.engine(&model)?;
    let of_winners = winners.as_ref().map_or(0, Winners::row_bytes);
    let chunk = match engine.whole_batch() {
        true => rows.max(1),
        false => (CHUNK_BYTES / whole_row.saturating_add(of_winners)).max(1),
    };
    batch::check_size(&model, chunk.min(rows))?;
    batch::check_bytes(chunk.min(rows), of_winners).context("winners")?;

    let mut scratch = batch::scratch(&engine, rows)?;
    let mut results = Vec::new();
    for ((path, of), dtype) in outputs.iter().zip(&of_outputs).zip(dtypes) {
        results.push(start(path, dtype, &[of.width])?);
    }
    let winners = args.winners.as_ref().zip(winners).map(|(path, winners)| {
        anyhow::Ok((start(path, Dtype::U32, &winners.of_row)?, winners.layer))
    });
    let mut winners = winners.transpose()?;
    let bar = report::progress(rows, false);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let values = inputs.read(first, count)?;
        let in_rows = || format!("{} (rows from {first} on)", inputs.names());
        if let Some((out, layer)) = &mut winners {
            let [values] = &values[..] else {
                bail!("{}: winners are those of models with one input", in_model());
            };
            let winners = model.winners(*layer, values).with_context(in_rows)?;
            out.write(&batch::le_bytes(&winners.into())?)?;
        }
        if !results.is_empty() {
            let mut answers = batch::room(&of_outputs, count)?;
            let mut places = batch::places(&mut answers, &of_outputs, 0..count)?;
            engine.run_all(&values, &mut places, &mut scratch).with_context(in_rows)?;
            for (out, answers) in results.iter_mut().zip(&answers) {
                out.write(&batch::le_bytes(answers)?)?;
            }
        }
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    results.into_iter().try_for_each(Output::finish)?;
    winners.map_or(Ok(()), |(out, _)| out.finish())
}

/// The model with the outputs that are wanted, and where they go. Where only winners are, it answers
/// what it did.
fn outputs<'a>(model: Model<'a>, args: &Args) -> Result<(Model<'a>, Vec<PathBuf>)> {
    let names: Vec<&str> = model.outputs().iter().map(|&id| model.tensor_name(id)).collect();
    let files = data::assign(&names, &args.output, "output")?;
    let all: Vec<_> = files.iter().flatten().chain(&args.winners).collect();
    for (i, file) in all.iter().enumerate() {
        ensure!(!all[..i].contains(file), "two results name the same file, {}", file.display());
    }
    let wanted = model.outputs().iter().zip(files).filter_map(|(&id, file)| Some((id, file?)));
    let (ids, files): (Vec<_>, Vec<_>) = wanted.unzip();
    let model =
        if ids.is_empty() || ids == model.outputs() { model } else { model.with_outputs(&ids)? };
    Ok((model, files))
}

/// The arrays that hold a model's inputs.
struct Inputs<'p> {
    streams: Vec<(&'p Path, TensorType, Stream)>,
    rows: usize,
    /// Whether they are flat: each one row.
    flat: bool,
}

impl<'p> Inputs<'p> {
    fn open(types: &[TensorType], files: &'p [PathBuf]) -> Result<Self> {
        let mut inputs = Inputs { streams: Vec::new(), rows: 0, flat: true };
        for (i, (path, &of)) in files.iter().zip(types).enumerate() {
            let named = || path.display().to_string();
            let stream = Stream::open(path, 1.0 / 255.0)?;
            let rows = batch::rows_of(&stream.shape, of.width).with_context(named)?;
            let first = if i == 0 { rows } else { inputs.rows };
            ensure!(rows == first, "{}: {rows} rows, but the first input has {first}", named());
            inputs.rows = rows;
            inputs.flat &= stream.shape.len() == 1;
            inputs.streams.push((path, of, stream));
        }
        Ok(inputs)
    }

    /// Bytes of a row of all inputs, as they are in the files.
    fn row_bytes(&self) -> usize {
        let bytes =
            |(_, of, stream): &(_, TensorType, Stream)| of.width * stream.encoding.dtype.size();
        self.streams.iter().map(bytes).sum()
    }

    /// The next rows, `first` of which is the first.
    fn read(&mut self, first: usize, count: usize) -> Result<Vec<signfold::Values<'static>>> {
        let mut values = Vec::new();
        for (path, of, stream) in &mut self.streams {
            let mut bytes = vec![0; count * of.width * stream.encoding.dtype.size()];
            let read = stream.read(&mut bytes);
            let rows = read.and_then(|()| stream.encoding.rows(&bytes, of, first));
            values.push(rows.with_context(|| path.display().to_string())?);
        }
        Ok(values)
    }

    /// The names of the files.
    fn names(&self) -> String {
        let names = self.streams.iter().map(|(path, ..)| path.display().to_string());
        names.collect::<Vec<_>>().join(", ")
    }
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

fn output_dtype(of: &TensorType) -> Result<Dtype> {
    let known = [Dtype::F32, Dtype::I8, Dtype::U8, Dtype::U32];
    let dtype = known.into_iter().find(|dtype| dtype.name() == of.element.name());
    dtype.with_context(|| format!("outputs of type {} cannot be written", of.element.name()))
}
