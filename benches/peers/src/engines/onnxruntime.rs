//! ONNX Runtime: all graph optimizations, one thread, input and output bound once.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::{IoBinding, Session, builder::GraphOptimizationLevel};
use ort::value::Tensor;

use super::{Data, Engine, Run, Variant, find_library};
use crate::case::Case;

pub struct OnnxRuntime(Environment);

impl OnnxRuntime {
    pub fn open(packages: &Path) -> Result<Self> {
        let library = find_library(&packages.join("onnxruntime/capi"), "libonnxruntime.so")?;
        Ok(Self(ort::init_from(library)?.with_telemetry(false).build()?))
    }
}

impl Engine for OnnxRuntime {
    fn variants(&self) -> Vec<Variant> {
        Variant::onnx()
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        let session = session(&self.0, &variant.file(case, "onnx"))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut binding = session.create_binding()?;
        let (input, output) = (case.input_shape(), case.output_shape());
        let memory = Allocator::default();
        match variant.input(case)? {
            Data::F32(data) => {
                binding.bind_input("input", &Tensor::from_array((input, data))?)?;
                binding.bind_output("output", Tensor::<f32>::new(&memory, output)?)?;
            }
            Data::I8(data) => {
                binding.bind_input("input", &Tensor::from_array((input, data))?)?;
                binding.bind_output("output", Tensor::<i8>::new(&memory, output)?)?;
            }
            Data::U8(data) => {
                binding.bind_input("input", &Tensor::from_array((input, data))?)?;
                binding.bind_output("output", Tensor::<u8>::new(&memory, output)?)?;
            }
        }
        Ok(Box::new(Loaded { session, binding }))
    }
}

fn session(environment: &Environment, file: &Path) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_log_level(LogLevel::Error)?
        .commit_from_file(file)
}

struct Loaded {
    session: Session,
    binding: IoBinding,
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.session.run_binding(&self.binding)?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Data> {
        let outputs = self.session.run_binding(&self.binding)?;
        let output = &outputs["output"];
        Ok(if let Ok((_, data)) = output.try_extract_tensor::<f32>() {
            Data::F32(data.to_vec())
        } else if let Ok((_, data)) = output.try_extract_tensor::<i8>() {
            Data::I8(data.to_vec())
        } else {
            Data::U8(output.try_extract_tensor::<u8>()?.1.to_vec())
        })
    }
}
