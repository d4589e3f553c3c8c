//! Places: a socket is admitted before its 101, and handed over after it.

use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::books::Place;
use super::{RETRY_AFTER, RootSupervisor};
use crate::context::Roles;
use crate::ids::{SessionId, UserId};
use crate::protocol::server::DeathCause;
use crate::session::actor::{Attach, Birth, Evict, Resume, UserSessionActor};
use crate::session::sink::Socket;

/// Asks for a place for one socket, before the 101 is written.
#[derive(Debug, Message)]
#[rtype(result = "Result<Reservation, Refusal>")]
pub struct Admit {
    /// The verified user.
    pub user: UserId,
    /// The session to go on with; none makes a new one.
    pub resume: Option<SessionId>,
}

/// A place that is held for a few seconds. Dropping it gives the place back.
#[derive(Debug)]
pub struct Reservation {
    number: u64,
    supervisor: Addr<RootSupervisor>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let notice = GiveBack(self.number);
        #[expect(
            clippy::disallowed_methods,
            reason = "a place's death notice: it must not wait, and there is one per place"
        )]
        self.supervisor.do_send(notice);
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user has as many sessions as are allowed: 429.
    #[error("the user has too many sessions; close one")]
    UserLimit,
    /// The process has as many sessions as are allowed, or drains: 503.
    #[error("the server has no room now")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
}

impl Handler<Admit> for RootSupervisor {
    type Result = Result<Reservation, Refusal>;

    fn handle(&mut self, Admit { user, resume }: Admit, ctx: &mut Context<Self>) -> Self::Result {
        if self.drain.is_some() {
            return Err(Refusal::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        // Someone else's session looks like one that is not in memory: the store will know none of this user.
        let live = resume.filter(|session| self.books.is_of(*session, &user));
        if live.is_none() {
            if self.books.is_full() {
                return Err(Refusal::Overloaded {
                    retry_after: RETRY_AFTER,
                });
            }
            if self.books.user_is_full(&user) {
                let resting = self.books.resting(&user).ok_or(Refusal::UserLimit)?;
                // It leaves by itself, unless work has come to it meanwhile; until then the user has one more.
                self.books.evict(resting);
                self.send(resting, Evict);
            }
        }
        let place = match (live, resume) {
            (Some(session), _) => Place::Live(session),
            (None, Some(session)) => Place::Revival(session),
            (None, None) => Place::New,
        };
        let number = self.books.reserve(user, place, Instant::now());
        Ok(Reservation {
            number,
            supervisor: ctx.address(),
        })
    }
}

/// A reservation was dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct GiveBack(u64);

impl Handler<GiveBack> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, GiveBack(number): GiveBack, _: &mut Context<Self>) {
        // Nothing where it was used.
        self.books.take_reservation(number);
    }
}

/// Hands over a socket whose handshake is done. Verdicts on a resume come as close codes on the socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttachSocket {
    /// The place.
    pub reservation: Reservation,
    /// The socket.
    pub socket: Box<dyn Socket>,
    /// What the client knows; goes with `Admit::resume`.
    pub resume: Option<Resume>,
    /// Whether the client speaks the seed system's dialect.
    pub legacy: bool,
    /// When the credential ends; none: never.
    pub expires_at: Option<SystemTime>,
    /// What the credential says that its user may do.
    pub roles: Roles,
}

impl Handler<AttachSocket> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, request: AttachSocket, ctx: &mut Context<Self>) {
        // A place that was held for too long is gone; the socket is dropped, and its client resumes.
        let Some((user, place)) = self.books.take_reservation(request.reservation.number) else {
            return warn!("a socket came after its reservation had ended");
        };
        if self.drain.is_some() {
            return debug!("a socket came while draining; its client resumes elsewhere or later");
        }
        let attach = Attach {
            socket: request.socket,
            resume: request.resume,
            legacy: request.legacy,
            expires_at: request.expires_at,
            roles: request.roles,
        };
        let (session, birth) = match place {
            Place::New => (SessionId::mint(), Birth::New),
            Place::Live(session) | Place::Revival(session) => match self.books.entry(session) {
                Some(entry) if entry.user == user => match entry.address.upgrade() {
                    Some(address) => return self.hand_over(session, &address, attach),
                    None => (session, Birth::Revived(DeathCause::Panic)),
                },
                // Not ours to look at: a session of a fresh name asks the store, which knows none of this user.
                Some(_) => (SessionId::mint(), Birth::Revived(DeathCause::Interrupted)),
                None => (session, Birth::Revived(DeathCause::Interrupted)),
            },
        };
        self.spawn(session, user, birth, Some(attach), ctx.address());
        self.books.count_attach(session);
    }
}

impl RootSupervisor {
    fn hand_over(&mut self, session: SessionId, address: &Addr<UserSessionActor>, attach: Attach) {
        self.books.count_attach(session);
        if let Err(SendError::Full(_)) = address.try_send(attach) {
            warn!(%session, "a session's mailbox is full; a socket was dropped");
        }
    }
}

/// Whether a session has a socket; a session without one and without work may be evicted for another of its user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Presence {
    /// The session.
    pub session: SessionId,
    /// Whether a socket is attached.
    pub attached: bool,
}

impl Handler<Presence> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, Presence { session, attached }: Presence, _: &mut Context<Self>) {
        self.books.presence(session, attached);
    }
}

/// A session that was asked to make room does not: work waits in it. It counts against its user again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stays {
    /// The session.
    pub session: SessionId,
}

impl Handler<Stays> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, Stays { session }: Stays, _: &mut Context<Self>) {
        self.books.stays(session);
    }
}
