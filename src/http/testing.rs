//! Doubles for the edge's tests: a doorkeeper that believes what it reads, and a store with one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use actix::Actor as _;
use actix_web::http::header::{self, HeaderMap};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use sessile_actors::budgets::{Charge, Window};
use sessile_actors::context::{Roles, SessionContext};
use sessile_actors::ids::{RunId, Seq, SessionId, ThreadId, UserId};
use sessile_actors::infra::credentials::{BadCredential, Credentials, Renewed};
use sessile_actors::infra::journal::{
    Batch, EventPage, HistoryPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, RunRecord,
    StoreError, StoreReply, ThreadPage, ThreadStore,
};
use sessile_actors::infra::metrics::Metrics;
use sessile_actors::infra::{
    Agent, AgentClass, AgentClassRegistry, AgentError, Answer, CpuPool, Infra, ModelRegistry, ToolClassRegistry,
};
use sessile_actors::limits::Limits;
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::{History, HistoryMessage, ThreadSummary};
use sessile_actors::session::run::RunContext;
use sessile_actors::shard::Shard;
use sessile_actors::supervisor::RootSupervisor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Doorkeeper, Problem, State, Ticket, Visitor, listen, serve};
use crate::config::{Config, Sources};
use crate::store::MemoryDocuments;

/// The only host that the doorkeeper lets in.
pub(super) const HOST: &str = "sessile.test";

/// Believes the name after `Bearer`, or a ticket's text.
struct Believer;

#[async_trait(?Send)]
impl Doorkeeper for Believer {
    fn check_host_and_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if headers.get(header::HOST).is_none_or(|host| host != HOST) {
            return Err(Problem::forbidden("not our host"));
        }
        if headers
            .get(header::ORIGIN)
            .is_some_and(|origin| origin != "https://sessile.test")
        {
            return Err(Problem::forbidden("a foreign origin"));
        }
        Ok(())
    }

    async fn identify_socket(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem> {
        self.identify(headers, query).await
    }

    async fn identify(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem> {
        self.check_host_and_origin(headers)?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let name = text(header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer "))
            .or_else(|| query.strip_prefix("ticket="))
            .ok_or_else(|| Problem::unauthorized("bring a credential"))?;
        let protocol = text(header::SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.split(',').next());
        Ok(Visitor {
            user: UserId::parse(name).map_err(|_| Problem::unauthorized("bring a credential"))?,
            expires_at: None,
            protocol: protocol.map(str::to_owned),
            set_cookie: (name == "guest").then(|| "guest=1; HttpOnly".to_owned()),
            origin: None,
            roles: Roles::none(),
        })
    }

    async fn issue_ticket(&self, visitor: &Visitor) -> Result<Ticket, Problem> {
        Ok(Ticket {
            ticket: visitor.user.to_string(),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(30),
        })
    }
}

/// A store in which a run is active for the first tries of a deletion.
#[derive(Default)]
struct Store {
    tries: AtomicUsize,
}

/// Tries of a deletion that meet an active run.
pub(super) const BUSY_TRIES: usize = 3;
/// The user whose threads are never found.
pub(super) const STRANGER: &str = "stranger";

impl Store {
    fn thread_of(user: &UserId, thread: ThreadId, name: &str) -> Result<ThreadSummary, StoreError> {
        if user.as_str() == STRANGER {
            return Err(StoreError::NotFound);
        }
        Ok(ThreadSummary {
            thread_id: thread,
            name: name.to_owned(),
            created_at: String::new(),
            updated_at: String::new(),
        })
    }
}

impl ThreadStore for Store {
    fn list(&self, _: UserId, page: Page) -> BoxFuture<'static, Result<ThreadPage, StoreError>> {
        ready(Ok(ThreadPage {
            threads: Vec::new(),
            next_before: page.limit.map(|limit| limit as i64),
        }))
        .boxed()
    }

    fn history(
        &self,
        user: UserId,
        thread: ThreadId,
        _: Option<SessionId>,
        page: HistoryPage,
    ) -> BoxFuture<'static, Result<History, StoreError>> {
        let history = Self::thread_of(&user, thread, "").map(|_| History {
            thread_id: thread,
            messages: Vec::new(),
            next_before: Some(page.messages as i64),
            as_of_seq: Seq::ZERO,
            active_runs: Vec::new(),
            queued: Vec::new(),
            pending_approvals: Vec::new(),
        });
        ready(history).boxed()
    }

    fn transcript(
        &self,
        _: UserId,
        _: ThreadId,
        _: usize,
        _: usize,
    ) -> BoxFuture<'static, Result<Vec<HistoryMessage>, StoreError>> {
        ready(Err(StoreError::NotFound)).boxed()
    }

    fn run(&self, _: UserId, _: RunId) -> BoxFuture<'static, Result<RunRecord, StoreError>> {
        ready(Err(StoreError::NotFound)).boxed()
    }

    fn usage(&self, _: UserId, _: Window) -> BoxFuture<'static, Result<Charge, StoreError>> {
        ready(Ok(Charge::STEP)).boxed()
    }

    fn create(
        &self,
        user: UserId,
        name: String,
        _: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        ready(Self::thread_of(&user, ThreadId::mint(), &name)).boxed()
    }

    fn rename(
        &self,
        user: UserId,
        thread: ThreadId,
        name: String,
        _: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        ready(Self::thread_of(&user, thread, &name)).boxed()
    }

    fn delete(&self, user: UserId, thread: ThreadId) -> BoxFuture<'static, Result<(), StoreError>> {
        let found = Self::thread_of(&user, thread, "").map(|_| ());
        let is_busy = self.tries.fetch_add(1, Ordering::Relaxed) < BUSY_TRIES;
        ready(found.and(if is_busy {
            Err(StoreError::RunActive(RunId::mint()))
        } else {
            Ok(())
        }))
        .boxed()
    }
}

impl Journal for Store {
    fn open(&self, _: SessionContext, _: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        ready(Err(JournalError::Unavailable(String::new()))).boxed()
    }

    fn revive(&self, _: SessionContext, _: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        ready(Err(ReviveError::NoSuchSession)).boxed()
    }

    fn append(&self, _: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        ready(Err(JournalError::Unavailable(String::new()))).boxed()
    }

    fn read(&self, _: SessionContext, _: Seq, _: ReadLimit) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        ready(Err(JournalError::Unavailable(String::new()))).boxed()
    }
}

impl Credentials for Store {
    fn refresh(
        &self,
        _: UserId,
        _: Option<String>,
        _: Option<String>,
    ) -> BoxFuture<'static, Result<Renewed, BadCredential>> {
        ready(Err(BadCredential)).boxed()
    }
}

struct Mute;

#[async_trait(?Send)]
impl Agent for Mute {
    async fn run(&mut self, _: &mut RunContext) -> Result<Answer, AgentError> {
        Ok(Answer::Said)
    }
}

/// A state over the doubles and the real supervisor.
pub(super) fn state() -> State {
    let store = Arc::new(Store::default());
    let agents = AgentClassRegistry::builder().agent(AgentClass::new("mute", "Says nothing.", |_| Mute));
    let infra = Arc::new(Infra {
        agents: agents.freeze("mute").unwrap(),
        tools: ToolClassRegistry::default(),
        models: ModelRegistry::default(),
        journal: Arc::clone(&store) as Arc<dyn Journal>,
        threads: Arc::clone(&store) as Arc<dyn ThreadStore>,
        credentials: store,
        limits: Limits::default(),
        metrics: Metrics::default(),
        cpu: CpuPool::new(tokio::runtime::Handle::current(), 1),
    });
    let shard = Shard::on(&actix_rt::Arbiter::current());
    State {
        supervisor: RootSupervisor::new(Arc::clone(&infra), vec![shard], || ()).start(),
        infra,
        doorkeeper: Arc::new(Believer),
        documents: Arc::new(MemoryDocuments::start()),
        sockets: super::socket::OpenSockets::default(),
    }
}

/// Serves the doubles on a port of this machine.
pub(super) fn serve_doubles() -> SocketAddr {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config::load(&Sources::default()).unwrap();
    actix_rt::spawn(serve(vec![listener], state(), &config.server).unwrap());
    address
}

/// Sends a request as it is and reads until the server closes, or until `until` has come.
pub(super) async fn talk(address: SocketAddr, request: &str, until: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while until.is_empty() || !String::from_utf8_lossy(&answer).contains(until) {
        if socket.read_buf(&mut answer).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}
