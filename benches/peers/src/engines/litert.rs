//! LiteRT: its compiled model on the CPU, which is XNNPACK, on one thread, with tensor buffers that
//! it allocated itself as it likes them.
//!
//! The wheel's library exports the C interface of compiled models, but not that of the older
//! interpreter, which is reached through Python. The declarations here are of the few functions
//! needed; handles are opaque.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use libloading::Library;

use super::interpreter::{self, Interpreter};
use super::{Data, Engine, Run, Variant, find_library};
use crate::case::{Case, Io};

type Handle = *mut c_void;
type Status = c_int;

const CPU: c_int = 1;
const FLOAT32: c_int = 1;
const INT8: c_int = 9;
const LOCK_READ: c_int = 0;
const LOCK_WRITE: c_int = 1;

/// What the names of variants begin with that are not compiled models.
const INTERPRETER: &str = "interpreter-";

/// Options of the CPU back end are passed as a text, by the name of its delegate.
const CPU_OPTIONS: (&CStr, &CStr) = (c"xnnpack", c"num_threads = 1\n");

/// `LiteRtRankedTensorType`.
#[repr(C)]
struct TensorType {
    element: c_int,
    /// Seven bits of rank, one that tells whether there are strides.
    rank: u32,
    dimensions: [i32; 8],
    strides: [u32; 8],
}

impl TensorType {
    fn new(element: c_int, shape: [usize; 2]) -> Self {
        let mut dimensions = [0; 8];
        dimensions[..2].copy_from_slice(&shape.map(|size| size as i32));
        Self { element, rank: 2, dimensions, strides: [0; 8] }
    }
}

/// Declares the functions, and a constructor that looks each of them up by its name.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        #[allow(non_snake_case)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// The pointers above hold as long as this.
            _library: Library,
        }

        impl Functions {
            fn load(library: Library) -> Result<Self> {
                Ok(Self {
                    // SAFETY: the types are those of LiteRT's headers, version as in engines.txt.
                    $($name: unsafe { *library.get(stringify!($name))? },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    LiteRtCreateEnvironment(c_int, *const c_void, *mut Handle) -> Status;
    LiteRtCreateModelFromFile(Handle, *const c_char, *mut Handle) -> Status;
    LiteRtCreateOptions(*mut Handle) -> Status;
    LiteRtSetOptionsHardwareAccelerators(Handle, c_int) -> Status;
    LiteRtCreateOpaqueOptions(
        *const c_char, *mut c_void, unsafe extern "C" fn(*mut c_void), *mut Handle
    ) -> Status;
    LiteRtAddOpaqueOptions(Handle, Handle) -> Status;
    LiteRtCreateCompiledModel(Handle, Handle, Handle, *mut Handle) -> Status;
    LiteRtGetCompiledModelInputBufferRequirements(Handle, usize, usize, *mut Handle) -> Status;
    LiteRtGetCompiledModelOutputBufferRequirements(Handle, usize, usize, *mut Handle) -> Status;
    LiteRtCompiledModelIsFullyAccelerated(Handle, *mut bool) -> Status;
    LiteRtCreateManagedTensorBufferFromRequirements(
        Handle, *const TensorType, Handle, *mut Handle
    ) -> Status;
    LiteRtLockTensorBuffer(Handle, *mut *mut c_void, c_int) -> Status;
    LiteRtUnlockTensorBuffer(Handle) -> Status;
    LiteRtRunCompiledModel(Handle, usize, usize, *mut Handle, usize, *mut Handle) -> Status;
    LiteRtDestroyTensorBuffer(Handle);
    LiteRtDestroyCompiledModel(Handle);
    LiteRtDestroyOptions(Handle);
    LiteRtDestroyModel(Handle);
}

pub struct LiteRt {
    functions: Rc<Functions>,
    /// Lives as long as the process.
    environment: Handle,
    interpreter: Rc<RefCell<Interpreter>>,
}

impl LiteRt {
    pub fn open(packages: &Path) -> Result<Self> {
        let library = find_library(&packages.join("ai_edge_litert"), "libLiteRt.so")?;
        // SAFETY: what runs when the library is loaded needs nothing of this program.
        let functions = Rc::new(Functions::load(unsafe { Library::new(library)? })?);
        // SAFETY: no options, and a place for the result.
        let environment = make("environment", |to| unsafe {
            (functions.LiteRtCreateEnvironment)(0, null(), to)
        })?;
        let interpreter = Rc::new(RefCell::new(Interpreter::start(packages)?));
        Ok(Self { functions, environment, interpreter })
    }
}

/// A handle that a function made.
fn make(what: &str, function: impl FnOnce(*mut Handle) -> Status) -> Result<Handle> {
    let mut handle = null_mut();
    check(what, function(&mut handle))?;
    ensure!(!handle.is_null(), "LiteRT made no {what}");
    Ok(handle)
}

fn check(what: &str, status: Status) -> Result<()> {
    ensure!(status == 0, "LiteRT, {what}: status {status}");
    Ok(())
}

/// The options' text is static.
unsafe extern "C" fn keep(_: *mut c_void) {}

impl Engine for LiteRt {
    fn variants(&self) -> Vec<Variant> {
        let variant = |name: &str, io: Io| Variant {
            name: format!("{name}{}", io.name()),
            io,
            unsigned: false,
            rounds: true,
        };
        Io::ALL.into_iter().flat_map(|io| ["", INTERPRETER].map(|name| variant(name, io))).collect()
    }

    fn load(&self, case: &Case<'_>, variant: &Variant) -> Result<Box<dyn Run>> {
        if variant.name.starts_with(INTERPRETER) {
            return Ok(Box::new(interpreter::Loaded::new(&self.interpreter, case, variant)?));
        }
        let file = variant.file(case, "tflite");
        ensure!(file.exists(), "{} was not written", file.display());
        let file = CString::new(file.into_os_string().into_encoded_bytes())?;
        let element = match variant.io {
            Io::F32 => FLOAT32,
            Io::Q8 => INT8,
        };
        let mut loaded = Loaded {
            functions: self.functions.clone(),
            model: null_mut(),
            options: null_mut(),
            compiled: null_mut(),
            buffers: [null_mut(); 2],
            io: variant.io,
            outputs: case.output_shape().iter().product(),
        };
        let f = &self.functions;
        // SAFETY: in all of this block handles are live, what is pointed to outlives the call, and
        // the options' text, which LiteRT keeps, is static. LiteRT does not write to it.
        unsafe {
            loaded.model = make("model", |to| {
                (f.LiteRtCreateModelFromFile)(self.environment, file.as_ptr(), to)
            })?;
            loaded.options = make("options", |to| (f.LiteRtCreateOptions)(to))?;
            check("CPU", (f.LiteRtSetOptionsHardwareAccelerators)(loaded.options, CPU))?;
            let (name, text) = CPU_OPTIONS;
            let text = text.as_ptr().cast_mut().cast();
            let cpu = make("CPU options", |to| {
                (f.LiteRtCreateOpaqueOptions)(name.as_ptr(), text, keep, to)
            })?;
            check("CPU options", (f.LiteRtAddOpaqueOptions)(loaded.options, cpu))?;
            loaded.compiled = make("compiled model", |to| {
                let Loaded { model, options, .. } = loaded;
                (f.LiteRtCreateCompiledModel)(self.environment, model, options, to)
            })?;
            let mut accelerated = false;
            let status =
                (f.LiteRtCompiledModelIsFullyAccelerated)(loaded.compiled, &mut accelerated);
            check("accelerated", status)?;
            ensure!(accelerated, "parts of the model are not run by XNNPACK");
            let requirements = [
                make("input requirements", |to| {
                    (f.LiteRtGetCompiledModelInputBufferRequirements)(loaded.compiled, 0, 0, to)
                })?,
                make("output requirements", |to| {
                    (f.LiteRtGetCompiledModelOutputBufferRequirements)(loaded.compiled, 0, 0, to)
                })?,
            ];
            let shapes = [case.input_shape(), case.output_shape()];
            for (i, (shape, requirements)) in shapes.into_iter().zip(requirements).enumerate() {
                let kind = TensorType::new(element, shape);
                loaded.buffers[i] = make("buffer", |to| {
                    (f.LiteRtCreateManagedTensorBufferFromRequirements)(
                        self.environment,
                        &kind,
                        requirements,
                        to,
                    )
                })?;
            }
        }
        match variant.input(case)? {
            Data::F32(data) => loaded.write(&data)?,
            Data::I8(data) => loaded.write(&data)?,
            Data::U8(_) => bail!("no TFLite models with u8"),
        }
        Ok(Box::new(loaded))
    }
}

struct Loaded {
    functions: Rc<Functions>,
    model: Handle,
    options: Handle,
    compiled: Handle,
    /// Of input and output.
    buffers: [Handle; 2],
    io: Io,
    outputs: usize,
}

impl Loaded {
    fn write<T: Copy>(&self, data: &[T]) -> Result<()> {
        let to = self.lock(self.buffers[0], LOCK_WRITE)?;
        // SAFETY: the buffer was made for as many elements of this type, and is locked.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to.cast(), data.len()) };
        self.unlock(self.buffers[0])
    }

    fn read<T: Copy + Default>(&self) -> Result<Vec<T>> {
        let mut data = vec![T::default(); self.outputs];
        let from = self.lock(self.buffers[1], LOCK_READ)?;
        // SAFETY: the buffer was made for as many elements of this type, and is locked.
        unsafe { std::ptr::copy_nonoverlapping(from.cast(), data.as_mut_ptr(), data.len()) };
        self.unlock(self.buffers[1])?;
        Ok(data)
    }

    fn lock(&self, buffer: Handle, mode: c_int) -> Result<*mut c_void> {
        // SAFETY: the buffer is live.
        make("lock", |to| unsafe { (self.functions.LiteRtLockTensorBuffer)(buffer, to, mode) })
    }

    fn unlock(&self, buffer: Handle) -> Result<()> {
        // SAFETY: the buffer is live, and was locked.
        check("unlock", unsafe { (self.functions.LiteRtUnlockTensorBuffer)(buffer) })
    }
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        let [input, output] = &mut self.buffers;
        for _ in 0..times {
            // SAFETY: model and buffers are live, one buffer each way is what the model has.
            let status = unsafe {
                (self.functions.LiteRtRunCompiledModel)(self.compiled, 0, 1, input, 1, output)
            };
            check("run", status)?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Data> {
        self.run(1)?;
        Ok(match self.io {
            Io::F32 => Data::F32(self.read()?),
            Io::Q8 => Data::I8(self.read()?),
        })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let f = &self.functions;
        let destroy = |handle: Handle, by: unsafe extern "C" fn(Handle)| {
            if !handle.is_null() {
                // SAFETY: made by the counterpart of `by`, and used no more.
                unsafe { by(handle) }
            }
        };
        for buffer in self.buffers {
            destroy(buffer, f.LiteRtDestroyTensorBuffer);
        }
        destroy(self.compiled, f.LiteRtDestroyCompiledModel);
        destroy(self.options, f.LiteRtDestroyOptions);
        destroy(self.model, f.LiteRtDestroyModel);
    }
}
