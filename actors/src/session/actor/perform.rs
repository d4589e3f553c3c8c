//! The only place with side effects: carries out what the engine decided.

use std::sync::Arc;
use std::time::SystemTime;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::commit::Asker;
use super::{Standing, UserSessionActor};
use crate::ids::{CallId, MessageId, RunId, ThreadId};
use crate::infra::credentials::Renewed;
use crate::infra::journal::{EventRecord, HistoryPage, StoreCommand, StoreError};
use crate::protocol::client::Page;
use crate::protocol::server::{Control, ErrorCode, ErrorFrame, EventEnvelope, RunState, rfc3339};
use crate::session::dispatcher::{CallDecided, Verdict};
use crate::session::engine::{Effect, Emission, Input, StartRun};
use crate::session::lifecycle;
use crate::session::run::{Handed, RunTask, Steering};
use crate::supervisor::{AskYield, Leave, Presence, Rate, RootSupervisor, RunChanged, ThreadGone};

impl UserSessionActor {
    /// Carries out effects, in order.
    pub(super) fn perform(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            self.carry_out(effect, ctx);
        }
    }

    fn carry_out(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Reply(control) => self.reply(&control),
            Effect::Grant => self.owe_grant(),
            Effect::Acked(seq) => {
                if let Some(open) = &mut self.open {
                    open.outbox.ack(seq);
                }
            }
            Effect::Rate => self.ask_rate(ctx),
            Effect::Store(command) => self.ask_store(command, Asker::Op),
            Effect::Note(command) => self.ask_store(command, Asker::Nobody),
            Effect::Promote { run, thread } => self.ask_store(
                StoreCommand::Promote {
                    run_id: run,
                    thread_id: thread,
                },
                Asker::Promotion(run),
            ),
            Effect::Emit(emission) => self.emit(*emission, ctx),
            Effect::Start(start) => self.start_run(*start, ctx),
            Effect::Cancel(run) => {
                if let Some(task) = self.open.as_ref().and_then(|open| open.runs.get(&run)) {
                    task.cancelled.cancel();
                }
            }
            Effect::Steer {
                run,
                message_id,
                content,
            } => self.steer(run, Steering { message_id, content }),
            Effect::Decide { call, decision, note } => self.decide(call, Verdict { decision, note }, ctx),
            Effect::ChildEnded(report) => {
                if let Some(open) = &mut self.open {
                    open.children.ended(*report);
                }
            }
            Effect::FlushAt(at) => self.flush_at(Instant::from_std(at), ctx),
            Effect::Began { thread, run } => {
                let session = self.context.session();
                let state = RunState::Running;
                self.tell(
                    RunChanged {
                        session,
                        thread,
                        run,
                        state,
                    },
                    ctx,
                );
            }
            Effect::AskYield {
                session,
                thread,
                run,
                stop,
            } => {
                let user = self.context.user().clone();
                self.tell(
                    AskYield {
                        user,
                        session,
                        thread,
                        run,
                        stop,
                    },
                    ctx,
                );
            }
            Effect::ThreadGone(_) => {
                self.forget_bodies();
                let (user, session) = (self.context.user().clone(), Some(self.context.session()));
                self.tell(ThreadGone { user, session }, ctx);
            }
            Effect::List { message_id, page } => self.list(message_id, page, ctx),
            Effect::History {
                message_id,
                thread,
                page,
            } => self.history(message_id, thread, page, ctx),
            Effect::Refresh {
                message_id,
                token,
                ticket,
            } => self.refresh(message_id, token, ticket, ctx),
            Effect::Close(code) => self.close_socket(code, ctx),
            Effect::Leave => self.ask_leave(ctx),
            Effect::Drained => {
                if let Some(open) = &mut self.open {
                    open.drained = true;
                }
            }
            Effect::Violation(what) => {
                self.infra.metrics.lifecycle_violations.increment();
                error!(parent: &self.span, what, "lifecycle violation");
            }
        }
    }

    fn ask_store(&mut self, command: StoreCommand, asker: Asker) {
        if let Some(open) = &mut self.open {
            open.commits.ask(command, asker);
        }
    }

    /// Numbers an event and puts it on its way to the journal.
    fn emit(&mut self, emission: Emission, ctx: &mut Context<Self>) {
        if !self.may_tell(&emission, ctx) {
            return;
        }
        if let Some(end) = &emission.end {
            let (run, thread, request) = (emission.run, emission.thread, emission.request);
            let state = end.state.as_str();
            debug!(parent: &self.span, %run, %thread, %request, state, "run's end goes to the journal");
        }
        let Some(open) = &mut self.open else { return };
        let seq = open.outbox.next_seq();
        let envelope = EventEnvelope {
            seq,
            session_id: self.context.session(),
            thread_id: emission.thread,
            run_id: emission.run,
            agent_name: &emission.agent,
            at: SystemTime::now(),
            event: &emission.event,
        };
        let record = EventRecord {
            seq,
            run_id: emission.run,
            thread_id: emission.thread,
            kind: emission.event.kind(),
            body: envelope.to_text(),
            end: emission.end,
        };
        open.engine.stored_bytes(record.run_id, record.body.len());
        open.outbox.push(record);
        self.infra.metrics.events_emitted.increment();
    }

    /// Whether a run's lifecycle allows this event. Where it does not, the event is not told and its run ends.
    fn may_tell(&mut self, emission: &Emission, ctx: &mut Context<Self>) -> bool {
        let Some(open) = &mut self.open else { return false };
        let lifecycle::Verdict { told, fault } = open.lifecycle.see(emission.run, &emission.event);
        let Some(what) = fault else { return told };
        let (run, kind) = (emission.run, emission.event.kind());
        self.infra.metrics.lifecycle_violations.increment();
        error!(parent: &self.span, %run, kind, what, "lifecycle violation");
        if let Some(open) = &mut self.open {
            let effects = open.engine.handle(Input::Violated { run }, Self::now());
            self.perform(effects, ctx);
        }
        told
    }

    fn start_run(&mut self, start: StartRun, ctx: &mut Context<Self>) {
        debug!(parent: &self.span, run = %start.run, thread = %start.thread, request = %start.request, agent = %start.agent, "run begins");
        let Some(open) = &mut self.open else { return };
        let run = start.run;
        let (context, handed) = open.children.take(run).unwrap_or_else(|| {
            let now = SystemTime::now();
            let roles = open.standing.roles(now);
            let context = self.context.run(start.thread, run, start.request, roles, now);
            (context, Handed::default())
        });
        self.infra.metrics.runs_started.increment();
        let task = RunTask::spawn(start, context, Arc::clone(&self.infra), ctx.address(), handed);
        open.runs.insert(run, task);
        self.watch_clock(ctx);
    }

    /// Looks at the run clock again when the next run's time is over. One timer at a time.
    pub(super) fn watch_clock(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let Some(at) = open.engine.clock_runs_out_at().map(Instant::from_std) else {
            return;
        };
        if open.clock_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        open.clock_at = Some(at);
        ctx.run_later(at.saturating_duration_since(Instant::now()), move |act, ctx| {
            if let Some(open) = &mut act.open {
                open.clock_at.take_if(|next| *next == at);
            }
            act.input(Input::ClockDue, ctx);
            act.watch_clock(ctx);
        });
    }

    fn steer(&mut self, run: RunId, steering: Steering) {
        let task = self.open.as_ref().and_then(|open| open.runs.get(&run));
        if task.is_some_and(|task| !task.steer(steering)) {
            self.infra.metrics.lifecycle_violations.increment();
            error!(parent: &self.span, %run, "a run was told more than its engine counted");
        }
    }

    fn decide(&mut self, call: CallId, verdict: Verdict, ctx: &mut Context<Self>) {
        // Without a dispatcher no call waits: it made the request.
        let Some(dispatcher) = self.open.as_ref().and_then(|open| open.dispatcher.clone()) else {
            return;
        };
        let told = dispatcher.send(CallDecided { call, verdict });
        ctx.spawn(told.into_actor(self).map(|_, _, _| ()));
    }

    /// One timer at a time: a later one is asked for when the earlier has fired.
    fn flush_at(&mut self, at: Instant, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if open.flush_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        open.flush_at = Some(at);
        ctx.run_later(at.saturating_duration_since(Instant::now()), |act, ctx| {
            if let Some(open) = &mut act.open {
                open.flush_at = None;
            }
            act.input(Input::FlushDue, ctx);
        });
    }

    fn ask_rate(&mut self, ctx: &mut Context<Self>) {
        let asked = self.supervisor.send(Rate(self.context.user().clone()));
        ctx.spawn(asked.into_actor(self).map(|rating, act, ctx| match rating {
            Ok(rating) => act.input(Input::Rated(rating), ctx),
            // Without a supervisor the process is ending.
            Err(fault) => warn!(parent: &act.span, %fault, "the supervisor is gone"),
        }));
    }

    fn list(&mut self, message_id: Option<MessageId>, page: Page, ctx: &mut Context<Self>) {
        self.hold_grant();
        let reading = self.infra.threads.list(self.context.user().clone(), page);
        ctx.spawn(reading.into_actor(self).map(move |result, act, ctx| {
            let control = match result {
                Ok(page) => Control::ThreadList {
                    message_id,
                    threads: page.threads,
                    next_before: page.next_before,
                },
                Err(fault) => act.unreadable(&fault, message_id),
            };
            act.answer_read(&control, ctx);
        }));
    }

    fn history(&mut self, message_id: Option<MessageId>, thread: ThreadId, page: Page, ctx: &mut Context<Self>) {
        self.hold_grant();
        let page = self.history_page(page);
        let (user, session) = (self.context.user().clone(), Some(self.context.session()));
        let reading = self.infra.threads.history(user, thread, session, page);
        ctx.spawn(reading.into_actor(self).map(move |result, act, ctx| {
            let control = match result {
                Ok(history) => Control::ThreadHistory { message_id, history },
                Err(fault) => act.unreadable(&fault, message_id),
            };
            act.answer_read(&control, ctx);
        }));
    }

    pub(super) fn history_page(&self, page: Page) -> HistoryPage {
        let limits = &self.infra.limits;
        HistoryPage {
            before: page.before,
            messages: page
                .limit
                .unwrap_or(limits.history_page)
                .clamp(1, limits.history_page_max),
            bytes: limits.history_page_bytes,
        }
    }

    fn unreadable(&self, fault: &StoreError, message_id: Option<MessageId>) -> Control {
        let (code, message, details) = match fault {
            StoreError::NotFound => (ErrorCode::NotFound, "no such thread", None),
            StoreError::RunActive(_) | StoreError::Unavailable(_) => {
                let correlation = MessageId::mint();
                error!(parent: &self.span, %fault, %correlation, "threads can't be read");
                let details = serde_json::json!({ "correlation_id": correlation });
                (
                    ErrorCode::Internal,
                    "threads can't be read now; try again",
                    Some(details),
                )
            }
        };
        Control::Error(ErrorFrame {
            code,
            message: message.to_owned(),
            reply_to: message_id.map(|id| id.to_string()),
            retryable: code == ErrorCode::Internal,
            retry_after_ms: None,
            details,
        })
    }

    fn refresh(
        &mut self,
        message_id: Option<MessageId>,
        token: Option<String>,
        ticket: Option<String>,
        ctx: &mut Context<Self>,
    ) {
        self.hold_grant();
        let checking = self
            .infra
            .credentials
            .refresh(self.context.user().clone(), token, ticket);
        ctx.spawn(checking.into_actor(self).map(move |result, act, ctx| {
            let control = match result {
                Ok(Renewed { expires_at, roles }) => {
                    if let Some(open) = &mut act.open {
                        open.socketry.prolong(expires_at);
                        open.standing = Standing::of(roles, expires_at);
                    }
                    Control::TokenRefreshed {
                        message_id,
                        expires_at: expires_at.map(rfc3339),
                    }
                }
                Err(fault) => Control::Error(ErrorFrame {
                    code: ErrorCode::Forbidden,
                    message: fault.to_string(),
                    reply_to: message_id.map(|id| id.to_string()),
                    retryable: false,
                    retry_after_ms: None,
                    details: None,
                }),
            };
            act.answer_read(&control, ctx);
        }));
    }

    pub(super) fn ask_leave(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if open.leaving || open.socketry.is_attached() || !open.outbox.is_durable() || !open.commits.is_quiet() {
            return;
        }
        open.leaving = true;
        let leave = Leave {
            session: self.context.session(),
            incarnation: self.incarnation,
            attaches: self.attaches,
        };
        let asked = self.supervisor.send(leave);
        ctx.spawn(asked.into_actor(self).map(|agreed, act, ctx| {
            if matches!(agreed, Ok(true)) {
                info!(parent: &act.span, "session leaves memory");
                act.infra.metrics.sessions_left.increment();
                act.end(crate::supervisor::HowEnded::Left, ctx);
            } else if let Some(open) = &mut act.open {
                open.leaving = false;
            }
        }));
    }

    /// The supervisor counted a socket that did not stay.
    pub(super) fn not_attached(&self, ctx: &mut Context<Self>) {
        let attached = self.open.as_ref().is_some_and(|open| open.socketry.is_attached());
        self.presence(attached, ctx);
    }

    pub(super) fn presence(&self, attached: bool, ctx: &mut Context<Self>) {
        let session = self.context.session();
        self.tell(Presence { session, attached }, ctx);
    }

    /// Tells the supervisor a fact. Where its mailbox is full, the fact waits in line.
    pub(super) fn tell<M>(&self, message: M, ctx: &mut Context<Self>)
    where
        M: Message<Result = ()> + Send + 'static,
        RootSupervisor: Handler<M>,
        Context<RootSupervisor>: ToEnvelope<RootSupervisor, M>,
    {
        match self.supervisor.try_send(message) {
            Ok(()) => {}
            Err(SendError::Full(message)) => {
                let waiting = self.supervisor.send(message);
                ctx.spawn(waiting.into_actor(self).map(|_, _, _| ()));
            }
            // Without a supervisor the process is ending.
            Err(SendError::Closed(_)) => {}
        }
    }
}
