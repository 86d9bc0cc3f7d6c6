//! Settings: from the command line, else from the environment, else the defaults.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use app::Setup;
use pipeline_core::Clock;
use schedule::Zone;

use crate::cli::Globals;
use crate::failure::Failure;

/// The longest name of a namespace, in characters.
const LONGEST_NAME: usize = 100;

/// What every command knows.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Environment, terminal, clock, classes.
    pub(crate) setup: Setup,
    /// The file of pipelines.
    pub(crate) config: PathBuf,
    /// The URL of the job store.
    pub(crate) database_url: String,
    /// The zone of schedules that name none.
    pub(crate) timezone: Zone,
    /// The zone that was asked for on the command line.
    pub(crate) asked_timezone: Option<Zone>,
    /// The namespace of the file's jobs.
    pub(crate) namespace: String,
    /// Where stages keep state.
    pub(crate) state_dir: PathBuf,
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// A value is wrong; it is named.
    pub(crate) fn new(globals: &Globals, setup: Setup) -> Result<Self, Failure> {
        let asked = globals.timezone.as_ref().map(|zone| zone.parse::<Zone>()).transpose();
        let asked_timezone = asked.map_err(|error| Failure::usage(format!("--timezone: {error}")))?;
        let timezone = match asked_timezone {
            Some(zone) => zone,
            None => app::default_zone(&setup.environment).map_err(Failure::usage)?,
        };
        let setting =
            |name: &str, default: &str| setup.environment.setting(name).unwrap_or(default).to_owned();
        let path = |given: &Option<PathBuf>, name: &str, default: &str| {
            given.clone().unwrap_or_else(|| PathBuf::from(setting(name, default)))
        };
        let namespace = setting("SCHEDULER_NAME", "default");
        if namespace.chars().count() > LONGEST_NAME || namespace.chars().any(char::is_control) {
            let rule = format!("a name has 1 to {LONGEST_NAME} characters, and no control characters");
            return Err(Failure::usage(format!("SCHEDULER_NAME: {rule}")));
        }
        let database_url = globals.database_url.clone();
        Ok(Self {
            config: path(&globals.config, "PIPELINES_CONFIG", "pipelines.yml"),
            database_url: database_url
                .unwrap_or_else(|| setting("SCHEDULER_DB_URL", "sqlite://scheduler_jobs.db")),
            timezone,
            asked_timezone,
            namespace,
            state_dir: path(&globals.state_dir, "SCRAPER_STATE_DIR", ".scraper"),
            setup,
        })
    }

    /// The clock.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.setup.clock
    }

    /// The value of a variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.setup.environment.setting(name)
    }

    /// Who asks for something on the command line, as the store keeps it.
    pub(crate) fn requested_by(&self) -> String {
        match self.variable("USER").or_else(|| self.variable("USERNAME")) {
            Some(user) => format!("cli:{user}"),
            None => "cli".to_owned(),
        }
    }

    /// A duration from the environment.
    ///
    /// # Errors
    /// It is none, or it is not allowed to be so short.
    pub(crate) fn duration(
        &self,
        name: &str,
        default: Duration,
        shortest: Duration,
    ) -> Result<Duration, Failure> {
        let Some(text) = self.variable(name) else { return Ok(default) };
        let duration = pipeline_core::duration::parse(text)
            .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        if duration < shortest {
            let shortest = pipeline_core::duration::format(shortest);
            return Err(Failure::usage(format!("{name}: `{text}` is too short: at least {shortest}")));
        }
        Ok(duration)
    }

    /// A positive number from the environment.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub(crate) fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Failure> {
        let Some(text) = self.variable(name) else { return Ok(default) };
        match text.parse::<usize>() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(Failure::usage(format!("{name}: `{text}` is not a whole number from 1 to {most}"))),
        }
    }
}

/// How long runs are kept: `90d,1000`, by age and per job; either alone, and `none` for all.
///
/// # Errors
/// It is something else.
pub(crate) fn keep_runs(text: &str) -> Result<(Option<Duration>, Option<u32>), String> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok((None, None));
    }
    let (mut age, mut count) = (None, None);
    for part in text.split(',').map(str::trim) {
        if let Ok(number) = part.parse::<u32>() {
            if count.replace(number).is_some() {
                return Err(format!("`{text}` has two numbers of runs"));
            }
        } else {
            let duration = pipeline_core::duration::parse(part).map_err(|_| {
                format!("`{part}` is neither a duration nor a number of runs (write `90d,1000`, one of both, or `none`)")
            })?;
            if age.replace(duration).is_some() {
                return Err(format!("`{text}` has two ages"));
            }
        }
    }
    Ok((age, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_an_age_and_a_number() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let cases = [
            ("90d,1000", Ok((days(90), Some(1_000)))),
            ("1000, 90d", Ok((days(90), Some(1_000)))),
            ("7d", Ok((days(7), None))),
            ("50", Ok((None, Some(50)))),
            ("none", Ok((None, None))),
        ];
        for (text, expected) in cases {
            assert_eq!(keep_runs(text), expected, "{text}");
        }
        for text in ["", "5,6", "1d,2d", "soon"] {
            assert!(keep_runs(text).is_err(), "{text}");
        }
    }
}
