//! Tickets: what a browser's page gets for its credential, to open a socket with.
//!
//! A page can't put a header on a WebSocket, and a token in an address ends up in logs. A ticket may: it opens one socket,
//! soon, for the user and the page that it was made for. All of them belong to one task; the rest of the process holds a
//! [`Tickets`] that sends it requests. The task ends when the last of these is dropped.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sessile_actors::context::Roles;
use sessile_actors::ids::UserId;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::origin::Origin;

/// Requests that wait for the task. Beyond: the one who asks waits, and a request takes microseconds.
const MAILBOX: usize = 1024;

/// Random bytes of a ticket: 256 bits, so that none is ever guessed.
const TICKET_BYTES: usize = 32;

/// Tickets of one user that wait. Beyond: refused, so that one user can't take everybody's places.
const PER_USER: usize = 64;

/// What opens one socket.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The ticket itself: 43 letters of base64url.
    pub ticket: SecretString,
    /// When it stops opening anything.
    pub expires_at: SystemTime,
}

/// Whom a redeemed ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemed {
    /// The user it was made for.
    pub user: UserId,
    /// When the credential ends that it was made from (none: never).
    pub expires_at: Option<SystemTime>,
    /// The roles of the credential that the ticket was made from.
    pub roles: Roles,
}

/// A ticket can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too many wait to be redeemed.
    #[error("too many tickets wait to be redeemed: try again in {} s", retry_after.as_secs().max(1))]
    Full {
        /// When the oldest one makes room.
        retry_after: Duration,
    },
    /// The system gave no random bytes, or the server is stopping.
    #[error("no ticket can be made now: try again later")]
    Unavailable,
}

/// Makes and redeems tickets. Clones lead to the same task.
#[derive(Debug, Clone)]
pub struct Tickets {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Issue {
        key: Key,
        waiting: Waiting,
        answer: oneshot::Sender<Result<SystemTime, TicketError>>,
    },
    Redeem {
        key: Key,
        shown: Shown,
        answer: oneshot::Sender<Option<Redeemed>>,
    },
}

/// How a ticket is shown: by a new socket of a page, or on the live socket of a user.
#[derive(Debug)]
enum Shown {
    From(Option<Origin>),
    By(UserId),
}

/// The hash of a ticket: what is looked up says nothing, by its timing, about tickets that are nearly right.
type Key = [u8; 32];

#[derive(Debug)]
struct Waiting {
    user: UserId,
    origin: Option<Origin>,
    credential_expiry: Option<SystemTime>,
    roles: Roles,
}

impl Tickets {
    /// Starts the task that owns the tickets, on the runtime of the caller.
    #[must_use]
    pub fn start(ttl: Duration, capacity: usize) -> Self {
        let (requests, inbox) = mpsc::channel(MAILBOX);
        let book = Book {
            ttl,
            capacity,
            waiting: HashMap::new(),
            per_user: HashMap::new(),
            deadlines: VecDeque::new(),
        };
        tokio::spawn(book.serve(inbox));
        Self { requests }
    }

    /// Makes a ticket for `user` on pages of `origin`. What it opens ends with the credential.
    ///
    /// # Errors
    /// [`TicketError::Full`] where too many wait, over all users or of this one.
    pub async fn issue(
        &self,
        user: UserId,
        origin: Option<Origin>,
        credential_expiry: Option<SystemTime>,
        roles: Roles,
    ) -> Result<Ticket, TicketError> {
        let mut random = [0; TICKET_BYTES];
        getrandom::fill(&mut random).map_err(|_| TicketError::Unavailable)?;
        let ticket = SecretString::from(URL_SAFE_NO_PAD.encode(random));
        let (answer, answered) = oneshot::channel();
        let request = Request::Issue {
            key: key(ticket.expose_secret()),
            waiting: Waiting {
                user,
                origin,
                credential_expiry,
                roles,
            },
            answer,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| TicketError::Unavailable)?;
        let expires_at = answered.await.map_err(|_| TicketError::Unavailable)??;
        Ok(Ticket { ticket, expires_at })
    }

    /// Takes a ticket that a page of `origin` shows. It is gone afterwards, whatever the answer: one that turned up in the
    /// wrong place has leaked.
    pub async fn redeem(&self, ticket: &str, origin: Option<Origin>) -> Option<Redeemed> {
        self.take(ticket, Shown::From(origin)).await
    }

    /// Takes a ticket that `user` shows on a live socket, whose page was judged when it was opened.
    pub async fn redeem_for(&self, ticket: &str, user: UserId) -> Option<Redeemed> {
        self.take(ticket, Shown::By(user)).await
    }

    async fn take(&self, ticket: &str, shown: Shown) -> Option<Redeemed> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request::Redeem {
                key: key(ticket),
                shown,
                answer,
            })
            .await
            .ok()?;
        answered.await.ok()?
    }
}

/// Every ticket that waits; owned by the task alone.
struct Book {
    /// How long one waits.
    ttl: Duration,
    /// How many may wait.
    capacity: usize,
    /// What each stands for.
    waiting: HashMap<Key, Waiting>,
    /// How many of each user wait; no entry where none does.
    per_user: HashMap<UserId, usize>,
    /// When each ends, oldest first; redeemed ones stay until they end or are swept.
    deadlines: VecDeque<(Instant, Key)>,
}

impl Book {
    async fn serve(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.recv().await {
            let now = Instant::now();
            self.drop_expired(now);
            // Who asked may be gone by now; then nobody hears the answer.
            match request {
                Request::Issue { key, waiting, answer } => drop(answer.send(self.issue(key, waiting, now))),
                Request::Redeem { key, shown, answer } => drop(answer.send(self.redeem(&key, &shown))),
            }
        }
    }

    fn issue(&mut self, key: Key, waiting: Waiting, now: Instant) -> Result<SystemTime, TicketError> {
        let of_user = self.per_user.get(&waiting.user).copied().unwrap_or(0);
        if self.waiting.len() >= self.capacity || of_user >= PER_USER {
            let oldest = self
                .deadlines
                .front()
                .map_or(self.ttl, |(deadline, _)| deadline.duration_since(now));
            return Err(TicketError::Full { retry_after: oldest });
        }
        if self.deadlines.len() >= 2 * self.capacity {
            self.deadlines.retain(|(_, key)| self.waiting.contains_key(key));
        }
        self.per_user.insert(waiting.user.clone(), of_user + 1);
        self.waiting.insert(key, waiting);
        self.deadlines.push_back((now + self.ttl, key));
        Ok(SystemTime::now() + self.ttl)
    }

    fn redeem(&mut self, key: &Key, shown: &Shown) -> Option<Redeemed> {
        let Waiting {
            user,
            origin,
            credential_expiry,
            roles,
        } = self.remove(key)?;
        let fits = match shown {
            Shown::From(from) => *from == origin,
            Shown::By(who) => *who == user,
        };
        let lives = credential_expiry.is_none_or(|end| end > SystemTime::now());
        (fits && lives).then_some(Redeemed {
            user,
            expires_at: credential_expiry,
            roles,
        })
    }

    fn drop_expired(&mut self, now: Instant) {
        while let Some((deadline, key)) = self.deadlines.front().copied()
            && deadline <= now
        {
            self.deadlines.pop_front();
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        if let Entry::Occupied(mut count) = self.per_user.entry(waiting.user.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(waiting)
    }
}

fn key(ticket: &str) -> Key {
    Sha256::digest(ticket).into()
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn buyer() -> Roles {
        Roles::freeze(["buyer"]).unwrap()
    }

    fn page() -> Option<Origin> {
        Some("https://chat.example.org".parse().unwrap())
    }

    async fn ticket(tickets: &Tickets, name: &str) -> String {
        let ticket = tickets.issue(user(name), page(), None, Roles::none()).await.unwrap();
        ticket.ticket.expose_secret().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_opens_one_socket_for_its_user_and_no_second() {
        let tickets = Tickets::start(TTL, 10);
        let end = SystemTime::now() + Duration::from_secs(600);
        let issued = tickets.issue(user("alice"), page(), Some(end), buyer()).await.unwrap();
        let text = issued.ticket.expose_secret();
        assert_eq!(text.len(), 43);
        let redeemed = tickets.redeem(text, page()).await;
        assert_eq!(
            redeemed,
            Some(Redeemed {
                user: user("alice"),
                expires_at: Some(end),
                roles: buyer(),
            })
        );
        assert_eq!(tickets.redeem(text, page()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_ends_with_its_time() {
        let tickets = Tickets::start(TTL, 10);
        let (early, late) = (ticket(&tickets, "alice").await, ticket(&tickets, "alice").await);
        tokio::time::advance(TTL - Duration::from_millis(1)).await;
        assert!(tickets.redeem(&early, page()).await.is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(tickets.redeem(&late, page()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_ends_with_the_credential_that_it_was_made_from() {
        let tickets = Tickets::start(TTL, 10);
        let ended = Some(SystemTime::now() - Duration::from_secs(1));
        let issued = tickets
            .issue(user("alice"), page(), ended, Roles::none())
            .await
            .unwrap();
        assert_eq!(tickets.redeem(issued.ticket.expose_secret(), page()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_shown_elsewhere_opens_nothing_and_is_burnt() {
        let tickets = Tickets::start(TTL, 10);
        let elsewhere = Some("https://chat.example.org:8443".parse().unwrap());
        for other in [elsewhere, None] {
            let leaked = ticket(&tickets, "alice").await;
            assert_eq!(tickets.redeem(&leaked, other).await, None);
            assert_eq!(tickets.redeem(&leaked, page()).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_live_socket_a_ticket_is_good_for_its_own_user_only() {
        let tickets = Tickets::start(TTL, 10);
        let (own, stolen) = (ticket(&tickets, "alice").await, ticket(&tickets, "alice").await);
        assert!(tickets.redeem_for(&own, user("alice")).await.is_some());
        assert_eq!(tickets.redeem_for(&stolen, user("mallory")).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_who_show_a_ticket_at_once_one_gets_in() {
        let tickets = Tickets::start(TTL, 10);
        let text = ticket(&tickets, "alice").await;
        let racers = (0..100).map(|_| {
            let (tickets, text) = (tickets.clone(), text.clone());
            tokio::spawn(async move { tickets.redeem(&text, page()).await })
        });
        let entered = join_all(racers)
            .await
            .into_iter()
            .filter(|answer| matches!(answer, Ok(Some(_))))
            .count();
        assert_eq!(entered, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_ticket_opens_nothing() {
        let tickets = Tickets::start(TTL, 10);
        let real = ticket(&tickets, "alice").await;
        for shown in [
            "",
            "A",
            &real[1..],
            &format!("{real}="),
            &real.to_lowercase(),
            &"x".repeat(100_000),
        ] {
            assert_eq!(tickets.redeem(shown, page()).await, None);
        }
        assert!(tickets.redeem(&real, page()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_places_are_taken_the_refusal_says_when_to_come_back() {
        let tickets = Tickets::start(TTL, 2);
        let first = ticket(&tickets, "a").await;
        tokio::time::advance(Duration::from_secs(10)).await;
        ticket(&tickets, "b").await;
        let full = tickets.issue(user("c"), page(), None, Roles::none()).await.unwrap_err();
        assert_eq!(
            full,
            TicketError::Full {
                retry_after: Duration::from_secs(20)
            }
        );
        assert!(tickets.redeem(&first, page()).await.is_some());
        ticket(&tickets, "c").await;
        tokio::time::advance(Duration::from_secs(20)).await;
        tickets.issue(user("d"), page(), None, Roles::none()).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(10)).await;
        ticket(&tickets, "d").await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_cannot_take_everybodys_places() {
        let tickets = Tickets::start(TTL, 1000);
        for _ in 0..PER_USER {
            ticket(&tickets, "greedy").await;
        }
        assert!(
            tickets
                .issue(user("greedy"), page(), None, Roles::none())
                .await
                .is_err()
        );
        ticket(&tickets, "alice").await;
        tokio::time::advance(TTL).await;
        ticket(&tickets, "greedy").await;
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_that_come_and_go_leave_nothing_behind() {
        let mut book = Book {
            ttl: TTL,
            capacity: 8,
            waiting: HashMap::new(),
            per_user: HashMap::new(),
            deadlines: VecDeque::new(),
        };
        for number in 0..10_000_u32 {
            let key = key(&number.to_string());
            let waiting = Waiting {
                user: user("alice"),
                origin: None,
                credential_expiry: None,
                roles: Roles::none(),
            };
            book.issue(key, waiting, Instant::now()).unwrap();
            assert!(book.redeem(&key, &Shown::From(None)).is_some());
            assert!(book.deadlines.len() <= 16);
        }
        assert!(book.waiting.is_empty() && book.per_user.is_empty());
    }
}
