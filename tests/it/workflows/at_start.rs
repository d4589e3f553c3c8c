//! Workflows that can't be followed keep the server from starting, and each fault is told with its place.

use std::fs;

use sessile::config::{Config, Flag, Sources};
use sessile::server;

/// What keeps the server from starting with these workflows.
fn faults(text: &str) -> (String, Vec<String>) {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), text).unwrap();
    let name = file.path().display().to_string();
    let sources = Sources {
        flags: vec![Flag {
            name: "--set",
            key: "agents.workflows_file".to_owned(),
            value: name.clone(),
        }],
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let faults = server::faults(&config).unwrap();
    (name, faults.iter().map(ToString::to_string).collect())
}

#[test]
fn every_fault_is_told_with_file_line_and_column() {
    let text = "[workflows.supervisor]\nsteps = [\n{ agent = \"echo\" },\n{ agent = \"assistant\", after = [\"ecko\"] },\n\
                { agent = \"echo\" },\n]";
    let (file, told) = faults(text);
    assert_eq!(
        told,
        [
            format!(
                "{file}, line 4, column 33: `after` names `ecko`, which is no step of this workflow: did you mean `echo`?"
            ),
            format!("{file}, line 5, column 11: two steps are named `echo`: give one of them another `name`"),
        ]
    );
}

#[test]
fn an_agent_that_is_not_there_is_told_where_all_else_is_well() {
    let text = "[workflows.supervisor]\nsteps = [\n{ agent = \"echo\" },\n{ agent = \"asistant\" },\n]";
    let (file, told) = faults(text);
    assert_eq!(
        told,
        [format!(
            "{file}, line 4, column 11: there is no agent `asistant`: did you mean `assistant`?"
        )]
    );
}

#[test]
fn workflows_of_ones_own_that_can_be_followed_are_taken() {
    let (_, told) = faults("[workflows.supervisor]\nsteps = [{ agent = \"echo\" }, { agent = \"assistant\" }]");
    assert_eq!(told, [""; 0]);
}
