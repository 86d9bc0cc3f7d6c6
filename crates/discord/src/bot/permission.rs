//! Who may do what. It is checked here on every interaction, whatever Discord's own settings say.

use super::config::BotConfig;
use super::event::Interaction;

const ADMINISTRATOR: u64 = 1 << 3;

/// The rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admins {
    user: Option<u64>,
    guild: Option<u64>,
}

impl Admins {
    pub(crate) fn new(config: &BotConfig) -> Self {
        Self { user: config.admin_user_id, guild: config.admin_guild_id }
    }

    /// Whether whoever made this interaction may steer the scheduler.
    pub(crate) fn admit(&self, interaction: &Interaction) -> bool {
        if self.user == Some(interaction.user_id) {
            return true;
        }
        let here = match (self.guild, interaction.guild_id) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(wanted), Some(guild)) => wanted == guild,
        };
        here && interaction.permissions & ADMINISTRATOR != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bot::event::Action;

    #[test]
    fn who_is_admitted() {
        let interaction = |user_id, guild_id, permissions| Interaction {
            id: 1,
            application_id: 9,
            token: "t".into(),
            guild_id,
            channel_id: Some(5),
            user_id,
            user_name: "u".into(),
            permissions,
            action: Action::Unknown(1),
        };
        let (all, none) = (u64::MAX, 0x20);
        // admin user, admin guild | user, guild, permissions | admitted
        let table = [
            (None, None, 3, Some(4), 8, true),
            (None, None, 3, Some(4), none, false),
            (None, None, 3, Some(4), 0, false),
            (None, None, 3, None, all, false),
            (None, Some(4), 3, Some(4), 8, true),
            (None, Some(4), 3, Some(5), all, false),
            (Some(3), None, 3, Some(4), 0, true),
            (Some(3), Some(4), 3, Some(5), 0, true),
            (Some(3), Some(4), 3, None, 0, true),
            (Some(7), None, 3, Some(4), 0, false),
        ];
        for (user, guild, who, place, bits, admitted) in table {
            let admins = Admins { user, guild };
            assert_eq!(
                admins.admit(&interaction(who, place, bits)),
                admitted,
                "{admins:?} {who} {place:?} {bits}"
            );
        }
    }
}
