//! ONNX files made in memory, field by field.
#![allow(dead_code)] // Each test binary uses a part.

/// A graph that grows from left to right.
#[derive(Clone)]
pub struct Graph {
    fields: Vec<u8>,
    opset: u64,
}

/// What a node is told.
pub enum Told<'a> {
    Int(i64),
    Float(f32),
    Text(&'a str),
    Floats(&'a [f32]),
    Ints(&'a [i64]),
    Texts(&'a [&'a str]),
    /// A field of the attribute, and the kind that says so.
    Message(u64, Vec<u8>, u64),
}

/// Element types, as files number them.
pub const FLOAT: u64 = 1;
pub const UINT8: u64 = 2;
pub const INT8: u64 = 3;
pub const INT16: u64 = 5;
pub const INT32: u64 = 6;
pub const INT64: u64 = 7;
pub const INT4: u64 = 22;

impl Graph {
    pub fn new() -> Self {
        Self { fields: Vec::new(), opset: 21 }
    }

    pub fn opset(mut self, opset: u64) -> Self {
        self.opset = opset;
        self
    }

    /// An input: any number of rows of this width.
    pub fn input(self, name: &str, kind: u64, width: u64) -> Self {
        self.field(11, &typed(name, kind, &format!("rows {width}")))
    }

    /// An input of this shape: numbers, and names for those that are not known.
    pub fn shaped(self, name: &str, kind: u64, dims: &str) -> Self {
        self.field(11, &typed(name, kind, dims))
    }

    pub fn output(self, name: &str) -> Self {
        self.field(12, &text(1, name))
    }

    /// A constant, by its elements' little-endian bytes.
    pub fn constant(self, name: &str, kind: u64, shape: &[u64], bytes: Vec<u8>) -> Self {
        self.tensor(name, kind, shape, &field(9, &bytes))
    }

    /// A constant, by the field that holds its elements.
    pub fn tensor(self, name: &str, kind: u64, shape: &[u64], data: &[u8]) -> Self {
        self.field(5, &tensor(name, kind, shape, data))
    }

    pub fn i64s(self, name: &str, shape: &[u64], values: &[i64]) -> Self {
        self.constant(name, INT64, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    pub fn f32s(self, name: &str, shape: &[u64], values: &[f32]) -> Self {
        self.constant(name, FLOAT, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    pub fn i32s(self, name: &str, shape: &[u64], values: &[i32]) -> Self {
        self.constant(name, INT32, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    pub fn i8s(self, name: &str, shape: &[u64], values: &[i8]) -> Self {
        self.constant(name, INT8, shape, values.iter().map(|&x| x as u8).collect())
    }

    pub fn u8s(self, name: &str, shape: &[u64], values: &[u8]) -> Self {
        self.constant(name, UINT8, shape, values.to_vec())
    }

    /// A node: names are apart by spaces, `_` stands for one left off.
    pub fn node(self, op: &str, inputs: &str, outputs: &str) -> Self {
        self.told(op, inputs, outputs, &[])
    }

    /// A node with attributes. Operators of another domain are written `domain:op`.
    pub fn told(self, op: &str, inputs: &str, outputs: &str, told: &[(&str, Told<'_>)]) -> Self {
        let (domain, op) = op.split_once(':').unwrap_or(("", op));
        let names = |number, names: &str| -> Vec<u8> {
            let name = |name| text(number, if name == "_" { "" } else { name });
            names.split_whitespace().flat_map(name).collect()
        };
        let mut node = names(1, inputs);
        node.extend(names(2, outputs));
        node.extend(text(4, op));
        node.extend(text(7, domain));
        for (name, told) in told {
            let mut attribute = text(1, name);
            match told {
                Told::Float(x) => {
                    attribute.extend([2 << 3 | 5]);
                    attribute.extend(x.to_le_bytes());
                    attribute.extend(number(20, 1));
                }
                Told::Int(x) => {
                    attribute.extend(number(3, *x as u64));
                    attribute.extend(number(20, 2));
                }
                Told::Text(x) => attribute.extend([text(4, x), number(20, 3)].concat()),
                Told::Message(at, bytes, kind) => {
                    attribute.extend([field(*at, bytes), number(20, *kind)].concat());
                }
                Told::Floats(xs) => {
                    let bytes: Vec<u8> = xs.iter().flat_map(|x| x.to_le_bytes()).collect();
                    attribute.extend([field(7, &bytes), number(20, 6)].concat());
                }
                Told::Texts(xs) => {
                    attribute.extend(xs.iter().flat_map(|x| text(9, x)));
                    attribute.extend(number(20, 8));
                }
                Told::Ints(xs) => {
                    attribute.extend(xs.iter().flat_map(|&x| number(8, x as u64)));
                    attribute.extend(number(20, 7));
                }
            }
            node.extend(field(5, &attribute));
        }
        self.field(1, &node)
    }

    /// Nodes, each `op attribute=number ...: inputs > outputs`, between semicolons.
    pub fn nodes(self, nodes: &str) -> Self {
        nodes.split(';').filter(|node| !node.trim().is_empty()).fold(self, |graph, node| {
            let (told, names) = node.split_once(':').unwrap();
            let (inputs, outputs) = names.split_once('>').unwrap();
            let (op, told) = told.trim().split_once(' ').unwrap_or((told.trim(), ""));
            let told = told.split_whitespace().map(|told| told.split_once('=').unwrap());
            let told = told.map(|(key, numbers)| {
                let numbers = numbers.split(',').map(|i| i.parse().unwrap());
                (key, numbers.collect::<Vec<i64>>())
            });
            let told: Vec<_> = told.collect();
            let told = told.iter().map(|(key, numbers)| match (*key, &numbers[..]) {
                ("perm" | "axes", numbers) => (*key, Told::Ints(numbers)),
                (_, numbers) => (*key, Told::Int(numbers[0])),
            });
            graph.told(op, inputs, outputs, &told.collect::<Vec<_>>())
        })
    }

    /// The file.
    pub fn file(&self) -> Vec<u8> {
        [number(1, 10), field(7, &self.fields), self.opsets()].concat()
    }

    /// The versions of the operators, as the file says them.
    pub fn opsets(&self) -> Vec<u8> {
        let set = |domain, version| field(8, &[text(1, domain), number(2, version)].concat());
        [set("", self.opset), set("com.microsoft", 1), set("ai.onnx.ml", 1)].concat()
    }

    /// Adds a field to the graph.
    pub fn field(mut self, number: u64, bytes: &[u8]) -> Self {
        self.fields.extend(field(number, bytes));
        self
    }
}

fn typed(name: &str, kind: u64, dims: &str) -> Vec<u8> {
    let dim = |dim: &str| match dim.parse() {
        Ok(known) => field(1, &number(1, known)),
        Err(_) => field(1, &text(2, dim)),
    };
    let dims: Vec<u8> = dims.split_whitespace().flat_map(dim).collect();
    let tensor = [number(1, kind), field(2, &dims)].concat();
    [text(1, name), field(2, &field(1, &tensor))].concat()
}

/// A tensor, with the field that holds its elements.
pub fn tensor(name: &str, kind: u64, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut tensor: Vec<u8> = shape.iter().flat_map(|&d| number(1, d)).collect();
    tensor.extend(number(2, kind));
    tensor.extend(text(8, name));
    tensor.extend(data);
    tensor
}

pub fn varint(mut x: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while x >= 128 {
        bytes.push(x as u8 | 128);
        x >>= 7;
    }
    bytes.push(x as u8);
    bytes
}

pub fn number(field: u64, x: u64) -> Vec<u8> {
    [varint(field << 3), varint(x)].concat()
}

pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub fn text(number: u64, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}
