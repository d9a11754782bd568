//! OpenVINO: the hint for latency, one stream of one thread, tensors set once.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use openvino::{
    CompiledModel, Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape, Tensor,
};

use super::{Data, Engine, Run, Variant, find_library};
use crate::case::Case;

pub struct OpenVino(RefCell<Core>);

impl OpenVino {
    pub fn open(packages: &Path) -> Result<Self> {
        let library = find_library(&packages.join("openvino/libs"), "libopenvino_c.so")?;
        openvino_sys::library::load_from(library).map_err(|error| anyhow!(error))?;
        let mut core = Core::new()?;
        let properties = [
            (RwPropertyKey::HintPerformanceMode, "LATENCY"),
            (RwPropertyKey::InferenceNumThreads, "1"),
            (RwPropertyKey::NumStreams, "1"),
        ];
        for (key, value) in properties {
            core.set_property(&DeviceType::CPU, &key, value)?;
        }
        Ok(Self(RefCell::new(core)))
    }
}

impl Engine for OpenVino {
    fn variants(&self) -> Vec<Variant> {
        Variant::onnx()
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        let file = variant.file(case, "onnx");
        let file = file.to_str().context("a path that is not UTF-8")?;
        let mut core = self.0.borrow_mut();
        let model = core.read_model_from_file(file, "")?;
        let mut compiled = core.compile_model(&model, DeviceType::CPU)?;
        let mut request = compiled.create_infer_request()?;
        let data = variant.input(case)?;
        let element = match data {
            Data::F32(_) => ElementType::F32,
            Data::I8(_) => ElementType::I8,
            Data::U8(_) => ElementType::U8,
        };
        let [input, output] = [case.input_shape(), case.output_shape()]
            .map(|shape| Shape::new(&shape.map(|size| size as i64)));
        let mut input = Tensor::new(element, &input?)?;
        match data {
            Data::F32(data) => input.get_data_mut::<f32>()?.copy_from_slice(&data),
            Data::I8(data) => input.get_data_mut::<i8>()?.copy_from_slice(&data),
            Data::U8(data) => input.get_data_mut::<u8>()?.copy_from_slice(&data),
        }
        let output = Tensor::new(element, &output?)?;
        request.set_input_tensor(&input)?;
        request.set_output_tensor(&output)?;
        Ok(Box::new(Loaded { request, _compiled: compiled, _input: input, output, element }))
    }
}

struct Loaded {
    request: InferRequest,
    _compiled: CompiledModel,
    _input: Tensor,
    output: Tensor,
    element: ElementType,
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.request.infer()?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Data> {
        self.run(1)?;
        Ok(match self.element {
            ElementType::F32 => Data::F32(self.output.get_data()?.to_vec()),
            ElementType::I8 => Data::I8(self.output.get_data()?.to_vec()),
            _ => Data::U8(self.output.get_data()?.to_vec()),
        })
    }
}
