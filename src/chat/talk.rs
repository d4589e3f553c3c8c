//! The loop between the client and its edges: what is typed, what arrives, what was waited for.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::back_off::BackOff;
use super::client::{AgentInfo, Client, Effect, Next, Now, Outcome, Show, Uploaded};
use super::identity::Identity;
use super::input::{Prompt, Typed};
use super::screen::Terminal;
use super::wire::{Heard, Refusal, Socket, Wire};

/// How long a pipe waits for a line that is down: as long as the server lets runs go on without one. Beyond: it ends.
const PIPE_PATIENCE: Duration = Duration::from_secs(600);

/// Where lines come from.
pub enum Input {
    /// Nowhere, or no more.
    Nothing,
    /// A pipe.
    Lines(Receiver<Typed>),
    /// A person.
    Person(Prompt),
}

/// What was asked over HTTP, answered.
enum Fetched {
    Agents(Result<Vec<AgentInfo>, String>),
    File(Result<Uploaded, String>),
    /// Whoever asked broke down.
    Neither(String),
}

type Opened = Result<(Socket, Option<String>), Refusal>;

/// The line to the server.
enum Line {
    /// Down until this.
    Down(Instant),
    /// Being opened.
    Opening(LocalBoxFuture<'static, Opened>),
    /// Up.
    Up(Box<Socket>),
}

/// What woke the loop.
enum Woken {
    Retry,
    Opened(Box<Opened>),
    Heard(Heard),
    Typed(Typed),
    Asked(Fetched),
    Due,
    Interrupt,
    Terminate,
}

/// A conversation with all its edges.
pub struct Talk {
    client: Client,
    wire: Wire,
    identity: Identity,
    screen: Terminal,
    input: Input,
    line: Line,
    back_off: BackOff,
    /// The token of the last attempt.
    token: Option<SecretString>,
    /// What is being asked over HTTP: one thing at a time, as the client asks.
    fetching: Option<JoinHandle<Fetched>>,
    cookie_was_lost: bool,
    /// Whether the server was ever reached, and whether the user was told that it no longer is.
    was_up: bool,
    told_of_cut: bool,
}

impl Talk {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new(client: Client, wire: Wire, identity: Identity, screen: Terminal, input: Input) -> Self {
        Self {
            client,
            wire,
            identity,
            screen,
            input,
            line: Line::Down(Instant::now()),
            back_off: BackOff::default(),
            token: None,
            fetching: None,
            cookie_was_lost: false,
            was_up: false,
            told_of_cut: false,
        }
    }

    /// Talks to the end. The first message names `files`; `first` is said at once, and is all that is said.
    ///
    /// # Errors
    /// What a client says can't be shown: its reader is gone, or the disk is full.
    pub async fn run(mut self, files: &[PathBuf], first: Option<Result<String, &'static str>>) -> io::Result<Outcome> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        for file in files {
            let effects = self.client.attach(file, now());
            self.perform(effects).await?;
        }
        let effects = match first {
            None => Vec::new(),
            Some(first) => match first.and_then(worth_saying) {
                Ok(text) => {
                    self.client.input_is_over();
                    self.client.say(&text, now())
                }
                Err(why) => {
                    self.client.end(Outcome::Refused);
                    self.client.unreadable(why)
                }
            },
        };
        let mut talked = self.perform(effects).await;
        while talked.is_ok() && self.client.over().is_none() {
            talked = self.turn(&mut interrupt, &mut terminate).await;
        }
        // Whatever happened: the terminal is left as it was found, and the server is told.
        if let Input::Person(prompt) = &mut self.input {
            prompt.close().await;
        }
        if let Line::Up(socket) = self.line {
            socket.close().await;
        }
        talked?;
        Ok(self.client.over().unwrap_or(Outcome::NoConnection))
    }

    async fn turn(&mut self, interrupt: &mut Signal, terminate: &mut Signal) -> io::Result<()> {
        self.open_prompt()?;
        let due = self.client.due();
        let takes_lines = self.client.takes_lines();
        let woken = tokio::select! {
            woken = self.line.next() => woken,
            typed = self.input.next(), if takes_lines => Woken::Typed(typed),
            answered = fetched(&mut self.fetching) => Woken::Asked(answered),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Woken::Due,
            _ = interrupt.recv() => Woken::Interrupt,
            _ = terminate.recv() => Woken::Terminate,
        };
        let effects = match woken {
            Woken::Retry => {
                self.connect();
                Vec::new()
            }
            Woken::Opened(opened) => return self.opened(*opened),
            Woken::Heard(heard) => return self.heard(heard).await,
            Woken::Typed(typed) => return self.typed(typed).await,
            Woken::Asked(answered) => {
                self.fetching = None;
                match answered {
                    Fetched::Agents(agents) => self.client.agents(agents, now()),
                    Fetched::File(taken) => self.client.uploaded(taken, now()),
                    Fetched::Neither(why) => {
                        let mut effects = self.client.agents(Err(why.clone()), now());
                        effects.extend(self.client.uploaded(Err(why), now()));
                        effects
                    }
                }
            }
            Woken::Due => self.client.tick(now()),
            Woken::Interrupt => self.client.interrupt(),
            Woken::Terminate => {
                self.client.end(Outcome::Terminated);
                Vec::new()
            }
        };
        self.perform(effects).await
    }

    /// A person gets a prompt while nothing goes on.
    fn open_prompt(&mut self) -> io::Result<()> {
        let may_open = self.was_up && self.client.is_idle();
        match &mut self.input {
            Input::Person(prompt) if may_open && !prompt.is_open() => {
                self.screen.prompt_opens()?;
                prompt.open();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn typed(&mut self, typed: Typed) -> io::Result<()> {
        self.screen.prompt_closed()?;
        let effects = match typed {
            Typed::Line(line) => self.client.typed(&line, now()),
            Typed::Unreadable(why) => self.client.unreadable(why),
            Typed::Interrupt => self.client.interrupt(),
            Typed::End => {
                self.client.input_is_over();
                self.input = Input::Nothing;
                Vec::new()
            }
        };
        self.perform(effects).await
    }

    fn connect(&mut self) {
        self.token = self.identity.token();
        let headers = match self.identity.headers() {
            Ok(headers) => headers,
            Err(why) => {
                let why = format!("{why:#}");
                self.line = Line::Opening(Box::pin(async { Err(Refusal::Unreachable(why)) }));
                return;
            }
        };
        let (wire, query) = (self.wire.clone(), self.client.query());
        self.line = Line::Opening(Box::pin(async move { wire.open(&query, headers).await }));
    }

    fn opened(&mut self, opened: Opened) -> io::Result<()> {
        match opened {
            Ok((socket, cookie)) => {
                self.line = Line::Up(Box::new(socket));
                self.keep(cookie.as_deref())
            }
            Err(Refusal::Unreachable(why)) if !self.was_up => {
                let origin = self.wire.address().origin();
                self.stop(&format!(
                    "no server at {origin} can be talked to ({why}); start one by `sessile`, or name another by --url"
                ))
            }
            Err(Refusal::Unreachable(_)) => self.wait(Duration::ZERO),
            Err(Refusal::Refused { status: 401, why, .. }) if !self.has_newer_token() => {
                let advice = self.identity.advice();
                self.stop(&format!("the server does not let you in ({why}): {advice}"))
            }
            Err(Refusal::Refused { status: 401, .. }) => self.wait(Duration::ZERO),
            Err(Refusal::Refused {
                retry_after: Some(retry_after),
                why,
                ..
            }) => {
                self.show(Show::Note(format!("{why}; trying again")))?;
                self.wait(retry_after)
            }
            // A proxy, while the server behind it starts again.
            Err(Refusal::Refused { status: 500.., .. }) if self.was_up => self.wait(Duration::ZERO),
            Err(Refusal::Refused { status, why, .. }) => self.stop(&format!(
                "{} refuses with {status}: {why}",
                self.wire.address().origin()
            )),
        }
    }

    async fn heard(&mut self, heard: Heard) -> io::Result<()> {
        match heard {
            Heard::Text(text) => {
                let was_up = self.client.is_up();
                let effects = self.client.frame(&text, now());
                if self.client.is_up() && !was_up {
                    self.was_up = true;
                    self.back_off.up(Instant::now());
                    if std::mem::take(&mut self.told_of_cut) {
                        self.show(Show::Note("connected again".to_owned()))?;
                    }
                }
                self.perform(effects).await
            }
            Heard::Alive => Ok(()),
            Heard::Cut => self.cut(Duration::ZERO),
            Heard::Closed(code, reason) => {
                let (next, effects) = self.client.closed(code, &reason);
                self.client.cut();
                self.line = Line::Down(Instant::now());
                self.perform(effects).await?;
                match next {
                    Next::Again(wait) => self.cut(wait),
                    Next::Renew if self.may_be_renewed() => self.cut(Duration::ZERO),
                    Next::Renew => {
                        let advice = self.identity.advice();
                        self.stop(&format!("the credential is bad or expired: {advice}"))
                    }
                    Next::Stop => Ok(()),
                }
            }
        }
    }

    /// Does what the client wants done.
    async fn perform(&mut self, mut effects: Vec<Effect>) -> io::Result<()> {
        effects.reverse();
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Show(show) => self.screen.show(&show)?,
                Effect::Send(text) => {
                    if let Line::Up(socket) = &mut self.line
                        && !socket.send(&text).await
                    {
                        self.cut(Duration::ZERO)?;
                    }
                }
                Effect::FetchAgents => {
                    let (wire, headers) = (self.wire.clone(), self.identity.headers());
                    self.fetching = Some(spawn_blocking(move || {
                        Fetched::Agents(told(headers.and_then(|headers| wire.agents(&headers))))
                    }));
                }
                Effect::Upload(file, at_most) => {
                    let (wire, headers) = (self.wire.clone(), self.identity.headers());
                    self.fetching = Some(spawn_blocking(move || {
                        Fetched::File(told(headers.and_then(|headers| wire.upload(&file, at_most, &headers))))
                    }));
                }
                Effect::RenewToken if self.has_newer_token() => {
                    self.token = self.identity.token();
                    if let Some(token) = &self.token {
                        effects.extend(self.client.renew(token.expose_secret()));
                    }
                }
                // The server closes with 4401 when the time has come, and that is told.
                Effect::RenewToken => {}
            }
        }
        Ok(())
    }

    /// The line is gone.
    fn cut(&mut self, wait: Duration) -> io::Result<()> {
        self.client.cut();
        self.wait(wait)
    }

    fn wait(&mut self, at_least: Duration) -> io::Result<()> {
        let down_for = self.back_off.cut(Instant::now());
        if down_for > PIPE_PATIENCE && !matches!(self.input, Input::Person(_)) {
            return self.stop("the server has been away for ten minutes; send the message again later");
        }
        if self.was_up && !std::mem::replace(&mut self.told_of_cut, true) {
            self.show(Show::Note("the line is cut; connecting again".to_owned()))?;
        }
        let dice = getrandom::u32().unwrap_or(u32::MAX);
        let wait = self.back_off.next(Instant::now(), at_least, dice);
        self.line = Line::Down(Instant::now() + wait);
        Ok(())
    }

    fn stop(&mut self, why: &str) -> io::Result<()> {
        self.client.end(Outcome::NoConnection);
        self.show(Show::Fault(why.to_owned()))
    }

    fn keep(&mut self, cookie: Option<&str>) -> io::Result<()> {
        let kept = cookie.map_or(Ok(()), |cookie| self.identity.keep(cookie));
        match kept {
            Err(why) if !std::mem::replace(&mut self.cookie_was_lost, true) => {
                self.show(Show::Note(format!("{why:#}; the next `sessile chat` is another guest")))
            }
            _ => Ok(()),
        }
    }

    fn has_newer_token(&self) -> bool {
        let text = |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        let fresh = self.identity.token();
        fresh.is_some() && text(&fresh) != text(&self.token)
    }

    /// A guest is greeted anew; a token must be another one.
    fn may_be_renewed(&self) -> bool {
        matches!(self.identity, Identity::Guest(_)) || self.has_newer_token()
    }

    fn show(&mut self, show: Show) -> io::Result<()> {
        self.screen.show(&show)
    }
}

impl Line {
    async fn next(&mut self) -> Woken {
        match self {
            Self::Down(until) => {
                sleep_until(*until).await;
                Woken::Retry
            }
            Self::Opening(opening) => Woken::Opened(Box::new(opening.await)),
            Self::Up(socket) => Woken::Heard(socket.next().await),
        }
    }
}

impl Input {
    async fn next(&mut self) -> Typed {
        match self {
            Self::Nothing => pending().await,
            Self::Lines(lines) => lines.recv().await.unwrap_or(Typed::End),
            Self::Person(prompt) => prompt.next().await,
        }
    }
}

async fn fetched(fetching: &mut Option<JoinHandle<Fetched>>) -> Fetched {
    match fetching {
        Some(asked) => asked.await.unwrap_or_else(|fault| Fetched::Neither(fault.to_string())),
        None => pending().await,
    }
}

fn told<T>(answered: anyhow::Result<T>) -> Result<T, String> {
    answered.map_err(|why| format!("{why:#}"))
}

fn worth_saying(text: String) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("the message is empty; write something");
    }
    Ok(text)
}

fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    }
}
