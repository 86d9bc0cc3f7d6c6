//! The environment: variables of the process, and those of `.env` in the working directory.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_core::Redactor;

/// Variables; those of the process win over those of `.env`.
///
/// Nothing is written into the process's own environment, because that cannot be done safely once
/// threads run.
#[derive(Clone, Default)]
pub struct Environment {
    process: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
}

/// `.env` is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no assignment. The line itself is not shown: it may hold a secret.
    #[error("{path}:{line}: this is no `NAME=value`")]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
}

impl Environment {
    /// Reads the process's variables and `.env` in the working directory, where there is one.
    ///
    /// # Errors
    /// Where `.env` cannot be used.
    pub fn read() -> Result<Self, EnvironmentError> {
        // Names and values that are no Unicode cannot be written in a file of pipelines either.
        let process = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { process, file: read_file(Path::new(".env"))? })
    }

    /// An environment of these variables, for tests and embedders.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { process: variables.into_iter().collect(), file: BTreeMap::new() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.process.get(name).or_else(|| self.file.get(name)).map(String::as_str)
    }

    /// The value of a setting: a variable that is set to something.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// What only `.env` has: commands get it added to what they inherit.
    pub fn only_in_file(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.file.iter().filter(|(name, _)| !self.process.contains_key(*name));
        own.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Tells the redactor the secrets among the variables of `.env` and our own.
    pub fn teach(&self, redactor: &Redactor) {
        let own = self.process.iter().filter(|(name, _)| {
            ["DISCORD_", "SCHEDULER_", "SCRAPER_"].iter().any(|prefix| name.starts_with(prefix))
        });
        for (name, value) in own.chain(&self.file) {
            if Redactor::is_secret_name(name) {
                redactor.add(value);
            }
            if let Some(password) = url_password(value) {
                redactor.add(password);
            }
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({} variables)", self.process.len() + self.file.len())
    }
}

fn url_password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(EnvironmentError::Unreadable { path: name, source }),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut variables = BTreeMap::new();
    for assignment in dotenvy::from_read_iter(text.as_bytes()) {
        match assignment {
            Ok((name, value)) => drop(variables.insert(name, value)),
            Err(dotenvy::Error::LineParse(at, _)) => {
                let first = at.lines().next().unwrap_or_default().trim();
                let line = text.lines().position(|line| line.trim() == first).map_or(1, |index| index + 1);
                return Err(EnvironmentError::Line { path: name, line });
            }
            Err(dotenvy::Error::Io(source)) => {
                return Err(EnvironmentError::Unreadable { path: name, source });
            }
            Err(_) => return Err(EnvironmentError::Line { path: name, line: 1 }),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, text).unwrap();
        read_file(&path)
    }

    #[test]
    fn assignments_are_read() {
        let variables = file("\u{feff}# a remark\nA=1\nexport B = 'two words'\nC=\"x\\ny\"\nD=\n").unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("C", "x\ny"), ("D", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
        assert!(read_file(Path::new("/nonexistent/.env")).unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        let error = file("A=1\nmy secret is hunter2\n").unwrap_err().to_string();
        assert!(error.ends_with(".env:2: this is no `NAME=value`"), "{error}");
    }

    #[test]
    fn real_variables_win() {
        let mut environment = Environment::of([("A".to_owned(), "real".to_owned())]);
        environment.file = file("A=file\nB=file\nC=\n").unwrap();
        assert_eq!(
            (environment.get("A"), environment.get("B"), environment.get("X")),
            (Some("real"), Some("file"), None)
        );
        assert_eq!((environment.get("C"), environment.setting("C")), (Some(""), None));
        assert_eq!(environment.only_in_file().collect::<Vec<_>>(), [("B", "file"), ("C", "")]);
    }

    #[test]
    fn secrets_are_learned() {
        let mut environment = Environment::of([
            ("DISCORD_TOKEN".to_owned(), "abcdef".to_owned()),
            ("SCHEDULER_DB_URL".to_owned(), "postgres://me:password@host/db".to_owned()),
            ("KEYBOARD".to_owned(), "layout-se".to_owned()),
        ]);
        environment.file = file("SHOP_API_KEY=from-file\n").unwrap();
        let redactor = Redactor::new();
        environment.teach(&redactor);
        let text = redactor.redact("abcdef password layout-se from-file").into_owned();
        assert_eq!(text, "[redacted] [redacted] layout-se [redacted]");
    }
}
