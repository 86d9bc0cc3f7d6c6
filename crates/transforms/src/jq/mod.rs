//! jq programs: what the `jq`, `records`, `where` and `keep` of a file are written in.
//!
//! A [`Jq`] is compiled once, when the file is loaded, and then run on values. Programs see `$meta` (the
//! metadata of the raw item), `$run` (`started_at`, `date`, `pipeline`, `scheduled_for`) and `now` on the
//! run's clock. They see nothing else: `env` and `$ENV` are empty objects so that no secret can leak into
//! an item, there is no `input`, no module loading, and `debug` and `stderr` write nowhere.
//!
//! A program is stopped with an error after a generous number of steps ([`STEPS`] and more for large
//! inputs), when it asks for far more memory than its input takes, when it recurses so deeply that the
//! stack would overflow or makes values that are nested too deeply to be walked, and when the run is
//! cancelled: it can take time, but it can neither hang the run for ever nor abort the process.

mod access;
mod compile;
mod convert;
mod counted;
mod library;
mod meter;
mod nesting;
mod ops;
mod search;
mod text;
mod value;
mod vars;
mod write;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use pipeline_core::{Record, Value};

use compile::{Data, Machine};
pub(crate) use convert::excerpt;
use meter::Metered;
use value::Val;
pub(crate) use vars::JqVars;

/// The steps of loops and recursions that a program may take on one small input.
pub(crate) const STEPS: u64 = 10_000_000;

/// The stack of a program with functions that take others and call themselves.
const DEEP_STACK: usize = 64 << 20;

/// A compiled jq program; cheap to clone, usable from many threads.
#[derive(Clone)]
pub(crate) struct Jq(Arc<Program>);

struct Program {
    text: String,
    machine: Machine,
    /// Field names to follow, where the program is only that: `.`, `.a`, `.a.b`.
    path: Option<Vec<String>>,
}

impl Jq {
    /// Compiles a program.
    ///
    /// # Errors
    /// Says at which line and column it is wrong, and why.
    pub(crate) fn compile(program: &str) -> Result<Self, String> {
        let machine = Machine::compile(program)?;
        Ok(Self(Arc::new(Program { text: program.to_owned(), machine, path: compile::plain_path(program) })))
    }

    /// The program's text.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// Where the program begins with the elements at a path, as `.data.items[] | …` does: the names of
    /// the path, and the program to run on each element.
    pub(crate) fn split_elements(&self) -> Option<(Vec<String>, Self)> {
        let (path, rest) = compile::leading_elements(&self.0.text)?;
        Some((path, Self::compile(&rest).ok()?))
    }

    /// Runs the program and collects its results.
    ///
    /// # Errors
    /// The program's own error, or that it does not come to an end.
    pub(crate) fn run(&self, input: &Value, vars: &JqVars) -> Result<Vec<Value>, String> {
        let mut results = Vec::new();
        self.run_each(input, vars, |value| {
            results.push(value);
            ControlFlow::Continue(())
        })?;
        Ok(results)
    }

    /// Runs the program on a record and collects its results.
    ///
    /// # Errors
    /// As [`Jq::run`].
    pub(crate) fn run_record(&self, input: &Record, vars: &JqVars) -> Result<Vec<Value>, String> {
        let mut results = Vec::new();
        self.run_record_each(input, vars, |value| {
            results.push(value);
            ControlFlow::Continue(())
        })?;
        Ok(results)
    }

    /// Runs the program on a record and hands over each result as it comes, until told to stop.
    ///
    /// # Errors
    /// As [`Jq::run`]; results before the error have been handed over.
    pub(crate) fn run_record_each(
        &self,
        input: &Record,
        vars: &JqVars,
        mut each: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String> {
        if let Some(path) = &self.0.path {
            let value = match path.split_first() {
                None => Value::from(input.clone()),
                Some((first, rest)) => follow(input.get(first).unwrap_or(&Value::Null), rest)?.clone(),
            };
            // There is one result: whether to go on is no question.
            return match each(value) {
                ControlFlow::Continue(()) | ControlFlow::Break(()) => Ok(()),
            };
        }
        self.interpret(|nodes| convert::record_to_val(input, nodes), vars, &mut each)
    }

    /// Runs the program and hands over each result as it comes, until told to stop.
    ///
    /// # Errors
    /// As [`Jq::run`]; results before the error have been handed over.
    pub(crate) fn run_each(
        &self,
        input: &Value,
        vars: &JqVars,
        mut each: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String> {
        if let Some(path) = &self.0.path {
            let value = follow(input, path)?.clone();
            // There is one result: whether to go on is no question.
            return match each(value) {
                ControlFlow::Continue(()) | ControlFlow::Break(()) => Ok(()),
            };
        }
        self.interpret(|nodes| convert::to_val(input, nodes), vars, &mut each)
    }

    /// Whether the first result of the program, run on a record, is neither false nor null.
    ///
    /// # Errors
    /// As [`Jq::run`].
    pub(crate) fn holds(&self, input: &Record, vars: &JqVars) -> Result<bool, String> {
        if let Some(path) = &self.0.path {
            let Some((first, rest)) = path.split_first() else { return Ok(true) };
            return follow(input.get(first).unwrap_or(&Value::Null), rest).map(truthy);
        }
        let mut holds = false;
        self.interpret(|nodes| convert::record_to_val(input, nodes), vars, &mut |value| {
            holds = truthy(&value);
            ControlFlow::Break(())
        })?;
        Ok(holds)
    }

    fn interpret(
        &self,
        input: impl FnOnce(&mut u64) -> Val + Send,
        vars: &JqVars,
        each: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String> {
        if !self.0.machine.is_deep {
            return self.interpret_here(input, vars, meter::STACK, each);
        }
        // With a stack of its own, from which the results come one by one.
        std::thread::scope(|scope| {
            let (send, results) = std::sync::mpsc::sync_channel(1);
            let run = move || {
                self.interpret_here(input, vars, DEEP_STACK / 4 * 3, &mut |value| match send.send(value) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                })
            };
            let thread = std::thread::Builder::new().stack_size(DEEP_STACK).spawn_scoped(scope, run);
            let thread = thread.map_err(|error| format!("there is no thread to run the program: {error}"))?;
            for value in results {
                if each(value).is_break() {
                    break;
                }
            }
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn interpret_here(
        &self,
        input: impl FnOnce(&mut u64) -> Val,
        vars: &JqVars,
        stack: usize,
        each: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let metered = Metered::start(&vars.cancel, stack);
        let mut nodes = 0;
        let input = input(&mut nodes);
        metered.limit(vars.steps.saturating_add(nodes.saturating_mul(100)));
        let mut results = self.0.machine.results(Data::new(&self.0.machine, vars), input);
        loop {
            let result = results.next();
            // What was refused may have been caught, or have left a part of a value.
            if let Some(refused) = metered.refused() {
                return Err(refused);
            }
            let Some(result) = result else { return Ok(()) };
            let Some(value) = convert::from_val(&result?) else {
                return Err(metered.refused().unwrap_or_default());
            };
            if each(value).is_break() {
                return Ok(());
            }
        }
    }
}

impl std::fmt::Debug for Jq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Jq").field(&self.0.text).finish()
    }
}

fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Follows field names as jq does: null has every field, and all of them are null.
fn follow<'a>(mut value: &'a Value, path: &[String]) -> Result<&'a Value, String> {
    for name in path {
        value = match value {
            Value::Null => return Ok(&Value::Null),
            Value::Object(record) => record.get(name).unwrap_or(&Value::Null),
            other => return Err(format!("cannot index {} with \"{name}\"", convert::excerpt(other))),
        };
    }
    Ok(value)
}
