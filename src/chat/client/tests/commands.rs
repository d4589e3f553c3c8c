//! Threads, history and agents.

use super::*;

fn threads(id: &Value) -> Value {
    json!({ "message_id": id, "next_before": null, "threads": [
        { "thread_id": "t-s-1", "name": "Here\nand now", "updated_at": "1970-01-01T23:30:00.000Z" },
        { "thread_id": "t-old", "name": "Before", "updated_at": "1970-01-01T01:00:00.000Z" },
    ]})
}

#[test]
fn threads_are_listed_with_their_age_and_the_current_one_is_marked() {
    let mut desk = Desk::person();
    let asked = desk.typed("/threads");
    let fx = desk.hear("thread_list", threads(&sent(&asked, "list_threads")["message_id"]));
    let expected = "list *  1    30 min  Here and now  [t-s-1]\n   2      23 h  Before  [t-old]";
    assert_eq!(shown(&fx), [expected]);
    let fx = desk.typed("/switch 2");
    assert_eq!(sent(&fx, "switch_thread")["payload"]["thread_id"], "t-old");
    assert!(desk.typed("/threads").is_empty(), "behind the request before it");
}

#[test]
fn a_number_without_a_list_is_looked_up_first() {
    let mut desk = Desk::person();
    let asked = desk.typed("/delete 2");
    let fx = desk.hear("thread_list", threads(&sent(&asked, "list_threads")["message_id"]));
    let frame = sent(&fx, "delete_thread");
    assert_eq!(frame["payload"]["thread_id"], "t-old");
    assert!(shown(&fx).is_empty(), "nobody asked for the list: {fx:?}");
    let done = json!({ "message_id": frame["message_id"], "thread_id": "t-old" });
    assert_eq!(
        shown(&desk.hear("thread_deleted", done)),
        ["note the thread is deleted"]
    );
    // The numbers are others now.
    assert!(is_sent(&desk.typed("/switch 1"), "list_threads"));
}

#[test]
fn a_number_that_is_not_in_the_list_is_refused() {
    let mut desk = Desk::person();
    let asked = desk.typed("/switch 9");
    let fx = desk.hear("thread_list", threads(&sent(&asked, "list_threads")["message_id"]));
    assert_eq!(
        shown(&fx),
        ["fault there is no thread of that number; /threads lists them"]
    );
    let mut empty = Desk::person();
    let asked = empty.typed("/switch 1");
    let id = &sent(&asked, "list_threads")["message_id"];
    let fx = empty.hear(
        "thread_list",
        json!({ "message_id": id, "threads": [], "next_before": null }),
    );
    assert_eq!(shown(&fx), ["fault there are no threads yet"]);
}

#[test]
fn history_is_shown_oldest_first() {
    let mut desk = Desk::person();
    let asked = sent(&desk.typed("/history 3"), "get_thread_history");
    assert_eq!(asked["payload"]["limit"], 3);
    let said = |role: &str, content: &str, status: &str| json!({ "role": role, "content": content, "status": status });
    let messages = [said("assistant", "Half", "partial"), said("user", "hello", "complete")];
    let fx = desk.hear(
        "thread_history",
        json!({ "message_id": asked["message_id"], "messages": messages, "next_before": null }),
    );
    assert_eq!(shown(&fx), ["list you: hello\nagent (cut short): Half"]);
}

#[test]
fn another_windows_run_is_told_with_its_threads_name() {
    let mut desk = Desk::person();
    let change = |state: &str| json!({ "thread_id": "t-old", "run_id": "r", "state": state });
    let asked = desk.hear("thread_changed", change("running"));
    let fx = desk.hear("thread_list", threads(&sent(&asked, "list_threads")["message_id"]));
    assert_eq!(shown(&fx), ["note another window began a run in \"Before\""]);
    let fx = desk.hear("thread_changed", change("completed"));
    assert_eq!(shown(&fx), ["note another window's run has ended in \"Before\""]);
}

#[test]
fn an_agent_is_chosen_by_its_name_and_goes_with_each_message() {
    let agents = || -> Vec<AgentInfo> {
        let list = json!([
            { "name": "assistant", "description": "Helps.", "default": true },
            { "name": "echo", "description": "Repeats.", "default": false },
        ]);
        serde_json::from_value(list).unwrap()
    };
    let mut desk = Desk::person();
    assert_eq!(desk.typed("/agent"), [Effect::FetchAgents]);
    assert_eq!(desk.typed("hello"), [], "behind it");
    let fx = desk.client.agents(Ok(agents()), desk.now);
    assert_eq!(shown(&fx), ["list * assistant    Helps.\n  echo         Repeats."]);
    desk.accept(&fx, "r");
    desk.complete("r", "");
    desk.typed("/agent ecko");
    let fx = desk.client.agents(Ok(agents()), desk.now);
    assert!(shown(&fx)[0].contains("did you mean echo?"), "{fx:?}");
    desk.typed("/agent echo");
    desk.client.agents(Ok(agents()), desk.now);
    assert_eq!(sent(&desk.typed("hello"), "user_message")["payload"]["agent"], "echo");
    let mut desk = Desk::pipe();
    desk.typed("/agent echo");
    desk.client.input_is_over();
    let fx = desk.client.agents(Err("it is away".into()), desk.now);
    assert_eq!(shown(&fx), ["fault the agents can't be listed: it is away"]);
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn a_thread_of_the_command_line_comes_first_and_without_it_nothing_is_said() {
    let mut desk = Desk::new(true);
    desk.client = Client::new(true, None, Some(Uuid::from_u128(7)));
    desk.client.say("hello", desk.now);
    desk.client.input_is_over();
    let fx = desk.establish("s-1");
    let enter = sent(&fx, "switch_thread");
    assert_eq!(enter["payload"]["thread_id"], Uuid::from_u128(7).to_string());
    let fx = desk.refuse(&enter["message_id"], "not_found", None);
    assert!(!is_sent(&fx, "user_message"), "{fx:?}");
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn quit_ends_at_once_at_a_terminal_and_in_its_turn_in_a_pipe() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.typed("/quit");
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
    let mut desk = Desk::pipe();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.typed("/quit");
    desk.typed("never");
    assert_eq!(desk.client.over(), None);
    let fx = desk.complete("r", "1");
    assert!(!is_sent(&fx, "user_message"), "{fx:?}");
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn an_unknown_command_is_never_sent() {
    let mut desk = Desk::pipe();
    let fx = desk.typed("/thread");
    assert_eq!(frames(&fx), [Value::Null; 0]);
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}
