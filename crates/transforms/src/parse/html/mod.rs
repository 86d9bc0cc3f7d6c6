//! `html.HtmlParser`: records from pages, by CSS selectors.

mod charset;
mod dom;
mod effort;
mod extract;
mod fields;
mod flat;
mod links;
mod open;
mod query;
mod text;

#[cfg(test)]
mod tests;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, Record, StageContext,
    StageError, Topic, Transform, parser,
};
use schemars::JsonSchema;
use scraper::{ElementRef, Html};
use serde::Deserialize;
use url::Url;

use super::meta::Meta;
use super::rows::{NoRows, Rows};
use crate::topics;
use extract::{Element, Extractor, Links};
pub(crate) use fields::Fields;
pub(super) use fields::regex_error;
pub(crate) use fields::split_attr;
use flat::FlatElement;
pub(crate) use links::{Wanted, attributes};
pub(crate) use query::Query;

/// A page larger than this is not one.
const PAGE: u64 = 256 << 20;

/// What `html.HtmlParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HtmlParserKwargs {
    /// The topic of the items.
    topic: Topic,
    /// A CSS selector: each element that matches is an item (default: the whole page is one).
    rows: Option<String>,
    /// The fields of an item: a CSS selector within the row, whose text is taken; `css @attr` takes an
    /// attribute; or a map with `select`, `attr`, `html`, `all`, `regex`, `type`, `decimal_comma`,
    /// `absolute`, `default`, `required`, or with `exists`. White space is folded. A field that is not
    /// found, is empty or cannot be converted is an error of the item, unless it has a `default` or
    /// `required: false`.
    fields: Fields,
    /// Fields to take from the metadata of the page, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
    /// What a page is on which `rows` matches nothing.
    #[serde(default)]
    no_rows: NoRows,
}

/// Makes an item of each row of a page.
pub(crate) struct HtmlParser {
    topic: Topic,
    rows: Option<Query>,
    extractor: Extractor,
    no_rows: NoRows,
    /// Whether all selectors work on flat pages.
    flat: bool,
}

impl Definition for HtmlParser {
    const CLASS: &'static str = "html.HtmlParser";
    const SUMMARY: &'static str = "Makes items of the rows of HTML pages, with CSS selectors.";
    const EXAMPLE: &'static str = "\
class: html.HtmlParser
kwargs:
  topic: shop.book
  rows: article.product
  fields:
    title: 'h3 a @title'
    link: {select: 'h3 a @href', absolute: true}
    price: {select: .price, regex: '([0-9.]+)', type: number}
    in_stock: {exists: .stock.available}
    rating: {select: .stars, type: integer, required: false}
    tags: {select: .tag, all: true, default: []}
";

    type Kwargs = HtmlParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let rows = kwargs.rows.map(|css| Query::new(&css)).transpose();
        let rows = errors.collect(rows.map_err(|error| BuildErrors::at("rows", error)));
        let extractor = errors.collect(Extractor::new(kwargs.fields, kwargs.meta.unwrap_or_default()));
        let (Some(topic), Some(rows), Some(extractor)) = (topic, rows, extractor) else { return Err(errors) };
        let flat = extractor.is_flat() && rows.as_ref().is_none_or(|rows| rows.flat.is_some());
        Ok(parser(Self { topic, rows, extractor, no_rows: kwargs.no_rows, flat }))
    }
}

impl Parser for HtmlParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, mut rows) = Rows::new(raw, ctx, out);
        let bytes =
            payload.into_bytes(PAGE).map_err(|error| rows.failed("cannot be read").caused_by(error))?;
        let page = charset::decode(&bytes, rows.metadata.get_str("content_type"));
        let url = page_url(&rows.metadata, &rows.source);
        if self.flat
            && let Some(page) = flat::Page::parse(&page)
        {
            let root = page.root();
            let found = self.find(root, |query| root.matches(query));
            return self.emit(found, &Links::new(root, url), &mut rows, FlatElement::html);
        }
        effort::check(&page).map_err(|error| {
            rows.failed(error)
                .hint("an element that is begun again and again needs its end tag; or is it no page?")
        })?;
        let html = Html::parse_document(&page);
        let root = html.root_element();
        let found = self.find(root, |query| query.dom.matches(&root));
        self.emit(found, &Links::new(root, url), &mut rows, |row: ElementRef<'_>| row.html())
    }
}

impl HtmlParser {
    fn find<'p, E: Element<'p>>(&self, root: E, root_matches: impl Fn(&Query) -> bool) -> Vec<E> {
        let Some(query) = &self.rows else { return vec![root] };
        root_matches(query).then_some(root).into_iter().chain(root.all(query)).collect()
    }

    fn emit<'p, E: Element<'p>>(
        &self,
        found: Vec<E>,
        links: &Links<E>,
        rows: &mut Rows<'_>,
        html: impl Fn(E) -> String,
    ) -> Result<(), StageError> {
        if let (Some(query), true) = (&self.rows, found.is_empty()) {
            return rows.none(self.no_rows, &format!("no row matches `{}`", query.css()));
        }
        let meta = self.extractor.meta.values(&rows.metadata);
        for (number, row) in (1..).zip(found) {
            let going_on = match self.extractor.record(row, links, &meta) {
                Ok(content) => {
                    let discovered_at = rows.ctx.now();
                    rows.emit(ParsedItem { topic: self.topic.clone(), content, discovered_at })
                }
                Err(message) if self.rows.is_none() => return Err(rows.failed(message)),
                Err(message) => rows.error(format!("row {number}"), message, html(row)),
            };
            if !going_on {
                break;
            }
        }
        Ok(())
    }
}

/// The URL of a page: what the fetcher says, else its source where that is one.
pub(super) fn page_url(metadata: &Record, source: &str) -> Option<Url> {
    metadata.get_str("url").and_then(|url| Url::parse(url).ok()).or_else(|| Url::parse(source).ok())
}
