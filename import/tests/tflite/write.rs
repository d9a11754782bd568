//! TFLite files made in memory.

use flatbuffers::{FlatBufferBuilder, Push, TableFinishedWIPOffset, WIPOffset};

/// Element types, by their number in the schema.
pub const F32: i8 = 0;
pub const F16: i8 = 1;
pub const I32: i8 = 2;
pub const U8: i8 = 3;
pub const I16: i8 = 7;
pub const I8: i8 = 9;

#[derive(Clone, Debug, Default)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<i32>,
    pub element: i8,
    pub data: Vec<u8>,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    pub axis: i32,
}

/// A field of an operator's options: its number and its value.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    Byte(u16, u8),
    Int(u16, i32),
    Float(u16, f32),
}

#[derive(Clone, Debug)]
pub struct Operator {
    pub code: i32,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    /// Their kind, and their fields.
    pub options: Option<(u8, Vec<Field>)>,
}

/// A network, and what else a file says.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub subgraphs: usize,
    pub version: u32,
}

impl File {
    pub fn new() -> Self {
        Self { subgraphs: 1, version: 3, ..Self::default() }
    }

    pub fn tensor(&mut self, tensor: Tensor) -> i32 {
        self.tensors.push(tensor);
        self.tensors.len() as i32 - 1
    }

    /// Rows of real numbers.
    pub fn reals(&mut self, name: &str, shape: &[i32]) -> i32 {
        self.tensor(Tensor { name: name.into(), shape: shape.into(), ..Tensor::default() })
    }

    /// Rows of `i8`, or a constant of them.
    pub fn int8(&mut self, name: &str, shape: &[i32], scale: f32, zero: i64, data: &[i8]) -> i32 {
        self.tensor(Tensor {
            name: name.into(),
            shape: shape.into(),
            element: I8,
            data: data.iter().map(|&x| x as u8).collect(),
            scales: vec![scale],
            zero_points: vec![zero],
            axis: 0,
        })
    }

    pub fn constant(&mut self, name: &str, shape: &[i32], element: i8, data: Vec<u8>) -> i32 {
        let (name, shape) = (name.into(), shape.into());
        self.tensor(Tensor { name, shape, element, data, ..Tensor::default() })
    }

    pub fn operator(
        &mut self,
        code: i32,
        inputs: &[i32],
        output: i32,
        options: Option<(u8, Vec<Field>)>,
    ) {
        let (inputs, outputs) = (inputs.into(), vec![output]);
        self.operators.push(Operator { code, inputs, outputs, options });
    }

    pub fn write(&self) -> Vec<u8> {
        let b = &mut FlatBufferBuilder::new();
        let mut codes = Vec::new();
        let mut operators = Vec::new();
        for operator in &self.operators {
            operators.push(operator.write(b, codes.len() as u32));
            codes.push(table(b, |t| {
                t.push(0, operator.code.min(127) as i8);
                t.push(2, 1_i32);
                t.push(3, operator.code);
            }));
        }
        let mut buffers = vec![table(b, |_| {})];
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            let buffer = match tensor.data.is_empty() {
                true => 0,
                false => {
                    let data = b.create_vector(&tensor.data);
                    buffers.push(table(b, |t| t.push(0, data)));
                    buffers.len() as u32 - 1
                }
            };
            tensors.push(tensor.write(b, buffer));
        }
        let (tensors, operators) = (b.create_vector(&tensors), b.create_vector(&operators));
        let (inputs, outputs) = (b.create_vector(&self.inputs), b.create_vector(&self.outputs));
        let graph = |b: &mut FlatBufferBuilder<'static>| {
            table(b, |t| {
                t.push(0, tensors);
                t.push(1, inputs);
                t.push(2, outputs);
                t.push(3, operators);
            })
        };
        let graphs: Vec<_> = (0..self.subgraphs).map(|_| graph(b)).collect();
        let (graphs, codes, buffers) =
            (b.create_vector(&graphs), b.create_vector(&codes), b.create_vector(&buffers));
        let name = b.create_string("tiny");
        let root = table(b, |t| {
            t.push(0, self.version);
            t.push(1, codes);
            t.push(2, graphs);
            t.push(3, name);
            t.push(4, buffers);
        });
        b.finish(root, Some("TFL3"));
        b.finished_data().to_vec()
    }
}

impl Tensor {
    fn write(&self, b: &mut FlatBufferBuilder<'static>, buffer: u32) -> Made {
        let quantization = (!self.scales.is_empty()).then(|| {
            let scales = b.create_vector(&self.scales);
            let zero_points = b.create_vector(&self.zero_points);
            table(b, |t| {
                t.push(2, scales);
                t.push(3, zero_points);
                t.push(6, self.axis);
            })
        });
        let (name, shape) = (b.create_string(&self.name), b.create_vector(&self.shape));
        table(b, |t| {
            t.push(0, shape);
            t.push(1, self.element);
            t.push(2, buffer);
            t.push(3, name);
            if let Some(quantization) = quantization {
                t.push(4, quantization);
            }
        })
    }
}

impl Operator {
    fn write(&self, b: &mut FlatBufferBuilder<'static>, code: u32) -> Made {
        let (inputs, outputs) = (b.create_vector(&self.inputs), b.create_vector(&self.outputs));
        let options = self.options.as_ref().map(|(kind, fields)| {
            let options = table(b, |t| {
                for &field in fields {
                    match field {
                        Field::Byte(number, value) => t.push(number, value),
                        Field::Int(number, value) => t.push(number, value),
                        Field::Float(number, value) => t.push(number, value),
                    }
                }
            });
            (*kind, options)
        });
        table(b, |t| {
            t.push(0, code);
            t.push(1, inputs);
            t.push(2, outputs);
            if let Some((kind, options)) = options {
                t.push(3, kind);
                t.push(4, options);
            }
        })
    }
}

type Made = WIPOffset<TableFinishedWIPOffset>;

/// A table that is being written.
struct Fields<'b>(&'b mut FlatBufferBuilder<'static>);

impl Fields<'_> {
    fn push<T: Push>(&mut self, field: u16, value: T) {
        self.0.push_slot_always(4 + 2 * field, value);
    }
}

fn table(b: &mut FlatBufferBuilder<'static>, fields: impl FnOnce(&mut Fields<'_>)) -> Made {
    let start = b.start_table();
    fields(&mut Fields(b));
    b.end_table(start)
}
