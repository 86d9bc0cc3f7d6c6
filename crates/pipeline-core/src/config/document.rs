//! Other YAML files than `pipelines.yml`, read with the same care: all problems at once, each with its place.

use serde::de::DeserializeOwned;

use super::decode::decode;
use super::loader::{MAX_BYTES, decode_utf8, read_bytes, whole};
use super::problem::{ConfigError, Problem};
use super::yaml;

/// Reads a YAML file into a type. Variables are not replaced.
///
/// # Errors
/// All that is wrong with it.
pub fn document<T: DeserializeOwned>(path: &std::path::Path) -> Result<T, ConfigError> {
    let name = path.display().to_string();
    let bytes = read_bytes(path).map_err(|error| whole(&name, format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(whole(&name, format!("the file is too large: more than {} MiB", MAX_BYTES >> 20)));
    }
    let problem = |at, path: String, message: String| Problem { file: name.clone(), at, path, message };
    let text = decode_utf8(&bytes).map_err(|at| ConfigError {
        problems: vec![problem(Some(at), String::new(), "the file is not UTF-8 from here on".to_owned())],
    })?;
    let (root, faults) = yaml::read(text).map_err(|fault| ConfigError {
        problems: vec![problem(Some(fault.at), fault.path.to_string(), fault.message)],
    })?;
    let mut problems: Vec<_> = faults
        .into_iter()
        .map(|fault| problem(Some(fault.at), fault.path.to_string(), fault.message))
        .collect();
    match decode(&root) {
        Ok(value) if problems.is_empty() => Ok(value),
        Ok(_) => Err(ConfigError { problems }),
        Err(errors) => {
            problems.extend(errors.0.into_iter().map(|error| {
                let at = error.at.unwrap_or_else(|| root.locate(&error.path));
                problem(Some(at), error.path, error.message)
            }));
            Err(ConfigError { problems })
        }
    }
}
