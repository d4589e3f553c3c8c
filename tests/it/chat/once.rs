//! `--once`: one message, its answer, and a code that says how it went.

use std::process::Stdio;

use super::{Home, Talk};
use crate::server::House;

#[tokio::test]
async fn the_answer_alone_goes_to_standard_output() {
    let server = House::new().start().await;
    let ended = Home::at(&server).once(&[], "what is 12 * (3 + 4)?");
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "12 * (3 + 4) = 84.\n"),
        "{ended:?}"
    );
    assert!(
        ended.err.contains("  > calculator {\"expression\":\"12 * (3 + 4)\"}\n"),
        "{ended:?}"
    );
    assert!(!ended.err.contains('\x1b'), "no colours in a pipe: {ended:?}");
}

#[tokio::test]
async fn both_streams_together_show_what_the_readme_shows() {
    let server = House::new().start().await;
    let home = Home::at(&server);
    let told = home.state.path().join("told");
    let file = std::fs::File::create(&told).unwrap();
    let status = home
        .command(&["--once", "what is 12 * (3 + 4)?"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .status()
        .unwrap();
    assert!(status.success());
    let told = std::fs::read_to_string(told).unwrap();
    let (talk, used) = told.split_at(told.trim_end().rfind('\n').unwrap() + 1);
    assert_eq!(talk, crate::readme::conversation());
    // Its time is another one each time.
    assert!(
        used.starts_with("  = ") && used.contains("s, 2 model calls, 1 tool call, "),
        "{used:?}"
    );
}

#[tokio::test]
async fn the_code_says_how_the_run_ended() {
    let server = House::scripted().set("limits.run_time=500ms").start().await;
    let home = Home::at(&server);
    for (arguments, text, code, word) in [
        (&[][..], "hello", 0, ""),
        (&["--agent", "nobody"], "hello", 3, "/agent lists them"),
        (
            &["--thread", "00000000-0000-4000-8000-000000000007"],
            "hello",
            3,
            "no thread of yours",
        ),
        (&[], " ", 3, "empty"),
        (&[], "break", 4, "model"),
        (&[], "hang", 6, "longer than it may"),
        (&["--url", "nowhere"], "hello", 2, "http://127.0.0.1:8080"),
        (
            &["--url", "http://127.0.0.1:9"],
            "hello",
            1,
            "no server at http://127.0.0.1:9",
        ),
        (&["--token-file", "/nowhere/token"], "hello", 2, "/nowhere/token"),
    ] {
        let ended = home.once(arguments, text);
        assert_eq!(ended.code, code, "{arguments:?} {text}: {ended:?}");
        assert!(ended.err.contains(word), "{arguments:?} {text}: {ended:?}");
        assert_eq!(
            ended.out.is_empty(),
            ![0, 4, 6].contains(&code),
            "{arguments:?} {text}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_dash_reads_standard_input_whole() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    let ended = home.piped(&["--once", "-"], "two\nlines of grün\n".as_bytes());
    assert_eq!((ended.code, ended.out.as_str()), (0, "You said: two\nlines of grün\n"));
    // Longer than a frame: it travels in fragments.
    let long = "lines ".repeat(20_000);
    let ended = home.piped(&["--once", "-"], long.as_bytes());
    assert_eq!((ended.code, ended.out), (0, format!("You said: {long}\n")));
    let beyond = "x".repeat(300_000);
    let ended = home.piped(&["--once", "-"], beyond.as_bytes());
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("the server takes 262144"), "{}", ended.err);
    let ended = home.piped(&["--once", "-"], b"\xff");
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("UTF-8"), "{ended:?}");
}

#[tokio::test]
async fn a_slash_is_no_command_in_once() {
    let server = House::scripted().start().await;
    let ended = Home::at(&server).once(&[], "/threads");
    assert_eq!((ended.code, ended.out.as_str()), (0, "You said: /threads\n"));
}

#[tokio::test]
async fn nothing_that_the_model_says_steers_a_terminal() {
    let server = House::scripted().start().await;
    let ended = Home::at(&server).once(&[], "note \x1b]0;title\x07 and \u{9b}31m red\r\x08");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("\u{fffd}]0;title\u{fffd} and \u{fffd}31m red"),
        "{ended:?}"
    );
    for text in [&ended.out, &ended.err] {
        let steers = text.chars().find(|letter| letter.is_control() && *letter != '\n');
        assert_eq!(steers, None, "{text:?}");
    }
}

#[tokio::test]
async fn signals_stop_the_run_or_end_the_client() {
    let server = House::scripted().start().await;
    for (signal, code, word) in [("INT", 130, "! stopped: from the terminal"), ("TERM", 143, "")] {
        let mut talk = Talk::begin(Home::at(&server).command(&["--once", "hang"]));
        talk.until_out("This much was said");
        talk.signal(signal);
        let ended = talk.end();
        assert_eq!(ended.code, code, "{signal}: {ended:?}");
        assert!(ended.err.contains(word), "{signal}: {ended:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    let server = House::scripted().start().await;
    let mut child = Home::at(&server)
        .command(&["--once", "stream"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && !err.contains('!') && !err.contains("panicked"),
        "{err}"
    );
}
