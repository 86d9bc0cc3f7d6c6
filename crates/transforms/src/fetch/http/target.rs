//! Requests, from the file alone or from the file and an item.

use bytes::Bytes;
use pipeline_core::{BuildErrors, ParsedItem, Record, StageContext, Value};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::cache::stable_hash;
use super::kwargs::{AuthKwargs, HttpFetcherKwargs};
use super::paginate::add_parameters;
use crate::http::{Auth, Request, is_secret, parse_url};
use crate::jq::{Jq, JqVars};
use crate::template::{Scope, Template, is_template};

/// Makes the requests of a stage.
pub(super) struct Target {
    method: Method,
    urls: Vec<Text>,
    headers: Vec<(HeaderName, Text)>,
    params: Vec<(String, Tree)>,
    body: BodySource,
    auth: Option<HeaderValue>,
    /// What must never be written down.
    secrets: Vec<String>,
    /// The hash of all that the file says about the requests.
    identity: u64,
}

/// A text of the file.
enum Text {
    Literal(String),
    Template(Template),
}

/// A value of the file, with templates among its texts.
enum Tree {
    Literal(Value),
    Template(Template),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

enum BodySource {
    None,
    Text(Text),
    Json(Tree),
    Jq(Jq),
}

/// What a request is made for: an item of the run, or nothing.
pub(super) struct Occasion<'a> {
    pub(super) ctx: &'a StageContext,
    pub(super) vars: &'a JqVars,
    pub(super) item: Option<&'a ParsedItem>,
}

impl Target {
    /// Checks and compiles the parts of `kwargs` that make requests, and takes them out.
    pub(super) fn new(kwargs: &mut HttpFetcherKwargs, templates: bool, errors: &mut BuildErrors) -> Self {
        let identity = identity(kwargs);
        let method = Method::from_bytes(kwargs.method.trim().to_ascii_uppercase().as_bytes());
        let method = method.unwrap_or_else(|_| {
            errors.push("method", format!("`{}` is not a method of HTTP", kwargs.method));
            Method::GET
        });
        let mut secrets = Vec::new();
        let (urls, headers) =
            (urls(kwargs, templates, errors), headers(kwargs, templates, &mut secrets, errors));
        let params = std::mem::take(&mut kwargs.params);
        let params = params.iter().map(|(name, value)| {
            let path = format!("params.{name}");
            refuse_nested(value, &path, errors);
            (name.to_owned(), Tree::new(value, templates, &path, errors))
        });
        let params = params.collect();
        let body = body(kwargs, templates, errors);
        let auth = auth(kwargs.auth.take(), &mut secrets, errors);
        Self { method, urls, headers, params, body, auth, secrets, identity }
    }

    /// Keeps the secrets of the file out of everything that is written down.
    pub(super) fn hide_secrets(&self, ctx: &StageContext) {
        for secret in &self.secrets {
            ctx.redactor().add(secret);
        }
    }

    /// What tells this stage from others of its kind: all that its requests are made of.
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    /// The requests.
    ///
    /// # Errors
    /// Says what the item lacks, or what is wrong with what came out.
    pub(super) fn requests(&self, occasion: &Occasion<'_>) -> Result<Vec<Request>, String> {
        let scope = occasion.item.map(|item| Scope::new(occasion.ctx, item));
        let scope = scope.as_ref();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let text = value.fill(scope)?;
            let mut value = HeaderValue::from_str(text.trim())
                .map_err(|_| format!("the header `{name}` would hold characters that no header can"))?;
            value.set_sensitive(is_secret(name));
            headers.append(name.clone(), value);
        }
        if let Some(auth) = &self.auth {
            headers.insert(AUTHORIZATION, auth.clone());
        }
        let (body, is_json) = self.body(scope, occasion)?;
        if is_json && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let params = self.params.iter().map(|(name, tree)| Ok((name.as_str(), tree.fill(scope)?)));
        let params: Record = params.collect::<Result<Vec<_>, String>>()?.into_iter().collect();
        let request = |url: &Text| -> Result<Request, String> {
            let mut url: Url = parse_url(&url.fill(scope)?)?;
            if !params.is_empty() {
                add_parameters(&mut url, &params)?;
            }
            Ok(Request::new(self.method.clone(), url, headers.clone(), body.clone()))
        };
        self.urls.iter().map(request).collect()
    }

    fn body(&self, scope: Option<&Scope>, occasion: &Occasion<'_>) -> Result<(Option<Bytes>, bool), String> {
        let json = |value: &Value| (Some(Bytes::from(value.to_json())), true);
        Ok(match &self.body {
            BodySource::None => (None, false),
            BodySource::Text(text) => (Some(text.fill(scope)?.into()), false),
            BodySource::Json(tree) => json(&tree.fill(scope)?),
            BodySource::Jq(program) => {
                let results = match occasion.item {
                    Some(item) => program.run_record(&item.content, occasion.vars),
                    None => program.run(&Value::Null, occasion.vars),
                };
                match results.map_err(|error| format!("`json.jq`: {error}"))?.as_slice() {
                    [body] => json(body),
                    other => {
                        return Err(format!("`json.jq` gave {} results, and a body is one", other.len()));
                    }
                }
            }
        })
    }
}

/// The hash of what the file says about the requests. It holds secrets, and so nothing but the hash is kept.
fn identity(kwargs: &HttpFetcherKwargs) -> u64 {
    let HttpFetcherKwargs { method, url, urls, headers, params, json, body, auth, user_agent, .. } = kwargs;
    stable_hash(&format!("{:?}", (method, url, urls, headers, params, json, body, auth, user_agent)))
}

/// A parameter of a query is a value, or a list of them.
fn refuse_nested(value: &Value, path: &str, errors: &mut BuildErrors) {
    let wrong = |what: &str| {
        format!("a parameter is a text, a number, a boolean, null, or a list of them, not {what}")
    };
    match value {
        Value::Object(_) => errors.push(path, wrong("a map")),
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                let path = format!("{path}[{at}]");
                match value {
                    Value::Object(_) => errors.push(path, wrong("a map in a list")),
                    Value::Array(_) => errors.push(path, wrong("a list in a list")),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn urls(kwargs: &mut HttpFetcherKwargs, templates: bool, errors: &mut BuildErrors) -> Vec<Text> {
    let (paths, texts): (Vec<String>, Vec<String>) = match (kwargs.url.take(), kwargs.urls.take()) {
        (Some(url), None) => (vec!["url".to_owned()], vec![url]),
        (None, Some(urls)) => ((0..urls.len()).map(|at| format!("urls[{at}]")).collect(), urls),
        (Some(_), Some(_)) => {
            errors.push("urls", "give `url` or `urls`, not both");
            return Vec::new();
        }
        (None, None) => {
            errors.push("", "missing field `url` (or `urls`)");
            return Vec::new();
        }
    };
    if texts.is_empty() {
        errors.push("urls", "a list of URLs must not be empty");
    }
    let mut urls = Vec::new();
    for (path, text) in paths.into_iter().zip(texts) {
        if templates && is_template(&text) {
            match Template::url(&text) {
                Ok(template) => urls.push(Text::Template(template)),
                Err(error) => errors.push(path, error),
            }
        } else if is_template(&text) {
            errors.push(path, "templates need `for_each`: without it there is no item to fill them in from");
        } else {
            match parse_url(&text) {
                Ok(_) => urls.push(Text::Literal(text)),
                Err(error) => errors.push(path, error),
            }
        }
    }
    urls
}

fn headers(
    kwargs: &mut HttpFetcherKwargs,
    templates: bool,
    secrets: &mut Vec<String>,
    errors: &mut BuildErrors,
) -> Vec<(HeaderName, Text)> {
    let mut headers = Vec::new();
    for (name, value) in std::mem::take(&mut kwargs.headers) {
        let path = format!("headers.{name}");
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            errors.push(path, format!("`{name}` cannot be the name of a header"));
            continue;
        };
        let is_literal = !(templates && is_template(&value.0));
        if is_literal && HeaderValue::from_str(value.0.trim()).is_err() {
            errors.push(path, "the value holds characters that a header cannot hold");
            continue;
        }
        if is_literal && is_secret(&header) {
            let words = value.0.split_once(' ').map_or(value.0.as_str(), |(_, rest)| rest);
            secrets.extend([value.0.clone(), words.to_owned()]);
        }
        match Text::new(value.0, templates) {
            Ok(text) => headers.push((header, text)),
            Err(error) => errors.push(path, error),
        }
    }
    headers
}

fn body(kwargs: &mut HttpFetcherKwargs, templates: bool, errors: &mut BuildErrors) -> BodySource {
    let json = kwargs.json.take().filter(|json| !json.is_null());
    match (json, kwargs.body.take()) {
        (Some(_), Some(_)) => {
            errors.push("body", "give `json` or `body`, not both");
            BodySource::None
        }
        (None, None) => BodySource::None,
        (None, Some(text)) => match Text::new(text, templates) {
            Ok(text) => BodySource::Text(text),
            Err(error) => {
                errors.push("body", error);
                BodySource::None
            }
        },
        (Some(json), None) => {
            let program =
                json.as_object().filter(|record| record.len() == 1).and_then(|record| record.get_str("jq"));
            match program.map(Jq::compile) {
                Some(Ok(program)) => BodySource::Jq(program),
                Some(Err(error)) => {
                    errors.push("json.jq", error);
                    BodySource::None
                }
                None => BodySource::Json(Tree::new(&json, templates, "json", errors)),
            }
        }
    }
}

fn auth(
    kwargs: Option<AuthKwargs>,
    secrets: &mut Vec<String>,
    errors: &mut BuildErrors,
) -> Option<HeaderValue> {
    let AuthKwargs { basic, bearer } = kwargs?;
    let (path, auth) = match (basic, bearer) {
        (Some(basic), None) => {
            secrets.push(basic.password.clone());
            ("auth.basic", Auth::Basic(basic.username, basic.password))
        }
        // So that `${TOKEN:-}` can be written.
        (None, Some(token)) if token.trim().is_empty() => return None,
        (None, Some(token)) => {
            secrets.push(token.trim().to_owned());
            ("auth.bearer", Auth::Bearer(token.trim().to_owned()))
        }
        _ => {
            errors.push("auth", "give `basic: {username, password}` or `bearer: token`");
            return None;
        }
    };
    let header = auth.header();
    if let Ok(value) = &header {
        secrets.push(value.to_str().unwrap_or_default().trim_start_matches("Basic ").to_owned());
    }
    header.map_err(|error| errors.push(path, error)).ok()
}

impl Text {
    fn new(text: String, templates: bool) -> Result<Self, String> {
        match templates && is_template(&text) {
            true => Template::text(&text).map(Self::Template),
            false => Ok(Self::Literal(text)),
        }
    }

    fn fill(&self, scope: Option<&Scope>) -> Result<String, String> {
        match (self, scope) {
            (Self::Literal(text), _) => Ok(text.clone()),
            (Self::Template(template), Some(scope)) => template.render(scope),
            (Self::Template(_), None) => Err("there is no item to fill the template in from".to_owned()),
        }
    }
}

impl Tree {
    fn new(value: &Value, templates: bool, path: &str, errors: &mut BuildErrors) -> Self {
        match value {
            Value::Text(text) if templates && is_template(text) => match Template::value(text) {
                Ok(template) => Self::Template(template),
                Err(error) => {
                    errors.push(path, error);
                    Self::Literal(Value::Null)
                }
            },
            Value::Array(list) => {
                let parts = list.iter().enumerate();
                let part = |(at, value)| Self::new(value, templates, &format!("{path}[{at}]"), errors);
                Self::Array(parts.map(part).collect())
            }
            Value::Object(record) => {
                let mut fields = Vec::new();
                for (name, value) in record.iter() {
                    let field = Self::new(value, templates, &format!("{path}.{name}"), errors);
                    fields.push((name.to_owned(), field));
                }
                Self::Object(fields)
            }
            other => Self::Literal(other.clone()),
        }
    }

    fn fill(&self, scope: Option<&Scope>) -> Result<Value, String> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Template(template) => match scope {
                Some(scope) => template.evaluate(scope)?,
                None => return Err("there is no item to fill the template in from".to_owned()),
            },
            Self::Array(list) => {
                Value::from(list.iter().map(|part| part.fill(scope)).collect::<Result<Vec<_>, _>>()?)
            }
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, part)| Ok((name.as_str(), part.fill(scope)?)));
                Value::from(fields.collect::<Result<Vec<_>, String>>()?.into_iter().collect::<Record>())
            }
        })
    }
}
