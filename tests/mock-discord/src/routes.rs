//! Paths and what they mean.

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Commands { application: u64, guild: Option<u64> },
    Callback { id: u64, token: String },
    ResponseMessage { token: String, message: Option<u64> },
    Followup { token: String },
    ChannelMessages { channel: u64 },
    ChannelMessage { channel: u64, message: u64 },
    Webhook { id: u64, token: String },
    WebhookMessage { id: u64, token: String, message: u64 },
    Gateway,
    Unknown,
}

impl Endpoint {
    /// Reads a path below `/api/v10`.
    pub(crate) fn parse(path: &str, application: u64) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let id = |s: &str| s.parse::<u64>().ok().filter(|n| *n != 0);
        let read = || {
            Some(match parts.as_slice() {
                ["applications", app, "commands"] => Self::Commands { application: id(app)?, guild: None },
                ["applications", app, "guilds", guild, "commands"] => {
                    Self::Commands { application: id(app)?, guild: Some(id(guild)?) }
                }
                ["interactions", i, token, "callback"] => {
                    Self::Callback { id: id(i)?, token: (*token).to_owned() }
                }
                ["webhooks", app, token] if id(app)? == application => {
                    Self::Followup { token: (*token).to_owned() }
                }
                ["webhooks", app, token, "messages", m] if id(app)? == application => {
                    let message = if *m == "@original" { None } else { Some(id(m)?) };
                    Self::ResponseMessage { token: (*token).to_owned(), message }
                }
                ["webhooks", hook, token] => Self::Webhook { id: id(hook)?, token: (*token).to_owned() },
                ["webhooks", hook, token, "messages", m] => {
                    Self::WebhookMessage { id: id(hook)?, token: (*token).to_owned(), message: id(m)? }
                }
                ["channels", c, "messages"] => Self::ChannelMessages { channel: id(c)? },
                ["channels", c, "messages", m] => Self::ChannelMessage { channel: id(c)?, message: id(m)? },
                ["gateway"] | ["gateway", "bot"] => Self::Gateway,
                _ => return None,
            })
        };
        read().unwrap_or(Self::Unknown)
    }

    /// Whether the route is authorised by the bot's token rather than by one in its path.
    pub(crate) fn needs_bot(&self) -> bool {
        matches!(
            self,
            Self::Commands { .. }
                | Self::ChannelMessages { .. }
                | Self::ChannelMessage { .. }
                | Self::Gateway
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let table = [
            ("/applications/9/commands", Endpoint::Commands { application: 9, guild: None }),
            (
                "/webhooks/9/t/messages/@original",
                Endpoint::ResponseMessage { token: "t".into(), message: None },
            ),
            ("/webhooks/8/t", Endpoint::Webhook { id: 8, token: "t".into() }),
            ("/channels/0/messages", Endpoint::Unknown),
            ("/users/@me", Endpoint::Unknown),
        ];
        for (path, expected) in table {
            assert_eq!(Endpoint::parse(path, 9), expected, "{path}");
        }
    }
}
