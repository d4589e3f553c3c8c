//! A server of one's own: what comes with Sessile, and one's own agents, tools and models beside it or in its place.
//!
//! ```no_run
//! use sessile::Sessile;
//! use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
//! use sessile_actors::session::run::RunContext;
//!
//! struct Shout;
//!
//! #[async_trait::async_trait(?Send)]
//! impl Agent for Shout {
//!     async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
//!         Ok(Answer::Text(run.message().to_uppercase()))
//!     }
//! }
//!
//! fn main() -> anyhow::Result<std::process::ExitCode> {
//!     Sessile::builder()
//!         .agent(AgentClass::new("shout", "Says it louder.", |_| Shout))
//!         .default_agent("shout")
//!         .serve()
//! }
//! ```
//!
//! The `sessile` command itself is made of it. Nothing can be added once it serves.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use sessile_actors::infra::agents::AgentClass;
use sessile_actors::infra::{Model, Tool, ToolRegistryBuilder};
use tokio::sync::oneshot;

use crate::config::{Config, Sources};
use crate::server::{self, Until};
use crate::telemetry;

/// Where a server of one's own begins.
#[derive(Debug)]
pub struct Sessile;

impl Sessile {
    /// Starts describing a server. As it stands it is the one that `sessile` starts without any argument: the defaults and
    /// the environment are its configuration.
    pub fn builder() -> Builder {
        Builder {
            settings: Settings::From(Sources::environment()),
            parts: Parts::default(),
        }
    }
}

/// A server that is being described.
#[must_use = "nothing runs before `serve` or `start`"]
pub struct Builder {
    settings: Settings,
    parts: Parts,
}

/// Where the configuration comes from.
enum Settings {
    From(Sources),
    Given(Box<Config>),
}

/// Adds a tool to those that are collected.
type AddTool = Box<dyn FnOnce(ToolRegistryBuilder) -> ToolRegistryBuilder + Send>;

/// What a server has beside what comes with Sessile, and what of that it does without.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) agents: Vec<AgentClass>,
    pub(crate) tools: Vec<AddTool>,
    pub(crate) models: Vec<Arc<dyn Model>>,
    /// Goes before `agents.default`.
    pub(crate) default_agent: Option<String>,
    pub(crate) no_agents: bool,
    pub(crate) no_tools: bool,
    pub(crate) no_models: bool,
}

impl Builder {
    /// Adds an agent.
    pub fn agent(mut self, class: AgentClass) -> Self {
        self.parts.agents.push(class);
        self
    }

    /// Adds a tool, for all agents.
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.parts.tools.push(Box::new(|tools| tools.tool(tool)));
        self
    }

    /// Adds a model. The first one added is the one that agents get who name none.
    pub fn model(mut self, model: impl Model + 'static) -> Self {
        self.parts.models.push(Arc::new(model));
        self
    }

    /// Messages that name no agent go to this one, whatever `agents.default` says.
    pub fn default_agent(mut self, name: impl Into<String>) -> Self {
        self.parts.default_agent = Some(name.into());
        self
    }

    /// Has none of the agents that come with Sessile. Where no default is named, the first one added is it.
    pub fn without_default_agents(mut self) -> Self {
        self.parts.no_agents = true;
        self
    }

    /// Has none of the tools that come with Sessile.
    pub fn without_default_tools(mut self) -> Self {
        self.parts.no_tools = true;
        self
    }

    /// Has none of the models that come with Sessile.
    pub fn without_default_models(mut self) -> Self {
        self.parts.no_models = true;
        self
    }

    /// Takes this configuration, and reads neither files nor the environment.
    pub fn config(mut self, config: Config) -> Self {
        self.settings = Settings::Given(Box::new(config));
        self
    }

    /// Puts the configuration together from these sources, over the defaults.
    pub fn config_from(mut self, sources: Sources) -> Self {
        self.settings = Settings::From(sources);
        self
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal ends at once. Logs to standard error, and says on standard
    /// output where it listens. The code is what the process should end with.
    ///
    /// # Errors
    /// Whatever keeps the server from starting, as a sentence that says what to do: a name that stands twice, a default that
    /// nobody has, a setting, an address that is taken.
    pub fn serve(self) -> anyhow::Result<ExitCode> {
        let (config, settings) = self.settings.load()?;
        telemetry::init(&config.log)?;
        let all_ended = server::run(&config, &settings, self.parts, Until::Signal)?;
        Ok(if all_ended {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Serves on threads of its own until it is told to stop, for tests: it takes no signals, and neither logs nor prints by
    /// itself. A panic of the supervisor ends the process, as in [`Builder::serve`].
    ///
    /// # Errors
    /// As [`Builder::serve`].
    pub fn start(self) -> anyhow::Result<Running> {
        let (config, settings) = self.settings.load()?;
        let parts = self.parts;
        let (serving, served) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("sessile".to_owned())
            .spawn(move || server::run(&config, &settings, parts, Until::Told { serving, stopped }))
            .context("the server's thread can't be started")?;
        match served.blocking_recv() {
            Ok(address) => Ok(Running { address, stop, thread }),
            // It ended before it served: it says why.
            Err(_) => Err(joined(thread)
                .err()
                .unwrap_or_else(|| anyhow!("the server ended before it served"))),
        }
    }
}

impl Settings {
    /// The configuration, and where it came from in words.
    fn load(self) -> anyhow::Result<(Config, String)> {
        Ok(match self {
            Self::From(sources) => (Config::load(&sources)?, sources.summary()),
            Self::Given(config) => (*config, "the program's own".to_owned()),
        })
    }
}

/// A server on threads of its own. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<bool>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drains, as after a signal, and waits for the end. It blocks.
    ///
    /// # Errors
    /// Something had not ended when the drain's time was over.
    pub fn stop(self) -> anyhow::Result<()> {
        // An error means that it has ended by itself: it says why.
        let _ = self.stop.send(());
        match joined(self.thread)? {
            true => Ok(()),
            false => Err(anyhow!("some sessions did not end in time; the log names them")),
        }
    }
}

fn joined(thread: JoinHandle<anyhow::Result<bool>>) -> anyhow::Result<bool> {
    thread.join().map_err(|_| anyhow!("the server's thread panicked"))?
}

#[cfg(test)]
mod tests {
    use sessile_actors::infra::{Agent, AgentError, Answer};
    use sessile_actors::session::run::RunContext;

    use super::*;
    use crate::models::OfflineModel;
    use crate::tools::calculator::Calculator;

    struct Mute;

    #[async_trait::async_trait(?Send)]
    impl Agent for Mute {
        async fn run(&mut self, _: &mut RunContext) -> Result<Answer, AgentError> {
            Ok(Answer::Said)
        }
    }

    fn agent(name: &str) -> AgentClass {
        AgentClass::new(name, "Says nothing.", |_| Mute)
    }

    fn builder() -> Builder {
        let settings = Sources::default()
            .set("server.listen", "127.0.0.1:0")
            .set("journal.kind", "memory");
        Sessile::builder().config_from(settings)
    }

    /// Which agents a server has, the default first, and which tools.
    fn told(builder: Builder) -> (String, String) {
        let running = builder.start().unwrap();
        let get = |path: &str| {
            use std::io::{Read as _, Write as _};
            let mut socket = std::net::TcpStream::connect(running.address()).unwrap();
            let host = running.address();
            write!(
                socket,
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            serde_json::from_str::<Vec<serde_json::Value>>(body).unwrap()
        };
        let names = |list: &[serde_json::Value]| {
            let names = list.iter().map(|one| one["name"].as_str().unwrap().to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        let (mut agents, tools) = (get("/v1/agents"), get("/v1/tools"));
        agents.sort_by_key(|agent| agent["default"] != true);
        running.stop().unwrap();
        (names(&agents), names(&tools))
    }

    fn fault(builder: Builder) -> String {
        format!("{:#}", builder.start().unwrap_err())
    }

    #[test]
    fn what_is_added_stands_beside_what_comes_along() {
        let (agents, tools) = told(builder().agent(agent("mute")));
        assert!(agents.starts_with("assistant ") && agents.contains("mute"), "{agents}");
        assert!(tools.contains("calculator"), "{tools}");
        let (agents, _) = told(builder().agent(agent("mute")).default_agent("mute"));
        assert!(agents.starts_with("mute ") && agents.contains("assistant"), "{agents}");
    }

    #[test]
    fn what_comes_along_can_be_left_out_and_the_first_agent_is_then_the_default() {
        let bare = builder()
            .without_default_agents()
            .without_default_tools()
            .without_default_models()
            .agent(agent("one"))
            .agent(agent("another"))
            .tool(Calculator)
            .model(OfflineModel::new(std::time::Duration::ZERO));
        assert_eq!(told(bare), ("one another".to_owned(), "calculator".to_owned()));
    }

    #[test]
    fn what_keeps_a_server_from_starting_is_said_so_that_it_can_be_mended() {
        let twice = fault(builder().agent(agent("mute")).agent(agent("mute")));
        assert!(twice.contains("`mute` is registered twice"), "{twice}");
        let tools = fault(builder().tool(Calculator));
        assert!(
            tools.contains("the tools") && tools.contains("`calculator` is registered twice"),
            "{tools}"
        );
        let models = fault(builder().model(OfflineModel::new(std::time::Duration::ZERO)));
        assert!(models.contains("two models are named `offline`"), "{models}");
        let nobody = fault(builder().default_agent("nobody"));
        assert!(
            nobody.contains("the default agent `nobody` is not registered"),
            "{nobody}"
        );
        let none = fault(builder().without_default_agents());
        assert!(
            none.contains("the default agent `assistant` is not registered"),
            "{none}"
        );
        let setting = Sources::default().set("server.lisen", "x");
        let setting = fault(Sessile::builder().config_from(setting));
        assert!(setting.contains("server.lisen"), "{setting}");
    }

    #[test]
    fn a_server_that_is_dropped_stops_by_itself() {
        let running = builder().config(Config {
            journal: crate::config::Journal {
                kind: crate::config::JournalKind::Memory,
            },
            server: crate::config::Server {
                listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
                ..Config::default().server
            },
            ..Config::default()
        });
        let Running { stop, thread, .. } = running.start().unwrap();
        drop(stop);
        assert!(joined(thread).unwrap(), "all had ended");
    }
}
