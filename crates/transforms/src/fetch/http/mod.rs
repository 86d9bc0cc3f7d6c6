//! `http.HttpFetcher`: pages, lists of pages, what they link to, and one request an item.
//!
//! - [`kwargs`] is what a file may write, [`target`] makes requests of it.
//! - [`list`] walks one list: [`links`] and [`paginate`] say where it goes on, [`cache`] keeps what has not
//!   changed.
//! - [`pump`] runs several lists side by side and emits their pages in order; [`stage`] is the transform.

mod cache;
mod kwargs;
mod links;
mod list;
mod paginate;
mod pump;
mod stage;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use stage::HttpFetcher;
