//! Events and commands on their way to the journal: one batch at a time, everything that waits goes with the next.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tracing::{error, warn};

use super::UserSessionActor;
use crate::budgets::Gate;
use crate::ids::RunId;
use crate::infra::journal::{Batch, JournalError, StoreCommand, StoreReply};
use crate::session::engine::Input;
use crate::supervisor::RunChanged;

/// How long to wait before the journal is asked again that could not be reached; doubled each time.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);

/// The longest such wait.
pub(super) const RETRY_MOST: Duration = Duration::from_secs(5);

/// What is on its way to the journal besides events.
#[derive(Default)]
pub(super) struct Commits {
    /// Commands that wait, each with who wants the answer.
    waiting: VecDeque<(StoreCommand, Asker)>,
    /// Who wants the answers of the batch under way, in order. None while no batch is under way.
    under_way: Option<Vec<Asker>>,
    /// Commands of the batch under way, in case it has to be tried again.
    retry: Vec<(StoreCommand, Asker)>,
    /// How long the next wait is, while the journal is unavailable.
    backoff: Option<Duration>,
}

/// Who wants the answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The current operation.
    Op,
    /// A run that wants its thread.
    Promotion(RunId),
    /// The engine, for what was used.
    Costs,
    /// Nobody.
    Nobody,
}

impl Commits {
    pub fn ask(&mut self, command: StoreCommand, asker: Asker) {
        self.waiting.push_back((command, asker));
    }

    /// Whether nothing is asked and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }
}

impl UserSessionActor {
    /// Hands the next batch to the journal, where none is under way and something waits.
    pub(super) fn pump_commits(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let nothing_waits = open.outbox.is_durable() && open.commits.waiting.is_empty() && !open.engine.owes();
        if open.commits.under_way.is_some() || nothing_waits {
            return;
        }
        let (first_seq, events) = open.outbox.begin_commit(self.infra.limits.batch_events);
        // Events go before commands in a batch: commands may only go once every event numbered before them is in.
        let all_events = events.len() == open.outbox.pending_len();
        let mut commands: Vec<(StoreCommand, Asker)> = Vec::new();
        // What was used is counted in the commit of the events that it brought, and before a new message is judged by it.
        let begins = |(command, _): &(StoreCommand, Asker)| {
            matches!(command, StoreCommand::Accept(_) | StoreCommand::Promote { .. })
        };
        let charge = open
            .engine
            .take_charge(all_events && open.commits.waiting.iter().any(begins), Self::now());
        commands.extend(charge.map(|charge| (StoreCommand::Charge(charge), Asker::Costs)));
        if all_events {
            commands.extend(open.commits.waiting.drain(..));
        }
        let at = SystemTime::now();
        let budgets = &self.infra.limits.budgets;
        open.commits.under_way = Some(commands.iter().map(|(_, asker)| *asker).collect());
        let batch = Batch {
            session: self.context.clone(),
            fence: open.fence,
            first_seq,
            at,
            events,
            commands: commands.iter().map(|(command, _)| command.clone()).collect(),
            runs_per_user: self.infra.limits.runs_per_user,
            gate: Gate {
                session: budgets.session,
                user: budgets.user,
                window: budgets.window_at(at),
            },
        };
        open.commits.retry = commands;
        let appended = self.infra.journal.append(batch);
        ctx.spawn(
            appended
                .into_actor(self)
                .map(|result, act, ctx| act.committed(result, ctx)),
        );
    }

    fn committed(&mut self, result: Result<Vec<StoreReply>, JournalError>, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let askers = open.commits.under_way.take().unwrap_or_default();
        let commands = std::mem::take(&mut open.commits.retry);
        let replies = match result {
            Ok(replies) => replies,
            Err(JournalError::Unavailable(fault)) => {
                open.outbox.commit_failed();
                for (command, asker) in commands.into_iter().rev() {
                    match asker {
                        // It goes with what is used meanwhile.
                        Asker::Costs => open.engine.not_charged(),
                        Asker::Op | Asker::Promotion(_) | Asker::Nobody => {
                            open.commits.waiting.push_front((command, asker));
                        }
                    }
                }
                // Block further batches until the wait is over.
                open.commits.under_way = Some(Vec::new());
                let wait = open
                    .commits
                    .backoff
                    .map_or(RETRY_FIRST, |last| (last * 2).min(RETRY_MOST));
                open.commits.backoff = Some(wait);
                warn!(parent: &self.span, fault, ?wait, "journal unavailable, trying again");
                ctx.run_later(wait, |act, ctx| {
                    if let Some(open) = &mut act.open {
                        open.commits.under_way = None;
                    }
                    act.pump(ctx);
                });
                return;
            }
            Err(fault) => return self.lose(&fault, ctx),
        };
        open.commits.backoff = None;
        let before = open.outbox.committed_seq();
        let ended = open.outbox.commit_done();
        self.infra
            .metrics
            .events_committed
            .add(open.outbox.committed_seq().0 - before.0);
        for end in ended {
            self.infra.metrics.runs_ended.increment();
            if end.child {
                continue;
            }
            self.tell(
                RunChanged {
                    session: self.context.session(),
                    thread: end.thread,
                    run: end.run,
                    state: end.state,
                },
                ctx,
            );
        }
        for (asker, reply) in askers.into_iter().zip(replies) {
            let input = match asker {
                Asker::Costs => match reply {
                    StoreReply::Charged(totals) => Input::Charged(totals),
                    other => {
                        self.infra.metrics.lifecycle_violations.increment();
                        error!(parent: &self.span, ?other, "the store did not answer what it counted");
                        continue;
                    }
                },
                Asker::Op => Input::Stored(reply),
                Asker::Promotion(run) => Input::Promoted { run, reply },
                Asker::Nobody => continue,
            };
            let Some(open) = &mut self.open else { return };
            let effects = open.engine.handle(input, Self::now());
            self.perform(effects, ctx);
        }
        self.pump(ctx);
    }
}
