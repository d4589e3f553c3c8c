//! What memory no longer holds: events are read back from the journal, or a snapshot takes their place.

use actix::prelude::*;
use tracing::{error, warn};

use crate::ids::{AttachGen, Seq};
use crate::infra::journal::{EventPage, JournalError, ReadLimit};
use crate::protocol::CloseCode;
use crate::protocol::client::Page;
use crate::protocol::server::{Control, History};
use crate::session::actor::UserSessionActor;

impl UserSessionActor {
    /// Sends a snapshot instead of events that are gone. Events wait for it.
    pub(super) fn resync(&mut self, reason: &'static str, ctx: &mut Context<Self>) {
        let page = self.history_page(Page::default());
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        if let Some(attached) = open.socketry.of(generation) {
            attached.holds = true;
        }
        let (user, session) = (self.context.user().clone(), Some(self.context.session()));
        let thread = open.engine.current_thread();
        let reading = self.infra.threads.history(user, thread, session, page);
        ctx.spawn(reading.into_actor(self).map(move |read, act, ctx| match read {
            Ok(history) => act.resynced(generation, reason, history, ctx),
            Err(fault) => {
                error!(parent: &act.span, %fault, "a client can't be resynchronised");
                act.close_socket(CloseCode::Resumable, ctx);
            }
        }));
    }

    fn resynced(&mut self, generation: AttachGen, reason: &'static str, history: History, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        attached.holds = false;
        open.outbox.attach(history.as_of_seq);
        let epoch = open.epoch;
        self.reply(&Control::Resync { reason, epoch, history });
        self.pump(ctx);
    }

    pub(super) fn read_back(&mut self, after: Seq, ctx: &mut Context<Self>) {
        let limits = &self.infra.limits;
        let limit = ReadLimit {
            events: limits.sink_frames,
            bytes: limits.sink_bytes / 2,
        };
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        if std::mem::replace(&mut attached.reading, true) {
            return;
        }
        let reading = self.infra.journal.read(self.context.clone(), after, limit);
        ctx.spawn(
            reading
                .into_actor(self)
                .map(move |page, act, ctx| act.read(generation, after, page, ctx)),
        );
    }

    fn read(
        &mut self,
        generation: AttachGen,
        after: Seq,
        page: Result<EventPage, JournalError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(open) = &mut self.open else { return };
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        attached.reading = false;
        if std::mem::take(&mut attached.stale) {
            return self.read_back(after, ctx);
        }
        match page {
            Ok(page) if page.floor_seq > after => {
                open.floor = page.floor_seq;
                self.resync("expired", ctx);
            }
            Ok(page) if page.events.is_empty() => {
                error!(parent: &self.span, %after, "the journal lacks events that it committed");
                self.close_socket(CloseCode::Resumable, ctx);
            }
            Ok(page) => {
                attached.page = page.events;
                self.pump(ctx);
            }
            Err(fault) => {
                warn!(parent: &self.span, %fault, "events can't be read back");
                self.close_socket(CloseCode::Resumable, ctx);
            }
        }
    }
}
