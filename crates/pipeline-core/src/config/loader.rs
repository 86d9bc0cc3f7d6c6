//! From a path, or a text, to a checked file.

use std::io::Read;
use std::path::Path;

use super::check::Checker;
use super::model::{PipelinesFile, ScheduleBlock};
use super::node::Position;
use super::problem::{ConfigError, Problem};
use super::substitute::substitute_file;
use super::yaml;
use crate::context::Services;
use crate::redact::Redactor;
use crate::registry::{BuildErrors, KwargsProblem, Registry};

/// A longer file is refused.
pub const MAX_BYTES: usize = 4 << 20;

/// Knows what stands under `schedule`.
pub trait ScheduleCheck {
    /// Checks the block of a pipeline, with what it inherits.
    ///
    /// # Errors
    /// All that is wrong, with paths within the block.
    fn check(&self, schedule: &ScheduleBlock) -> Result<(), BuildErrors>;

    /// Checks what stands in `defaults` for all schedules: any of `timezone`, `misfire`, `jitter`, `dst`.
    ///
    /// # Errors
    /// All that is wrong, with paths within `defaults`.
    fn check_defaults(&self, defaults: &ScheduleBlock) -> Result<(), BuildErrors>;

    /// What is legal but suspect.
    fn suspect(&self, schedule: &ScheduleBlock) -> Vec<KwargsProblem> {
        let _ = schedule;
        Vec::new()
    }
}

/// Takes any schedule: for embedders that have none of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnySchedule;

impl ScheduleCheck for AnySchedule {
    fn check(&self, _: &ScheduleBlock) -> Result<(), BuildErrors> {
        Ok(())
    }

    fn check_defaults(&self, _: &ScheduleBlock) -> Result<(), BuildErrors> {
        Ok(())
    }
}

/// Reads and checks files. Only the registry is required.
///
/// ```
/// use pipeline_core::Registry;
/// use pipeline_core::config::Loader;
///
/// let registry = Registry::new();
/// let error = Loader::new(&registry).parse("pipelines.yml", b"pipelines: {a: {chian: []}}").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "pipelines.yml:1:16: pipelines.a: `chain` is missing\n\
///      pipelines.yml:1:17: pipelines.a.chian: unknown key `chian`, did you mean `chain`?"
/// );
/// ```
pub struct Loader<'a> {
    registry: &'a Registry,
    variables: &'a dyn Fn(&str) -> Option<String>,
    schedules: &'a dyn ScheduleCheck,
    redactor: Redactor,
    services: Services,
}

impl<'a> Loader<'a> {
    /// A loader that knows these classes, no variables, and takes any schedule.
    pub fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            variables: &|_| None,
            schedules: &AnySchedule,
            redactor: Redactor::new(),
            services: Services::default(),
        }
    }

    /// Finds the values of `${NAME}`.
    #[must_use]
    pub fn variables(mut self, variables: &'a dyn Fn(&str) -> Option<String>) -> Self {
        self.variables = variables;
        self
    }

    /// Checks `schedule` blocks.
    #[must_use]
    pub fn schedules(mut self, schedules: &'a dyn ScheduleCheck) -> Self {
        self.schedules = schedules;
        self
    }

    /// Learns the secrets of the file.
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Services for the stages that are built to check them.
    #[must_use]
    pub fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(&self, path: &Path) -> Result<PipelinesFile, ConfigError> {
        let name = path.display().to_string();
        match read_bytes(path) {
            Ok(bytes) => self.parse(&name, &bytes),
            Err(error) => Err(whole(&name, format!("cannot be read: {error}"))),
        }
    }

    /// Checks the content of a file; `name` is how problems call it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(&self, name: &str, bytes: &[u8]) -> Result<PipelinesFile, ConfigError> {
        if bytes.len() > MAX_BYTES {
            let message = format!("the file is too large: more than {} MiB", MAX_BYTES >> 20);
            return Err(whole(name, message));
        }
        let text = decode_utf8(bytes).map_err(|at| ConfigError {
            problems: vec![Problem {
                file: name.to_owned(),
                at: Some(at),
                path: String::new(),
                message: "the file is not UTF-8 from here on: save it as UTF-8".to_owned(),
            }],
        })?;
        let mut checker = Checker::new(name, self.registry, self.schedules, &self.redactor, &self.services);
        let (mut root, faults) = match yaml::read(text) {
            Ok(read) => read,
            Err(fault) => {
                checker.fault(fault);
                return checker.finish(Vec::new());
            }
        };
        faults.into_iter().for_each(|fault| checker.fault(fault));
        let mut faults = Vec::new();
        substitute_file(&mut root, self.variables, &self.redactor, &mut faults);
        faults.into_iter().for_each(|fault| checker.fault(fault));
        let pipelines = checker.file(&root);
        checker.finish(pipelines)
    }
}

impl std::fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("registry", &self.registry).finish_non_exhaustive()
    }
}

pub(super) fn whole(name: &str, message: String) -> ConfigError {
    ConfigError { problems: vec![Problem { file: name.to_owned(), at: None, path: String::new(), message }] }
}

/// Reads a file up to just over the limit: enough to see that it is too long.
pub(super) fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::other("it is a folder"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text without its byte order mark, or the place of the first byte that is no UTF-8.
pub(super) fn decode_utf8(bytes: &[u8]) -> Result<&str, Position> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let line = valid.matches('\n').count() + 1;
            let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Err(Position { line: number(line), column: number(column) })
        }
    }
}
