//! `diff.DiffParser`: what has changed since the last run that succeeded.

mod baseline;
mod compare;
mod key;
mod kwargs;
mod scratch;
mod stage;

#[cfg(test)]
mod tests;

use pipeline_core::{BuildContext, BuildErrors, Definition, KwargsProblem, Registry, Transform};

pub(crate) use key::put_key;
pub use kwargs::{BaselineKwargs, DiffParserKwargs, MaxRemoved};
pub(crate) use scratch::Scratch;

/// The class `diff.DiffParser`.
#[derive(Debug)]
pub struct DiffParser;

impl Definition for DiffParser {
    const CLASS: &'static str = "diff.DiffParser";
    const SUMMARY: &'static str =
        "Compares items with those of the last successful run and tells what is new, changed or removed.";
    const EXAMPLE: &'static str = "class: diff.DiffParser
kwargs:
  key: [title]
  compare: [price, in_stock]
  tolerance: {price: 0.001}
  max_removed: 20%
";
    type Kwargs = DiffParserKwargs;

    fn build(kwargs: DiffParserKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        Ok(Box::new(stage::Diff::new(kwargs.check()?)))
    }

    fn suspect(kwargs: &DiffParserKwargs) -> Vec<KwargsProblem> {
        match kwargs.max_removed {
            MaxRemoved::Percent(percent) if percent >= 100.0 && kwargs.removals => {
                let message =
                    "nothing guards against a source that came empty: all rows may be removed at once";
                vec![KwargsProblem::new("max_removed", message)]
            }
            _ => Vec::new(),
        }
    }
}

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<DiffParser>();
}
