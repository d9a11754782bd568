//! Names of tensors that are made of other names.

use signfold::MAX_NAME_BYTES;
use signfold::layers::Activation;

/// The name, if it is one that a model can hold, else none: part of a name would be another name.
pub(crate) fn fitting(name: &str) -> String {
    match name.len() {
        0..=MAX_NAME_BYTES => name.to_owned(),
        _ => String::new(),
    }
}

/// The name of something that belongs to what has the name `of`.
pub(crate) fn joined(of: &str, part: &str) -> String {
    match of {
        "" => part.to_owned(),
        _ => fitting(&format!("{of}.{part}")),
    }
}

/// The name of a function, without its parameters.
pub(crate) fn of_function(activation: &Activation) -> String {
    let text = activation.to_string();
    text.split('(').next().unwrap_or_default().to_owned()
}
