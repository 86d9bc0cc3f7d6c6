//! The known classes of transforms, by the name that a file uses.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::config::{self, Node, Position};
use crate::context::Services;
use crate::transform::Transform;

/// A class of transforms: its name, what a file may write under `kwargs`, and how to make a stage of that.
///
/// The doc comments of [`Definition::Kwargs`] and its fields are the reference documentation.
/// A field whose value must never be shown carries `#[schemars(extend("x-secret" = true))]`; a map in which
/// only the values are secret whose names say so (a token, a key), `"x-secret" = "by-name"`.
pub trait Definition: 'static {
    /// The name: `module.Type`.
    const CLASS: &'static str;

    /// Further names for the same class.
    const ALIASES: &'static [&'static str] = &[];

    /// What it does, in one sentence.
    const SUMMARY: &'static str;

    /// A stage in a file, as YAML: `class` and `kwargs`. A test builds it.
    const EXAMPLE: &'static str;

    /// What stands under `kwargs`. Unknown keys must be denied.
    type Kwargs: DeserializeOwned + JsonSchema;

    /// Makes a stage. Called when the file is checked and again for each run: programs, selectors and
    /// patterns are compiled here, and nothing outside is touched.
    ///
    /// # Errors
    /// All that is wrong with the values, with their paths within `kwargs`.
    fn build(kwargs: Self::Kwargs, ctx: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors>;

    /// What is legal but suspect in `kwargs`; shown as warnings when a file is checked.
    fn suspect(kwargs: &Self::Kwargs) -> Vec<KwargsProblem> {
        let _ = kwargs;
        Vec::new()
    }
}

/// Where a stage is made.
#[derive(Debug, Clone, Default)]
pub struct BuildContext {
    /// The pipeline.
    pub pipeline: String,
    /// The number of the stage in its chain, from 1.
    pub stage: usize,
    /// Services of the composing program.
    pub services: Services,
}

/// Something wrong with one of the values under `kwargs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KwargsProblem {
    /// The path within `kwargs`: `fields.price.regex`, `urls[2]`; empty for the whole.
    pub path: String,
    /// What is wrong, as a fragment that names the value.
    pub message: String,
    /// Where it stands in the file, where that is known already.
    pub at: Option<Position>,
}

impl KwargsProblem {
    /// A problem with the value at this path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), at: None }
    }
}

/// All that is wrong with a stage's `kwargs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildErrors(pub Vec<KwargsProblem>);

impl BuildErrors {
    /// One problem.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![KwargsProblem::new(path, message)])
    }

    /// Adds a problem.
    pub fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(KwargsProblem::new(path, message));
    }

    /// Adds the problems of an `Err`, and hands on the value of an `Ok`.
    pub fn collect<T>(&mut self, result: Result<T, BuildErrors>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(errors) => {
                self.0.extend(errors.0);
                None
            }
        }
    }

    /// Gives each problem whose place is not known yet the place of its path.
    #[must_use]
    pub fn located_in(mut self, node: &Node) -> Self {
        for problem in &mut self.0 {
            problem.at.get_or_insert_with(|| node.locate(&problem.path));
        }
        self
    }

    /// `Err` where there is a problem.
    ///
    /// # Errors
    /// Itself, unless empty.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let colon = if problem.path.is_empty() { "" } else { ": " };
            write!(f, "{separator}{}{colon}{}", problem.path, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildErrors {}

type Build = fn(&Node, &BuildContext) -> Result<Box<dyn Transform>, BuildErrors>;

/// A registered class.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name.
    pub class: &'static str,
    /// Further names.
    pub aliases: &'static [&'static str],
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// A stage in a file, as YAML.
    pub example: &'static str,
    /// The JSON Schema of `kwargs`.
    pub schema: fn() -> Schema,
    /// The same schema as a part of a larger one.
    pub subschema: fn(&mut SchemaGenerator) -> Schema,
    build: Build,
    suspect: fn(&Node) -> Vec<KwargsProblem>,
}

impl Entry {
    fn of<D: Definition>() -> Self {
        Self {
            class: D::CLASS,
            aliases: D::ALIASES,
            summary: D::SUMMARY,
            example: D::EXAMPLE,
            schema: || schemars::schema_for!(D::Kwargs),
            subschema: |generator| generator.subschema_for::<D::Kwargs>(),
            build: |kwargs, ctx| {
                let (known, mut errors) = config::decode_known(kwargs);
                match known {
                    Some(known) => match (D::build(known, ctx), errors.0.is_empty()) {
                        (Ok(transform), true) => Ok(transform),
                        (Ok(_), false) => Err(errors),
                        (Err(more), _) => {
                            errors.0.extend(more.0);
                            Err(errors)
                        }
                    },
                    None => Err(errors),
                }
            },
            suspect: |kwargs| config::decode(kwargs).map(|kwargs| D::suspect(&kwargs)).unwrap_or_default(),
        }
    }

    /// Makes a stage from what stands under `kwargs` in a file: a map.
    ///
    /// # Errors
    /// All that is wrong with the values, each with its place.
    pub fn build_node(&self, kwargs: &Node, ctx: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        (self.build)(kwargs, ctx).map_err(|errors| errors.located_in(kwargs))
    }

    /// Makes a stage from JSON; `null` is `{}`.
    ///
    /// # Errors
    /// All that is wrong with the values.
    pub fn build(
        &self,
        kwargs: serde_json::Value,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Transform>, BuildErrors> {
        self.build_node(&Node::from_json(&kwargs).or_empty_map(), ctx)
    }

    /// What is legal but suspect in `kwargs`, each with its place.
    pub fn suspect(&self, kwargs: &Node) -> Vec<KwargsProblem> {
        BuildErrors((self.suspect)(kwargs)).located_in(kwargs).0
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("class", &self.class).finish_non_exhaustive()
    }
}

/// The known classes.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
    aliases: BTreeMap<&'static str, &'static str>,
}

impl Registry {
    /// A registry without classes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a class under its name and aliases; a class of the same name is replaced.
    pub fn register<D: Definition>(&mut self) -> &mut Self {
        let entry = Entry::of::<D>();
        self.entries.insert(entry.class, entry);
        self.aliases.extend(entry.aliases.iter().map(|alias| (*alias, entry.class)));
        self
    }

    /// The class of this name or alias.
    pub fn get(&self, class: &str) -> Option<&Entry> {
        self.entries.get(class).or_else(|| self.entries.get(self.aliases.get(class)?))
    }

    /// All classes, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The known name that looks most like this one, where one does.
    pub fn suggest(&self, class: &str) -> Option<&'static str> {
        crate::suggest::nearest(class, self.entries.keys().chain(self.aliases.keys()).copied())
    }
}
