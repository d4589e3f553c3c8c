//! What happens while a run works: steps, calls that wait for a person, steering, files for the next message.

use std::fs;

use super::{Home, Talk};
use crate::server::{House, Server, User};

/// Forgets the document that the message names; tells what it was told.
const SCRIPT: &str = r#"
[[turn]]
when = "-"
steps = [{ call = { name = "corpus_delete", arguments = { document_id = "${message}" } } }]
then = [{ text = "That was it." }]

[[turn]]
when = "linger"
steps = [{ text = "Nearly " }, { delay = "2s" }, { text = "done." }]

[[turn]]
steps = [{ text = "You said: ${message}" }]
"#;

/// The example that comes with the project.
const USAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/usage.csv");

/// What is asked of it.
const QUESTION: &str = "where does the money go, and what can we save?";

/// A server with tokens, and ada's: with hers she is the same over HTTP and in the terminal.
async fn adas() -> (Server, User, String) {
    let server = House::playing(SCRIPT).with_tokens().start().await;
    let (succeeded, token, err) = server.house().run(&["token", "--user", "ada"]);
    assert!(succeeded, "{err}");
    let token = token.trim().to_owned();
    (server, User::with_token("ada", &token), token)
}

/// Her documents' ids.
async fn documents(server: &Server, ada: &User) -> Vec<String> {
    let listed = server.ask(ada, "GET", "/v1/documents", None).await.json();
    let documents = listed["documents"].as_array().unwrap().iter();
    documents
        .map(|document| document["document_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_workflow_on_a_file_shows_its_steps_and_its_report_alone_is_the_answer() {
    let server = House::new().start().await;
    let home = Home::at(&server);
    let ended = home.once(&["--agent", "supervisor", "--attach", USAGE], QUESTION);
    assert_eq!(ended.code, 0, "{ended:?}");
    for line in [
        "- the server has \"usage.csv\" (",
        "\nsupervisor:\n",
        "\n  … steps: triage, ",
        "\n  triage:\n",
        "\n    > usage_analysis {",
        "\n  reporting:\n",
        "\n  = ",
    ] {
        assert!(ended.err.contains(line), "{line:?} in {}", ended.err);
    }
    let headings = ended.out.lines().filter(|line| line.starts_with("# ")).count();
    assert_eq!(headings, 1, "the report, once: {}", ended.out);
    assert!(ended.out.starts_with("# "), "{}", ended.out);
    let quiet = home.once(&["--agent", "supervisor", "--quiet"], "hello");
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""), "{quiet:?}");
}

#[tokio::test]
async fn a_call_that_needs_approval_is_denied_where_nobody_is_there_and_made_where_all_is_approved() {
    let (server, ada, token) = adas().await;
    let home = Home::at(&server);
    let once = |arguments: &[&str], text: &str| {
        let mut command = home.command(&[arguments, &["--once", text]].concat());
        command.env("SESSILE_TOKEN", &token);
        Talk::begin(command).end()
    };
    let ended = once(&["--attach", USAGE], "keep this");
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "You said: keep this\n"),
        "{ended:?}"
    );
    let ids = documents(&server, &ada).await;
    let ended = once(&[], &ids[0]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "That was it.\n"), "{ended:?}");
    let asked = format!(
        "- the agent asks to call corpus_delete {{\"document_id\":\"{}\"}}: denied",
        ids[0]
    );
    assert!(
        ended.err.contains(&asked) && ended.err.contains("--approve-all"),
        "{ended:?}"
    );
    assert!(ended.err.contains("  < denied "), "{ended:?}");
    assert_eq!(documents(&server, &ada).await, ids, "it is still there");
    let ended = once(&["--approve-all"], &ids[0]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.contains("  ? approved: approved by --approve-all"),
        "{ended:?}"
    );
    assert!(documents(&server, &ada).await.is_empty(), "{ended:?}");
}

#[tokio::test]
async fn a_run_at_work_is_told_what_is_steered() {
    let server = House::playing(SCRIPT).start().await;
    let mut talk = Talk::begin(Home::at(&server).command(&[]));
    talk.write("linger");
    talk.until_out("Nearly ");
    talk.write("/steer with milk");
    let ended = talk.end();
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "Nearly done.\n\nYou said: with milk\n"),
        "{ended:?}"
    );
    for line in ["- told; the agent reads it", "  … it was told: with milk"] {
        assert!(ended.err.contains(line), "{ended:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_taken_keeps_its_message_from_being_sent() {
    let server = House::playing(SCRIPT).set("limits.document_bytes=1000").start().await;
    let home = Home::at(&server);
    let files = tempfile::tempdir().unwrap();
    let named = |name: &str, content: &[u8]| {
        let file = files.path().join(name);
        fs::write(&file, content).unwrap();
        file.display().to_string()
    };
    let (long, binary) = (named("long.csv", &[b'x'; 1001]), named("binary.csv", &[0xff, 0xfe]));
    for (file, word) in [
        (&long, "more than the 1000 bytes"),
        (&binary, "binary.csv was not taken"),
    ] {
        let ended = home.once(&["--attach", file], "look");
        assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{ended:?}");
        assert!(
            ended.err.contains(word) && ended.err.contains("was not sent"),
            "{ended:?}"
        );
    }
    let ended = home.once(&["--attach", "/nowhere/usage.csv"], "look");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("/nowhere/usage.csv can't be read"), "{ended:?}");
    let good = named("grün & gut.csv", b"a,b\n1,2\n");
    let ended = home.piped(&[], format!("/attach {good}\nlook\n").as_bytes());
    assert_eq!((ended.code, ended.out.as_str()), (0, "You said: look\n"), "{ended:?}");
    assert!(ended.err.contains("\"grün & gut.csv\" (8 bytes)"), "{ended:?}");
}
