//! What a client sends, and how a frame is read: size and depth first, then its type, then its payload field by field.

mod reading;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::{CallId, DocumentId, MessageId, RunId, Seq, ThreadId};
use crate::protocol::server::ErrorCode;

/// The most references that one message may name. A message that names more is refused.
pub const REFERENCES_MAX: usize = 32;

/// Characters of a stop's reason that are kept: it stands in the end of each run that it stops, for people.
pub const STOP_REASON_MAX_CHARS: usize = 200;

/// Characters of a decision's note that are kept: agent and user read it.
pub const DECISION_NOTE_MAX_CHARS: usize = 1_000;

/// The longest name of a thread, in characters. A longer one is refused.
pub const THREAD_NAME_MAX_CHARS: usize = 200;

/// One frame of a client, read and validated.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFrame {
    /// The client's id for this frame. Minted by the server where a frame that changes something has none.
    pub message_id: Option<MessageId>,
    /// The thread it is about; none means the session's current thread.
    pub thread_id: Option<ThreadId>,
    /// What it asks for.
    pub command: Command,
}

/// What a frame asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Say something to an agent (`user_message`, `start_agent`).
    Say(Say),
    /// Stop one run, or all of the thread and its queue.
    Stop {
        /// The run; none stops all of the thread.
        run_id: Option<RunId>,
        /// Why, in the user's words; cut at [`STOP_REASON_MAX_CHARS`].
        reason: Option<String>,
    },
    /// Tell a running agent something.
    Steer {
        /// The run.
        run_id: RunId,
        /// What to tell it.
        content: String,
    },
    /// Decide a request for approval.
    DecideTool {
        /// The call.
        call_id: CallId,
        /// Whether it may go on.
        approve: bool,
        /// Why; cut at [`DECISION_NOTE_MAX_CHARS`].
        note: Option<String>,
    },
    /// Make a thread and switch to it.
    CreateThread {
        /// Its name.
        name: Option<String>,
    },
    /// Make a thread the session's current one.
    SwitchThread {
        /// The thread.
        thread_id: ThreadId,
    },
    /// Give a thread another name.
    RenameThread {
        /// The thread; none means the current one.
        thread_id: Option<ThreadId>,
        /// Its new name.
        name: String,
    },
    /// Delete a thread with all that was said in it.
    DeleteThread {
        /// The thread.
        thread_id: ThreadId,
    },
    /// List the user's threads, newest first.
    ListThreads(Page),
    /// Read a thread, newest first.
    GetThreadHistory(Page),
    /// All events up to here have been taken.
    Ack {
        /// The last one taken.
        seq: Seq,
    },
    /// Prolong the session's credential.
    RefreshToken {
        /// A token of the same user.
        token: Option<String>,
        /// A ticket of the same user.
        ticket: Option<String>,
    },
    /// Ask whether the session lives.
    Ping {
        /// Given back as it came.
        timestamp: Option<Value>,
    },
    /// A sign of life that wants no answer (`pong`, `heartbeat_ack`, `typing_started`, `typing_stopped`).
    Nothing,
}

/// A message to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Say {
    /// The words.
    pub content: String,
    /// Which agent; none means the configured one.
    pub agent: Option<String>,
    /// Which thread.
    pub thread: ThreadTarget,
    /// Documents that it speaks of, each once.
    pub references: Vec<DocumentId>,
    /// What the client wants kept beside it.
    pub metadata: Option<Value>,
    /// What to do where a run is active.
    pub on_busy: OnBusy,
}

/// Which thread a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadTarget {
    /// The session's current one.
    Current,
    /// This one.
    Given(ThreadId),
    /// A new one (`start_agent` with `thread_id: null`).
    New,
}

/// What happens to a message that comes while a run is active in its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// It waits, in order.
    #[default]
    Enqueue,
    /// It is refused with `run_active`.
    Reject,
    /// The run is stopped, what it said is kept, and this goes next.
    Interrupt,
    /// The run is stopped, the thread forgets it, and this goes next.
    Rollback,
}

impl OnBusy {
    /// Whether the run at work is stopped for it.
    #[must_use]
    pub const fn takes_over(self) -> bool {
        matches!(self, Self::Interrupt | Self::Rollback)
    }
}

/// A page of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Page {
    /// Entries before this cursor (`next_before` of the page before); none starts at the newest.
    #[serde(default)]
    pub before: Option<i64>,
    /// How many at most; clamped to the configured maximum.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// Says what is wrong with a frame, in words that name the mend.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameError {
    /// The code on the wire.
    pub code: ErrorCode,
    /// A sentence that says what to do.
    pub message: String,
    /// Where in the payload: a JSON pointer.
    pub pointer: Option<String>,
    /// The frame's own id, as far as it could be read.
    pub reply_to: Option<String>,
}

impl Command {
    /// SHA-256 of what a frame asks for, so that a repeat under the same id can be told from another request under it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        let fields: Vec<Option<String>> = match self {
            Self::Say(say) => vec![
                Some("say".to_owned()),
                Some(say.content.clone()),
                say.agent.clone(),
                match say.thread {
                    ThreadTarget::Given(id) => Some(id.to_string()),
                    ThreadTarget::Current | ThreadTarget::New => None,
                },
                Some(
                    say.references
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("\n"),
                ),
                say.metadata.as_ref().map(super::canonical),
            ],
            Self::CreateThread { name } => vec![Some("create_thread".to_owned()), name.clone()],
            Self::RenameThread { thread_id, name } => vec![
                Some("rename_thread".to_owned()),
                thread_id.map(|id| id.to_string()),
                Some(name.clone()),
            ],
            Self::DeleteThread { thread_id } => {
                vec![Some("delete_thread".to_owned()), Some(thread_id.to_string())]
            }
            Self::Steer { run_id, content } => vec![
                Some("steer".to_owned()),
                Some(run_id.to_string()),
                Some(content.clone()),
            ],
            Self::DecideTool { call_id, approve, note } => vec![
                Some("tool_decision".to_owned()),
                Some(call_id.to_string()),
                Some(approve.to_string()),
                note.clone(),
            ],
            // These change nothing that is kept, so no id of theirs is recorded.
            Self::Stop { .. }
            | Self::SwitchThread { .. }
            | Self::ListThreads(_)
            | Self::GetThreadHistory(_)
            | Self::Ack { .. }
            | Self::RefreshToken { .. }
            | Self::Ping { .. }
            | Self::Nothing => vec![],
        };
        let mut hash = Sha256::new();
        for field in fields {
            // Lengths keep ("ab", "c") and ("a", "bc") apart; a missing field is not an empty one.
            hash.update(field.as_ref().map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hash.update(field.unwrap_or_default());
        }
        hash.finalize().into()
    }
}
