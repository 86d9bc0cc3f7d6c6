//! Which topics a stage is for, and under which topic a record goes on.

use chrono::{DateTime, Utc};
use pipeline_core::{BuildErrors, ParsedItem, Topic, Value};

/// The `topics` of a stage: all where absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics(Option<Vec<Topic>>);

impl Topics {
    /// # Errors
    /// Where a list names nothing.
    pub(crate) fn new(topics: Option<Vec<Topic>>) -> Result<Self, BuildErrors> {
        match &topics {
            Some(list) if list.is_empty() => Err(BuildErrors::at(
                "topics",
                "an empty list is for no item at all; leave it out for all topics",
            )),
            _ => Ok(Self(topics)),
        }
    }

    /// Whether the stage is for items of this topic.
    pub(crate) fn contain(&self, topic: &Topic) -> bool {
        self.0.as_ref().is_none_or(|topics| topics.contains(topic))
    }
}

/// The `topic` of a stage that makes records.
#[derive(Debug, Clone)]
pub(crate) enum TopicChoice {
    /// All records go under this one.
    Fixed(Topic),
    /// `"*"`: each result is `{topic, content}`.
    Chosen,
}

impl TopicChoice {
    /// # Errors
    /// Where the name is empty.
    pub(crate) fn new(topic: Topic) -> Result<Self, BuildErrors> {
        match topic.as_str() {
            "*" => Ok(Self::Chosen),
            _ => fixed(topic).map(Self::Fixed),
        }
    }

    /// Makes an item of a result.
    ///
    /// # Errors
    /// Says what the result should have been; it is handed back for the message's item.
    pub(crate) fn item(&self, result: Value, now: DateTime<Utc>) -> Result<ParsedItem, (String, Value)> {
        let topic = match self {
            Self::Fixed(topic) => topic.clone(),
            Self::Chosen => return chosen(result, now),
        };
        match result {
            Value::Object(content) => Ok(ParsedItem { topic, content: *content, discovered_at: now }),
            other => {
                let hint = match &other {
                    Value::Array(_) => "; end the program with `.[]` to make an item of each element",
                    Value::Null => "; `empty` or `select(…)` leaves an item out",
                    _ => "",
                };
                let what = other.type_name();
                Err((format!("the result is {} and not an object{hint}", article(what)), other))
            }
        }
    }
}

const ENVELOPE: [&str; 3] = ["topic", "content", "discovered_at"];

fn article(what: &str) -> String {
    match what {
        "null" | "text" => what.to_owned(),
        "integer" | "array" | "object" => format!("an {what}"),
        _ => format!("a {what}"),
    }
}

fn chosen(result: Value, now: DateTime<Utc>) -> Result<ParsedItem, (String, Value)> {
    let wrong = |what: &str, result| {
        Err((format!("with topic \"*\" each result is {{topic, content}}, and {what}"), result))
    };
    let Value::Object(mut record) = result else {
        let what = format!("this one is {}", article(result.type_name()));
        return wrong(&what, result);
    };
    let topic = match record.get("topic") {
        Some(Value::Text(topic)) if !topic.is_empty() => Topic::new(&**topic),
        _ => return wrong("this one has no `topic` that is a name", Value::Object(record)),
    };
    // An envelope that was written to a file says when it was found.
    let discovered_at = match record.get("discovered_at") {
        None => now,
        Some(at) => match at.as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok()) {
            Some(at) => at.to_utc(),
            None => return wrong("the `discovered_at` of this one is no time", Value::Object(record)),
        },
    };
    let surplus =
        record.iter().map(|(name, _)| name).find(|name| !ENVELOPE.contains(name)).map(str::to_owned);
    if let Some(name) = surplus {
        let what = format!("this one has `{name}` too, which belongs into the content");
        return wrong(&what, Value::Object(record));
    }
    match record.get_mut("content").map(std::mem::take) {
        Some(Value::Object(content)) => Ok(ParsedItem { topic, content: *content, discovered_at }),
        other => {
            record.insert("content", other.unwrap_or_default());
            wrong("this one has no `content` that is an object", Value::Object(record))
        }
    }
}

/// A topic that must be a name.
///
/// # Errors
/// Where it is empty.
pub(crate) fn fixed(topic: Topic) -> Result<Topic, BuildErrors> {
    match topic.as_str() {
        "" => Err(BuildErrors::at("topic", "a topic must not be empty")),
        "*" => Err(BuildErrors::at(
            "topic",
            "only the results of a jq program (json.JsonParser, map.Map) can choose their topics with \"*\"",
        )),
        _ => Ok(topic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(topic: &str, json: &str) -> Result<String, String> {
        let value = serde_json::from_str(json).unwrap();
        let item = TopicChoice::new(topic.into()).unwrap().item(value, DateTime::UNIX_EPOCH);
        item.map(|item| serde_json::to_string(&item).unwrap()).map_err(|(message, _)| message)
    }

    #[test]
    fn results_become_items() {
        let cases = [
            ("t", r#"{"a":1}"#, r#"{"topic":"t","content":{"a":1},"discovered_at":"1970-01-01T00:00:00Z"}"#),
            (
                "*",
                r#"{"topic":"x","content":{}}"#,
                r#"{"topic":"x","content":{},"discovered_at":"1970-01-01T00:00:00Z"}"#,
            ),
            (
                "*",
                r#"{"content":{},"topic":"x","discovered_at":"2024-01-01T01:00:00+01:00"}"#,
                r#"{"topic":"x","content":{},"discovered_at":"2024-01-01T00:00:00Z"}"#,
            ),
        ];
        for (topic, json, expected) in cases {
            assert_eq!(item(topic, json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn other_results_are_refused() {
        let cases = [
            ("t", "5", "the result is an integer and not an object"),
            ("t", "[1]", "the result is an array and not an object; end the program with `.[]`"),
            ("t", "null", "the result is null and not an object; `empty`"),
            ("*", r#"{"a":1}"#, "this one has no `topic` that is a name"),
            ("*", r#"{"topic":"","content":{}}"#, "this one has no `topic` that is a name"),
            ("*", r#"{"topic":"x"}"#, "this one has no `content` that is an object"),
            ("*", r#"{"topic":"x","content":[]}"#, "this one has no `content` that is an object"),
            ("*", r#"{"topic":"x","content":{},"b":1}"#, "this one has `b` too"),
            (
                "*",
                r#"{"topic":"x","content":{},"discovered_at":1}"#,
                "`discovered_at` of this one is no time",
            ),
            ("*", "1", "this one is an integer"),
        ];
        for (topic, json, expected) in cases {
            let error = item(topic, json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
        assert!(TopicChoice::new("".into()).is_err());
        assert!(fixed("*".into()).is_err());
        assert!(Topics::new(Some(Vec::new())).is_err());
    }
}
