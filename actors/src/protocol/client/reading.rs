//! How a frame is read: its depth, then its envelope, then its payload field by field.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    ClientFrame, Command, DECISION_NOTE_MAX_CHARS, FrameError, OnBusy, REFERENCES_MAX, STOP_REASON_MAX_CHARS, Say,
    THREAD_NAME_MAX_CHARS, ThreadTarget,
};
use crate::ids::{CallId, DocumentId, IdError, RunId, Seq, ThreadId};
use crate::protocol::server::ErrorCode;

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
        let thread_id = match command {
            // These are about the frame's own thread, wherever the client names it.
            Command::Stop { .. } | Command::GetThreadHistory(_) => {
                fields::<ThreadFields>(payload)?.thread_id.or(thread_id)
            }
            _ => thread_id,
        };
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
                let reason = reason.map(|reason| reason.chars().take(STOP_REASON_MAX_CHARS).collect());
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
                    note: note.map(|note| note.chars().take(DECISION_NOTE_MAX_CHARS).collect()),
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
    references: Vec<DocumentId>,
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
    #[serde(default)]
    references: Vec<DocumentId>,
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
    let target = fields.thread_id.or(envelope);
    Ok(Command::Say(Say {
        content: not_empty(fields.content.unwrap_or_default())?,
        agent: fields.agent,
        thread: target.map_or(ThreadTarget::Current, ThreadTarget::Given),
        references: each_once(fields.references)?,
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
        references: each_once(fields.references)?,
        metadata,
        on_busy: OnBusy::default(),
    }))
}

/// The documents in the order they were first named.
fn each_once(references: Vec<DocumentId>) -> Result<Vec<DocumentId>, FrameError> {
    if references.len() > REFERENCES_MAX {
        return Err(FrameError::at(
            "/references",
            format!("a message names at most {REFERENCES_MAX} documents"),
        ));
    }
    let mut once = Vec::with_capacity(references.len());
    for document in references {
        if !once.contains(&document) {
            once.push(document);
        }
    }
    Ok(once)
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
