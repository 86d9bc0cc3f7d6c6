//! What a program is set up with before it does anything.

use std::sync::Arc;

use pipeline_core::{Clock, Redactor, Registry, Services, SystemClock};

use crate::environment::{Environment, EnvironmentError};
use crate::terminal::Terminal;

/// The parts that everything needs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Variables.
    pub environment: Environment,
    /// What must never be written down.
    pub redactor: Redactor,
    /// Where it is written.
    pub terminal: Terminal,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The known classes.
    pub registry: Registry,
    /// Services for stages.
    pub services: Services,
}

impl Setup {
    /// Reads the environment and knows every class of this project. An embedder registers more.
    ///
    /// # Errors
    /// Where `.env` cannot be used.
    pub fn new() -> Result<Self, EnvironmentError> {
        Ok(Self::with(Environment::read()?))
    }

    /// With this environment.
    pub fn with(environment: Environment) -> Self {
        let redactor = Redactor::new();
        environment.teach(&redactor);
        let terminal = Terminal::new(redactor.clone());
        let mut services = Services::default();
        services.insert(transforms::Console::new(terminal.clone()));
        let own = environment.only_in_file().map(|(name, value)| (name.to_owned(), value.to_owned()));
        services.insert(transforms::CommandEnvironment(own.collect()));
        let registry = crate::pipelines::registry();
        Self { environment, redactor, terminal, clock: Arc::new(SystemClock), registry, services }
    }
}
