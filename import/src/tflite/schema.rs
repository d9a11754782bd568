//! The part of the TFLite schema that a network of dense layers needs, checked for sense.
//!
//! Numbers of fields and codes are those of the schema, version 3.

use signfold::{Error, ErrorKind, Result};

use super::flat::Table;
use super::names;

const VERSION: u32 = 3;

/// What a file may have at most; models of dense layers have far less.
const MAX_TENSORS: usize = 1 << 14;
const MAX_OPERATORS: usize = 1 << 13;
const MAX_RANK: usize = 8;
/// Tensors that a list may have at most: an operator's, or the model's inputs or outputs.
const MAX_LISTED: usize = 1 << 8;

/// A model file: its first subgraph, which is the one that runs.
pub(super) struct File<'a> {
    pub name: &'a str,
    pub subgraphs: usize,
    pub tensors: Vec<Tensor<'a>>,
    pub operators: Vec<Operator<'a>>,
    /// Positions in `tensors`.
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub shape: Vec<usize>,
    pub element: Element,
    /// The elements of a constant, little-endian; `None` for a tensor that is computed.
    pub data: Option<&'a [u8]>,
    scales: &'a [[u8; 4]],
    zero_points: &'a [[u8; 8]],
    /// The dimension that several scales belong to.
    pub axis: i32,
    /// What sets it apart from a plain tensor, if anything does.
    peculiar: Option<&'static str>,
}

pub(super) struct Operator<'a> {
    /// Its name in the schema; of a custom one its own, too.
    pub name: String,
    /// Positions of tensors; `None` for an optional one that is left out.
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<usize>,
    options: Option<Table<'a>>,
    options_type: u8,
}

impl<'a> File<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let model = Table::root(bytes, b"TFL3")?;
        let version = model.u32(0)?;
        if version != VERSION {
            let message = format!("schema version {version}, only {VERSION} is known");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let codes = model.tables(1, MAX_OPERATORS).map_err(|e| e.at("operator codes"))?;
        let codes = each(codes, |code| operator_name(&code)).map_err(|e| e.at("operator code"))?;
        let buffers = model.tables(4, 2 * MAX_TENSORS).map_err(|e| e.at("buffers"))?;
        let subgraphs = model.tables(2, MAX_OPERATORS).map_err(|e| e.at("subgraphs"))?;
        let Some(graph) = subgraphs.first() else {
            return Err(Error::new(ErrorKind::Format, "there is no subgraph"));
        };
        let tensors = graph.tables(0, MAX_TENSORS).map_err(|e| e.at("tensors"))?;
        let tensors =
            each(tensors, |table| Tensor::read(table, &buffers)).map_err(|e| e.at("tensor"))?;
        let operators = graph.tables(3, MAX_OPERATORS).map_err(|e| e.at("operators"))?;
        let operators = each(operators, |table| Operator::read(table, &codes, tensors.len()))
            .map_err(|e| e.at("operator"))?;
        let positions = |field, what| -> Result<Vec<usize>> {
            let read = || -> Result<Vec<usize>> {
                let positions = positions(graph, field, tensors.len())?.into_iter();
                positions.map(|position| position.ok_or_else(|| not_there(-1))).collect()
            };
            read().map_err(|e| e.at(what))
        };
        let name = match model.text(3)? {
            "" => graph.text(4)?,
            description => description,
        };
        Ok(Self {
            name,
            subgraphs: subgraphs.len(),
            inputs: positions(1, "inputs")?,
            outputs: positions(2, "outputs")?,
            tensors,
            operators,
        })
    }

    /// How messages name a tensor.
    pub fn place(&self, tensor: usize) -> String {
        format!("tensor {tensor} {:?}", self.tensors[tensor].name)
    }
}

impl<'a> Tensor<'a> {
    fn read(table: Table<'a>, buffers: &[Table<'a>]) -> Result<Self> {
        let name = table.text(3)?;
        let read = || {
            let shape = table.vector::<4>(0)?;
            if shape.len() > MAX_RANK {
                let message = format!("{} dimensions, more than {MAX_RANK}", shape.len());
                return Err(Error::new(ErrorKind::Limit, message));
            }
            let element = Element(table.u8(1)?);
            let shape = shape.iter().map(|&extent| {
                let extent = i32::from_le_bytes(extent);
                usize::try_from(extent).map_err(|_| {
                    Error::new(ErrorKind::Format, format!("a dimension of {extent} elements"))
                })
            });
            let number = table.u32(2)?;
            let buffer = buffers.get(number as usize).ok_or_else(|| {
                let message = format!("buffer {number} is not there, only {}", buffers.len());
                Error::new(ErrorKind::Format, message)
            })?;
            let data = buffer.vector::<1>(0)?.as_flattened();
            let peculiar = [
                (table.u8(5)? != 0, "it keeps its values from run to run"),
                (table.table(6)?.is_some(), "it is stored sparsely"),
                (buffer.u64(1)? > 1 || table.u32(10)? != 0, "its data lie outside the FlatBuffer"),
            ];
            let none = [].as_slice();
            let (mut scales, mut zero_points, mut axis) = (none, [].as_slice(), 0);
            if let Some(quantization) = table.table(4)? {
                scales = quantization.vector(2)?;
                zero_points = quantization.vector(3)?;
                axis = quantization.i32(6)?;
            }
            Ok(Self {
                name,
                shape: shape.collect::<Result<_>>()?,
                element,
                data: (!data.is_empty()).then_some(data),
                scales,
                zero_points,
                axis,
                peculiar: peculiar.into_iter().find_map(|(is, what)| is.then_some(what)),
            })
        };
        read().map_err(|e| e.at(format!("{name:?}")))
    }

    /// Refuses what is no plain array of numbers.
    pub fn expect_plain(&self) -> Result<()> {
        match self.peculiar {
            None => Ok(()),
            Some(what) => Err(Error::new(ErrorKind::Unsupported, format!("{what}: not supported"))),
        }
    }

    /// How many elements there are.
    pub fn count(&self) -> Result<usize> {
        let product = |count: usize, &extent: &usize| count.checked_mul(extent);
        self.shape.iter().try_fold(1, product).ok_or_else(|| {
            Error::new(ErrorKind::Limit, format!("{:?} are too many elements", self.shape))
        })
    }

    pub fn scales(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        self.scales.iter().map(|&scale| f32::from_le_bytes(scale))
    }

    pub fn zero_points(&self) -> impl ExactSizeIterator<Item = i64> + use<'a> {
        self.zero_points.iter().map(|&zero_point| i64::from_le_bytes(zero_point))
    }
}

impl<'a> Operator<'a> {
    fn read(table: Table<'a>, codes: &[String], tensors: usize) -> Result<Self> {
        let number = table.u32(0)?;
        let name = codes.get(number as usize).ok_or_else(|| {
            let message = format!("operator code {number} is not there, only {}", codes.len());
            Error::new(ErrorKind::Format, message)
        })?;
        let read = || {
            let outputs = positions(&table, 2, tensors)?.into_iter();
            Ok(Self {
                name: name.clone(),
                inputs: positions(&table, 1, tensors)?,
                outputs: outputs
                    .map(|position| position.ok_or_else(|| not_there(-1)))
                    .collect::<Result<_>>()?,
                options_type: table.u8(3)?,
                options: table.table(4)?,
            })
        };
        read().map_err(|e: Error| e.at(format!("({name})")))
    }

    /// The table of options of this kind; `None` where all have their defaults.
    pub fn options(&self, kind: u8) -> Result<Option<Table<'a>>> {
        match self.options_type {
            0 => Ok(None),
            found if found == kind => Ok(self.options),
            found => {
                let message = format!("options of kind {found}, but {kind} belongs to it");
                Err(Error::new(ErrorKind::Format, message))
            }
        }
    }
}

/// A tensor's element type, by its number in the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Element(u8);

impl Element {
    pub const F32: Self = Self(0);
    pub const F16: Self = Self(1);
    pub const I32: Self = Self(2);
    pub const U8: Self = Self(3);
    pub const I8: Self = Self(9);
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 20] = [
            "FLOAT32",
            "FLOAT16",
            "INT32",
            "UINT8",
            "INT64",
            "STRING",
            "BOOL",
            "INT16",
            "COMPLEX64",
            "INT8",
            "FLOAT64",
            "COMPLEX128",
            "UINT64",
            "RESOURCE",
            "VARIANT",
            "UINT32",
            "UINT16",
            "INT4",
            "BFLOAT16",
            "INT2",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

/// A code is in one byte or, since there are more than 127, in a field of its own.
fn operator_name(code: &Table<'_>) -> Result<String> {
    let code_number = i32::from(code.u8(0)? as i8).max(code.i32(3)?);
    Ok(match names::operator(code_number) {
        Some("CUSTOM") => {
            let name: String = code.text(1)?.chars().take(64).collect();
            format!("CUSTOM {name:?}")
        }
        Some(name) => name.into(),
        None => format!("operator code {code_number}"),
    })
}

/// A list of tensors' positions, in which -1 stands for none.
fn positions(table: &Table<'_>, field: usize, tensors: usize) -> Result<Vec<Option<usize>>> {
    let positions = table.vector::<4>(field)?;
    if positions.len() > MAX_LISTED {
        let message = format!("{} tensors, more than {MAX_LISTED}", positions.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let position = |&position: &[u8; 4]| match i32::from_le_bytes(position) {
        -1 => Ok(None),
        position => match usize::try_from(position) {
            Ok(position) if position < tensors => Ok(Some(position)),
            _ => Err(not_there(position)),
        },
    };
    positions.iter().map(position).collect()
}

fn not_there(position: i32) -> Error {
    Error::new(ErrorKind::Format, format!("tensor {position} is not there"))
}

/// Reads each table; an error says which one.
fn each<'a, T>(tables: Vec<Table<'a>>, read: impl Fn(Table<'a>) -> Result<T>) -> Result<Vec<T>> {
    let read = |(i, table)| read(table).map_err(|e: Error| e.at(i));
    tables.into_iter().enumerate().map(read).collect()
}
