//! Why a text is not a cron expression.

use std::fmt;
use std::ops::Range;

use crate::suggest::shown;

/// One of the five fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CronField {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or `JAN` to `DEC`.
    Month,
    /// 0 to 7 (0 and 7 are Sunday), or `SUN` to `SAT`.
    DayOfWeek,
}

impl CronField {
    /// The fields in the order in which they are written.
    pub const ALL: [CronField; 5] =
        [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// The field's name, as messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        }
    }

    /// The smallest and the largest number that may be written.
    pub fn range(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// How many different values the field has: the largest step.
    pub fn size(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    /// The allowed values in words.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Minute => "0-59",
            Self::Hour => "0-23",
            Self::DayOfMonth => "1-31",
            Self::Month => "1-12 or JAN-DEC",
            Self::DayOfWeek => "0-7 (0 and 7 are Sunday) or SUN-SAT",
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not a cron expression, and what to write instead.
///
/// [`Display`](fmt::Display) is one line; [`CronError::render`] shows the expression with a caret
/// under the culprit.
#[derive(Clone, PartialEq, Eq)]
pub struct CronError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    text: String,
    span: Range<usize>,
    field: Option<CronField>,
    message: String,
    hint: Option<String>,
}

impl CronError {
    pub(crate) fn new(field: Option<CronField>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { text: String::new(), span, field, message: message.into(), hint: None }))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn of(mut self, text: &str) -> Self {
        self.0.text = text.to_owned();
        self
    }

    /// The field at fault; `None` if the expression as a whole is.
    pub fn field(&self) -> Option<CronField> {
        self.0.field
    }

    /// The bytes of the expression that are at fault. Empty at a place where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// The part of the expression that is at fault.
    pub fn culprit(&self) -> &str {
        self.0.text.get(self.0.span.clone()).unwrap_or_default()
    }

    /// What is wrong, without the field and the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to write instead.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The expression, a line with carets under the culprit, and the message: three lines (four
    /// with a hint), without a line break at the end.
    pub fn render(&self) -> String {
        let inner = &*self.0;
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        // A very long expression is cut around the culprit.
        let before: Vec<char> = inner.text[..inner.span.start].chars().map(printable).collect();
        let culprit: Vec<char> = inner.text[inner.span.clone()].chars().map(printable).collect();
        let after: Vec<char> = inner.text[inner.span.end..].chars().map(printable).collect();
        let skipped = before.len().saturating_sub(60);
        let mut line: String = if skipped > 0 { "…".to_owned() } else { String::new() };
        line.extend(&before[skipped..]);
        let column = line.chars().count();
        line.extend(culprit.iter().take(60));
        line.extend(after.iter().take(60));
        if culprit.len() > 60 || after.len() > 60 {
            line.push('…');
        }
        let carets = "^".repeat(culprit.len().clamp(1, 60));
        let mut out = format!("{line}\n{:column$}{carets}\n{}", "", self.headline());
        if let Some(hint) = &inner.hint {
            out.push_str("\nhint: ");
            out.push_str(hint);
        }
        out
    }

    /// The message with its field and, where it helps, the culprit, without the hint.
    pub(crate) fn headline_with_text(&self) -> String {
        format!("`{}`: {}", shown(&self.0.text), self.headline())
    }

    fn headline(&self) -> String {
        match self.0.field {
            Some(field) => format!("{field}: {}", self.0.message),
            None => self.0.message.clone(),
        }
    }
}

impl std::error::Error for CronError {}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron expression {}", self.headline_with_text())?;
        match &self.0.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronError({self})")
    }
}
