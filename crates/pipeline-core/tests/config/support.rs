//! Classes with kwargs of every kind, and short ways to read a text with them.

#![expect(dead_code, reason = "some kwargs are only read from files")]

use std::collections::BTreeMap;

use pipeline_core::config::{ConfigError, Loader, PipelinesFile, ScheduleBlock, ScheduleCheck};
use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, HumanDuration, Item, KwargsProblem, Redactor,
    Registry, Sink, StageContext, StageError, Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Fetches nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FetchKwargs {
    /// Where.
    pub(crate) url: String,
    /// How many.
    #[serde(default)]
    pub(crate) max_pages: Option<u16>,
    /// How long.
    #[serde(default)]
    pub(crate) timeout: Option<HumanDuration>,
    /// Whether.
    #[serde(default)]
    pub(crate) robots: bool,
    /// Which.
    #[serde(default)]
    #[schemars(extend("x-secret" = "by-name"))]
    pub(crate) headers: BTreeMap<String, String>,
    /// Who.
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    /// What.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, Field>,
    /// How much.
    #[serde(default)]
    pub(crate) ratio: Option<f64>,
    /// Anything.
    #[serde(default)]
    pub(crate) json: Option<serde_json::Value>,
    /// One way or the other.
    #[serde(default)]
    pub(crate) format: Format,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Raw,
    Lines,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    Basic {
        username: String,
        #[schemars(extend("x-secret" = true))]
        password: String,
    },
    Bearer(#[schemars(extend("x-secret" = true))] String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    pub(crate) select: String,
    #[serde(default)]
    pub(crate) regex: Option<String>,
}

struct Nothing;

impl Fetcher for Nothing {
    async fn fetch(&mut self, _: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
        Ok(())
    }
}

impl Sink for Nothing {
    async fn handle(&mut self, _: &Item, _: &StageContext) -> Result<(), StageError> {
        Ok(())
    }
}

pub(crate) struct HttpFetcher;

impl Definition for HttpFetcher {
    const CLASS: &'static str = "http.HttpFetcher";
    const SUMMARY: &'static str = "Fetches nothing";
    const EXAMPLE: &'static str = "class: http.HttpFetcher\nkwargs: {url: \"http://localhost/\"}";
    type Kwargs = FetchKwargs;

    fn build(kwargs: FetchKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        if !kwargs.url.starts_with("http") {
            errors.push("url", format!("`{}` is no web address", kwargs.url));
        }
        for (name, field) in &kwargs.fields {
            if field.regex.as_deref() == Some("(") {
                errors.push(format!("fields.{name}.regex"), "`(` is not closed");
            }
        }
        errors.into_result()?;
        Ok(pipeline_core::fetcher(Nothing))
    }

    fn suspect(kwargs: &FetchKwargs) -> Vec<KwargsProblem> {
        match kwargs.max_pages {
            Some(0) => vec![KwargsProblem::new("max_pages", "no page is fetched at all")],
            _ => Vec::new(),
        }
    }
}

/// Writes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkKwargs {}

pub(crate) struct ConsoleSink;

impl Definition for ConsoleSink {
    const CLASS: &'static str = "console.ConsoleSink";
    const ALIASES: &'static [&'static str] = &["print.PrintSink"];
    const SUMMARY: &'static str = "Writes nothing";
    const EXAMPLE: &'static str = "class: console.ConsoleSink";
    type Kwargs = SinkKwargs;

    fn build(_: SinkKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        Ok(pipeline_core::sink(Nothing))
    }
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.register::<HttpFetcher>().register::<ConsoleSink>();
    registry
}

/// Knows two zones and five-field texts.
pub(crate) struct Schedules;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    #[serde(default)]
    cron: Option<String>,
    #[serde(default)]
    timezone: Option<String>,
    #[serde(default)]
    misfire: Option<BTreeMap<String, serde_json::Value>>,
}

impl ScheduleCheck for Schedules {
    fn check(&self, block: &ScheduleBlock) -> Result<(), BuildErrors> {
        let (schedule, mut errors) = pipeline_core::config::decode_known::<Schedule>(&block.0);
        let Some(schedule) = schedule else { return Err(errors) };
        match &schedule.cron {
            None => errors.push("", "`cron` is missing"),
            Some(cron) if cron.split_whitespace().count() != 5 => {
                errors.push("cron", format!("`{cron}` has not 5 fields"))
            }
            Some(_) => {}
        }
        errors.collect(zone(schedule.timezone.as_deref()));
        errors.into_result()
    }

    fn check_defaults(&self, defaults: &ScheduleBlock) -> Result<(), BuildErrors> {
        zone(defaults.decode::<Schedule>()?.timezone.as_deref())
    }
}

fn zone(zone: Option<&str>) -> Result<(), BuildErrors> {
    match zone {
        None | Some("UTC" | "Europe/Stockholm") => Ok(()),
        Some(other) => Err(BuildErrors::at("timezone", format!("`{other}` is no time zone"))),
    }
}

pub(crate) fn read_with(text: &str, redactor: &Redactor) -> Result<PipelinesFile, ConfigError> {
    let variables = |name: &str| match name {
        "HOST" => Some("http://shop.example".to_owned()),
        "PAGES" => Some("12".to_owned()),
        "YES" => Some("yes".to_owned()),
        "SECONDS" => Some("90".to_owned()),
        "RATIO" => Some("0.25".to_owned()),
        "EMPTY" => Some(String::new()),
        "API_KEY" => Some("k3y-of-gold".to_owned()),
        _ => None,
    };
    let registry = registry();
    Loader::new(&registry)
        .variables(&variables)
        .schedules(&Schedules)
        .redactor(redactor.clone())
        .parse("p.yml", text.as_bytes())
}

pub(crate) fn read(text: &str) -> Result<PipelinesFile, ConfigError> {
    read_with(text, &Redactor::new())
}

/// A file with one pipeline `a`, whose only stage has these `kwargs` (in flow style).
pub(crate) fn with_kwargs(kwargs: &str) -> String {
    format!("pipelines:\n  a:\n    chain:\n      - class: http.HttpFetcher\n        kwargs: {kwargs}\n")
}

/// A file with one pipeline `a` with these keys (one line each), and a chain.
pub(crate) fn with_keys(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("pipelines:\n  a:\n{keys}    chain: [{{class: console.ConsoleSink}}]\n")
}
