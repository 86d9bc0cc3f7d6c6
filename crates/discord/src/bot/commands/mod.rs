//! The commands. Each makes a plan from memory alone; what takes time is in the plan's work, after the acknowledgement.

mod change;
mod jobs;
mod lists;
mod remove;
mod run;
mod schedule;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::context::Bot;
use super::control::{JobInfo, PipelineInfo, Requester, Snapshot};
use super::custom_id::{Button, List, Reference};
use super::event::Choice;
use super::handle;
use super::responder::Responder;
use crate::text::{code, cut, plain};

/// What to do about an interaction.
pub(crate) enum Plan {
    /// Nothing.
    Ignore,
    /// Respond with this at once.
    Respond(Value),
    /// Acknowledge like this, and then do the work, which edits the response.
    Work(Defer, Work),
}

/// How to acknowledge. It fixes who sees the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defer {
    /// The channel sees the answer.
    Public,
    /// Only the user sees the answer.
    Private,
    /// The answer is an edit of the message with the button.
    Update,
}

/// What is done after the acknowledgement.
pub(crate) type Work = Box<dyn FnOnce(Responder) -> BoxFuture<'static, Result<(), Failure>> + Send>;

/// Why a command did nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user is told this.
    User(String),
    /// The log is told this, and the user where to look.
    Internal(String),
}

/// An interaction that is allowed.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) bot: Arc<Bot>,
    pub(crate) options: Vec<Choice>,
    pub(crate) by: Requester,
}

impl Call {
    fn option(&self, name: &str) -> Option<&str> {
        let option = self.options.iter().find(|o| o.name == name)?;
        let value = option.value.trim();
        (!value.is_empty()).then_some(value)
    }

    fn required(&self, name: &str) -> Result<&str, Plan> {
        self.option(name).ok_or_else(|| refuse(format!("`{name}` is missing.")))
    }

    fn pipeline(&self, snapshot: &Snapshot) -> Result<PipelineInfo, Plan> {
        let wanted = Reference::parse(self.required("pipeline_name")?);
        find_pipeline(snapshot, &wanted)
    }

    fn job(&self, snapshot: &Snapshot) -> Result<JobInfo, Plan> {
        let wanted = Reference::parse(self.required("job_id")?);
        find_job(snapshot, &wanted)
    }

    /// Who asked, as they are called here. Mentions are off, so nobody is woken by it.
    fn who(&self) -> String {
        format!("<@{}>", self.by.user_id)
    }
}

/// A refusal, which only the user sees.
pub(crate) fn refuse(text: impl Into<String>) -> Plan {
    let text = text.into();
    Plan::Respond(handle::private(cut(&text, 1900)))
}

fn work<F>(defer: Defer, work: impl FnOnce(Responder) -> F + Send + 'static) -> Plan
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Plan::Work(defer, Box::new(move |responder| Box::pin(work(responder))))
}

fn find_pipeline(snapshot: &Snapshot, wanted: &Reference) -> Result<PipelineInfo, Plan> {
    let names = || snapshot.pipelines.iter().map(|p| p.name.as_str());
    let name = wanted.resolve(names());
    if let Some(found) = snapshot.pipelines.iter().find(|p| Some(p.name.as_str()) == name) {
        return Ok(found.clone());
    }
    let text = wanted.to_string();
    let hint = match pipeline_core::suggest::nearest(&text, names()) {
        Some(near) => format!("Did you mean {}?", code(near, 100)),
        None if snapshot.pipelines.is_empty() => "There is none at all.".into(),
        None => "`/pipelines` lists all.".into(),
    };
    Err(refuse(format!("There is no pipeline {}. {hint}", code(&text, 100))))
}

fn find_job(snapshot: &Snapshot, wanted: &Reference) -> Result<JobInfo, Plan> {
    let ids = || snapshot.jobs.iter().map(|j| j.id.as_str());
    let id = wanted.resolve(ids());
    if let Some(found) = snapshot.jobs.iter().find(|j| Some(j.id.as_str()) == id) {
        return Ok(found.clone());
    }
    let text = wanted.to_string();
    let hint = match pipeline_core::suggest::nearest(&text, ids()) {
        Some(near) => format!("Did you mean {}?", code(near, 120)),
        None => "`/jobs` lists all.".into(),
    };
    Err(refuse(format!("There is no job {}. {hint}", code(&text, 120))))
}

/// Whether a command needs no permission.
pub(crate) fn is_for_everyone(name: &str) -> bool {
    name == "pipelines"
}

/// What to do about a command.
pub(crate) fn plan(call: Call, name: &str) -> Plan {
    let planned = match name {
        "run" => run::plan(call),
        "schedule" => schedule::plan(call),
        "jobs" => Ok(jobs::list(call, 0, Defer::Private)),
        "remove" => remove::plan(&call),
        "pipelines" => Ok(lists::pipelines(&call, 0, false)),
        "cancel" => change::cancel(call),
        "pause" => change::pause(call),
        "resume" => change::resume(call),
        "history" => lists::history(call),
        "next" => jobs::next(call),
        other => Err(refuse(format!("The command {} is not known (any more).", code(other, 32)))),
    };
    planned.unwrap_or_else(|refusal| refusal)
}

/// What to do about a button.
pub(crate) fn button(call: Call, button: Button) -> Plan {
    match button {
        Button::Page { list: List::Jobs, page, .. } => jobs::list(call, page, Defer::Update),
        Button::Page { list: List::Pipelines, page, .. } => lists::pipelines(&call, page, true),
        Button::Page { list: List::History(pipeline), page, .. } => lists::history_page(call, pipeline, page),
        Button::Remove { job, expires, .. } => remove::confirmed(call, job, expires),
        Button::Keep { .. } => remove::kept(),
        Button::Cancel { run } => change::cancel_button(call, run),
    }
}

/// What to think about, as lines; never so many that a message is too long.
fn warnings(list: &[String]) -> String {
    list.iter().take(4).map(|w| format!("\n⚠️ {}", plain(w, 250))).collect()
}
