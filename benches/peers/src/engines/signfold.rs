//! signfold: the model is built with its `ModelBuilder`, written, and read again.

use anyhow::Result;
use signfold::layers::{Activation, Bias, Dense, DenseOutput, Quantize};
use signfold::quant::{Int8, QuantParams, Rounding};
use signfold::{Model, Scratch, TensorType, WeightLayout};

use super::{Data, Engine, Run, Variant};
use crate::case::{self, Case, Io, Quantization};

pub struct Signfold;

impl Engine for Signfold {
    fn variants(&self) -> Vec<Variant> {
        let variant = |io: Io| {
            let name = io.name().to_owned();
            Variant { name, io, unsigned: false, rounds: io == Io::Q8 }
        };
        Io::ALL.map(variant).into()
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        let file = variant.file(case, "sfold");
        std::fs::write(&file, build(case, variant.io)?.write())?;
        let bytes = std::fs::read(&file)?;
        let engine = signfold::Engine::new(&Model::read(&bytes)?)?.with_threads(1);
        let len = case.output_shape().iter().product();
        let output = match variant.io {
            Io::F32 => Data::F32(vec![0.0; len]),
            Io::Q8 => Data::I8(vec![0; len]),
        };
        let scratch = engine.scratch();
        Ok(Box::new(Loaded { engine, scratch, input: variant.input(case)?, output }))
    }
}

fn build(case: &Case<'_>, io: Io) -> Result<Model<'static>> {
    let network = case.network;
    let weights = case::read_i8(&case.folder.join(format!("{}.data", network.name)))?;
    let bias = case::read_words(&case.folder.join(format!("{}.bias", network.name)))?;
    let mut bias = bias.into_iter().map(i32::from_le_bytes);
    let mut weights = weights.as_slice();

    let first = params(network.input)?;
    let mut model = match io {
        Io::F32 => Model::builder(network.name.clone(), TensorType::f32(network.widths[0]))
            .layer(Quantize { output: first }),
        Io::Q8 => Model::builder(network.name.clone(), TensorType::int8(network.widths[0], first)),
    };
    for (i, layer) in network.layers.iter().enumerate() {
        let (these, rest) = weights.split_at(layer.inputs * layer.outputs);
        weights = rest;
        let bias: Vec<i32> = bias.by_ref().take(layer.outputs).collect();
        let activation = match layer.bounds {
            None => Activation::Identity,
            Some((_, None)) => Activation::Relu,
            Some((min, Some(max))) => Activation::Clip { min, max },
        };
        let output = match (i + 1 == network.layers.len(), io) {
            (true, Io::F32) => DenseOutput::F32,
            _ => DenseOutput::Int8(params(layer.output)?, Rounding::Nearest),
        };
        model = model.layer(
            Dense::new(these.to_vec(), WeightLayout::InOut, layer.outputs, layer.inputs)?
                .weight_scales(vec![layer.scale])
                .bias(Bias::I32(bias.into()))
                .activation(activation)
                .output(output),
        );
    }
    Ok(model.build()?)
}

fn params(of: Quantization) -> Result<QuantParams> {
    Ok(QuantParams::new(Int8::I8, of.scale, of.zero_point.into())?)
}

struct Loaded {
    engine: signfold::Engine,
    scratch: Scratch,
    input: Data,
    output: Data,
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            match (&self.input, &mut self.output) {
                (Data::F32(input), Data::F32(output)) => {
                    self.engine.run(input, output, &mut self.scratch)?;
                }
                (Data::I8(input), Data::I8(output)) => {
                    self.engine.run(input, output, &mut self.scratch)?;
                }
                _ => unreachable!("made in one of these pairs"),
            }
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Data> {
        self.run(1)?;
        Ok(match &self.output {
            Data::F32(output) => Data::F32(output.clone()),
            Data::I8(output) => Data::I8(output.clone()),
            Data::U8(output) => Data::U8(output.clone()),
        })
    }
}
