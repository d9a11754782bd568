//! tract: the model optimized for its shapes, the plan made once. Its executor is of one thread
//! unless told otherwise, and it allocates its outputs.

use anyhow::{Result, bail};
use tract_onnx::prelude::*;

use super::{Data, Engine, Run, Variant};
use crate::case::Case;

pub struct Tract;

impl Engine for Tract {
    /// On MatMulInteger it takes ten times longer and more: not worth trying.
    fn variants(&self) -> Vec<Variant> {
        let mut all = Variant::onnx();
        all.retain(|variant| variant.name.starts_with("qdq"));
        all
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        let model = tract_onnx::onnx()
            .model_for_path(variant.file(case, "onnx"))?
            .into_optimized()?
            .into_runnable()?;
        let shape = case.input_shape();
        let input = match variant.input(case)? {
            Data::F32(data) => Tensor::from_shape(&shape, &data)?,
            Data::I8(data) => Tensor::from_shape(&shape, &data)?,
            Data::U8(data) => Tensor::from_shape(&shape, &data)?,
        };
        Ok(Box::new(Loaded { state: model.spawn()?, input: input.into_tvalue() }))
    }
}

struct Loaded {
    state: TypedSimpleState,
    input: TValue,
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.state.run(tvec!(self.input.clone()))?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Data> {
        let output = self.state.run(tvec!(self.input.clone()))?.remove(0).into_tensor();
        let output = &output;
        Ok(match output.datum_type().unquantized() {
            DatumType::F32 => {
                Data::F32(output.to_plain_array_view::<f32>()?.iter().copied().collect())
            }
            DatumType::I8 => {
                Data::I8(output.to_plain_array_view::<i8>()?.iter().copied().collect())
            }
            DatumType::U8 => {
                Data::U8(output.to_plain_array_view::<u8>()?.iter().copied().collect())
            }
            other => bail!("an output of type {other:?}"),
        })
    }
}
