//! A tool that needs a role is for those whose credential names it, and whom the newest credential names.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde_json::{Value, json};
use sessile_actors::context::{Roles, SessionContext};
use sessile_actors::ids::UserId;
use sessile_actors::infra::Answer;
use sessile_actors::infra::credentials::{BadCredential, Credentials, Renewed};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::supervisor::ReviveSessions;
use sessile_actors::testing::{FakeTool, Probe, WorldBuilder, agent, eventually, user, world};

/// An agent that lists its tools and calls the one that its message names.
fn callers() -> WorldBuilder {
    let caller = agent("caller", async |run| {
        let listed: Vec<String> = run.tools().iter().map(|spec| spec.name.clone()).collect();
        let name = run.message().to_owned();
        let reply = run.call_tool(&name, json!({"it": 1})).await?;
        Ok(Answer::Text(json!([listed, reply.status, reply.result]).to_string()))
    });
    let purchase = FakeTool::new("purchase").role("buyer").returns(json!("bought"));
    world()
        .agent(caller)
        .tool(purchase)
        .tool(FakeTool::new("browse").returns(json!("seen")))
}

/// What a run says that calls this tool: the tools it may call, how the call ended, what it brought.
async fn call(probe: &mut Probe, tool: &str) -> Value {
    probe.say(tool).await;
    let end = probe.until("agent_completed").await;
    serde_json::from_str(end["payload"]["result"].as_str().unwrap()).unwrap()
}

fn denied() -> Value {
    let why = "the tool needs the role `buyer`, which this user does not have";
    json!([["browse"], "denied", why])
}

fn bought() -> Value {
    json!([["browse", "purchase"], "ok", "bought"])
}

#[actix::test]
async fn a_tool_that_needs_a_role_is_listed_and_called_only_for_those_who_have_it() {
    tokio::time::pause();
    let world = callers().start();
    let mut buyer = world.connect_as("ada", &["clerk", "buyer"]).await;
    assert_eq!(call(&mut buyer, "purchase").await, bought());
    let mut clerk = world.connect_as("bob", &["clerk", "Buyer"]).await;
    assert_eq!(call(&mut clerk, "browse").await, json!([["browse"], "ok", "seen"]));
    clerk.say("purchase").await;
    let told = clerk.run_to_end().await;
    let of = |kind: &str| told.iter().find(|frame| frame["type"] == kind).unwrap()["payload"].clone();
    assert_eq!(of("tool_completed")["status"], "denied");
    assert_eq!(of("tool_completed")["call_id"], of("tool_executing")["call_id"]);
    assert_eq!(of("agent_completed")["result"], denied().to_string());
    world.finish().await;
}

#[actix::test]
async fn the_credential_that_was_shown_last_counts_for_the_runs_that_begin_after_it() {
    tokio::time::pause();
    let world = callers().start();
    let mut ada = world.connect_as("ada", &["buyer"]).await;
    assert_eq!(call(&mut ada, "purchase").await, bought());
    let mut demoted = world.resume_as(&ada, &[]).await;
    assert_eq!(call(&mut demoted, "purchase").await, denied());
    let mut promoted = world.resume_as(&demoted, &["buyer"]).await;
    assert_eq!(call(&mut promoted, "purchase").await, bought());
    world.finish().await;
}

#[actix::test]
async fn roles_of_one_session_are_not_those_of_its_users_others() {
    tokio::time::pause();
    let world = callers().start();
    let mut buyer = world.connect_as("ada", &["buyer"]).await;
    let mut plain = world.connect("ada").await;
    assert_eq!(call(&mut plain, "purchase").await, denied());
    assert_eq!(call(&mut buyer, "purchase").await, bought());
    world.finish().await;
}

/// Takes any token as one that names its text as a role, and has ended where that is `expired`.
struct AnyToken;

impl Credentials for AnyToken {
    fn refresh(
        &self,
        _: UserId,
        token: Option<String>,
        _: Option<String>,
    ) -> BoxFuture<'static, Result<Renewed, BadCredential>> {
        let token = token.unwrap_or_default();
        let roles = match &*token {
            "none" => Roles::none(),
            _ => Roles::freeze(["buyer"]).unwrap(),
        };
        let expires_at = (token == "expired").then(SystemTime::now);
        ready(Ok(Renewed { expires_at, roles })).boxed()
    }
}

#[actix::test]
async fn a_credential_that_is_renewed_on_a_live_socket_brings_its_roles_until_it_ends() {
    tokio::time::pause();
    let world = callers().credentials(AnyToken).start();
    let mut ada = world.connect("ada").await;
    for (token, expected) in [("buyer", bought()), ("none", denied()), ("expired", denied())] {
        ada.send(json!({"type": "refresh_token", "payload": {"token": token}}))
            .await;
        ada.until("token_refreshed").await;
        assert_eq!(call(&mut ada, "purchase").await, expected, "{token}");
    }
    world.finish().await;
}

#[actix::test]
async fn a_session_that_is_revived_without_a_client_has_no_roles() {
    tokio::time::pause();
    let journal = MemoryJournal::start();
    let stores = || (Arc::new(journal.clone()), Arc::new(journal.clone()));
    let (events, threads) = stores();
    let hanging = agent("caller", async |_| std::future::pending().await);
    let before = world().agent(hanging).stores(events, threads).start();
    let mut ada = before.connect_as("ada", &["buyer"]).await;
    ada.say("hang").await;
    ada.until("agent_started").await;
    ada.say("purchase").await;
    ada.until("message_accepted").await;
    // What waits is left to the next start.
    before.finish().await;

    let (events, threads) = stores();
    let after = callers().stores(events, threads).start();
    let session = SessionContext::new(user("ada"), ada.session_id());
    after.supervisor().send(ReviveSessions(vec![session])).await.unwrap();
    let ended = &after.infra().metrics.runs_ended;
    eventually("the run that waited has ended", || ended.get() == 1).await;
    // Who comes later brings roles for later runs.
    let mut ada = after.resume_as(&ada, &["buyer"]).await;
    let end = ada.until("agent_completed").await;
    assert_eq!(end["payload"]["result"], denied().to_string());
    after.finish().await;
}
