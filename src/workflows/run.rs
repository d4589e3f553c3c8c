//! Follows the course of a workflow: performs its effects, a child run a try.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use sessile_actors::protocol::server::{RunState, WorkflowStatus};
use sessile_actors::session::run::{ChildEnd, ChildTask, RunContext, RunOver};
use tokio::time::{sleep, timeout};

use super::course::{At, Course, Effect, StepEnd, StepSummary};
use super::results::{Failure, RESULTS_BYTES};

/// The longest message of a failure that is handed on, in bytes. A longer one is cut.
const MESSAGE_BYTES: usize = 1024;

/// How much of what the user told the run meanwhile goes to its next steps, in bytes: the newest of it.
const STEERING_BYTES: usize = 64 * 1024;

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowEnd {
    /// How, in a word.
    pub status: WorkflowStatus,
    /// What its steps brought, by their names.
    pub results: BTreeMap<String, Value>,
    /// Why steps failed, by their names.
    pub failed: BTreeMap<String, Failure>,
    /// Every step that ran an agent or was to, in order.
    pub steps: Vec<StepSummary>,
    /// What its last step said; none where that did not end well.
    pub report: Option<String>,
}

/// What came of what was under way.
enum News {
    Ended(At, Result<StepEnd, RunOver>),
    PauseOver(At),
}

/// Follows `course` to its end. Each step is a child run of `run`, asked what `run` is asked and was told since by steering,
/// and handed what the steps before it brought. Dropping the future stops the children.
///
/// # Errors
/// [`RunOver`] where the run has ended.
pub async fn run_workflow(run: &mut RunContext, mut course: Course) -> Result<WorkflowEnd, RunOver> {
    let mut under_way = FuturesUnordered::new();
    let mut told = Vec::new();
    let mut effects = course.begin();
    loop {
        for effect in effects {
            under_way.extend(perform(run, effect, &mut told).await?);
        }
        effects = match under_way.next().await {
            Some(News::Ended(at, end)) => course.ended(at, end?),
            Some(News::PauseOver(at)) => course.pause_over(at),
            None => break,
        };
    }
    let known = course.known();
    Ok(WorkflowEnd {
        // A course without anything under way has ended.
        status: course.status().unwrap_or(WorkflowStatus::Failed),
        results: known.results,
        failed: known.failed,
        steps: course.summary(),
        report: course.last_words().map(str::to_owned),
    })
}

/// The only place where a course has effects. Returns what is under way from here on.
async fn perform(
    run: &mut RunContext,
    effect: Effect,
    told: &mut Vec<String>,
) -> Result<Option<LocalBoxFuture<'static, News>>, RunOver> {
    match effect {
        Effect::WorkflowStarted { workflow, steps } => run.workflow_started(&workflow, &steps).await?,
        Effect::StepStarted { step, step_number } => run.step_started(&step, step_number).await?,
        Effect::StepCompleted {
            step,
            step_number,
            status,
        } => run.step_completed(&step, step_number, status).await?,
        Effect::WorkflowCompleted { workflow, status } => run.workflow_completed(&workflow, status).await?,
        Effect::Begin {
            at,
            agent,
            timeout: limit,
            known,
        } => {
            told.extend(run.steering().await?);
            while told.len() > 1 && told.iter().map(String::len).sum::<usize>() > STEERING_BYTES {
                told.remove(0);
            }
            if let Some(newest) = told.last_mut() {
                newest.truncate(newest.floor_char_boundary(STEERING_BYTES));
            }
            let mut input = known.into_input(RESULTS_BYTES);
            if !told.is_empty() {
                input["steering"] = json!(told);
            }
            let content = std::iter::once(run.message()).chain(told.iter().map(String::as_str));
            let task = ChildTask {
                content: content.collect::<Vec<_>>().join("\n\n"),
                input,
            };
            let child = run.spawn_child(&agent, task);
            return Ok(Some(tried(at, child, limit).boxed_local()));
        }
        Effect::Pause {
            at,
            step,
            most,
            retry,
            retries,
        } => {
            let pause = jittered(most, getrandom::u32().unwrap_or(u32::MAX));
            let told = format!(
                "The step `{step}` failed and is tried again in {} ms, {retry} of {retries}.",
                pause.as_millis()
            );
            run.progress(None, told).await?;
            return Ok(Some(sleep(pause).map(move |()| News::PauseOver(at)).boxed_local()));
        }
    }
    Ok(None)
}

/// One try of a step.
async fn tried(at: At, child: impl Future<Output = Result<ChildEnd, RunOver>>, limit: Option<Duration>) -> News {
    let Some(limit) = limit else {
        return News::Ended(at, child.await.map(step_end));
    };
    // Past its time the child is dropped, which stops it.
    let end = match timeout(limit, child).await {
        Ok(end) => end.map(step_end),
        Err(_) => Ok(timed_out(limit)),
    };
    News::Ended(at, end)
}

fn timed_out(limit: Duration) -> StepEnd {
    StepEnd::Failed {
        code: "step_timeout".to_owned(),
        message: format!("The step took longer than {}.", humantime::format_duration(limit)),
        retryable: true,
    }
}

/// What a child run's end is to its step.
fn step_end(end: ChildEnd) -> StepEnd {
    if end.state == RunState::Completed {
        return StepEnd::Completed {
            output: end.output,
            words: end.result,
        };
    }
    let (code, mut message, retryable) = match end.error {
        Some(error) => (error.code, error.message, error.retryable),
        None => (
            "step_failed".to_owned(),
            "The step ended without a result.".to_owned(),
            false,
        ),
    };
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    StepEnd::Failed {
        code,
        message,
        retryable,
    }
}

/// Half of a pause at least, so that the fault has time to pass; the rest by chance, so that not all come back at once.
fn jittered(most: Duration, dice: u32) -> Duration {
    let half = most / 2;
    half + half.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_lies_between_its_half_and_its_whole() {
        let most = Duration::from_secs(4);
        assert_eq!(jittered(most, 0), most / 2);
        assert_eq!(jittered(most, u32::MAX), most);
    }
}
