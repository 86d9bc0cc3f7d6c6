//! Stages that turn payloads into records.

mod csv;
mod feed;
mod html;
mod json;
mod meta;
mod ordered_fields;
mod regex;
mod rows;
mod spreadsheet;
mod table;
mod xml;
mod xml_fields;

pub(crate) use html::{Query, Wanted, attributes, split_attr};

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<csv::CsvParser>();
    registry.register::<feed::FeedParser>();
    registry.register::<html::HtmlParser>();
    registry.register::<json::JsonParser>();
    registry.register::<regex::RegexParser>();
    registry.register::<spreadsheet::SpreadsheetParser>();
    registry.register::<xml::XmlParser>();
}
