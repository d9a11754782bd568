//! Files in: opened, read whole, models in them, and which file holds the rows of which input.
//! Arrays are in `array`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use signfold::Model;
use signfold_import::{ImportOptions, Imported, read_file};

/// Opens a file, and tells its length. Devices and pipes have none to hold a header against.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let open = || -> Result<_> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "not a regular file");
        Ok((file, metadata.len()))
    };
    open().with_context(|| path.display().to_string())
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// The model in the bytes of the file `path`.
pub fn model<'a>(bytes: &'a [u8], path: &Path) -> Result<Model<'a>> {
    Model::read(bytes).with_context(|| path.display().to_string())
}

/// The network in a file of any format.
pub fn network(path: &Path, options: &ImportOptions) -> Result<Imported> {
    read_file(path, options).with_context(|| path.display().to_string())
}

/// The file that holds the rows of each input, of arguments as [`assign`] takes them.
pub fn input_files(model: &Model<'_>, arguments: &[String]) -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = model.inputs().map(|id| model.tensor_name(id)).collect();
    let missing = || format!("too few files: the model has {} inputs, {names:?}", names.len());
    let files = assign(&names, arguments, "input")?;
    files.into_iter().map(|file| file.with_context(missing)).collect()
}

/// The file for each input or output, if there is one, of arguments `file` or `name=file`: those
/// without a name are for what no other names, in its order.
pub fn assign(names: &[&str], arguments: &[String], what: &str) -> Result<Vec<Option<PathBuf>>> {
    let mut files = vec![None; names.len()];
    let mut unnamed = Vec::new();
    for argument in arguments {
        let named = argument.split_once('=').and_then(|(name, file)| {
            let at = names.iter().position(|each| !name.is_empty() && *each == name)?;
            Some((at, file))
        });
        match named {
            Some((at, file)) => {
                let old = files[at].replace(PathBuf::from(file));
                ensure!(old.is_none(), "two files for the {what} {:?}", names[at]);
            }
            None => unnamed.push(argument),
        }
    }
    let mut unnamed = unnamed.into_iter();
    for place in files.iter_mut().filter(|file| file.is_none()) {
        *place = unnamed.next().map(PathBuf::from);
    }
    if let Some(left) = unnamed.next() {
        bail!("{left:?} is left over: the model has {} {what}s, {names:?}", names.len());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use signfold::TensorType;
    use signfold::layers::Softmax;

    use super::*;

    fn files(names: &[&'static str], arguments: &[&str]) -> Result<Vec<String>> {
        let mut graph = Model::graph("inputs");
        let inputs = names.iter().map(|&name| graph.input(name, TensorType::f32(1)));
        let inputs: Vec<_> = inputs.collect::<Result<_, _>>()?;
        let y = graph.layer("y", Softmax, &[inputs[0]])?;
        graph.output(y);
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string()).collect();
        let files = input_files(&graph.build()?, &arguments)?;
        Ok(files.iter().map(|file| file.display().to_string()).collect())
    }

    #[test]
    fn files_find_their_inputs() {
        for (names, arguments, expected) in [
            (&["x"][..], &["f"][..], &["f"][..]),
            (&["x"], &["x=f"], &["f"]),
            (&[""], &["x=f"], &["x=f"]),
            (&["x"], &["=f"], &["=f"]),
            (&["x", "y"], &["f", "g"], &["f", "g"]),
            (&["x", "y"], &["y=f", "x=g"], &["g", "f"]),
            (&["x", "y"], &["y=f", "g"], &["g", "f"]),
            (&["x", ""], &["x=a=b", "g"], &["a=b", "g"]),
        ] {
            assert_eq!(files(names, arguments).unwrap(), expected, "{names:?} {arguments:?}");
        }
        for (arguments, expected) in [
            (&["f"][..], "too few"),
            (&["f", "g", "h"], "\"h\" is left over"),
            (&["x=f", "x=g"], "two files for the input \"x\""),
        ] {
            let error = files(&["x", "y"], arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
