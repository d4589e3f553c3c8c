//! What happens while a run works: steps, child runs, requests for approval, steering, files for the next message.

use std::path::Path;

use super::*;
use crate::chat::client::Uploaded;

impl Desk {
    /// A run that works.
    fn at_work(mut self) -> Self {
        let said = self.typed("go");
        self.accept(&said, "r");
        self.event("r", "agent_started", json!({}));
        self
    }

    fn requested(&mut self, run: &str, call: &str) -> Vec<Effect> {
        let payload = json!({
            "call_id": call, "tool_name": "corpus_delete", "parameters": { "document_id": "d" },
            "expires_at": "1970-01-02T01:00:00Z",
        });
        self.event(run, "tool_approval_requested", payload)
    }

    fn uploaded(&mut self, id: &str) -> Vec<Effect> {
        let document = Uploaded {
            document_id: id.to_owned(),
            name: format!("{id}.csv"),
            bytes: 12,
        };
        self.client.uploaded(Ok(document), self.now)
    }

    fn accept_told(&mut self, effects: &[Effect], kind: &str, answer: &str) -> Vec<Effect> {
        let id = &sent(effects, kind)["message_id"];
        self.hear(answer, json!({ "message_id": id }))
    }
}

#[test]
fn steps_are_lines_and_a_childs_stand_further_in_and_its_words_are_not_the_answer() {
    let mut desk = Desk::pipe().at_work();
    let mut fx = desk.event(
        "r",
        "workflow_started",
        json!({ "workflow": "w", "steps": ["look", "tell"] }),
    );
    fx.extend(desk.event("r", "step_started", json!({ "step": "look", "step_number": 1 })));
    fx.extend(desk.event("c", "agent_started", json!({ "parent_run_id": "r" })));
    fx.extend(desk.event("c", "agent_thinking", json!({ "reasoning": "one\ntwo" })));
    fx.extend(desk.event("g", "agent_started", json!({ "parent_run_id": "c" })));
    let call = json!({ "tool_name": "notes", "parameters": {} });
    fx.extend(desk.event("g", "tool_executing", call));
    fx.extend(desk.event("g", "agent_error", json!({ "error_message": "it broke" })));
    let piece = json!({ "message_ref": "m", "offset": 0, "content": "a child's" });
    fx.extend(desk.event("c", "partial_result", piece));
    fx.extend(desk.complete("c", "a child's"));
    let step = json!({ "step": "look", "step_number": 1, "status": "completed" });
    fx.extend(desk.event("r", "step_completed", step));
    fx.extend(desk.event(
        "r",
        "workflow_completed",
        json!({ "workflow": "w", "status": "partial" }),
    ));
    let expected = [
        "aside   … steps: look, tell",
        "aside   … step 1, look",
        "aside   assistant:",
        "aside     ~ one\n  two",
        "aside     assistant:",
        "aside       > notes {}",
        "aside       ! it broke",
        "aside   … step 1, look: completed",
        "aside   … w: partial",
    ];
    assert_eq!(shown(&fx), expected);
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), None, "no child's end is the message's");
    assert_eq!(shown(&desk.complete("r", "all")), ["answer all", "end"]);
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn a_stop_reaches_the_run_and_leaves_its_children_to_it() {
    let mut desk = Desk::person().at_work();
    desk.event("z", "agent_started", json!({ "parent_run_id": "r" }));
    let fx = desk.typed("/stop");
    assert_eq!(sent(&fx, "stop_agent")["payload"]["run_id"], "r");
}

#[test]
fn a_child_whose_beginning_is_gone_says_nothing_and_keeps_nothing_open() {
    let mut desk = Desk::pipe().at_work();
    desk.event("c", "agent_started", json!({ "parent_run_id": "r" }));
    let run = json!({ "run_id": "r", "session_id": "s-1", "message_ref": null, "text_so_far": "" });
    let snapshot = json!({ "epoch": "e-2", "as_of_seq": 9, "active_runs": [run], "queued": [], "messages": [] });
    desk.hear("resync", snapshot);
    desk.seq = 9;
    let piece = json!({ "message_ref": "m", "offset": 0, "content": "a child's" });
    assert_eq!(desk.event("c", "partial_result", piece), []);
    let fx = desk.complete("c", "a child's");
    assert_eq!(shown(&fx), [""; 0]);
    assert_eq!(shown(&desk.complete("r", "all")), ["answer all", "end"]);
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn what_a_run_used_is_told_after_its_answer() {
    let mut desk = Desk::person().at_work();
    let end = json!({ "result": "Hi.", "execution_time_ms": 1_200, "usage": { "model_calls": 1 } });
    let fx = desk.event("r", "agent_completed", end);
    assert_eq!(shown(&fx), ["answer Hi.", "end", "aside   = 1.2 s, 1 model call"]);
}

#[test]
fn a_person_is_asked_and_decides_the_oldest_call_that_waits() {
    let mut desk = Desk::person().at_work();
    let question = "note the agent asks to call corpus_delete {\"document_id\":\"d\"}: /approve [NOTE] lets it begin, \
        /deny [NOTE] does not; it waits 60 min";
    assert_eq!(shown(&desk.requested("r", "one")), [question]);
    assert_eq!(
        shown(&desk.requested("r", "one")),
        [""; 0],
        "asked anew after a crash, told once"
    );
    desk.requested("r", "two");
    let fx = desk.typed("/deny keep it");
    let payload = json!({ "call_id": "one", "decision": "deny", "note": "keep it" });
    assert_eq!(sent(&fx, "tool_decision")["payload"], payload);
    assert_eq!(
        shown(&desk.accept_told(&fx, "tool_decision", "decision_accepted")),
        [""; 0]
    );
    let decided = json!({ "call_id": "one", "decision": "deny", "note": "keep it" });
    assert_eq!(
        shown(&desk.event("r", "tool_approval_decided", decided)),
        ["aside   ? denied: keep it"]
    );
    let fx = desk.typed("/approve");
    let payload = json!({ "call_id": "two", "decision": "approve", "note": null });
    assert_eq!(sent(&fx, "tool_decision")["payload"], payload);
    assert_eq!(
        shown(&desk.typed("/approve")),
        ["fault no call waits for a decision"],
        "it is on its way"
    );
}

#[test]
fn a_decision_does_not_wait_behind_a_message_that_waits_for_the_run() {
    let mut desk = Desk::person().at_work();
    let said = desk.typed("more");
    desk.refuse(&sent(&said, "user_message")["message_id"], "queue_full", Some(300));
    desk.requested("r", "one");
    assert!(is_sent(&desk.typed("/approve"), "tool_decision"));
}

#[test]
fn a_decision_that_was_cut_off_is_sent_again_under_its_id_and_an_older_one_elsewhere_wins() {
    let mut desk = Desk::person().at_work();
    desk.requested("r", "one");
    let decision = sent(&desk.typed("/approve"), "tool_decision");
    desk.client.cut();
    let fx = desk.establish("s-1");
    assert_eq!(sent(&fx, "tool_decision"), decision);
    let fx = desk.refuse(&decision["message_id"], "conflict", None);
    assert_eq!(shown(&fx), ["note refused: conflict"], "no fault of this window");
    assert_eq!(shown(&desk.typed("/deny")), ["fault no call waits for a decision"]);
}

#[test]
fn a_call_that_is_over_waits_no_more() {
    for (kind, payload) in [
        (
            "tool_approval_decided",
            json!({ "call_id": "one", "decision": "expired" }),
        ),
        ("agent_stopped", json!({ "reason": "enough" })),
    ] {
        let mut desk = Desk::person().at_work();
        desk.requested("r", "one");
        desk.event("r", kind, payload);
        assert_eq!(shown(&desk.typed("/approve")), ["fault no call waits for a decision"]);
    }
}

#[test]
fn where_nobody_is_there_a_call_is_denied_unless_all_is_approved() {
    let mut desk = Desk::pipe().at_work();
    let fx = desk.requested("r", "one");
    assert_eq!(sent(&fx, "tool_decision")["payload"]["decision"], "deny");
    let told = &shown(&fx)[0];
    assert!(
        told.contains("{\"document_id\":\"d\"}: denied") && told.contains("--approve-all"),
        "{told}"
    );
    desk.accept_told(&fx, "tool_decision", "decision_accepted");
    desk.complete("r", "done");
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Completed), "the message was answered");
    let mut desk = Desk::pipe().at_work();
    desk.client.approve_all();
    let fx = desk.requested("r", "one");
    let payload = json!({ "call_id": "one", "decision": "approve", "note": "approved by --approve-all" });
    assert_eq!(sent(&fx, "tool_decision")["payload"], payload);
}

#[test]
fn a_call_that_waits_in_a_snapshot_is_asked_again_where_the_run_is_ours() {
    for (session, is_asked) in [("s-1", true), ("s-9", false)] {
        let mut desk = Desk::pipe().at_work();
        let run = json!({ "run_id": "r", "session_id": session, "message_ref": null, "text_so_far": "" });
        let call = json!({ "run_id": "c", "call_id": "one", "tool_name": "t", "parameters": {}, "expires_at": "" });
        let snapshot = json!({
            "epoch": "e-2", "as_of_seq": 9, "active_runs": [run], "queued": [], "messages": [],
            "pending_approvals": [call],
        });
        assert_eq!(is_sent(&desk.hear("resync", snapshot), "tool_decision"), is_asked);
    }
}

#[test]
fn the_run_at_work_is_told_what_is_steered_at_once_and_in_a_pipe_too() {
    for mut desk in [Desk::person().at_work(), Desk::pipe().at_work()] {
        let fx = desk.typed("/steer with milk");
        let payload = json!({ "run_id": "r", "content": "with milk" });
        assert_eq!(sent(&fx, "steer")["payload"], payload);
        let fx = desk.accept_told(&fx, "steer", "steering_accepted");
        assert_eq!(shown(&fx), ["note told; the agent reads it at its next step"]);
        let applied = json!({ "content": "with milk" });
        assert_eq!(
            shown(&desk.event("r", "steering_applied", applied)),
            ["aside   … it was told: with milk"]
        );
    }
}

#[test]
fn what_is_steered_before_the_run_begins_waits_for_it() {
    let mut desk = Desk::pipe();
    let said = desk.typed("go");
    assert_eq!(desk.typed("/steer with milk"), []);
    let fx = desk.accept(&said, "r");
    assert_eq!(sent(&fx, "steer")["payload"]["run_id"], "r");
    let mut desk = Desk::pipe();
    let said = desk.typed("go");
    desk.typed("/steer with milk");
    let fx = desk.refuse(&sent(&said, "user_message")["message_id"], "quota_exceeded", None);
    assert!(shown(&fx).contains(&"fault the run that was to be told something did not begin".to_owned()));
}

#[test]
fn steering_where_nothing_runs_or_that_is_refused_is_told() {
    let mut desk = Desk::pipe();
    assert!(shown(&desk.typed("/steer left"))[0].starts_with("fault nothing is running"));
    let mut desk = Desk::pipe().at_work();
    let id = sent(&desk.typed("/steer left"), "steer")["message_id"].clone();
    assert_eq!(
        shown(&desk.refuse(&id, "forbidden", None)),
        ["fault refused: forbidden"]
    );
    desk.complete("r", "done");
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn steering_that_comes_too_fast_is_told_again() {
    let mut desk = Desk::person().at_work();
    let fx = desk.typed("/steer left");
    desk.refuse(&sent(&fx, "steer")["message_id"], "rate_limited", Some(300));
    desk.now.mono = desk.client.due().unwrap();
    assert_eq!(desk.client.tick(desk.now), fx, "the same, under its id");
}

#[test]
fn a_file_is_brought_first_and_the_next_message_alone_names_it() {
    let mut desk = Desk::pipe();
    let fx = desk.typed("/attach use.csv");
    assert_eq!(fx, [Effect::Upload("use.csv".into(), 10 * 1024 * 1024)]);
    assert_eq!(desk.typed("look"), [], "behind its file");
    let fx = desk.uploaded("d");
    assert_eq!(
        shown(&fx),
        ["note the server has \"d.csv\" (12 bytes); the next message names it"]
    );
    assert_eq!(sent(&fx, "user_message")["payload"]["references"], json!(["d"]));
    desk.accept(&fx, "r");
    desk.complete("r", "done");
    let fx = desk.typed("again");
    assert_eq!(sent(&fx, "user_message")["payload"], json!({ "content": "again" }));
}

#[test]
fn a_file_waits_for_the_session_and_the_servers_limit() {
    let mut desk = Desk::new(true);
    assert_eq!(desk.client.attach(Path::new("a.csv"), desk.now), []);
    let greeting = json!({ "session_id": "s-1", "thread_id": "t", "limits": { "document_bytes": 99 } });
    let fx = desk.hear("connection_established", greeting);
    assert_eq!(fx, [Effect::Upload("a.csv".into(), 99)]);
    desk.client.cut();
    assert_eq!(desk.establish("s-1"), [], "it goes over HTTP, and once");
}

#[test]
fn a_message_is_not_sent_without_the_file_that_it_was_to_name() {
    let mut desk = Desk::pipe();
    for line in ["/attach use.csv", "look", "next"] {
        desk.typed(line);
    }
    let fx = desk.client.uploaded(Err("use.csv is empty".into()), desk.now);
    assert_eq!(
        shown(&fx),
        [
            "fault use.csv is empty",
            "fault the message was not sent: the file that it was to name was not taken"
        ]
    );
    assert_eq!(sent(&fx, "user_message")["payload"], json!({ "content": "next" }));
    desk.accept(&fx, "r");
    desk.complete("r", "done");
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn a_person_keeps_their_files_when_the_message_is_refused() {
    let mut desk = Desk::person();
    desk.typed("/attach use.csv");
    desk.uploaded("d");
    let said = desk.typed("look");
    desk.refuse(&sent(&said, "user_message")["message_id"], "quota_exceeded", None);
    let fx = desk.typed("look again");
    assert_eq!(sent(&fx, "user_message")["payload"]["references"], json!(["d"]));
}

#[test]
fn a_message_names_no_more_files_than_the_server_takes() {
    let mut desk = Desk::new(false);
    for _ in 0..32 {
        assert_eq!(shown(&desk.client.attach(Path::new("a"), desk.now)), [""; 0]);
    }
    let fx = desk.client.attach(Path::new("a"), desk.now);
    assert!(shown(&fx)[0].contains("at most 32 files"), "{fx:?}");
}
