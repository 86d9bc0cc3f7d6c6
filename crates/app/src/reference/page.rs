//! docs/reference.md.

use pipeline_core::{Entry, Registry};
use serde_json::Value;

use super::keys::{Key, Keys, keys};

/// What a class is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fetcher,
    Parser,
    Between,
    Sink,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Fetcher, Self::Parser, Self::Between, Self::Sink];

    /// The kind that a class has by its name. Diffs are called parsers for the sake of old files.
    fn of(class: &str) -> Self {
        match class {
            class if class.ends_with("Fetcher") => Self::Fetcher,
            "diff.DiffParser" => Self::Between,
            class if class.ends_with("Parser") => Self::Parser,
            class if class.ends_with("Sink") => Self::Sink,
            _ => Self::Between,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Fetcher => "Fetchers",
            Self::Parser => "Parsers",
            Self::Between => "Stages between",
            Self::Sink => "Sinks",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Fetcher => {
                "A chain begins with one. It runs when its first input arrives, and gives payloads or items."
            }
            Self::Parser => "They make items of payloads, and pass items that are there already.",
            Self::Between => "They change, compare, check or drop items.",
            Self::Sink => "They write items and pass them on, so that several can follow each other.",
        }
    }
}

/// The reference as a page of Markdown: the keys of the file, and every class with its `kwargs` and an example.
pub fn markdown(registry: &Registry) -> String {
    let mut page = String::new();
    paragraph(&mut page, "# Reference");
    paragraph(
        &mut page,
        "<!-- Made from the program: UPDATE_DOCS=1 cargo test -p workspace-tests --test reference -->",
    );
    paragraph(
        &mut page,
        "Everything that may stand in a file of pipelines. `scraper-scheduler transforms CLASS` shows the same of one \
         class, and `scraper-scheduler schema` gives it to editors. What has no default and is not required may be left \
         out. A *duration* is `500ms`, `30s`, `1h30m`, `2d`, or a number of seconds; a *topic* is a name such as \
         `shop.book`.",
    );
    contents(&mut page, registry);
    file(&mut page, registry);
    for kind in Kind::ALL {
        let classes = of_kind(registry, kind);
        if !classes.is_empty() {
            paragraph(&mut page, &format!("## {}", kind.title()));
            paragraph(&mut page, kind.about());
            classes.iter().for_each(|entry| class(&mut page, entry));
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn of_kind(registry: &Registry, kind: Kind) -> Vec<&Entry> {
    registry.entries().filter(|entry| Kind::of(entry.class) == kind).collect()
}

fn paragraph(page: &mut String, text: &str) {
    page.push_str(text);
    page.push_str("\n\n");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn contents(page: &mut String, registry: &Registry) {
    page.push_str("| | |\n|---|---|\n| [The file](#the-file) | pipelines, defaults, schedules, stages |\n");
    for kind in Kind::ALL {
        let classes = of_kind(registry, kind);
        for (at, entry) in classes.iter().enumerate() {
            if at == 0 {
                let title = kind.title();
                line(page, &format!("| **[{title}](#{})** | |", anchor(title)));
            }
            line(
                page,
                &format!("| [`{}`](#{}) | {} |", entry.class, anchor(entry.class), cell(entry.summary)),
            );
        }
    }
    page.push('\n');
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

/// The keys of the file around the stages.
fn file(page: &mut String, registry: &Registry) {
    let schema = crate::schema(registry);
    paragraph(page, "## The file");
    paragraph(
        page,
        "`pipelines` is a map of pipelines by name, or a list of pipelines with a `name`. `defaults` may hold what a \
         pipeline may, from `overlap` on, and `timezone`, `misfire`, `jitter` and `dst` for all schedules; a pipeline's \
         own keys win. Keys that begin with `x-` are free, for YAML anchors, and `extra` is ignored. `${NAME}` and \
         `${NAME:-default}` in a text stand for variables; `$${` is a plain `${`.",
    );
    let null = Value::Null;
    for keys in keys(&schema, schema.pointer("/$defs/pipeline").unwrap_or(&null)) {
        let title = match keys.path.as_str() {
            "" => "A pipeline".to_owned(),
            "chain[]" => "A stage of `chain`".to_owned(),
            path => format!("`{path}`"),
        };
        heading(page, &title, &keys);
        table(page, "key", &keys.keys);
    }
}

fn heading(page: &mut String, title: &str, keys: &Keys) {
    match keys.about.as_deref().map(|about| about.trim_end_matches('.')) {
        Some(about) => paragraph(page, &format!("{title}: {}.", lower(about))),
        None => paragraph(page, &format!("{title}:")),
    }
}

/// The text with a small first letter, unless that begins a name.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), letters.as_str())
        }
        _ => text.to_owned(),
    }
}

fn class(page: &mut String, entry: &Entry) {
    let schema = Value::from((entry.schema)());
    paragraph(page, &format!("### {}", entry.class));
    paragraph(page, about(entry, &schema));
    if !entry.aliases.is_empty() {
        let names: Vec<String> = entry.aliases.iter().map(|name| format!("`{name}`")).collect();
        paragraph(page, &format!("Also called {}.", names.join(", ")));
    }
    let mut maps = keys(&schema, &schema).into_iter();
    let own = maps.next();
    paragraph(page, &format!("```yaml\n{}\n```", entry.example.trim()));
    match own {
        Some(own) if !own.keys.is_empty() => table(page, "kwarg", &own.keys),
        _ => paragraph(page, "It takes no kwargs."),
    }
    for keys in maps {
        heading(page, &format!("`{}`", keys.path), &keys);
        table(page, "key", &keys.keys);
    }
}

/// What the type of the kwargs says at length, where it says more than whose they are; else the summary.
fn about<'a>(entry: &Entry, schema: &'a Value) -> &'a str {
    let long = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    if long.is_empty() || long.starts_with("What `") { entry.summary } else { long }
}

fn table(page: &mut String, title: &str, keys: &[Key]) {
    line(page, &format!("| {title} | type | default | meaning |\n|---|---|---|---|"));
    for key in keys {
        let default = match (&key.default, key.required) {
            (_, true) => "**required**".to_owned(),
            (Some(default), false) => format!("`{default}`"),
            (None, false) => String::new(),
        };
        let cells = [format!("`{}`", key.name), cell(&key.kind), cell(&default), cell(&key.meaning)];
        line(page, &format!("| {} |", cells.join(" | ")));
    }
    page.push('\n');
}

/// A text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_those_of_headings() {
        for (heading, expected) in [
            ("core.infra.discord_sink.DiscordSink", "coreinfradiscord_sinkdiscordsink"),
            ("Stages between", "stages-between"),
            ("`html.HtmlParser`", "htmlhtmlparser"),
        ] {
            assert_eq!(anchor(heading), expected);
        }
    }

    #[test]
    fn cells_stay_cells() {
        assert_eq!(cell("`[sh, -c, \"a | b\"]`\nruns"), "`[sh, -c, \"a \\| b\"]` runs");
    }
}
