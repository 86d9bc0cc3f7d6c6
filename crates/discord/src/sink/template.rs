//! The author's own text over an item.

use chrono::{DateTime, SecondsFormat, Utc};
use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use pipeline_core::{ParsedItem, Record, RunContext, Value};

const NAME: &str = "template";

/// A compiled template. What an item does not have is an error, never an empty text.
#[derive(Debug, Clone)]
pub(crate) struct Template(Environment<'static>);

impl Template {
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_formatter(write_value);
        let wrong = |error: Error| format!("`{source}` is not a template: {}", explain(&error));
        environment.add_template_owned(NAME, source.to_owned()).map_err(wrong)?;
        // Names of filters are only looked up when a template is filled in: that is done once without an item.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let tried = environment.get_template(NAME).and_then(|template| template.render(Jinja::from(())));
        if let Err(error) = tried
            && matches!(
                error.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            )
        {
            return Err(wrong(error));
        }
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Ok(Self(environment))
    }

    /// # Errors
    /// Says what the item lacks, or what cannot be computed.
    pub(crate) fn render(&self, item: &ParsedItem, run: &RunContext) -> Result<String, String> {
        let at = |time: DateTime<Utc>| Jinja::from(time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        let started_at = run.started_at();
        let scope = Jinja::from_pairs([
            ("topic", Jinja::from(item.topic.as_str())),
            ("content", record(&item.content)),
            ("discovered_at", at(item.discovered_at)),
            (
                "run",
                Jinja::from_pairs([
                    ("pipeline", Jinja::from(run.pipeline())),
                    ("started_at", at(started_at)),
                    ("date", Jinja::from(started_at.format("%Y-%m-%d").to_string())),
                    ("scheduled_for", at(run.identity().scheduled_for)),
                ]),
            ),
        ]);
        let template = self.0.get_template(NAME).map_err(|error| explain(&error))?;
        template.render(scope).map_err(|error| match error.kind() {
            ErrorKind::UndefinedError => "the item lacks what it names".to_owned(),
            _ => explain(&error),
        })
    }
}

fn explain(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn record(record: &Record) -> Jinja {
    Jinja::from_pairs(record.iter().map(|(name, value)| (name, jinja(value))))
}

fn jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(yes) => Jinja::from(*yes),
        Value::Int(number) => Jinja::from(*number),
        Value::Float(number) => Jinja::from(*number),
        Value::BigNumber(digits) => Jinja::from(&**digits),
        Value::Text(text) => Jinja::from(text.as_str()),
        Value::Array(values) => values.iter().map(jinja).collect(),
        Value::Object(inner) => record(inner),
    }
}

/// Writes a value so that it cannot end a code block of the author's.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = value.to_string();
    out.write_str(&text.replace("``", "`\u{200b}`")).map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use pipeline_core::{RunIdentity, RunOptions};

    use super::*;

    #[test]
    fn a_template_sees_the_item() {
        let identity = RunIdentity {
            run_id: "r".into(),
            pipeline: "books".into(),
            job_id: "j".into(),
            scheduled_for: DateTime::UNIX_EPOCH,
            attempt: 1,
        };
        let run = RunContext::new(RunOptions::new(identity));
        let mut content: Record = [("price", 12)].into_iter().collect();
        content.insert("name", Value::from("a```b"));
        let item = ParsedItem { topic: "shop.book".into(), content, discovered_at: DateTime::UNIX_EPOCH };
        let table = [
            ("{{ topic }}: {{ content.price }} €", Ok("shop.book: 12 €")),
            ("{{ run.pipeline }} {{ run.scheduled_for }}", Ok("books 1970-01-01T00:00:00Z")),
            ("{% if content.price > 10 %}dear{% endif %}", Ok("dear")),
            ("```{{ content.name }}```", Ok("```a`\u{200b}``b```")),
            ("{{ content.nothing }}", Err("lacks")),
            ("{{ content.nothing | default('-') }}", Ok("-")),
        ];
        for (source, expected) in table {
            let got = Template::compile(source).unwrap().render(&item, &run);
            match expected {
                Ok(text) => assert_eq!(got.unwrap(), text, "{source}"),
                Err(part) => assert!(got.unwrap_err().contains(part), "{source}"),
            }
        }
        assert!(Template::compile("{{ topic").is_err());
        assert!(Template::compile("{{ topic | shout }}").unwrap_err().contains("shout"));
    }
}
