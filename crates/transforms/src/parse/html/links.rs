//! Attributes of a page's elements, for stages that follow its links.

use std::sync::OnceLock;

use scraper::Html;

use super::extract::Element;
use super::flat;
use super::query::Query;
use super::{charset, effort};

/// Which attribute of which elements: the first of these names that an element has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'q> {
    pub(crate) query: &'q Query,
    pub(crate) names: &'q [String],
}

/// What was found on a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// What the page says that its links are relative to.
    pub(crate) base: Option<String>,
    /// For each wish the values, in the order of the page.
    pub(crate) found: Vec<Vec<String>>,
}

/// Finds attributes on a page.
///
/// # Errors
/// Where the page would take far too much to read.
pub(crate) fn attributes(
    bytes: &[u8],
    content_type: Option<&str>,
    wanted: &[Wanted<'_>],
) -> Result<Attributes, String> {
    let Some(base) = base_query() else { return Ok(Attributes::default()) };
    let text = charset::decode(bytes, content_type);
    if wanted.iter().all(|wanted| wanted.query.flat.is_some())
        && let Some(page) = flat::Page::parse(&text)
    {
        return Ok(find(page.root(), base, wanted));
    }
    effort::check(&text).map_err(|error| format!("the page cannot be searched for links: {error}"))?;
    Ok(find(Html::parse_document(&text).root_element(), base, wanted))
}

fn base_query() -> Option<&'static Query> {
    static BASE: OnceLock<Option<Query>> = OnceLock::new();
    BASE.get_or_init(|| Query::new("base[href]").ok()).as_ref()
}

fn find<'p, E: Element<'p>>(root: E, base: &Query, wanted: &[Wanted<'_>]) -> Attributes {
    let base = root.first(base).and_then(|element| element.attr("href")).map(String::from);
    let values = |wanted: &Wanted<'_>| {
        let elements = root.all(wanted.query).into_iter();
        let value = |element: E| wanted.names.iter().find_map(|name| element.attr(name));
        elements.filter_map(value).map(String::from).collect()
    };
    Attributes { base, found: wanted.iter().map(values).collect() }
}
