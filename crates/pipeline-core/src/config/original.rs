//! Classes that are not known: a slip of the pen, or a Python plugin of the original system.

use crate::registry::Registry;

/// Classes to name instead of a plugin, by the end of its name; the first are the most likely.
const INSTEAD: [(&str, &[&str]); 7] = [
    ("DiffParser", &["diff.DiffParser"]),
    ("DiscordSink", &["core.infra.discord_sink.DiscordSink"]),
    ("DatabaseSink", &["sql.DatabaseSink"]),
    ("Fetcher", &["http.HttpFetcher", "file.FileFetcher", "exec.CommandFetcher"]),
    (
        "Parser",
        &[
            "html.HtmlParser",
            "json.JsonParser",
            "csv.CsvParser",
            "spreadsheet.SpreadsheetParser",
            "exec.CommandTransform",
        ],
    ),
    ("Sink", &["sql.DatabaseSink", "file.JsonlSink", "exec.CommandTransform"]),
    ("", &["map.Map", "filter.Filter", "exec.CommandTransform"]),
];

/// The message for a class that is not known.
pub(super) fn unknown_class(class: &str, registry: &Registry) -> String {
    let near = registry.suggest(class);
    let known_module = registry.entries().any(|entry| module(entry.class) == module(class));
    let is_slip = |near: &str| strsim::jaro_winkler(class, near) >= 0.9;
    if let Some(near) = near
        && (known_module || module(class).is_empty() || is_slip(near))
    {
        return format!("unknown class `{class}`, did you mean `{near}`?");
    }
    let last = class.rsplit('.').next().unwrap_or_default();
    let instead: Vec<String> = INSTEAD
        .iter()
        .find(|(end, _)| last.ends_with(end))
        .into_iter()
        .flat_map(|(_, classes)| *classes)
        .filter(|class| registry.get(class).is_some())
        .map(|class| format!("`{class}`"))
        .collect();
    if module(class).is_empty() || instead.is_empty() {
        return format!("unknown class `{class}`");
    }
    format!("unknown class `{class}`: Python plugins are not loaded; use {} instead", instead.join(" or "))
}

/// What stands before the last dot.
fn module(class: &str) -> &str {
    class.rsplit_once('.').map_or("", |(module, _)| module)
}
