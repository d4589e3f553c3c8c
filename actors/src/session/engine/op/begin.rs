//! How frames begin: what can be checked here and now, and what needs an answer.

use std::sync::Arc;

use super::answers::refusal;
use super::people::Asked;
use super::{Arrived, Fresh, Op, Stage, Work};
use crate::ids::{MessageId, RunId, ThreadId};
use crate::infra::journal::UNNAMED;
use crate::protocol::client::{Command, Say, ThreadTarget};
use crate::protocol::server::{Control, ErrorCode, StoppedBy};
use crate::session::engine::{Drain, Effect, Engine, Now, Stop};

/// How long a thread's name is that is made from its first message, in characters.
const MADE_NAME_CHARS: usize = 60;

impl Engine {
    /// Begins a frame. Where it needs an answer, it becomes the current operation.
    pub(in crate::session::engine) fn begin(&mut self, arrived: Arrived, now: Now, fx: &mut Vec<Effect>) {
        let Arrived { frame, fresh } = arrived;
        let digest = frame.command.digest();
        let reply_to = frame.message_id;
        let about = frame.thread_id;
        let thread = about.unwrap_or(self.current);
        let work = match frame.command {
            Command::Say(say) => return self.begin_say(say, digest, reply_to, fresh, fx),
            Command::Stop { run_id, reason } => {
                return self.begin_stop(run_id, about, reason, reply_to, now, fx);
            }
            Command::Steer { run_id, content } => {
                let asked = Asked {
                    digest,
                    reply_to,
                    fresh,
                };
                return self.begin_steer(run_id, content, &asked, fx);
            }
            Command::DecideTool { call_id, approve, note } => {
                let asked = Asked {
                    digest,
                    reply_to,
                    fresh,
                };
                return self.begin_decision(call_id, approve, note, &asked, now, fx);
            }
            Command::ListThreads(page) => {
                return fx.push(Effect::List {
                    message_id: reply_to,
                    page,
                });
            }
            Command::GetThreadHistory(page) => {
                return fx.push(Effect::History {
                    message_id: reply_to,
                    thread,
                    page,
                });
            }
            Command::RefreshToken { token, ticket } => {
                return fx.push(Effect::Refresh {
                    message_id: reply_to,
                    token,
                    ticket,
                });
            }
            Command::CreateThread { name } => (
                fresh.thread,
                Work::Create {
                    name: name.unwrap_or_else(|| UNNAMED.to_owned()),
                },
            ),
            Command::SwitchThread { thread_id } => (thread_id, Work::Switch),
            Command::RenameThread { thread_id, name } => (thread_id.unwrap_or(thread), Work::Rename { name }),
            Command::DeleteThread { thread_id } => (thread_id, Work::Delete),
            // Answered on arrival; they never wait here.
            Command::Ack { .. } | Command::Ping { .. } | Command::Nothing => return,
        };
        self.rate(
            Op {
                message_id: reply_to.unwrap_or(fresh.message),
                digest,
                fresh,
                thread: work.0,
                work: work.1,
                stage: Stage::Rating,
                reply_to,
                refusal: None,
                yield_until: None,
            },
            fx,
        );
    }

    fn begin_say(
        &mut self,
        say: Say,
        digest: [u8; 32],
        reply_to: Option<MessageId>,
        fresh: Fresh,
        fx: &mut Vec<Effect>,
    ) {
        if self.drain != Drain::No {
            let mut error = Self::error(
                ErrorCode::Overloaded,
                "the server is shutting down; resume in a moment",
                reply_to,
            );
            error.retryable = true;
            error.retry_after_ms = Some(1_000);
            return fx.push(Effect::Reply(Control::Error(error)));
        }
        let agent = say.agent.as_deref().unwrap_or(&self.rules.default_agent);
        if !self.rules.agents.contains(agent) {
            let mut error = Self::error(
                ErrorCode::InvalidPayload,
                "no such agent; GET /v1/agents lists them",
                reply_to,
            );
            error.details = Some(serde_json::json!({ "pointer": "/agent" }));
            return fx.push(Effect::Reply(Control::Error(error)));
        }
        let name = made_name(&say.content);
        let (thread, create) = match say.thread {
            ThreadTarget::Current => (self.current, Some(name)),
            ThreadTarget::New => (fresh.thread, Some(name)),
            ThreadTarget::Given(id) => (id, (id == self.current).then_some(name)),
        };
        let agent = Arc::from(agent);
        self.rate(
            Op {
                message_id: reply_to.unwrap_or(fresh.message),
                digest,
                fresh,
                thread,
                work: Work::Say { say, agent, create },
                stage: Stage::Rating,
                reply_to,
                refusal: None,
                yield_until: None,
            },
            fx,
        );
    }

    fn begin_stop(
        &mut self,
        run: Option<RunId>,
        thread: Option<ThreadId>,
        reason: Option<String>,
        reply_to: Option<MessageId>,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        let thread = match run {
            Some(_) => None,
            None => Some(thread.unwrap_or(self.current)),
        };
        let run_ids = self.matching(run, thread);
        if run.is_some() && run_ids.is_empty() {
            let message = "no such run is active in this session";
            return fx.push(refusal(ErrorCode::NotFound, message, reply_to));
        }
        fx.push(Effect::Reply(Control::StopAccepted {
            message_id: reply_to,
            run_ids,
        }));
        let stop = Stop {
            by: StoppedBy::User,
            reason: reason.unwrap_or_else(|| "stopped by the user".to_owned()),
            forget: false,
        };
        self.stop_matching(run, thread, &stop, now, fx);
    }
}

/// A thread's name from its first message: its first line, cut at a character.
fn made_name(content: &str) -> String {
    let line = content.trim().lines().next().unwrap_or_default();
    let mut name: String = line.chars().take(MADE_NAME_CHARS).collect();
    if name.len() < line.len() {
        name.push('…');
    }
    name
}
