//! Where messages go, as the outbox names it.

use std::fmt;

/// A target. Its text is stored with each message, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// A channel, to which the bot sends.
    Channel(u64),
    /// The webhook of a stage: the file knows its URL.
    Webhook { pipeline: String, stage: String },
}

impl Target {
    /// Reads a stored target; `None` where this version does not know such a one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "channel" => rest.parse().ok().map(Self::Channel),
            "webhook" => {
                let (stage, pipeline) = rest.split_once('/')?;
                Some(Self::Webhook { pipeline: pipeline.to_owned(), stage: stage.to_owned() })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(id) => write!(f, "channel:{id}"),
            // The stage comes first: a pipeline's name may hold a slash, a stage's label never does.
            Self::Webhook { pipeline, stage } => write!(f, "webhook:{stage}/{pipeline}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_back() {
        let table = [
            Target::Channel(u64::MAX),
            Target::Webhook { pipeline: "a/b: c".into(), stage: "3-DiscordSink".into() },
        ];
        for target in table {
            assert_eq!(Target::parse(&target.to_string()), Some(target));
        }
        for unknown in ["", "channel:x", "webhook:x", "pigeon:1"] {
            assert_eq!(Target::parse(unknown), None);
        }
    }
}
