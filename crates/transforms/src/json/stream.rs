//! The elements of one array within a document, without the document.

use std::io::Read;
use std::ops::ControlFlow;

use pipeline_core::Value;

use super::reader::{JsonError, JsonReader};

/// How the reading of a document's elements ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Streamed {
    /// All elements of the document were handed over.
    Whole,
    /// The receiver wanted no more.
    Stopped,
    /// What stands there has no elements; a jq program would say so with this text.
    NoElements(String),
}

impl<R: Read> JsonReader<R> {
    /// Reads the document that begins here, and hands over what `.a.b[]` gives for the path `[a, b]`,
    /// element by element as they come.
    ///
    /// # Errors
    /// Where the text is not JSON or cannot be read. What came before has been handed over. A document
    /// where a name of the path stands twice cannot be read like this, and is an error too.
    pub(crate) fn elements(
        &mut self,
        path: &[String],
        each: &mut dyn FnMut(Value, &Self) -> ControlFlow<()>,
    ) -> Result<Streamed, JsonError> {
        self.elements_at(path, 0, each)
    }

    fn elements_at(
        &mut self,
        path: &[String],
        depth: usize,
        each: &mut dyn FnMut(Value, &Self) -> ControlFlow<()>,
    ) -> Result<Streamed, JsonError> {
        let first = self.peek_token()?;
        let Some((name, rest)) = path.split_first() else {
            if first == Some(b'[') {
                return self.array_elements(depth, each);
            }
            // The values of an object are known only when it ends, since a name may stand twice.
            return Ok(match self.value(depth)? {
                Value::Object(record) => {
                    for value in record.values() {
                        if each(value.clone(), self).is_break() {
                            return Ok(Streamed::Stopped);
                        }
                    }
                    Streamed::Whole
                }
                other => Streamed::NoElements(format!("cannot iterate over {}", crate::jq::excerpt(&other))),
            });
        };
        if first != Some(b'{') {
            return Ok(match self.value(depth)? {
                Value::Null => Streamed::NoElements("cannot iterate over null".to_owned()),
                other => Streamed::NoElements(format!(
                    "cannot index {} with \"{name}\"",
                    crate::jq::excerpt(&other)
                )),
            });
        }
        let mut found = None;
        let mut more = self.opened(b'}')?;
        while more {
            if self.peek_token()? != Some(b'"') {
                return Err(self.unexpected("a name in quotes"));
            }
            let text = self.text()?;
            let wanted = self.bytes(&text) == name.as_bytes();
            self.expect(b':', "`:`")?;
            if !wanted {
                self.skip_value(depth + 1)?;
            } else if found.is_some() {
                return Err(self.error(format!(
                    "the name `{name}` stands twice, and its first value has been read as it came"
                )));
            } else {
                let streamed = self.elements_at(rest, depth + 1, each)?;
                if streamed == Streamed::Stopped {
                    return Ok(streamed);
                }
                found = Some(streamed);
            }
            more = self.another(b'}')?;
        }
        Ok(found.unwrap_or_else(|| Streamed::NoElements("cannot iterate over null".to_owned())))
    }

    fn array_elements(
        &mut self,
        depth: usize,
        each: &mut dyn FnMut(Value, &Self) -> ControlFlow<()>,
    ) -> Result<Streamed, JsonError> {
        let mut more = self.opened(b']')?;
        while more {
            let value = self.value(depth + 1)?;
            if each(value, self).is_break() {
                return Ok(Streamed::Stopped);
            }
            more = self.another(b']')?;
        }
        Ok(Streamed::Whole)
    }
}
