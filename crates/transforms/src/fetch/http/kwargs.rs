//! What `http.HttpFetcher` takes.

use std::collections::BTreeMap;
use std::fmt;

use pipeline_core::{HumanDuration, Record, Topic, Value};
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::links::LinkKwargs;
use super::paginate::PaginateKwargs;
use crate::http::{ByteSize, Rate};

/// What `http.HttpFetcher` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpFetcherKwargs {
    /// The page, or the first page of a list. With `for_each` a template over the item: values are
    /// URL-encoded where they land in it.
    pub(super) url: Option<String>,
    /// Several pages or lists instead of one. What they give comes in their order.
    pub(super) urls: Option<Vec<String>>,
    /// The method.
    #[serde(default = "get")]
    pub(super) method: String,
    /// Further headers. `Authorization`, `Cookie` and those that hold a key, a token or a secret go to the
    /// origin of the URL only, whatever redirections and links say.
    #[serde(default)]
    #[schemars(extend("x-secret" = "by-name"))]
    pub(super) headers: BTreeMap<String, Scalar>,
    /// Parameters to add to the query; a list repeats its name, null leaves it out.
    #[serde(default)]
    pub(super) params: Record,
    /// A JSON body. With `for_each` its texts are templates (one that is a single expression keeps its type);
    /// `{jq: PROGRAM}` computes the body from the item's content.
    pub(super) json: Option<Value>,
    /// A body as it is; with `for_each` a template.
    pub(super) body: Option<String>,
    /// Who asks.
    pub(super) auth: Option<AuthKwargs>,
    /// How long one request may take, its whole body included.
    #[serde(default = "timeout")]
    pub(super) timeout: HumanDuration,
    /// How often a request is repeated after the first time: on 408, 425, 429, 500, 502, 503, 504, connection
    /// errors and timeouts.
    #[serde(default = "max_retries")]
    pub(super) max_retries: u32,
    /// The delay before the first repetition; it doubles with each. `Retry-After` counts more.
    #[serde(default = "base_delay")]
    pub(super) base_delay: HumanDuration,
    /// The longest delay; a `Retry-After` is obeyed up to ten times of it.
    #[serde(default = "max_delay")]
    pub(super) max_delay: HumanDuration,
    /// Requests in flight at a time.
    #[serde(default = "concurrency")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) concurrency: u32,
    /// The most requests to a host: `2/s`, `30/m` (default: no limit; a host that answers 429, or 503 with a
    /// time, is asked less by itself).
    pub(super) rate_limit: Option<Rate>,
    /// Where the next page of a list is named: a CSS selector of a link (`li.next a`, `a.more @data-url`, or a
    /// map with `select`, `attr` and `regex`), a JSON pointer (`/links/next`), or `"header: link"`. A page seen
    /// before ends the list with a warning.
    pub(super) next_page: Option<LinkKwargs>,
    /// How a list is paged where its answers do not name the next URL.
    pub(super) paginate: Option<PaginateKwargs>,
    /// The most pages of a list. Where there is a further one, the run knows that it did not see all.
    #[serde(default = "max_pages")]
    #[schemars(range(min = 1))]
    pub(super) max_pages: u32,
    /// A pause between two pages of a list.
    #[serde(default)]
    pub(super) page_delay: HumanDuration,
    /// A CSS selector of links (`h3 a`, `[data-url] @data-url`): what they lead to is fetched and goes on
    /// instead of the page; each link once.
    pub(super) follow: Option<LinkKwargs>,
    /// Keep validators and bodies between runs and ask for changes only; an unchanged page goes on as it was
    /// kept, with `not_modified` in its metadata.
    #[serde(default = "yes")]
    pub(super) conditional: bool,
    /// End the run early (`succeeded`, note `unchanged`) when nothing at all has changed since the last one.
    #[serde(default)]
    pub(super) skip_unchanged: bool,
    /// Obey `robots.txt`.
    #[serde(default = "yes")]
    pub(super) robots: bool,
    /// The name to go by (default: `scraper-scheduler/VERSION`).
    pub(super) user_agent: Option<String>,
    /// A proxy: `http://host:port`, `https://…`, `socks5://…`, `socks5h://…`, with name and password where it
    /// wants them. Empty is none.
    #[schemars(extend("x-secret" = true))]
    pub(super) proxy: Option<String>,
    /// Keep cookies during the run; all HTTP stages of a chain share them.
    #[serde(default = "yes")]
    pub(super) cookies: bool,
    /// The longest body, decoded; a longer one is an error.
    #[serde(default = "max_body")]
    pub(super) max_body: ByteSize,
    /// Whether addresses of this machine and of private networks may be asked.
    #[serde(default = "yes")]
    pub(super) allow_private: bool,
    /// In the middle of a chain: each parsed item of these topics (`true`: of all) is one request, and is
    /// consumed; all other items pass on.
    #[serde(default)]
    pub(super) for_each: ForEach,
    /// Values of the item to put into the metadata of the answers: names and jq programs.
    #[serde(default)]
    pub(super) keep: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".to_owned()
}
fn timeout() -> HumanDuration {
    HumanDuration::from_secs(30)
}
fn max_retries() -> u32 {
    5
}
fn base_delay() -> HumanDuration {
    HumanDuration::from_secs(1)
}
fn max_delay() -> HumanDuration {
    HumanDuration::from_secs(60)
}
fn concurrency() -> u32 {
    4
}
fn max_pages() -> u32 {
    100
}
fn max_body() -> ByteSize {
    ByteSize(64 << 20)
}
fn yes() -> bool {
    true
}

/// Who asks: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthKwargs {
    /// By name and password.
    pub(super) basic: Option<BasicKwargs>,
    /// By a token. Empty is none.
    #[schemars(extend("x-secret" = true))]
    pub(super) bearer: Option<String>,
}

/// A name and a password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicKwargs {
    /// The name.
    pub(super) username: String,
    /// The password.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub(super) password: String,
}

/// A text, or a number or boolean that is meant as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar(pub(crate) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// Which items are requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ForEach {
    /// None: the stage runs once.
    #[default]
    Off,
    /// All parsed items.
    All,
    /// Those of these topics.
    Topics(Vec<Topic>),
}

impl<'de> Deserialize<'de> for ForEach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachVisitor;
        impl<'de> Visitor<'de> for EachVisitor {
            type Value = ForEach;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of topics, or `true` for all")
            }
            fn visit_bool<E>(self, all: bool) -> Result<ForEach, E> {
                Ok(if all { ForEach::All } else { ForEach::Off })
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ForEach, E> {
                match text {
                    "true" => Ok(ForEach::All),
                    "false" => Ok(ForEach::Off),
                    topic => Err(E::custom(format!("topics are given as a list: `[{topic}]`"))),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ForEach, A::Error> {
                let mut topics = Vec::new();
                while let Some(topic) = list.next_element()? {
                    topics.push(topic);
                }
                Ok(ForEach::Topics(topics))
            }
        }
        deserializer.deserialize_any(EachVisitor)
    }
}

impl JsonSchema for ForEach {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ForEach".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let topics = generator.subschema_for::<Vec<Topic>>();
        schemars::json_schema!({"anyOf": [{"type": "boolean"}, topics]})
    }
}
