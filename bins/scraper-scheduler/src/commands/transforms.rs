//! `transforms [CLASS]`

use app::Setup;
use app::reference::{Key, keys};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{self, Table};

/// Columns of a line of explanation.
const WIDTH: usize = 90;

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The class to explain
    #[arg(value_name = "CLASS")]
    class: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, setup: &Setup) -> Result<(), Failure> {
    match &args.class {
        None => list(args.json, setup),
        Some(class) => explain(class, args.json, setup),
    }
}

fn list(json: bool, setup: &Setup) -> Result<(), Failure> {
    if json {
        let entry = |entry: &pipeline_core::Entry| serde_json::json!({ "class": entry.class, "aliases": entry.aliases, "summary": entry.summary });
        return output::json(&setup.registry.entries().map(entry).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["CLASS", "WHAT IT DOES"]);
    for entry in setup.registry.entries() {
        table.row([entry.class.to_owned(), entry.summary.to_owned()]);
    }
    output::line(table.render())
}

fn explain(class: &str, json: bool, setup: &Setup) -> Result<(), Failure> {
    let Some(entry) = setup.registry.get(class) else {
        let near = setup.registry.suggest(class);
        let near = near.map(|name| format!(": did you mean '{name}'?")).unwrap_or_default();
        return Err(Failure::usage(format!("there is no class '{class}'{near}")));
    };
    let schema = Value::from((entry.schema)());
    if json {
        return output::json(&serde_json::json!({
            "class": entry.class,
            "aliases": entry.aliases,
            "summary": entry.summary,
            "example": entry.example,
            "kwargs": schema,
        }));
    }
    output::line(format!("{}: {}", entry.class, entry.summary))?;
    if !entry.aliases.is_empty() {
        output::line(format!("Also: {}", entry.aliases.join(", ")))?;
    }
    let maps = keys(&schema, &schema);
    if maps.iter().all(|map| map.keys.is_empty()) {
        output::line("\nIt takes no kwargs.")?;
    }
    for map in maps.iter().filter(|map| !map.keys.is_empty()) {
        match (map.path.as_str(), map.about.as_deref()) {
            ("", _) => output::line("\nkwargs:")?,
            (path, None) => output::line(format!("\n{path}:"))?,
            (path, Some(about)) => output::line(format!("\n{path}: {about}"))?,
        }
        map.keys.iter().try_for_each(|key| output::line(described(key)))?;
    }
    output::line(format!("\nExample:\n{}", indent(entry.example.trim_matches('\n'))))
}

/// A key as two lines or more: what it is, and what it means.
fn described(key: &Key) -> String {
    let kind = match (&key.default, key.required) {
        (_, true) => format!("{}, required", key.kind),
        (Some(default), false) => format!("{}, default {default}", key.kind),
        (None, false) => key.kind.clone(),
    };
    format!("  {} ({kind}){}", key.name, wrapped(&key.meaning))
}

/// The words in lines of a readable length, each on a line of its own below.
fn wrapped(text: &str) -> String {
    let (mut lines, mut length) = (String::new(), WIDTH);
    for word in text.split_whitespace() {
        let wide = word.chars().count();
        let glue = if length + wide < WIDTH { " " } else { "\n      " };
        length = if glue == " " { length + 1 + wide } else { wide };
        lines.push_str(glue);
        lines.push_str(word);
    }
    lines
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_described_in_lines() {
        let key = |default: Option<&str>, required, meaning: &str| Key {
            name: "rows".into(),
            kind: "text".into(),
            required,
            default: default.map(str::to_owned),
            meaning: meaning.into(),
        };
        assert_eq!(described(&key(None, true, "Where.")), "  rows (text, required)\n      Where.");
        assert_eq!(described(&key(Some("a"), false, "")), "  rows (text, default a)");
        let long = described(&key(None, false, &"word ".repeat(40)));
        assert_eq!(long.lines().count(), 4, "{long}");
        assert!(long.lines().all(|line| line.len() <= WIDTH + 6), "{long}");
    }
}
