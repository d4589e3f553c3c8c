//! The effects that tables expect, each under a name.

use super::*;

pub(super) fn reply(control: Control) -> Effect {
    Effect::Reply(control)
}

pub(super) fn accepted(number: u64, status: AcceptStatus) -> Control {
    accepted_in(thread(HOME), number, status)
}

pub(super) fn accepted_in(thread_id: ThreadId, number: u64, status: AcceptStatus) -> Control {
    Control::MessageAccepted {
        message_id: message(number),
        thread_id,
        run_id: run(number),
        status,
        run_state: if status == AcceptStatus::Started {
            RunState::Running
        } else {
            RunState::Queued
        },
    }
}

/// A refusal of frame `number`.
pub(super) fn refused(number: u64, code: ErrorCode, text: &str) -> ErrorFrame {
    ErrorFrame {
        code,
        message: text.to_owned(),
        reply_to: Some(message(number).to_string()),
        retryable: false,
        retry_after_ms: None,
        details: None,
    }
}

pub(super) fn refuse(number: u64, code: ErrorCode, text: &str) -> Effect {
    reply(Control::Error(refused(number, code, text)))
}

pub(super) fn refuse_retryable(number: u64, code: ErrorCode, text: &str) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        ..refused(number, code, text)
    }))
}

pub(super) fn busy_here(number: u64, holder: u64) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        details: Some(json!({ "run_id": run(holder), "elsewhere": false })),
        ..refused(
            number,
            ErrorCode::RunActive,
            "a run is active in this thread; wait for it, stop it, or send with another on_busy",
        )
    }))
}

pub(super) fn busy_there(number: u64, holder: Option<RunId>) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        details: Some(json!({ "run_id": holder, "elsewhere": true })),
        ..refused(
            number,
            ErrorCode::RunActive,
            "a run is active in this thread in another session of yours; stop it there, or send with on_busy interrupt",
        )
    }))
}

pub(super) fn stop_accepted(number: u64, run_ids: Vec<RunId>) -> Effect {
    reply(Control::StopAccepted {
        message_id: Some(message(number)),
        run_ids,
    })
}

pub(super) fn idempotency(number: u64, command: &Command) -> Idempotency {
    Idempotency {
        message_id: message(number),
        digest: command.digest(),
    }
}

/// What the store is asked for a message to the current thread.
pub(super) fn accept(number: u64, start: bool) -> Effect {
    Effect::Store(StoreCommand::Accept(Accept {
        // What to do where the thread is busy is no part of what is asked.
        idempotency: idempotency(number, &Command::Say(words(OnBusy::Enqueue))),
        thread_id: thread(HOME),
        create_thread: Some("hello".to_owned()),
        run_id: run(number),
        request_id: request(number),
        agent: "echo".to_owned(),
        content: "hello".to_owned(),
        references: Vec::new(),
        metadata: None,
        start,
    }))
}

pub(super) fn emission(number: u64, event: Event, end: Option<RunEnd>) -> Effect {
    Effect::Emit(Box::new(Emission {
        run: run(number),
        thread: thread(HOME),
        request: request(number),
        agent: "echo".into(),
        event,
        end,
    }))
}

pub(super) fn emit(number: u64, event: Event) -> Effect {
    emission(number, event, None)
}

pub(super) fn piece(number: u64, offset: u64, content: &str, is_complete: bool) -> Effect {
    emit(
        number,
        Event::PartialResult {
            message_ref: answer(number),
            offset,
            content: content.to_owned(),
            is_complete,
        },
    )
}

pub(super) fn tool_executing(number: u64) -> Event {
    Event::ToolExecuting {
        call_id: call(number),
        tool_name: "search".to_owned(),
        parameters: json!({}),
    }
}

pub(super) fn tool_completed(number: u64) -> Event {
    Event::ToolCompleted {
        call_id: call(number),
        tool_name: "search".to_owned(),
        status: ToolStatus::Ok,
        result: json!("found"),
        truncated: false,
        execution_time_ms: 7,
    }
}

pub(super) fn tool_cancelled(number: u64, execution_time_ms: u64) -> Event {
    Event::ToolCompleted {
        call_id: call(number),
        tool_name: "search".to_owned(),
        status: ToolStatus::Cancelled,
        result: json!("the run ended first"),
        truncated: false,
        execution_time_ms,
    }
}

pub(super) fn promote(number: u64) -> Effect {
    Effect::Promote {
        run: run(number),
        thread: thread(HOME),
    }
}

/// What a run's beginning is made of.
pub(super) fn begins(number: u64) -> Vec<Effect> {
    begins_in(thread(HOME), number)
}

pub(super) fn begins_in(thread: ThreadId, number: u64) -> Vec<Effect> {
    vec![
        Effect::Emit(Box::new(Emission {
            run: run(number),
            thread,
            request: request(number),
            agent: "echo".into(),
            event: Event::AgentStarted {
                status: "started",
                message: "echo is working on it".to_owned(),
                message_id: message(number),
                parent_run_id: None,
            },
            end: None,
        })),
        Effect::Began {
            thread,
            run: run(number),
        },
        Effect::Start(Box::new(StartRun {
            run: run(number),
            thread,
            request: request(number),
            message_id: message(number),
            agent: "echo".into(),
            content: "hello".to_owned(),
            references: Vec::new(),
            metadata: None,
            parent: None,
        })),
    ]
}

/// The end of a run of which nothing was said.
pub(super) fn stopped(number: u64, stop: &Stop) -> Effect {
    emission(
        number,
        Event::AgentStopped {
            stopped_by: stop.by,
            reason: stop.reason.clone(),
            partial: None,
            discarded_message_ids: if stop.forget { vec![message(number)] } else { Vec::new() },
        },
        Some(RunEnd {
            state: RunState::Stopped,
            message: None,
            forget: stop.forget,
            child: false,
        }),
    )
}

/// The end of a run that has an answer.
pub(super) fn completed(number: u64, text: &str, sha256: &str, execution_time_ms: u64) -> Effect {
    emission(
        number,
        Event::AgentCompleted {
            status: "completed",
            result: text.to_owned(),
            message_ref: answer(number),
            result_sha256: sha256.to_owned(),
            execution_time_ms,
            usage: Usage::default(),
        },
        Some(RunEnd {
            state: RunState::Completed,
            message: Some(Said {
                message_ref: answer(number),
                content: text.to_owned(),
                complete: true,
            }),
            forget: false,
            child: false,
        }),
    )
}

/// The end of a run that has the answer "" after no time.
pub(super) fn completed_empty(number: u64) -> Effect {
    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    completed(number, "", OF_NOTHING, 0)
}

pub(super) fn failed(number: u64, code: &str, text: &str, retryable: bool, partial: Option<&str>) -> Effect {
    emission(
        number,
        Event::AgentError {
            code: code.to_owned(),
            error_message: text.to_owned(),
            error_context: ErrorContext {
                agent_step: "echo".to_owned(),
                retryable,
                user_facing: true,
            },
            partial: partial.map(str::to_owned),
        },
        Some(RunEnd {
            state: RunState::Failed,
            message: partial.map(|partial| Said {
                message_ref: answer(number),
                content: partial.to_owned(),
                complete: false,
            }),
            forget: false,
            child: false,
        }),
    )
}

/// The end of a run that did what its lifecycle does not allow.
pub(super) fn violator(number: u64) -> Effect {
    let text = "the run broke a rule of the server's and was ended; send the message again";
    failed(number, "lifecycle_violation", text, true, None)
}

pub(super) fn died(number: u64, cause: DeathCause, text: &str) -> Effect {
    emission(
        number,
        Event::AgentDeath {
            death_cause: cause,
            message: text.to_owned(),
            recovery_action: "send_again".to_owned(),
        },
        Some(RunEnd {
            state: RunState::Died,
            message: None,
            forget: false,
            child: false,
        }),
    )
}

/// The request for approval of call `number`.
pub(super) fn asks_for_approval(number: u64) -> Event {
    Event::ToolApprovalRequested {
        call_id: call(number),
        tool_name: "search".to_owned(),
        parameters: json!({}),
        arguments_sha256: "00ff".to_owned(),
        expires_at: "1970-01-01T01:00:00.000Z".to_owned(),
    }
}

/// The run took what frame `number` told it.
pub(super) fn steering_applied(number: u64) -> Event {
    Event::SteeringApplied {
        message_id: message(number),
        content: "left".to_owned(),
    }
}
