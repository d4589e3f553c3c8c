//! A line that is cut, silent, or closed: the client goes on by itself.

use super::{Home, Talk};
use crate::server::House;

#[tokio::test]
async fn the_client_goes_on_by_itself_after_the_server_was_killed_in_mid_answer() {
    let server = House::scripted().start().await;
    let mut talk = Talk::begin(Home::at(&server).command(&[]));
    talk.write("hang");
    talk.until_out("This much was said ");
    let _server = server.crash_in_place().await;
    talk.until_err("! the server went down during this run");
    talk.write("say this after the cut");
    talk.until_out("You said: say this after the cut");
    let ended = talk.end();
    assert_eq!(ended.code, 6, "the first message has no answer: {ended:?}");
    assert_eq!(ended.err.matches("went down during this run").count(), 1, "{ended:?}");
    assert_eq!(
        ended.err.matches("the line is cut; connecting again").count(),
        1,
        "{ended:?}"
    );
    assert!(ended.err.contains("- connected again"), "{ended:?}");
}

#[tokio::test]
async fn a_restart_in_good_order_is_waited_for_and_the_answer_comes_after_it() {
    let mut server = House::scripted().start().await;
    let home = Home::at(&server);
    let mut talk = Talk::begin(home.command(&[]));
    talk.write("before");
    talk.until_out("You said: before\n");
    server.signal("TERM");
    server.exit().await;
    talk.until_err("the line is cut");
    talk.write("after");
    let _server = server.start_in_place().await;
    let ended = talk.end();
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "You said: before\nYou said: after\n"),
        "{ended:?}"
    );
    let history = home.piped(&[], b"/switch 1\n/history\n").out;
    assert_eq!(history.matches("you: after").count(), 1, "{history}");
}

#[tokio::test]
async fn a_silent_line_is_dead_after_three_heartbeats() {
    let server = House::scripted().set("limits.heartbeat_interval=500ms").start().await;
    let mut talk = Talk::begin(Home::at(&server).command(&[]));
    talk.write("before");
    talk.until_out("You said: before\n");
    server.signal("STOP");
    talk.until_err("the line is cut");
    server.signal("CONT");
    talk.until_err("connected again");
    talk.write("after");
    let ended = talk.end();
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "You said: before\nYou said: after\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_server_that_forgot_everything_gets_a_new_session() {
    let server = House::scripted().set("journal.kind=memory").start().await;
    let mut talk = Talk::begin(Home::at(&server).command(&[]));
    talk.write("hang");
    talk.until_out("This much was said ");
    let _server = server.crash_in_place().await;
    talk.until_err("a new one begins");
    talk.write("after");
    let ended = talk.end();
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.err.contains("how the run ended can't be told"), "{ended:?}");
    assert!(ended.out.ends_with("You said: after\n"), "{ended:?}");
}

#[tokio::test]
async fn another_windows_run_is_told() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    let mut talk = Talk::begin(home.command(&[]));
    talk.write("mine");
    talk.until_out("You said: mine\n");
    home.once(&[], "of the other window");
    talk.until_err("- another window's run has ended in \"of the other window\"");
    assert_eq!(talk.end().code, 0);
}
