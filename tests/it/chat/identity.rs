//! Who the client is: the same guest each time, or the user of a token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Home, Talk};
use crate::server::{House, Server};

fn token(server: &Server, user: &str, ttl: &str) -> String {
    let (succeeded, out, err) = server.house().run(&["token", "--user", user, "--ttl", ttl]);
    assert!(succeeded, "{err}");
    out
}

#[tokio::test]
async fn a_guest_is_the_same_next_time_and_nobody_else_can_read_who() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    home.once(&[], "remember me");
    assert!(home.piped(&[], b"/threads").out.contains("remember me"));
    let dir = home.state.path().join("sessile");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!((mode(&dir), mode(&files[0])), (0o700, 0o600));
    let stranger = Home::at(&server).piped(&[], b"/threads");
    assert!(!stranger.out.contains("remember me"), "{stranger:?}");
}

#[tokio::test]
async fn where_nothing_can_be_kept_it_is_said_once_and_a_new_guest_goes_on() {
    let server = House::scripted().start().await;
    let home = Home::at(&server);
    fs::write(home.state.path().join("sessile"), "in the way").unwrap();
    let ended = home.once(&[], "hello");
    assert_eq!((ended.code, ended.out.as_str()), (0, "You said: hello\n"));
    assert_eq!(ended.err.matches("another guest").count(), 1, "{ended:?}");
}

#[tokio::test]
async fn a_token_comes_from_the_environment_or_a_file_and_is_told_where_it_is_bad() {
    let server = House::scripted().with_tokens().start().await;
    let home = Home::at(&server);
    let ended = home.once(&[], "hello");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("--token-file or SESSILE_TOKEN"), "{ended:?}");
    let mut command = home.command(&["--once", "hello"]);
    command.env("SESSILE_TOKEN", token(&server, "ada", "1h"));
    assert_eq!(Talk::begin(command).end().out, "You said: hello\n");
    let file = home.state.path().join("token");
    let name = file.display().to_string();
    fs::write(&file, token(&server, "ada", "1h")).unwrap();
    let ended = home.piped(&["--token-file", &name], b"/threads\n/agent\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("hello") && ended.out.contains("echo"),
        "the same user: {ended:?}"
    );
    fs::write(&file, "no.such.token").unwrap();
    let ended = home.once(&["--token-file", &name], "hello");
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains(&format!("put another token into {name}")),
        "{ended:?}"
    );
    assert!(!home.state.path().join("sessile").exists(), "a token makes no guest");
}

#[tokio::test]
async fn a_token_never_crosses_the_network_in_the_open() {
    let home = Home::at_url("http://chat.example.org");
    let mut command = home.command(&["--once", "hello"]);
    command.env("SESSILE_TOKEN", "secret");
    let ended = Talk::begin(command).end();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.contains("https://") && !ended.err.contains("secret"),
        "{ended:?}"
    );
}

/// Long enough for a busy machine to connect, and shorter than the answer to `patience`.
const SHORT: &str = "8s";

#[tokio::test]
async fn a_newer_token_in_the_file_is_taken_before_or_at_the_end_of_the_old_one() {
    let server = House::scripted().with_tokens().set("auth.leeway=0s").start().await;
    let home = Home::at(&server);
    let file = home.state.path().join("token");
    fs::write(&file, token(&server, "ada", SHORT)).unwrap();
    let mut talk = Talk::begin(home.command(&["--token-file", &file.display().to_string()]));
    talk.write("hello");
    talk.until_out("You said: hello\n");
    fs::write(&file, token(&server, "ada", "1h")).unwrap();
    talk.write("patience");
    talk.until_out("Patience pays.\n");
    let ended = talk.end();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[tokio::test]
async fn where_there_is_no_newer_token_the_end_of_the_old_one_is_told() {
    let server = House::scripted().with_tokens().set("auth.leeway=0s").start().await;
    let home = Home::at(&server);
    let mut command = home.command(&["--once", "patience"]);
    command.env("SESSILE_TOKEN", token(&server, "ada", SHORT));
    let ended = Talk::begin(command).end();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("put another token into SESSILE_TOKEN"), "{ended:?}");
}
