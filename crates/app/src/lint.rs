//! What is legal in a chain of built-ins but suspect: stages that nothing reaches, topics that nobody yields.
//!
//! Whatever is not known for sure is not warned about: a class of an embedder may be and yield anything.

use std::collections::BTreeSet;

use pipeline_core::config::{Node, Pipeline, PipelinesFile, Position, Problem, StageSpec};

/// Appends warnings to those of the file.
pub(crate) fn add_warnings(file: &mut PipelinesFile) {
    let found: Vec<Problem> = file.pipelines.iter().flat_map(pipeline).collect();
    file.warnings.extend(found);
    file.warnings.sort_by_key(|warning| warning.at);
}

fn pipeline(pipeline: &Pipeline) -> Vec<Problem> {
    let warning = |stage: &StageSpec, path: &str, at: Position, message: String| Problem {
        file: pipeline.file.to_string(),
        at: Some(at),
        path: format!("{}{path}", stage.path),
        message,
    };
    let mut warnings = Vec::new();
    if let Some(first) = pipeline.chain.first()
        && needs_items(&first.class)
    {
        let message = format!("nothing reaches `{}`: a chain begins with a fetcher", first.class);
        warnings.push(warning(first, ".class", first.at, message));
    }
    let mut topics = Topics::default();
    for stage in &pipeline.chain {
        for (topic, at) in asked_for(stage) {
            if let Some(hint) = topics.lack(&topic) {
                let message = format!("no earlier stage yields the topic `{topic}`{hint}");
                warnings.push(warning(stage, ".kwargs", at, message));
            }
        }
        topics.pass(stage);
    }
    warnings
}

/// Whether a built-in does nothing without items before it.
fn needs_items(class: &str) -> bool {
    const MODULES: [&str; 18] = [
        "html",
        "json",
        "csv",
        "spreadsheet",
        "feed",
        "xml",
        "text",
        "map",
        "filter",
        "dedupe",
        "diff",
        "validate",
        "expect",
        "limit",
        "console",
        "discord",
        "core",
        "sql",
    ];
    let module = class.split('.').next().unwrap_or_default();
    let is_sink = class.ends_with("Sink") && ["file", "http"].contains(&module);
    (MODULES.contains(&module) && !class.ends_with("Fetcher")) || is_sink
}

/// The topics that a stage is there for, with their places.
fn asked_for(stage: &StageSpec) -> Vec<(String, Position)> {
    let texts = |node: Option<&Node>| -> Vec<(String, Position)> {
        let elements = node.into_iter().flat_map(Node::elements);
        elements.filter_map(|element| Some((element.as_text()?.to_owned(), element.at))).collect()
    };
    match stage.class.as_str() {
        "expect.ExpectItems" => {
            let topic = stage.kwargs.get("topic");
            topic.and_then(|topic| Some((topic.as_text()?.to_owned(), topic.at))).into_iter().collect()
        }
        "sql.DatabaseSink" => {
            let tables = stage.kwargs.get("tables").map(Node::entries).unwrap_or_default();
            tables.iter().map(|entry| (entry.key.clone(), entry.key_at)).collect()
        }
        "http.HttpFetcher" => texts(stage.kwargs.get("for_each")),
        class if needs_items(class) => texts(stage.kwargs.get("topics")),
        _ => Vec::new(),
    }
}

/// The topics of the items that may pass a place of a chain.
#[derive(Default)]
struct Topics {
    names: BTreeSet<String>,
    /// Whether there may be any others.
    open: bool,
}

impl Topics {
    /// Where no item has this topic: a hint at the one that was meant, or nothing.
    fn lack(&self, topic: &str) -> Option<String> {
        if self.open || self.names.contains(topic) {
            return None;
        }
        let near = pipeline_core::suggest::nearest(topic, self.names.iter().map(String::as_str));
        Some(near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())
    }

    /// Goes behind a stage.
    fn pass(&mut self, stage: &StageSpec) {
        match stage.class.as_str() {
            "file.FileFetcher"
            | "http.HttpFetcher"
            | "filter.Filter"
            | "dedupe.Dedupe"
            | "validate.SchemaValidator"
            | "expect.ExpectItems"
            | "limit.Limit" => {}
            "diff.DiffParser" => {
                let diffs: Vec<String> = self.names.iter().map(|topic| format!("{topic}.diff")).collect();
                self.names.extend(diffs);
            }
            class if class.ends_with("Sink") && needs_items(class) => {}
            class if needs_items(class) || class == "items.ItemsFetcher" || class == "sql.QueryFetcher" => {
                match stage.kwargs.get("topic").map(|topic| topic.as_text()) {
                    Some(Some("*") | None) => self.open = true,
                    Some(Some(topic)) => drop(self.names.insert(topic.to_owned())),
                    None => {}
                }
            }
            _ => self.open = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::setup::Setup;

    fn check(chain: &str, expected: &[&str]) {
        let text = format!("pipelines:\n  a:\n    chain:\n{chain}");
        let setup = Setup::with(Environment::default());
        let mut file =
            pipeline_core::config::Loader::new(&setup.registry).parse("p.yml", text.as_bytes()).unwrap();
        add_warnings(&mut file);
        let found: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn stages_that_nothing_reaches() {
        check(
            "      - {class: console.ConsoleSink}\n",
            &[
                "p.yml:4:9: pipelines.a.chain[0].class: nothing reaches `console.ConsoleSink`: a chain begins with a fetcher",
            ],
        );
        check("      - {class: exec.CommandTransform, kwargs: {command: [cat]}}\n", &[]);
    }

    #[test]
    fn topics_that_nobody_yields() {
        let items = "      - {class: items.ItemsFetcher, kwargs: {topic: shop.book, items: [{a: 1}]}}\n";
        let diff = "      - {class: diff.DiffParser, kwargs: {key: [a]}}\n";
        let console =
            |topic: &str| format!("      - {{class: console.ConsoleSink, kwargs: {{topics: [{topic}]}}}}\n");
        check(&format!("{items}{}", console("shop.book")), &[]);
        check(&format!("{items}{diff}{}", console("shop.book.diff")), &[]);
        check(
            &format!("{items}{}", console("shop.bok")),
            &[
                "p.yml:5:56: pipelines.a.chain[1].kwargs: no earlier stage yields the topic `shop.bok`, did you mean `shop.book`?",
            ],
        );
        let command = "      - {class: exec.CommandTransform, kwargs: {command: [cat]}}\n";
        check(&format!("{items}{command}{}", console("anything")), &[]);
        let tables =
            "      - {class: sql.DatabaseSink, kwargs: {db_path: x.db, tables: {other: {key: [a]}}}}\n";
        check(
            &format!("{items}{tables}"),
            &["p.yml:5:68: pipelines.a.chain[1].kwargs: no earlier stage yields the topic `other`"],
        );
    }
}
