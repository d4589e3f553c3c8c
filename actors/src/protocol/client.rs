//! What a client sends, and how a frame is read: size and depth first, then its type, then its payload field by field.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::ids::{CallId, IdError, MessageId, RunId, Seq, ThreadId};
use crate::protocol::server::ErrorCode;

/// How deep a frame's JSON may nest by default.
pub const JSON_DEPTH: usize = 32;

/// The most references that one message may name. A message that names more is refused.
pub const REFERENCES_MAX: usize = 32;

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
        /// Why, in the user's words.
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
        /// Why.
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
    /// Documents that it speaks of.
    pub references: Vec<String>,
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

impl ClientFrame {
    /// Reads one text frame. `max_depth` bounds how deep its JSON may nest.
    ///
    /// # Errors
    /// [`FrameError`]: `bad_json`, `unknown_type`, `invalid_payload` with a JSON pointer, or `empty_message`.
    pub fn read(text: &str, max_depth: usize) -> Result<Self, FrameError> {
        if nests_deeper_than(text, max_depth) {
            return Err(FrameError::new(
                ErrorCode::BadJson,
                format!("the frame nests deeper than {max_depth} levels; send flatter JSON"),
            ));
        }
        let raw: RawFrame<'_> = serde_json::from_str(text).map_err(|fault| {
            let message = if fault.is_data() {
                "a frame is a JSON object with a string `type`; `message_id` and `thread_id` are strings".to_owned()
            } else {
                format!(
                    "the frame is not JSON (line {}, column {})",
                    fault.line(),
                    fault.column()
                )
            };
            FrameError::new(ErrorCode::BadJson, message)
        })?;
        let reply_to = raw.message_id.as_ref().map(ToString::to_string);
        raw.read(text).map_err(|fault| FrameError { reply_to, ..fault })
    }
}

/// The envelope. A frame without `payload` is its own payload, as the seed system's clients send it.
#[derive(Deserialize)]
struct RawFrame<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    message_id: Option<std::borrow::Cow<'a, str>>,
    thread_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl RawFrame<'_> {
    fn read(&self, whole: &str) -> Result<ClientFrame, FrameError> {
        let message_id = parse_id(self.message_id.as_deref(), "/message_id")?;
        let thread_id = parse_id(self.thread_id.as_deref(), "/thread_id")?;
        let payload = self.payload.map_or(whole, RawValue::get);
        let command = self.command(payload, thread_id)?;
        Ok(ClientFrame {
            message_id,
            thread_id,
            command,
        })
    }

    fn command(&self, payload: &str, envelope_thread: Option<ThreadId>) -> Result<Command, FrameError> {
        Ok(match &*self.kind {
            "user_message" | "user" | "user_input" | "chat_message" | "chat" | "message" => {
                user_message(fields(payload)?, envelope_thread)?
            }
            "start_agent" | "execute_agent" | "agent_request" | "agent" => {
                start_agent(fields(payload)?, envelope_thread)?
            }
            "stop_agent" => {
                let StopFields { run_id, reason } = fields(payload)?;
                Command::Stop { run_id, reason }
            }
            "steer" => {
                let SteerFields { run_id, content } = fields(payload)?;
                Command::Steer {
                    run_id,
                    content: not_empty(content)?,
                }
            }
            "tool_decision" => {
                let DecisionFields {
                    call_id,
                    decision,
                    note,
                } = fields(payload)?;
                Command::DecideTool {
                    call_id,
                    approve: decision == Decision::Approve,
                    note,
                }
            }
            "create_thread" => {
                let CreateFields { name } = fields(payload)?;
                Command::CreateThread {
                    name: name.map(thread_name).transpose()?,
                }
            }
            "switch_thread" => Command::SwitchThread {
                thread_id: named_thread(fields::<ThreadFields>(payload)?.thread_id, envelope_thread)?,
            },
            "rename_thread" => {
                let RenameFields { thread_id, name } = fields(payload)?;
                Command::RenameThread {
                    thread_id: thread_id.or(envelope_thread),
                    name: thread_name(name)?,
                }
            }
            "delete_thread" => Command::DeleteThread {
                thread_id: named_thread(fields::<ThreadFields>(payload)?.thread_id, envelope_thread)?,
            },
            "list_threads" => Command::ListThreads(fields(payload)?),
            "get_thread_history" => Command::GetThreadHistory(fields(payload)?),
            "ack" => Command::Ack {
                seq: fields::<AckFields>(payload)?.seq,
            },
            "refresh_token" => {
                let RefreshFields { token, ticket } = fields(payload)?;
                if token.is_none() && ticket.is_none() {
                    return Err(FrameError::at(
                        "/token",
                        "a refresh needs a `token` or a `ticket` of the same user",
                    ));
                }
                Command::RefreshToken { token, ticket }
            }
            "ping" => Command::Ping {
                timestamp: fields::<PingFields>(payload)?.timestamp,
            },
            "pong" | "heartbeat_ack" | "typing_started" | "typing_stopped" => Command::Nothing,
            _ => {
                return Err(FrameError::new(
                    ErrorCode::UnknownType,
                    "this `type` is not part of sessile.v1; see the table of client frames".to_owned(),
                ));
            }
        })
    }
}

impl FrameError {
    /// A frame that is no text.
    pub(crate) fn not_utf8() -> Self {
        Self::new(ErrorCode::BadJson, "the frame is not UTF-8".to_owned())
    }

    fn new(code: ErrorCode, message: String) -> Self {
        Self {
            code,
            message,
            pointer: None,
            reply_to: None,
        }
    }

    fn at(pointer: &str, message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::InvalidPayload,
            message: message.into(),
            pointer: Some(pointer.to_owned()),
            reply_to: None,
        }
    }
}

#[derive(Deserialize)]
struct UserMessageFields {
    #[serde(alias = "text", alias = "message")]
    content: Option<String>,
    thread_id: Option<ThreadId>,
    agent: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    metadata: Option<Value>,
    #[serde(default)]
    on_busy: OnBusy,
}

#[derive(Deserialize)]
struct StartAgentFields {
    user_request: String,
    agent: Option<String>,
    /// Absent, `null` and an id are three things here.
    #[serde(default, deserialize_with = "present")]
    thread_id: Option<Option<ThreadId>>,
    context: Option<Value>,
    settings: Option<Value>,
}

#[derive(Deserialize)]
struct StopFields {
    run_id: Option<RunId>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct SteerFields {
    run_id: RunId,
    content: String,
}

#[derive(Deserialize)]
struct DecisionFields {
    call_id: CallId,
    decision: Decision,
    note: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approve,
    Deny,
}

#[derive(Deserialize)]
struct CreateFields {
    name: Option<String>,
}

#[derive(Deserialize)]
struct ThreadFields {
    thread_id: Option<ThreadId>,
}

#[derive(Deserialize)]
struct RenameFields {
    thread_id: Option<ThreadId>,
    name: String,
}

#[derive(Deserialize)]
struct AckFields {
    seq: Seq,
}

#[derive(Deserialize)]
struct RefreshFields {
    token: Option<String>,
    ticket: Option<String>,
}

#[derive(Deserialize)]
struct PingFields {
    timestamp: Option<Value>,
}

fn user_message(fields: UserMessageFields, envelope: Option<ThreadId>) -> Result<Command, FrameError> {
    if fields.references.len() > REFERENCES_MAX {
        return Err(FrameError::at(
            "/references",
            format!("a message names at most {REFERENCES_MAX} documents"),
        ));
    }
    let target = fields.thread_id.or(envelope);
    Ok(Command::Say(Say {
        content: not_empty(fields.content.unwrap_or_default())?,
        agent: fields.agent,
        thread: target.map_or(ThreadTarget::Current, ThreadTarget::Given),
        references: fields.references,
        metadata: fields.metadata,
        on_busy: fields.on_busy,
    }))
}

fn start_agent(fields: StartAgentFields, envelope: Option<ThreadId>) -> Result<Command, FrameError> {
    let thread = match (fields.thread_id, envelope) {
        (Some(None), None) => ThreadTarget::New,
        (Some(Some(id)), _) | (_, Some(id)) => ThreadTarget::Given(id),
        (None, None) => ThreadTarget::Current,
    };
    let metadata = match (fields.context, fields.settings) {
        (None, None) => None,
        (context, settings) => Some(serde_json::json!({"context": context, "settings": settings})),
    };
    Ok(Command::Say(Say {
        content: not_empty(fields.user_request)?,
        agent: fields.agent,
        thread,
        references: Vec::new(),
        metadata,
        on_busy: OnBusy::default(),
    }))
}

fn fields<'de, T: Deserialize<'de>>(payload: &'de str) -> Result<T, FrameError> {
    let mut reader = serde_json::Deserializer::from_str(payload);
    serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
        let pointer = pointer_of(fault.path());
        FrameError::at(&pointer, readable(fault.inner()))
    })
}

/// serde's own sentence, without its line and column: the pointer says where.
fn readable(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(sentence, _)| sentence.to_owned())
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<ThreadId>>, D::Error> {
    Option::<ThreadId>::deserialize(deserializer).map(Some)
}

fn parse_id<T>(text: Option<&str>, pointer: &str) -> Result<Option<T>, FrameError>
where
    T: TryFrom<Uuid, Error = IdError> + std::str::FromStr<Err = IdError>,
{
    text.map(|text| {
        text.parse()
            .map_err(|fault: IdError| FrameError::at(pointer, fault.to_string()))
    })
    .transpose()
}

fn named_thread(payload: Option<ThreadId>, envelope: Option<ThreadId>) -> Result<ThreadId, FrameError> {
    payload
        .or(envelope)
        .ok_or_else(|| FrameError::at("/thread_id", "name the thread by its `thread_id`"))
}

fn not_empty(content: String) -> Result<String, FrameError> {
    if content.trim().is_empty() {
        return Err(FrameError::new(
            ErrorCode::EmptyMessage,
            "the message is empty; write something in `content`".to_owned(),
        ));
    }
    Ok(content)
}

fn thread_name(name: String) -> Result<String, FrameError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > THREAD_NAME_MAX_CHARS {
        return Err(FrameError::at(
            "/name",
            format!("a thread's name has 1 to {THREAD_NAME_MAX_CHARS} characters"),
        ));
    }
    Ok(name)
}

/// Counts brackets outside strings, so that a hostile frame is refused before anything recursive reads it.
fn nests_deeper_than(text: &str, max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
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
                Some(say.references.join("\n")),
                say.metadata.as_ref().map(Value::to_string),
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
