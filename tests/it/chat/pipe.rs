//! Lines through a pipe: in order, each after the answer to the one before.

use super::{Home, Talk};
use crate::server::House;

#[tokio::test]
async fn lines_are_answered_in_order_and_never_meet_a_full_queue() {
    let server = House::scripted().set("limits.queued_per_thread=1").start().await;
    let lines: String = (0..30).map(|n| format!("line {n}\n\n")).collect();
    let expected: String = (0..30).map(|n| format!("You said: line {n}\n")).collect();
    let ended = Home::at(&server).piped(&[], lines.as_bytes());
    // Faster than the rate that a user may have: what is refused for a moment is tried again.
    assert_eq!((ended.code, ended.out), (0, expected), "{}", ended.err);
}

#[tokio::test]
async fn the_first_message_without_an_answer_decides_the_code() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    let ended = home.piped(&[], b"fine\nbreak\n/nonsense\nfine again");
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.out.ends_with("You said: fine again\n"), "{ended:?}");
    let ended = home.piped(&[], b"/stpo\nfine\n");
    assert_eq!((ended.code, ended.out.as_str()), (3, "You said: fine\n"));
    assert!(ended.err.contains("did you mean /stop?"), "{ended:?}");
    let mut long = vec![b'x'; 2 * 1024 * 1024];
    long.extend_from_slice(b"\nfine\n");
    let ended = home.piped(&[], &long);
    assert_eq!((ended.code, ended.out.as_str()), (3, "You said: fine\n"));
    assert!(ended.err.contains("1 MiB"), "{ended:?}");
}

#[tokio::test]
async fn a_stop_acts_in_mid_answer() {
    let server = House::scripted().start().await;
    let mut talk = Talk::begin(Home::at(&server).command(&[]));
    talk.write("hang");
    talk.until_out("This much was said ");
    talk.write("never said");
    talk.write("/stop");
    talk.until_err("! stopped:");
    talk.write("after");
    let ended = talk.end();
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(ended.out, "This much was said \nYou said: after\n");
    assert!(ended.err.contains("dropped before it was sent: 1"), "{ended:?}");
}

#[tokio::test]
async fn quit_ends_after_the_lines_before_it() {
    let server = House::scripted().start().await;
    let ended = Home::at(&server).piped(&[], b"linger\n/quit\nnever said\n");
    assert_eq!((ended.code, ended.out.as_str()), (0, "Nearly done.\n"), "{ended:?}");
}

#[tokio::test]
async fn an_empty_input_ends_well_where_there_is_a_server_and_only_there() {
    let server = House::new().start().await;
    assert_eq!(Home::at(&server).piped(&[], b"").code, 0);
    assert_eq!(Home::at_url("http://127.0.0.1:9").piped(&[], b"").code, 1);
}

#[tokio::test]
async fn threads_are_listed_switched_renamed_read_and_deleted() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    home.once(&[], "first words");
    let ended = home.piped(
        &[],
        b"second words\n/switch 2\n/history\n/rename Other name\n/threads\n/delete 1\n/threads\n/new Empty\n/history\n",
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("you: first words\nagent: You said: first words\n"),
        "{ended:?}"
    );
    assert!(ended.err.contains("- this is \"first words\" now"), "{ended:?}");
    let lists: Vec<&str> = ended.out.lines().filter(|line| line.contains("now  ")).collect();
    let is = |line: &str, begin: &str, name: &str| line.starts_with(begin) && line.contains(name);
    assert!(lists.iter().any(|line| is(line, "*", "Other name")), "{ended:?}");
    assert!(lists.iter().any(|line| is(line, " ", "second words")), "{ended:?}");
    assert!(ended.err.contains("- the thread is deleted"), "{ended:?}");
    assert!(ended.out.ends_with("nothing has been said here yet\n"), "{ended:?}");
}

#[tokio::test]
async fn an_agent_is_listed_chosen_and_answers() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    let ended = home.piped(&[], b"/agent\nhello\n/agent echo\nhello\n/agent nobody\n");
    assert!(
        ended.out.lines().any(|line| line.starts_with("* assistant ")),
        "{ended:?}"
    );
    assert!(ended.out.contains("\n  echo "), "{ended:?}");
    assert!(ended.out.ends_with("You said: hello\nhello\n"), "{ended:?}");
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("no agent \"nobody\""), "{ended:?}");
    assert_eq!(home.once(&["--agent", "echo"], "hi").out, "hi\n");
}

#[tokio::test]
async fn a_message_that_begins_with_a_slash_is_written_with_two() {
    let server = House::scripted().start().await;
    let ended = Home::at(&server).piped(&[], b"//stop\n/help\n");
    assert!(ended.out.starts_with("You said: /stop\n/help "), "{ended:?}");
}
