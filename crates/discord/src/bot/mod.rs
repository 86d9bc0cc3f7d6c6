//! The bot: people see and steer a scheduler from Discord, and nothing that Discord does reaches a pipeline.

mod autocomplete;
mod breaker;
mod commands;
mod config;
mod context;
mod control;
mod custom_id;
mod event;
mod gateway;
mod handle;
mod paging;
mod permission;
mod progress;
mod register;
mod responder;
mod rest;
mod supervise;

pub use config::{BotConfig, BotState, BotStatus, Timing};
pub use control::{
    ActiveRun, ControlError, CronPreview, JobFires, JobInfo, PipelineInfo, Requester, RunInfo, RunOutcome,
    RunPhase, RunProgress, RunStage, Scheduled, SchedulerControl, Snapshot, StartedRun,
};
pub use supervise::run_bot;
