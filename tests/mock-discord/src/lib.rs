//! mock-discord.
