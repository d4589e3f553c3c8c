//! The supervisor's books: who is in memory, on which shard, and what each user may still do. Plain data, no actors.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use actix::WeakAddr;
use governor::clock::{Clock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::ids::{RunId, SessionId, UserId};
use crate::limits::Limits;
use crate::session::actor::UserSessionActor;
use crate::session::engine::Rating;

/// How long the rate of a user without sessions is remembered.
const RATE_RECOVERY: Duration = Duration::from_secs(60);

/// A session in memory.
pub(super) struct Entry {
    pub user: UserId,
    pub address: WeakAddr<UserSessionActor>,
    shard: usize,
    incarnation: u64,
    /// Sockets handed over to it.
    attaches: u64,
    attached: bool,
    /// Runs that have begun and not ended.
    active_runs: HashSet<RunId>,
    /// It was asked to make room, and counts no more against its user.
    evicted: bool,
    /// It refused to make room: work waits in it. It is not asked again before one of its runs has ended.
    stays: bool,
}

impl Entry {
    pub fn new(user: UserId, address: WeakAddr<UserSessionActor>, shard: usize, incarnation: u64) -> Self {
        Self {
            user,
            address,
            shard,
            incarnation,
            attaches: 0,
            attached: false,
            active_runs: HashSet::new(),
            evicted: false,
            stays: false,
        }
    }
}

/// What a reservation holds a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A new session.
    New,
    /// A socket of a session in memory; costs no place.
    Live(SessionId),
    /// A session that is not in memory, or is someone else's.
    Revival(SessionId),
}

struct Held {
    user: UserId,
    place: Place,
    until: Instant,
}

/// What one user's sessions share here.
struct User {
    sessions: Vec<SessionId>,
    /// Places held for sessions on their way.
    reserved: usize,
    limiter: RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>,
    /// The limiter's time: ours, so that paused time holds.
    clock: FakeRelativeClock,
    since: Instant,
}

pub(super) struct Books {
    sessions: HashMap<SessionId, Entry>,
    users: HashMap<UserId, User>,
    held: HashMap<u64, Held>,
    next_number: u64,
    next_incarnation: u64,
    /// Places held for sessions on their way.
    reserved: usize,
    /// Sessions per shard.
    loads: Vec<usize>,
    /// When sessions had to be restarted, within the window.
    restarts: HashMap<SessionId, Vec<Instant>>,
    limits: Limits,
}

impl Books {
    pub fn new(limits: &Limits, shards: usize) -> Self {
        Self {
            sessions: HashMap::new(),
            users: HashMap::new(),
            held: HashMap::new(),
            next_number: 0,
            next_incarnation: 0,
            reserved: 0,
            loads: vec![0; shards],
            restarts: HashMap::new(),
            limits: limits.clone(),
        }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub fn reserved(&self) -> usize {
        self.held.len()
    }

    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    pub fn entry(&self, session: SessionId) -> Option<&Entry> {
        self.sessions.get(&session)
    }

    pub fn is_of(&self, session: SessionId, user: &UserId) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.user == *user)
    }

    pub fn is_full(&self) -> bool {
        self.sessions.len() + self.reserved >= self.limits.sessions_total
    }

    pub fn user_is_full(&self, user: &UserId) -> bool {
        let counts = |session: &&SessionId| self.sessions.get(*session).is_some_and(|entry| !entry.evicted);
        self.users.get(user).is_some_and(|user| {
            user.sessions.iter().filter(counts).count() + user.reserved >= self.limits.sessions_per_user
        })
    }

    /// A session of the user that has no socket and no run, and to which none is on its way.
    pub fn resting(&self, user: &UserId) -> Option<SessionId> {
        let booked = |session: SessionId| self.held.values().any(|held| held.place == Place::Live(session));
        self.users.get(user)?.sessions.iter().copied().find(|session| {
            self.sessions.get(session).is_some_and(|entry| {
                !entry.evicted && !entry.stays && !entry.attached && entry.active_runs.is_empty() && entry.attaches > 0
            }) && !booked(*session)
        })
    }

    /// Asks for no second eviction of a session that was asked to make room.
    pub fn evict(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.evicted = true;
        }
    }

    /// The session makes no room: else each of its refusals would buy its user a session beyond the limit.
    pub fn stays(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.evicted = false;
            entry.stays = true;
        }
    }

    pub fn of_user(&self, user: &UserId) -> Vec<SessionId> {
        self.users
            .get(user)
            .map(|user| user.sessions.clone())
            .unwrap_or_default()
    }

    /// The user's other sessions.
    pub fn siblings(&self, session: SessionId) -> Vec<SessionId> {
        let Some(user) = self
            .sessions
            .get(&session)
            .and_then(|entry| self.users.get(&entry.user))
        else {
            return Vec::new();
        };
        user.sessions
            .iter()
            .copied()
            .filter(|other| *other != session)
            .collect()
    }

    pub fn reserve(&mut self, user: UserId, place: Place, now: Instant) -> u64 {
        self.next_number += 1;
        if !matches!(place, Place::Live(_)) {
            self.reserved += 1;
            self.user(&user, now).reserved += 1;
        }
        self.held.insert(
            self.next_number,
            Held {
                user,
                place,
                until: now + self.limits.reservation,
            },
        );
        self.next_number
    }

    /// Ends a reservation; none where it had ended before.
    pub fn take_reservation(&mut self, number: u64) -> Option<(UserId, Place)> {
        let held = self.held.remove(&number)?;
        if !matches!(held.place, Place::Live(_)) {
            self.reserved -= 1;
            if let Some(user) = self.users.get_mut(&held.user) {
                user.reserved -= 1;
            }
        }
        Some((held.user, held.place))
    }

    pub fn expire_reservations(&mut self, now: Instant) -> usize {
        let expired: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, held)| held.until <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in &expired {
            self.take_reservation(*number);
        }
        // A user without sessions is forgotten once their rate has recovered: reconnecting buys no messages.
        self.users.retain(|_, user| {
            !user.sessions.is_empty() || user.reserved > 0 || now.duration_since(user.since) < RATE_RECOVERY
        });
        self.restarts.retain(|_, times| {
            times
                .iter()
                .any(|at| now.duration_since(*at) < self.limits.restart_window)
        });
        expired.len()
    }

    /// The shard for a session that is about to be spawned, and the number of the spawn.
    pub fn place(&mut self, session: SessionId) -> (usize, u64) {
        self.next_incarnation += 1;
        // A restart of a session that is still in the books stays where it was counted.
        let shard = match self.sessions.get(&session) {
            Some(entry) => entry.shard,
            None => (0..self.loads.len())
                .min_by_key(|shard| self.loads[*shard])
                .unwrap_or(0),
        };
        (shard, self.next_incarnation)
    }

    pub fn enter(&mut self, session: SessionId, entry: Entry) {
        let (user, shard) = (entry.user.clone(), entry.shard);
        if self.sessions.insert(session, entry).is_none() {
            self.loads[shard] += 1;
            self.user(&user, Instant::now()).sessions.push(session);
        }
    }

    pub fn count_attach(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.attaches += 1;
            entry.attached = true;
            entry.evicted = false;
        }
    }

    pub fn presence(&mut self, session: SessionId, attached: bool) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.attached = attached;
        }
    }

    pub fn run_changed(&mut self, session: SessionId, run: RunId, active: bool) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            if active {
                entry.active_runs.insert(run);
            } else {
                entry.active_runs.remove(&run);
                entry.stays = false;
            }
        }
    }

    /// Whether the session may go: no socket is on its way to it.
    pub fn leave(&mut self, session: SessionId, incarnation: u64, attaches: u64) -> bool {
        let booked = self.held.values().any(|held| held.place == Place::Live(session));
        let agreed = self
            .sessions
            .get(&session)
            .is_some_and(|entry| entry.incarnation == incarnation && entry.attaches == attaches && !booked);
        if agreed {
            self.strike(session);
        }
        agreed
    }

    /// Takes a session off the books.
    pub fn strike(&mut self, session: SessionId) -> Option<UserId> {
        let entry = self.sessions.remove(&session)?;
        self.loads[entry.shard] -= 1;
        if let Some(user) = self.users.get_mut(&entry.user) {
            user.sessions.retain(|other| *other != session);
        }
        Some(entry.user)
    }

    /// Takes a dead session off the books; none where a newer incarnation stands there, or none at all.
    pub fn bury(&mut self, session: SessionId, incarnation: u64) -> Option<UserId> {
        let current = self.sessions.get(&session)?.incarnation;
        (current == incarnation).then(|| self.strike(session)).flatten()
    }

    /// Counts a restart, and says whether it is one too many.
    pub fn may_restart(&mut self, session: SessionId, now: Instant) -> bool {
        let times = self.restarts.entry(session).or_default();
        times.retain(|at| now.duration_since(*at) < self.limits.restart_window);
        if times.len() >= self.limits.restarts as usize {
            return false;
        }
        times.push(now);
        true
    }

    pub fn rate(&mut self, user: &UserId, now: Instant) -> Rating {
        let user = self.user(user, now);
        user.clock.advance(now.saturating_duration_since(user.since));
        user.since = now;
        match user.limiter.check() {
            Ok(()) => Rating::Within,
            Err(early) => Rating::Beyond {
                retry_after: early.wait_time_from(user.clock.now()),
            },
        }
    }

    fn user(&mut self, user: &UserId, now: Instant) -> &mut User {
        let limits = &self.limits;
        self.users.entry(user.clone()).or_insert_with(|| {
            let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(at_least_one(limits.messages_per_second))
                .allow_burst(at_least_one(limits.message_burst));
            let clock = FakeRelativeClock::default();
            User {
                sessions: Vec::new(),
                reserved: 0,
                limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
                clock,
                since: now,
            }
        })
    }
}
