//! The JSON of a value, and as much of it as an error shows.

use super::meter;
use super::text::Text;
use super::value::Val;

impl Val {
    /// As an error shows it: its JSON as far as that is of use.
    fn write_start(&self, out: &mut String) {
        const SHOWN: usize = 1024;
        if out.len() >= SHOWN {
            return;
        }
        match self {
            Self::Text(text) => {
                write_text(start(text.as_str(), SHOWN), out);
            }
            Self::Arr(list) => sequence(out, ['[', ']'], list.iter(), |item, out| {
                item.write_start(out);
                out.len() < SHOWN
            }),
            Self::Obj(object) => sequence(out, ['{', '}'], object.iter(), |(name, value), out| {
                write_text(start(name, SHOWN), out);
                out.push(':');
                value.write_start(out);
                out.len() < SHOWN
            }),
            scalar => scalar.write(out),
        }
    }

    /// Its JSON. Whether there is room for it has been asked before.
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Num(number) => out.push_str(&number.to_string()),
            Self::Text(text) => write_text(text.as_str(), out),
            Self::Arr(list) => sequence(out, ['[', ']'], list.iter(), |item, out| {
                item.write(out);
                true
            }),
            Self::Obj(object) => sequence(out, ['{', '}'], object.iter(), |(name, value), out| {
                write_text(name, out);
                out.push(':');
                value.write(out);
                true
            }),
        }
    }

    /// Its JSON; empty where the program is refused.
    pub(super) fn to_json(&self) -> Self {
        let mut text = String::new();
        // Escapes may make a text six times as long.
        if meter::has_room(self.weight()) && meter::spend(self.weight() >> 10) {
            self.write(&mut text);
        }
        Self::Text(Text::from_string(text))
    }
}

impl std::fmt::Display for Val {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write_start(&mut text);
        f.write_str(&text)
    }
}

/// The start of a text: so many bytes, or a few less.
fn start(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn sequence<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(T, &mut String) -> bool,
) {
    out.push(open);
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.push(',');
        }
        if !write(item, out) {
            break;
        }
    }
    out.push(close);
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f | 0x7f => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        from = at + 1;
        match escape {
            "" => out.push_str(&format!("\\u{byte:04x}")),
            escape => out.push_str(escape),
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}
