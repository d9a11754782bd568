//! rten: weights packed when the model is loaded, a pool of one thread. It has no call that writes
//! to memory of the caller's; its own pool of buffers makes new outputs cheap.

use std::sync::Arc;

use anyhow::{Result, bail};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueView};

use super::{Data, Engine, Run, Variant};
use crate::case::Case;

pub struct Rten(Arc<ThreadPool>);

impl Rten {
    pub fn new() -> Self {
        Self(Arc::new(ThreadPool::with_num_threads(1)))
    }
}

impl Engine for Rten {
    fn variants(&self) -> Vec<Variant> {
        Variant::onnx()
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        let model = ModelOptions::with_all_ops()
            .enable_optimization(true)
            .prepack_weights(true)
            .load_file(variant.file(case, "onnx"))?;
        Ok(Box::new(Loaded {
            names: (model.node_id("input")?, model.node_id("output")?),
            model,
            pool: self.0.clone(),
            shape: case.input_shape(),
            input: variant.input(case)?,
        }))
    }
}

struct Loaded {
    model: Model,
    names: (NodeId, NodeId),
    pool: Arc<ThreadPool>,
    shape: [usize; 2],
    input: Data,
}

impl Loaded {
    fn value(&self) -> Result<Value> {
        let input = match &self.input {
            Data::F32(data) => ValueView::from_shape(self.shape, data)?,
            Data::I8(data) => ValueView::from_shape(self.shape, data)?,
            Data::U8(data) => ValueView::from_shape(self.shape, data)?,
        };
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        let inputs = vec![(self.names.0, input.into())];
        let [output] = self.model.run_n(inputs, [self.names.1], Some(options))?;
        Ok(output)
    }
}

impl Run for Loaded {
    /// On the pool's thread, where a service would be: each call from another thread would wait
    /// for this one to wake up.
    fn run(&mut self, times: usize) -> Result<()> {
        self.pool.run(|| (0..times).try_for_each(|_| self.value().map(|_| ())))
    }

    fn output(&mut self) -> Result<Data> {
        Ok(match self.value()? {
            value @ Value::FloatTensor(_) => Data::F32(value.into_shape_vec::<_, 2>()?.1),
            value @ Value::Int8Tensor(_) => Data::I8(value.into_shape_vec::<_, 2>()?.1),
            value @ Value::UInt8Tensor(_) => Data::U8(value.into_shape_vec::<_, 2>()?.1),
            other => bail!("an output of type {:?}", other.dtype()),
        })
    }
}
