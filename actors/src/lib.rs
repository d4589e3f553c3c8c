//! The Sessile runtime: every user session is an actor.
//!
//! This page is the map. It says who owns what, what always holds, which way a message takes, and where each part stands.
//!
//! # Who owns whom
//!
//! ```text
//! server ── Infra: registries, models, ports, limits; frozen, holds no user's data
//!   │          one `Arc`, a clone to each session
//!   └── RootSupervisor          one; admits, spawns, counts, watches
//!         └── UserSessionActor  one per session, on its shard; nobody else holds its state
//!               ├── SessionContext   whose it is: a value, immutable
//!               ├── Engine           what it decides: a value, pure
//!               ├── Outbox           what it has said: a value, bounded
//!               ├── RunTask          a task per run: the agent, its RunContext, its emitter; a run has child runs,
//!               │                    each a task beside it, and ends after them
//!               ├── Lifecycle        what each run may tell next: a value, pure, checks every event
//!               ├── ToolDispatcher   an actor, started on the first tool call; a task per call
//!               └── Box<dyn Sink>    its socket, opened by it on its own shard ──► client
//! ```
//!
//! A session is not its connection: sockets come and go, runs go on, and a session that left memory is revived from the
//! journal on the same line of events.
//!
//! # What always holds
//!
//! 1. Imports point inwards: supervisor, session, then infra, protocol, context, ids. The one arrow outwards is that an
//!    agent is given its [`RunContext`](session::run::RunContext). This crate knows no HTTP, SQL, files or environment.
//! 2. The [engine](session::engine) has no actors, no clock, no randomness: an input and the time go in, effects come out.
//! 3. Shared state is frozen and has no lock (counters and channel senders excepted); owned state is never shared.
//! 4. No registry of sessions or sockets lies on the path of an event. Only a handshake looks a session up, once.
//! 5. Identity comes from a verified credential alone. There is no run without a real user, thread and run id:
//!    [`UserExecutionContext`](context::UserExecutionContext) has no public constructor, no setter, no default.
//! 6. An event is made by the emitter of one run and carries that run's context; the session refuses a foreign one, and the
//!    sink a foreign tag. Both are counted, and end the session.
//! 7. An event is in the journal before a socket sees it. Each run has exactly one end, after the ends of its tool calls and
//!    of its child runs; an event that breaks this is counted, not told, and ends its run.
//! 8. Nothing is unbounded: each bound is a field of [`Limits`](limits::Limits) or a named constant, with what happens
//!    beyond it.
//! 9. A panic in a tool ends its call, in an agent its run, in a session that session, which is restarted from the journal.
//!    A panic of the supervisor ends the process: without it no count is true.
//!
//! # The way of a message
//!
//! ```text
//! client ─► sink ── FrameArrived ──► session ── Input::Frame ───► engine
//!                                   session ◄── Effect::Rate ─── engine
//! supervisor ◄────── Rate ────────── session
//! supervisor ─────── a rating ─────► session ── Input::Rated ───► engine
//!                                   session ◄── Effect::Store ── engine
//! journal ◄───────── append ──────── session
//! journal ────────── replies ──────► session ── Input::Stored ──► engine
//!                                   session ◄── Effect::Reply, Effect::Emit, Effect::Start ── engine
//! ```
//!
//! A frame costs the socket one grant, given back when the frame is handled: a client that sends faster than its session
//! works is held back by TCP. Frames are handled one at a time, in order; runs go on meanwhile. `message_accepted` is told
//! once the message is durable, and before the run's first event.
//!
//! # The way of an event
//!
//! ```text
//! agent ─► RunContext ─► emitter ── Emit ─► session ── Input::Emitted ─► engine
//!          say, think,   redacts,           compares                     lifecycle,
//!          call_tool     takes credit       the context                  text is gathered
//!                                                                            │ Effect::Emit
//!              journal ◄── append ── outbox: pending ◄── session numbers it: seq ◄┘
//!                 │
//! client ◄─ sink ◄── push ── session ◄── outbox: window ◄── committed
//! ```
//!
//! One batch of a session is under way at a time; what waits goes with the next. The run's credit comes back with the
//! commit, so a run that outpaces the journal waits. Only the outbox's window of durable events is ever sent; what has
//! fallen out of it unsent is read back from the journal, so a slow client costs its session no memory.
//!
//! # Child runs
//!
//! A run may have others do part of its work: [`RunContext::spawn_child`](session::run::RunContext::spawn_child). A child is
//! a run with an id, an agent, a clock and an end of its own. It works in its parent's thread, which its parent holds for
//! it: so it has no lane, no row in the store, no place among its user's runs, and its words are no message. Who is told of
//! it is the session's own client, by its events, and its parent. A child never outlives its parent: whatever ends a run
//! ends its children first, also in a recovery, which knows them by their events.
//!
//! # Threads
//!
//! | thread | what runs there |
//! | --- | --- |
//! | main | the actix system with the supervisor, which has never a future in flight |
//! | a shard, one per core | its sessions with all they own, sockets and agents included, and one [`Ticker`](shard::Ticker) |
//! | the binary's: an HTTP worker, an io runtime | handshakes; the journal's writer, models, blocking tools on the [`CpuPool`](infra::CpuPool) |
//!
//! A socket crosses threads once, when it is handed over. Agents must not block their shard: what computes or blocks is a
//! tool that says so ([`ToolSpec::blocking`](infra::ToolSpec)).
//!
//! # Who may call whom
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | the edge | supervisor | [`Admit`](supervisor::Admit), [`AttachSocket`](supervisor::AttachSocket), [`FindSession`](supervisor::FindSession), [`StopThread`](supervisor::StopThread), [`ThreadGone`](supervisor::ThreadGone), [`TakeCensus`](supervisor::TakeCensus), [`Drain`](supervisor::Drain), [`ReviveSessions`](supervisor::ReviveSessions) |
//! | the edge | a session that it found | [`StopRuns`](session::actor::StopRuns): past a wedged socket |
//! | supervisor | session | [`Attach`](session::actor::Attach), `ThreadChanged`, `YieldThread`, `ForgetThread`, `Evict`, `DrainSession`, `StopRuns` |
//! | session | supervisor | `Rate`, `RunChanged`, `Presence`, `AskYield`, `ThreadGone`, `Leave`, and `SessionEnded` as its last word |
//! | session | its sink | the trait [`Sink`](session::sink::Sink): `push`, `grant`, `ping`, `close` |
//! | sink | its session | [`FrameArrived`](session::actor::FrameArrived), [`SinkReady`](session::actor::SinkReady), [`SignOfLife`](session::actor::SignOfLife), [`SinkClosed`](session::actor::SinkClosed) |
//! | run | its session | `Emit`, `Use`, `NeedDispatcher`, `BeginChild`, `RunFinished` |
//! | session | a run that began a child | the child's [`ChildEnd`](session::run::ChildEnd), once |
//! | run | its dispatcher | `ExecuteTool` |
//! | session | its dispatcher | `CallDecided`: what a person said of a call that waits for approval |
//! | session, run | the ports | [`Journal`](infra::journal::Journal), [`ThreadStore`](infra::journal::ThreadStore), [`Model`](infra::Model), [`Credentials`](infra::credentials::Credentials) |
//! | ticker | the sessions of its shard | [`Tick`](shard::Tick) |
//!
//! A session knows no other session: what its user's sessions share goes through the supervisor (their rate, their threads)
//! or through the store (which run holds a thread). None of it is paid per event.
//!
//! # In reading order
//!
//! | read | for |
//! | --- | --- |
//! | [`ids`], [`context`] | the names of things, and for whom a run works |
//! | [`protocol`] | what goes over the wire: client frames, events, close codes |
//! | [`limits`], [`budgets`] | every bound, and what may be used in all |
//! | [`infra`] | what is shared: agents, tools, models, and the ports of the journal |
//! | [`session::engine`] | what a session decides: queues, runs, stops, ends |
//! | [`session::actor`] | what a session does: frames in, events to the journal, events out |
//! | [`session::run`], [`session::dispatcher`] | an agent and a tool at work |
//! | [`session::outbox`], [`session::sink`] | the way out, and the port to a socket |
//! | [`supervisor`], [`shard`] | the life of all sessions |
//! | `testing` | a world without a network, for tests and for `examples/in_process.rs`; feature `testing` |

#![warn(missing_docs)]

pub mod budgets;
pub mod context;
pub mod ids;
pub mod infra;
pub mod limits;
pub mod protocol;
pub mod session;
pub mod shard;
pub mod supervisor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
