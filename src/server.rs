//! The process: from a configuration to a running server, and from a signal back to nothing.
//!
//! Threads: this one runs the actix system with the supervisor; one worker takes connections; one arbiter per shard runs
//! sessions with their sockets; a multi-thread runtime ("io") owns what is pooled, the journal's writer first of all.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::{Arbiter, System};
use anyhow::Context as _;
use sessile_actors::context::SessionContext;
use sessile_actors::infra::journal::{Journal, ThreadStore};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::infra::metrics::Metrics;
use sessile_actors::infra::model::ModelRegistry;
use sessile_actors::infra::{AgentClassRegistry, AgentRegistryBuilder, CpuPool, Infra, ToolClassRegistry};
use sessile_actors::limits::Limits;
use sessile_actors::shard::Shard;
use sessile_actors::supervisor::{Drain, ReviveSessions, RootSupervisor};
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::banner::{self, Facts};
use crate::builder::Parts;
use crate::config::{AuthMode, Config, JournalKind};
use crate::http::auth::{Gate, jwt};
use crate::http::socket::OpenSockets;
use crate::http::{self, State};
use crate::models::OwnModels;
use crate::paint::Paint;
use crate::store::{DocumentLimits, MemoryDocuments, MemoryNotes, MemorySupply, SqliteStore};
use crate::tools::{ToolPorts, ToolSettings};
use crate::usage::Catalogue;
use crate::workflows::{WorkflowError, Workflows};
use crate::{agents, models, tools};

/// Threads of the io runtime: it waits more than it works.
const IO_THREADS: usize = 2;

/// The exit code after a panic of the supervisor (sysexits: internal software error).
const EXIT_SUPERVISOR: i32 = 70;

/// How long sessions have to end after the drain's time is over. Beyond: they are ended with the process.
const DRAIN_SLACK: Duration = Duration::from_secs(10);

/// How long sockets have to take their close frames after a drain. Beyond: they are cut.
const SOCKETS_LINGER: Duration = Duration::from_secs(2);

/// What outlives sessions, by kind of journal.
struct Stores {
    journal: Arc<dyn Journal>,
    threads: Arc<dyn ThreadStore>,
    tools: ToolPorts,
    /// Sessions in which messages wait.
    waiting: Vec<SessionContext>,
    /// To be closed at the end.
    sqlite: Option<SqliteStore>,
}

/// What ends a server, and who is told that it serves.
pub(crate) enum Until {
    /// SIGTERM or SIGINT; a second one ends at once. Standard output is told the address.
    Signal,
    /// Whoever started it, in the same process. A sender that is dropped stops it too.
    Told {
        /// Is told the address.
        serving: oneshot::Sender<SocketAddr>,
        /// Stops it.
        stopped: oneshot::Receiver<()>,
    },
}

/// Serves until it is to end, then drains; whether everything had ended when the drain was over. `settings` says where the
/// configuration came from, for the one who looks on.
///
/// # Errors
/// Whatever keeps the server from starting, as a sentence that says what to do.
pub(crate) fn run(config: &Config, settings: &str, parts: Parts, until: Until) -> anyhow::Result<bool> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("io")
        .enable_all()
        .build()
        .context("the io runtime can't be started")?;
    let listener = http::listen(config.server.listen).with_context(|| {
        format!(
            "can't listen on {}; choose another address by --listen",
            config.server.listen
        )
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let stores = open_stores(config, &io)?;
    let gate = {
        let _runtime = io.enter();
        Gate::start(config, address)?
    };
    let infra = Arc::new(infra(config, parts, &stores, &gate, &io)?);
    let facts = Facts {
        address,
        config,
        settings,
    };
    let all_ended = System::new().block_on(serve(&facts, listener, infra, gate, stores, until));
    io.shutdown_timeout(Duration::from_secs(1));
    all_ended
}

fn open_stores(config: &Config, io: &Runtime) -> anyhow::Result<Stores> {
    let limits = DocumentLimits::from(&config.limits);
    let catalogue = Arc::new(catalogue(config)?);
    match config.journal.kind {
        JournalKind::Memory => {
            let journal = Arc::new(MemoryJournal::start_on(io.handle()));
            let beside = Some(MemoryJournal::clone(&journal));
            Ok(Stores {
                journal: Arc::clone(&journal) as Arc<dyn Journal>,
                threads: journal,
                tools: ToolPorts {
                    notes: Arc::new(MemoryNotes::start_on(io.handle())),
                    documents: Arc::new(MemoryDocuments::start_on(io.handle(), limits, beside)),
                    supply: Arc::new(MemorySupply::start_on(io.handle())),
                    catalogue,
                },
                waiting: Vec::new(),
                sqlite: None,
            })
        }
        JournalKind::Sqlite => {
            let store = io.block_on(SqliteStore::open(&config.data_dir, io.handle()))?;
            let store = store.with_documents(limits);
            let waiting = io.block_on(store.sessions_with_queued_runs())?;
            Ok(Stores {
                journal: Arc::new(store.clone()),
                threads: Arc::new(store.clone()),
                tools: ToolPorts {
                    notes: Arc::new(store.clone()),
                    documents: Arc::new(store.clone()),
                    supply: Arc::new(store.clone()),
                    catalogue,
                },
                waiting,
                sqlite: Some(store),
            })
        }
    }
}

fn infra(config: &Config, mut parts: Parts, stores: &Stores, gate: &Gate, io: &Runtime) -> anyhow::Result<Infra> {
    let agents = agents(config, &mut parts).map_err(|mut faults| faults.remove(0))?;
    let models = models(config, &mut parts, Some(&agents), io.handle());
    Ok(Infra {
        agents,
        tools: tools(config, stores.tools.clone(), &mut parts, io.handle())?,
        models: models.map_err(|mut faults| faults.remove(0))?,
        journal: Arc::clone(&stores.journal),
        threads: Arc::clone(&stores.threads),
        credentials: Arc::new(gate.clone()),
        limits: Limits {
            budgets: config.budgets.clone(),
            ..config.limits.clone()
        },
        metrics: Metrics::default(),
        cpu: CpuPool::new(io.handle().clone(), cores()),
    })
}

/// Reads what `run` reads before it opens anything, and makes nothing: what is wrong with it.
///
/// # Errors
/// [`std::io::Error`] where there is no runtime to try with.
pub fn faults(config: &Config) -> io::Result<Vec<anyhow::Error>> {
    // The tasks of the stores in memory want one; nothing is ever written.
    let io = tokio::runtime::Builder::new_current_thread().build()?;
    let mut faults = Vec::new();
    let catalogue = catalogue(config).unwrap_or_else(|fault| {
        faults.push(fault);
        Catalogue::shipped()
    });
    let ports = ToolPorts {
        notes: Arc::new(MemoryNotes::start_on(io.handle())),
        documents: Arc::new(MemoryDocuments::start_on(
            io.handle(),
            DocumentLimits::from(&config.limits),
            None,
        )),
        supply: Arc::new(MemorySupply::start_on(io.handle())),
        catalogue: Arc::new(catalogue),
    };
    let mut parts = Parts::default();
    if config.auth.mode == AuthMode::Jwt {
        faults.extend(jwt::faults(&config.auth).map(anyhow::Error::from));
    }
    let agents = agents(config, &mut parts).map_err(|told| faults.extend(told)).ok();
    faults.extend(tools(config, ports, &mut parts, io.handle()).err());
    let models = models(config, &mut parts, agents.as_ref(), io.handle());
    faults.extend(models.err().into_iter().flatten());
    Ok(faults)
}

/// The agents, or everything that is wrong with them and with the workflows that they follow: at least one fault.
fn agents(config: &Config, parts: &mut Parts) -> Result<AgentClassRegistry, Vec<anyhow::Error>> {
    let all = |faults: Vec<WorkflowError>| faults.into_iter().map(anyhow::Error::from).collect::<Vec<_>>();
    let workflows = Arc::new(Workflows::load(config.agents.workflows_file.as_deref()).map_err(all)?);
    let own = std::mem::take(&mut parts.agents);
    let default = match (parts.default_agent.take(), own.first()) {
        (Some(named), _) => named,
        (None, Some(first)) if parts.no_agents => first.name.clone(),
        (None, _) => config.agents.default.clone(),
    };
    let builder = match parts.no_agents {
        true => AgentClassRegistry::builder(),
        false => agents::all(config.agents.step_limit, Arc::clone(&workflows)),
    };
    let agents = own
        .into_iter()
        .fold(builder, AgentRegistryBuilder::agent)
        .freeze(&default)
        .context("the agents can't be registered; see agents.default")
        .map_err(|fault| vec![fault])?;
    // Without the supervisor nobody follows them.
    if parts.no_agents {
        return Ok(agents);
    }
    match workflows.agent_faults(&agents, agents::supervisor::NAME) {
        faults if faults.is_empty() => Ok(agents),
        faults => Err(all(faults)),
    }
}

/// What models cost and can do: the file of supply.file, or what the binary carries.
fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    let Some(path) = &config.supply.file else {
        return Ok(Catalogue::shipped());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the supply catalogue {} can't be read; see supply.file", path.display()))?;
    Catalogue::parse(&text)
        .with_context(|| format!("the supply catalogue {} can't be used; see supply.file", path.display()))
}

fn tools(config: &Config, ports: ToolPorts, parts: &mut Parts, io: &Handle) -> anyhow::Result<ToolClassRegistry> {
    let builder = match parts.no_tools {
        true => ToolClassRegistry::builder(),
        false => tools::all(ports, &ToolSettings::open(&config.tools, io)?),
    };
    let own = std::mem::take(&mut parts.tools);
    let tools = own.into_iter().fold(builder, |tools, add| add(tools)).freeze();
    tools.context("the tools can't be registered")
}

/// The models, and everything that is wrong with them.
fn models(
    config: &Config,
    parts: &mut Parts,
    agents: Option<&AgentClassRegistry>,
    io: &Handle,
) -> Result<ModelRegistry, Vec<anyhow::Error>> {
    let names = config.agents.models.keys();
    let unknown = names.filter(|name| agents.is_some_and(|agents| agents.get(name).is_none()));
    let mut faults: Vec<_> = unknown
        .map(|name| {
            anyhow::anyhow!("agents.models names the agent `{name}`, which is not there: mend its name or leave it out")
        })
        .collect();
    let own = OwnModels {
        models: std::mem::take(&mut parts.models),
        alone: parts.no_models,
    };
    match models::registry(config, own, io, &|name| std::env::var_os(name)) {
        Ok(models) if faults.is_empty() => return Ok(models),
        Ok(_) => {}
        Err(more) => faults.extend(more.into_iter().map(anyhow::Error::from)),
    }
    Err(faults)
}

/// Who waits for the end.
enum Watch {
    Signals { terminate: Signal, interrupt: Signal },
    Owner(oneshot::Receiver<()>),
}

impl Watch {
    /// Waits until the server is to stop.
    async fn stop(&mut self) {
        match self {
            Self::Signals { terminate, interrupt } => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            // An error means that nobody can stop it any more.
            Self::Owner(stopped) => drop(stopped.await),
        }
    }

    /// Waits until it is to stop at once.
    async fn stop_at_once(&mut self) {
        match self {
            Self::Signals { .. } => self.stop().await,
            Self::Owner(_) => std::future::pending().await,
        }
    }
}

async fn serve(
    facts: &Facts<'_>,
    listener: std::net::TcpListener,
    infra: Arc<Infra>,
    gate: Gate,
    stores: Stores,
    until: Until,
) -> anyhow::Result<bool> {
    let (config, address) = (facts.config, facts.address);
    let arbiters: Vec<Arbiter> = (0..config.server.shards.unwrap_or_else(cores))
        .map(|_| Arbiter::new())
        .collect();
    let shards = arbiters.iter().map(|arbiter| Shard::on(&arbiter.handle())).collect();
    let supervisor = RootSupervisor::new(Arc::clone(&infra), shards, supervisor_panicked).start();
    if !stores.waiting.is_empty() {
        info!(
            sessions = stores.waiting.len(),
            "messages wait since the last stop; their sessions are revived"
        );
        supervisor.send(ReviveSessions(stores.waiting)).await?;
    }
    let sockets = OpenSockets::default();
    let state = State {
        supervisor: supervisor.clone(),
        infra,
        doorkeeper: Arc::new(gate),
        documents: Arc::clone(&stores.tools.documents),
        sockets: sockets.clone(),
    };
    let server = http::serve(vec![listener], state, &config.server)?;
    let handle = server.handle();
    let serving = actix_rt::spawn(server);
    let mut watch = watch(facts, until)?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");

    watch.stop().await;
    info!("stopping: nothing new is taken; a second signal ends at once");
    // The listener stays open: who comes now is told 503 and when to come back, instead of waiting in the kernel's queue,
    // and a run can still be stopped over HTTP.
    let drain = async {
        // Without a supervisor there is nothing to drain; with code that never returns there is no end to wait for.
        let drained = tokio::time::timeout(config.limits.drain_timeout + DRAIN_SLACK, supervisor.send(Drain)).await;
        if drained.is_err() {
            warn!("some sessions did not end in time");
        }
        let all_ended = drained.is_ok();
        if tokio::time::timeout(SOCKETS_LINGER, sockets.all_closed())
            .await
            .is_err()
        {
            warn!("some sockets did not take their close frame in time");
        }
        all_ended
    };
    let drained = tokio::select! {
        all_ended = drain => all_ended,
        () = watch.stop_at_once() => false,
    };
    handle.stop(false).await;
    serving.abort();
    for arbiter in &arbiters {
        arbiter.stop();
    }
    // A shard whose code never returns can't be joined: the process ends without it.
    if !drained {
        warn!("stopped before everything had ended; the journal tells the rest at the next start");
        return Ok(false);
    }
    for arbiter in arbiters {
        if arbiter.join().is_err() {
            warn!("a shard's thread panicked");
        }
    }
    if let Some(store) = stores.sqlite {
        store.close().await;
    }
    info!("stopped");
    Ok(true)
}

/// Tells that the server serves, and gets ready for its end.
fn watch(facts: &Facts<'_>, until: Until) -> io::Result<Watch> {
    match until {
        Until::Signal => {
            // Before anyone is told: who reads the address may send a signal at once, and that must drain.
            let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            if let Err(error) = announce(facts) {
                warn!(%error, "standard output is closed: nobody is told the address");
            }
            Ok(Watch::Signals { terminate, interrupt })
        }
        Until::Told { serving, stopped } => {
            // Where nobody waits for the address, nobody will stop it either: `stopped` says so.
            let _ = serving.send(facts.address);
            Ok(Watch::Owner(stopped))
        }
    }
}

/// On standard output, whatever the log's level and format: scripts and people read the address here.
fn announce(facts: &Facts<'_>) -> io::Result<()> {
    let mut out = io::stdout();
    let told = if out.is_terminal() {
        banner::banner(facts, Paint::of(&out))
    } else {
        banner::line(facts.address)
    };
    out.write_all(told.as_bytes())?;
    // Before the log goes on: on a terminal both are one text.
    out.flush()
}

/// How many threads can work at once: that many shards serve where `server.shards` is "auto".
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Without the supervisor no count and no limit is true: whoever watches the process starts it anew.
fn supervisor_panicked() {
    std::process::exit(EXIT_SUPERVISOR);
}
