//! From the elements of a page to records: the same for every kind of page.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use pipeline_core::{BuildErrors, Record, Shape, Value};
use url::Url;

use super::fields::{Field, Fields, Take};
use super::query::Query;
use crate::convert::{FieldType, convert, excerpt, trim};
use crate::parse::meta::Meta;

/// An element of a page.
pub(super) trait Element<'p>: Copy {
    /// The first descendant that matches, in the order of the page.
    fn first(self, query: &Query) -> Option<Self>;
    /// All descendants that match, in the order of the page.
    fn all(self, query: &Query) -> Vec<Self>;
    /// The value of an attribute.
    fn attr(self, name: &str) -> Option<Cow<'p, str>>;
    /// The text, its white space folded; that of a script or style as it is.
    fn text(self) -> String;
    /// The HTML inside.
    fn inner_html(self) -> String;
}

/// What links are relative to.
pub(super) struct Links<E> {
    root: E,
    page: Option<Url>,
    base: OnceCell<Option<Url>>,
}

impl<'p, E: Element<'p>> Links<E> {
    pub(super) fn new(root: E, page: Option<Url>) -> Self {
        Self { root, page, base: OnceCell::new() }
    }

    fn absolute(&self, link: &str, base: &Query) -> Result<String, String> {
        let base = self.base.get_or_init(|| {
            let declared = self.root.first(base).and_then(|element| element.attr("href"));
            match (declared, &self.page) {
                (Some(href), Some(page)) => Some(page.join(href.trim()).unwrap_or_else(|_| page.clone())),
                (Some(href), None) => Url::parse(href.trim()).ok(),
                (None, page) => page.clone(),
            }
        });
        let url = match base {
            Some(base) => base.join(link),
            None => match Url::parse(link) {
                Err(url::ParseError::RelativeUrlWithoutBase) => {
                    return Err(format!(
                        "`{}` is relative, and the page has no URL that it could be relative to",
                        excerpt(link)
                    ));
                }
                parsed => parsed,
            },
        };
        url.map(String::from).map_err(|error| format!("`{}` is not a link: {error}", excerpt(link)))
    }
}

/// Makes records of rows.
#[derive(Debug)]
pub(super) struct Extractor {
    fields: Vec<Field>,
    pub(super) meta: Meta,
    shape: Arc<Shape>,
    base: Query,
}

impl Extractor {
    /// # Errors
    /// All that is wrong with the fields.
    pub(super) fn new(fields: Fields, meta: Meta) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        if fields.0.is_empty() {
            errors.push("fields", "a record needs at least one field");
        }
        let names: Vec<String> = fields.0.iter().map(|(name, _)| name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        errors.collect(meta.refuse_names(&names).map_err(|error| BuildErrors::at("meta", error)));
        let shape = Shape::new(names.iter().copied().chain(meta.names()));
        let fields = fields
            .0
            .into_iter()
            .filter_map(|(name, field)| errors.collect(Field::new(name, field)))
            .collect();
        let base = errors.collect(Query::new("base[href]").map_err(|error| BuildErrors::at("", error)));
        errors.clone().into_result()?;
        let Some(base) = base else { return Err(errors) };
        Ok(Self { fields, meta, shape, base })
    }

    /// Whether all that it looks for can be found on a flat page too.
    pub(super) fn is_flat(&self) -> bool {
        self.fields.iter().all(|field| {
            let flat = field.query.as_ref().is_none_or(|query| query.flat.is_some());
            flat && match &field.take {
                Take::Attr(name) => !name.bytes().any(|byte| byte.is_ascii_uppercase()),
                Take::Html => false,
                Take::Text | Take::Exists => true,
            }
        })
    }

    /// # Errors
    /// Says which field has no value, and why.
    pub(super) fn record<'p, E: Element<'p>>(
        &self,
        row: E,
        links: &Links<E>,
        meta: &[Value],
    ) -> Result<Record, String> {
        let mut values = Vec::with_capacity(self.shape.names().len());
        for field in &self.fields {
            let value = self.value(field, row, links);
            values.push(value.map_err(|error| format!("{}: {error}", field.name))?);
        }
        values.extend_from_slice(meta);
        Ok(Record::from_shape(self.shape.clone(), values))
    }

    fn value<'p, E: Element<'p>>(&self, field: &Field, row: E, links: &Links<E>) -> Result<Value, String> {
        if field.take == Take::Exists {
            return Ok(Value::Bool(field.query.as_ref().is_some_and(|query| row.first(query).is_some())));
        }
        let found = if field.all { self.list(field, row, links) } else { self.single(field, row, links) };
        match (found, &field.otherwise) {
            (Err(_), Some(otherwise)) => Ok(otherwise.clone()),
            (found, _) => found,
        }
    }

    fn single<'p, E: Element<'p>>(&self, field: &Field, row: E, links: &Links<E>) -> Result<Value, String> {
        let element = match &field.query {
            None => row,
            Some(query) => row.first(query).ok_or_else(|| format!("nothing matches `{}`", query.css()))?,
        };
        let text = take(field, element).ok_or_else(|| lacks_attribute(field))?;
        let text = trim(&text);
        if text.is_empty() {
            return Err(format!("{} is empty", place(field)));
        }
        let part = part(field, text).ok_or_else(|| {
            let pattern = field.regex.as_ref().map_or("", regex::Regex::as_str);
            format!("`{pattern}` does not match `{}`", excerpt(text))
        })?;
        self.convert(field, part, links)
    }

    /// All values; elements without the attribute, or that the pattern does not match, are left out.
    fn list<'p, E: Element<'p>>(&self, field: &Field, row: E, links: &Links<E>) -> Result<Value, String> {
        let elements = match &field.query {
            None => vec![row],
            Some(query) => row.all(query),
        };
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            let Some(text) = take(field, element) else { continue };
            let Some(part) = part(field, trim(&text)) else { continue };
            values.push(match (part.is_empty(), field.kind) {
                // A list keeps its places.
                (true, FieldType::String) => Value::from(""),
                (true, _) => Value::Null,
                (false, _) => self.convert(field, part, links)?,
            });
        }
        if values.is_empty() {
            return Err(match &field.query {
                Some(query) => format!("nothing matches `{}`", query.css()),
                None => lacks_attribute(field),
            });
        }
        Ok(Value::from(values))
    }

    fn convert<'p, E: Element<'p>>(
        &self,
        field: &Field,
        text: &str,
        links: &Links<E>,
    ) -> Result<Value, String> {
        if field.absolute {
            return links.absolute(text, &self.base).map(Value::from);
        }
        convert(text, field.kind, field.decimal_comma)
    }
}

fn take<'p, E: Element<'p>>(field: &Field, element: E) -> Option<Cow<'p, str>> {
    match &field.take {
        Take::Text => Some(element.text().into()),
        Take::Attr(name) => element.attr(name),
        Take::Html => Some(element.inner_html().into()),
        Take::Exists => None,
    }
}

/// The part of the text that the pattern wants: its first group that took part, else the match.
fn part<'t>(field: &Field, text: &'t str) -> Option<&'t str> {
    let Some(regex) = &field.regex else { return Some(text) };
    let groups = regex.captures(text)?;
    let part = groups.iter().skip(1).flatten().next().or_else(|| groups.get(0))?;
    Some(trim(part.as_str()))
}

fn place(field: &Field) -> String {
    let attr = match &field.take {
        Take::Attr(name) => format!(" @{name}"),
        _ => String::new(),
    };
    match &field.query {
        Some(query) => format!("`{}{attr}`", query.css()),
        None if attr.is_empty() => "the row".to_owned(),
        None => format!("`{}`", attr.trim_start()),
    }
}

fn lacks_attribute(field: &Field) -> String {
    let what = match &field.query {
        Some(query) => format!("what matches `{}`", query.css()),
        None => "the row".to_owned(),
    };
    match &field.take {
        Take::Attr(name) => format!("{what} has no attribute `{name}`"),
        _ => format!("{what} is empty"),
    }
}
