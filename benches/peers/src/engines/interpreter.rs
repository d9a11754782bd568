//! LiteRT's interpreter, in a Python process: see `interpreter.py`. A request takes some tens of
//! microseconds, once a turn.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::{Data, Run, Variant};
use crate::case::{self, Case, Io};

/// The process. It ends with its standard input.
pub struct Interpreter {
    _child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    loaded: usize,
}

impl Interpreter {
    /// Starts the Python of the environment whose packages these are.
    pub fn start(packages: &Path) -> Result<Self> {
        let environment = packages.ancestors().nth(3).context("packages of no environment")?;
        let mut child = Command::new(environment.join("bin/python"))
            .args(["-c", include_str!("../../interpreter.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().context("no pipe to Python")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe from Python")?);
        Ok(Self { _child: child, requests, answers, loaded: 0 })
    }

    fn ask(&mut self, words: &[&str]) -> Result<()> {
        writeln!(self.requests, "{}", words.join("\t"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer == "done\n", "the Python process ended: see its message above");
        Ok(())
    }
}

/// A model in the process.
pub struct Loaded {
    process: Rc<RefCell<Interpreter>>,
    key: String,
    io: Io,
    output: String,
}

impl Loaded {
    pub fn new(
        process: &Rc<RefCell<Interpreter>>,
        case: &Case<'_>,
        variant: &Variant,
    ) -> Result<Self> {
        let (extension, input) = match variant.io {
            Io::F32 => ("-f32.tflite", ".in.f32"),
            Io::Q8 => ("-q8.tflite", ".in.i8"),
        };
        let path = |rest: &str| -> Result<String> {
            Ok(case.file(rest).to_str().context("a path that is not UTF-8")?.to_owned())
        };
        let mut asked = process.borrow_mut();
        asked.loaded += 1;
        let key = asked.loaded.to_string();
        asked.ask(&["load", &key, &path(extension)?, &path(input)?])?;
        let output = path(".interpreter")?;
        Ok(Self { process: process.clone(), key, io: variant.io, output })
    }
}

impl Run for Loaded {
    fn run(&mut self, times: usize) -> Result<()> {
        self.process.borrow_mut().ask(&["run", &self.key, &times.to_string()])
    }

    fn output(&mut self) -> Result<Data> {
        self.run(1)?;
        self.process.borrow_mut().ask(&["output", &self.key, &self.output])?;
        let file = Path::new(&self.output);
        Ok(match self.io {
            Io::F32 => {
                Data::F32(case::read_words(file)?.into_iter().map(f32::from_le_bytes).collect())
            }
            Io::Q8 => Data::I8(case::read_i8(file)?),
        })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // If the process is gone, so is the model.
        let _ = self.process.borrow_mut().ask(&["drop", &self.key]);
    }
}
