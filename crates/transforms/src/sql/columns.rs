//! Which kinds of values a column has got in a run, and what type it needs for them.

use pipeline_core::Value;

/// A set of kinds of values; null is of no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds(u16);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const BOOL: Self = Self(1);
    pub(crate) const INT: Self = Self(2);
    /// An integer that a float does not hold exactly.
    pub(crate) const WIDE_INT: Self = Self(4);
    pub(crate) const REAL: Self = Self(8);
    /// A number that is neither an integer of 64 bits nor a float.
    pub(crate) const BIG: Self = Self(16);
    pub(crate) const TEXT: Self = Self(32);
    /// Text that a numeric column of SQLite would turn into a number: `007`.
    pub(crate) const NUMERIC_TEXT: Self = Self(64);
    pub(crate) const JSON: Self = Self(128);
    /// An instant that the sink itself notes.
    pub(crate) const TIME: Self = Self(256);

    /// The kind of a value.
    pub(crate) fn of(value: &Value) -> Self {
        const EXACT: i64 = 1 << 53;
        const LEAST: i64 = -EXACT;
        match value {
            Value::Null => Self::NONE,
            Value::Bool(_) => Self::BOOL,
            Value::Int(LEAST..=EXACT) => Self::INT,
            Value::Int(_) => Self::WIDE_INT,
            Value::Float(_) => Self::REAL,
            Value::BigNumber(_) => Self::BIG,
            Value::Text(text) if looks_numeric(text) => Self::NUMERIC_TEXT,
            Value::Text(_) => Self::TEXT,
            Value::Array(_) | Value::Object(_) => Self::JSON,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn is_within(self, all: &[Self]) -> bool {
        all.iter().fold(self.0, |left, kind| left & !kind.0) == 0
    }

    /// The type that holds all of them exactly.
    pub(crate) fn column_type(self) -> ColumnType {
        use ColumnType as Type;
        if self == Self::NONE {
            Type::Unknown
        } else if self == Self::TIME {
            Type::Time
        } else if self == Self::BOOL {
            Type::Boolean
        } else if self.is_within(&[Self::BOOL, Self::INT, Self::WIDE_INT]) {
            Type::Integer
        } else if self.is_within(&[Self::BOOL, Self::INT, Self::REAL]) {
            Type::Real
        } else if self.is_within(&[Self::BOOL, Self::INT, Self::WIDE_INT, Self::REAL, Self::BIG]) {
            Type::Numeric
        } else {
            Type::Text
        }
    }
}

/// What a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Only nulls have come so far.
    Unknown,
    Boolean,
    Integer,
    Real,
    /// Numbers beyond both.
    Numeric,
    Text,
    Time,
}

impl ColumnType {
    /// The name of the type in SQLite. A column of nulls gets none: it takes whatever comes later.
    pub(crate) fn sqlite(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Boolean => "BOOLEAN",
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            // SQLite would round such numbers.
            Self::Numeric | Self::Text | Self::Time => "TEXT",
        }
    }
}

/// Whether a numeric column of SQLite would store the text as a number.
fn looks_numeric(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    starts && text.bytes().any(|b| b.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

/// What SQLite does to values of a column, by its declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    Text,
    Numeric,
    /// Stores all as it comes.
    None,
}

impl Affinity {
    /// By SQLite's own rules, in their order; `declared` is in capitals.
    pub(crate) fn of(declared: &str) -> Self {
        let has = |part| declared.contains(part);
        if has("INT") {
            Self::Numeric
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || declared.is_empty() || declared == "ANY" {
            Self::None
        } else {
            Self::Numeric
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_column_gets_the_narrowest_type_that_loses_nothing() {
        let big = i64::MAX;
        let cases = [
            (json!([null]), ""),
            (json!([true, null, false]), "BOOLEAN"),
            (json!([1, true]), "INTEGER"),
            (json!([1, big]), "INTEGER"),
            (json!([1, 2.5]), "REAL"),
            (json!([big, 2.5]), "TEXT"),
            (json!([18_446_744_073_709_551_615_u64]), "TEXT"),
            (json!(["a", 1]), "TEXT"),
            (json!(["007"]), "TEXT"),
            (json!([[1], {"a": 1}]), "TEXT"),
            (json!([1, [1]]), "TEXT"),
        ];
        for (values, expected) in cases {
            let mut kinds = Kinds::default();
            for value in values.as_array().unwrap() {
                kinds.add(Kinds::of(&Value::from(value.clone())));
            }
            assert_eq!(kinds.column_type().sqlite(), expected, "{values}");
        }
    }

    #[test]
    fn texts_that_sqlite_takes_for_numbers() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a INTEGER, b REAL)").unwrap();
        let texts = [
            "007", " 7 ", "+7", "-0.50", ".5", "5.", "1e5", "1e", "0x10", "7a", "inf", "nan", "infinity", "",
            " ", ".", "-", "१", "7\u{a0}", "1_000",
        ];
        for text in texts {
            connection.execute("DELETE FROM t", []).unwrap();
            connection.execute("INSERT INTO t VALUES (?1, ?1)", [text]).unwrap();
            let kept: bool = connection
                .query_row("SELECT typeof(a) = 'text' AND typeof(b) = 'text' FROM t", [], |row| row.get(0))
                .unwrap();
            assert!(kept || looks_numeric(text), "{text:?}: SQLite makes a number of it");
        }
    }

    #[test]
    fn affinities() {
        let cases = [
            ("INTEGER", Affinity::Numeric),
            ("VARCHAR(20)", Affinity::Text),
            ("BOOLEAN", Affinity::Numeric),
            ("DATETIME", Affinity::Numeric),
            ("DOUBLE PRECISION", Affinity::Numeric),
            ("BLOB", Affinity::None),
            ("", Affinity::None),
            ("CHARINT", Affinity::Numeric),
        ];
        for (declared, expected) in cases {
            assert_eq!(Affinity::of(declared), expected, "{declared}");
        }
    }
}
