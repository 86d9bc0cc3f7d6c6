//! The reference of the file and of its classes, made from what they say of themselves.

mod keys;
mod page;

pub use keys::{Key, Keys, keys};
pub use page::markdown;
