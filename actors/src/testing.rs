//! The test kit: a world of sessions without a network, and a probe that plays a client in it.
//!
//! ```
//! use sessile_actors::testing::{agent, world};
//! use sessile_actors::infra::Answer;
//!
//! #[actix::main]
//! async fn main() {
//!     tokio::time::pause();
//!     let world = world()
//!         .agent(agent("shout", async |run| Ok(Answer::Text(run.message().to_uppercase()))))
//!         .start();
//!     let mut ada = world.connect("ada").await;
//!     ada.say("hello").await;
//!     let end = ada.until("agent_completed").await;
//!     assert_eq!(end["payload"]["result"], "HELLO");
//!     world.finish().await;
//! }
//! ```
//!
//! Everything runs on the test's own thread, so `tokio::time::pause()` holds for all of it.

mod doubles;
mod probe;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use actix_rt::Arbiter;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

pub use doubles::{FakeTool, ScriptedModel, agent};
pub use probe::{Ending, Probe};

use crate::context::{Roles, SessionContext, UserExecutionContext};
use crate::ids::{RequestId, RunId, SessionId, ThreadId, UserId};
use crate::infra::agents::{AgentClass, AgentClassRegistry, AgentRegistryBuilder, Answer};
use crate::infra::credentials::{BadCredential, Credentials, Renewed};
use crate::infra::journal::{Journal, ThreadStore};
use crate::infra::memory::MemoryJournal;
use crate::infra::metrics::Metrics;
use crate::infra::model::{Model, ModelRegistry};
use crate::infra::tools::{Tool, ToolClassRegistry, ToolRegistryBuilder};
use crate::infra::{CpuPool, Infra};
use crate::limits::Limits;
use crate::session::actor::{Resume, UserSessionActor};
use crate::shard::Shard;
use crate::supervisor::{Admit, AttachSocket, Census, Drain, FindSession, Refusal, RootSupervisor, TakeCensus};

/// How long anything in a test may take, in the test's time.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a leaked actor is looked for before the test fails, in turns of the scheduler.
const LEAK_TURNS: usize = 1_000;

/// A user by name. Panics where the name is no user id: this is a test kit.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a test's user name is a valid user id")
}

/// The context of a fresh run of `name`, in a session and a thread of its own.
#[must_use]
pub fn context(name: &str) -> UserExecutionContext {
    SessionContext::new(user(name), SessionId::mint()).run(
        ThreadId::mint(),
        RunId::mint(),
        RequestId::mint(),
        Roles::none(),
        SystemTime::now(),
    )
}

/// Starts describing a world. Without any agent it has one, `echo`, which says what it is told.
#[must_use]
pub fn world() -> WorldBuilder {
    WorldBuilder {
        agents: AgentClassRegistry::builder(),
        default_agent: None,
        tools: ToolClassRegistry::builder(),
        models: Vec::new(),
        limits: Limits::default(),
        stores: None,
        credentials: Arc::new(NoCredentials),
    }
}

/// A world that is being described.
pub struct WorldBuilder {
    agents: AgentRegistryBuilder,
    default_agent: Option<String>,
    tools: ToolRegistryBuilder,
    models: Vec<Arc<dyn Model>>,
    limits: Limits,
    stores: Option<(Arc<dyn Journal>, Arc<dyn ThreadStore>)>,
    credentials: Arc<dyn Credentials>,
}

impl WorldBuilder {
    /// Adds an agent; the first one is the default.
    #[must_use]
    pub fn agent(mut self, class: AgentClass) -> Self {
        self.default_agent.get_or_insert_with(|| class.name.clone());
        self.agents = self.agents.agent(class);
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.tools = self.tools.tool(tool);
        self
    }

    /// Adds a model; the first one is the default.
    #[must_use]
    pub fn model(mut self, model: impl Model + 'static) -> Self {
        self.models.push(Arc::new(model));
        self
    }

    /// Changes limits.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Uses these stores instead of fresh ones in memory.
    #[must_use]
    pub fn stores(mut self, journal: Arc<dyn Journal>, threads: Arc<dyn ThreadStore>) -> Self {
        self.stores = Some((journal, threads));
        self
    }

    /// Takes the credentials that these take on a live socket. Without, none is taken.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Credentials + 'static) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Starts the world on the current thread, which must have an actix `System` (`#[actix::test]`).
    #[must_use]
    pub fn start(self) -> World {
        let (agents, default) = match self.default_agent {
            Some(default) => (self.agents, default),
            None => {
                let echo = agent("echo", async |run| {
                    let words = run.message().to_owned();
                    run.say(&words).await?;
                    Ok(Answer::Said)
                });
                (self.agents.agent(echo), "echo".to_owned())
            }
        };
        let (journal, threads) = self.stores.unwrap_or_else(|| {
            let memory = Arc::new(MemoryJournal::start());
            (Arc::clone(&memory) as Arc<dyn Journal>, memory as Arc<dyn ThreadStore>)
        });
        let infra = Arc::new(Infra {
            agents: agents
                .freeze(&default)
                .expect("a test's agents have names of their own"),
            tools: self.tools.freeze().expect("a test's tools are well-formed"),
            models: ModelRegistry::freeze(self.models).expect("a test's models have names of their own"),
            journal,
            threads,
            credentials: self.credentials,
            limits: self.limits,
            metrics: Metrics::default(),
            cpu: CpuPool::new(Handle::current(), 4),
        });
        let shard = Shard::on(&Arbiter::current());
        let supervisor = RootSupervisor::new(Arc::clone(&infra), vec![shard], || ()).start();
        World {
            supervisor,
            infra,
            finished: false,
        }
    }
}

/// A running world. End it by [`World::finish`], which fails if any actor or task outlives it.
pub struct World {
    supervisor: Addr<RootSupervisor>,
    infra: Arc<Infra>,
    finished: bool,
}

impl World {
    /// What all sessions share.
    #[must_use]
    pub fn infra(&self) -> &Arc<Infra> {
        &self.infra
    }

    /// The supervisor.
    #[must_use]
    pub fn supervisor(&self) -> &Addr<RootSupervisor> {
        &self.supervisor
    }

    /// Connects a new client of `name`, and waits for its `connection_established`.
    pub async fn connect(&self, name: &str) -> Probe {
        let mut probe = self
            .try_attach(name, None, None)
            .await
            .expect("there is a place for a new session");
        probe.establish().await;
        probe
    }

    /// As [`World::connect`], with a credential that names these roles.
    pub async fn connect_as(&self, name: &str, roles: &[&str]) -> Probe {
        let mut probe = self
            .attach(name, None, None, roles)
            .await
            .expect("there is a place for a new session");
        probe.establish().await;
        probe
    }

    /// As [`World::resume`], with a credential that names these roles.
    pub async fn resume_as(&self, probe: &Probe, roles: &[&str]) -> Probe {
        let resume = Resume {
            last_seq: crate::ids::Seq(probe.last_seq()),
            epoch: Some(probe.epoch()),
        };
        let session = Some(probe.session_id());
        let attached = self.attach(probe.user(), session, Some(resume), roles).await;
        let mut resumed = attached.expect("there is a place for a resume");
        resumed.establish().await;
        resumed
    }

    /// Goes on with the session of `probe` after the last event that it took, on a new socket.
    pub async fn resume(&self, probe: &Probe) -> Probe {
        let mut resumed = self.resume_from(probe, probe.last_seq()).await;
        resumed.establish().await;
        resumed
    }

    /// As [`World::resume`], after any event, and without waiting for anything.
    pub async fn resume_from(&self, probe: &Probe, last_seq: u64) -> Probe {
        let resume = Resume {
            last_seq: crate::ids::Seq(last_seq),
            epoch: Some(probe.epoch()),
        };
        self.try_attach(probe.user(), Some(probe.session_id()), Some(resume))
            .await
            .expect("there is a place for a resume")
    }

    /// Connects any client to any session.
    ///
    /// # Errors
    /// The supervisor's [`Refusal`].
    pub async fn try_attach(
        &self,
        name: &str,
        session: Option<SessionId>,
        resume: Option<Resume>,
    ) -> Result<Probe, Refusal> {
        self.attach(name, session, resume, &[]).await
    }

    async fn attach(
        &self,
        name: &str,
        session: Option<SessionId>,
        resume: Option<Resume>,
        roles: &[&str],
    ) -> Result<Probe, Refusal> {
        let admit = Admit {
            user: user(name),
            resume: session,
        };
        let reservation = self.supervisor.send(admit).await.expect("the supervisor lives")?;
        let taken = resume.map_or(0, |resume| resume.last_seq.0);
        let (probe, socket) = Probe::pair(name, taken);
        let attach = AttachSocket {
            reservation,
            socket: Box::new(socket),
            resume,
            legacy: false,
            expires_at: None,
            roles: Roles::freeze(roles.iter().copied()).expect("a test's roles are well-formed"),
        };
        self.supervisor.send(attach).await.expect("the supervisor lives");
        Ok(probe)
    }

    /// How many sessions there are.
    pub async fn census(&self) -> Census {
        self.supervisor.send(TakeCensus).await.expect("the supervisor lives")
    }

    /// Ends every session and fails if anything outlives them: an actor, a run, a tool call.
    ///
    /// # Panics
    /// Where something is left, or where a lifecycle or isolation violation was counted.
    pub async fn finish(self) {
        self.finish_after_violations(0).await;
    }

    /// As [`World::finish`], for a test that makes runs break their lifecycle this often.
    ///
    /// # Panics
    /// As [`World::finish`].
    pub async fn finish_after_violations(mut self, lifecycle_violations: u64) {
        self.finished = true;
        self.supervisor.send(Drain).await.expect("the supervisor lives");
        // Sessions, dispatchers, runs and calls each hold the infrastructure; the world and its supervisor do too.
        for _ in 0..LEAK_TURNS {
            if Arc::strong_count(&self.infra) == 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(
            Arc::strong_count(&self.infra),
            2,
            "an actor or a task outlives the world"
        );
        let metrics = &self.infra.metrics;
        assert_eq!(metrics.isolation_violations.get(), 0, "isolation violations");
        assert_eq!(
            metrics.lifecycle_violations.get(),
            lifecycle_violations,
            "lifecycle violations"
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(
            self.finished || std::thread::panicking(),
            "end a world by `finish().await`, so that leaks are found"
        );
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// After two minutes of the test's time.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A session of a world of its own, for tests of sockets. Nothing watches how it ends.
pub async fn lone_session(name: &str) -> Addr<UserSessionActor> {
    let mut world = world().start();
    let probe = world.connect(name).await;
    let find = FindSession {
        user: user(name),
        session: probe.session_id(),
    };
    world.finished = true;
    let found = world.supervisor.send(find).await.expect("the supervisor lives");
    found.expect("the session lives")
}

struct NoCredentials;

impl Credentials for NoCredentials {
    fn refresh(
        &self,
        _: UserId,
        _: Option<String>,
        _: Option<String>,
    ) -> BoxFuture<'static, Result<Renewed, BadCredential>> {
        Box::pin(std::future::ready(Err(BadCredential)))
    }
}
