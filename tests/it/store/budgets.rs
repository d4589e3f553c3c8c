//! What users and their sessions have used: counted with each batch, and judged where something new begins.

use std::time::Duration;

use sessile::store::SqliteStore;
use sessile_actors::budgets::{Budgets, Caps, Charge, Kind, MOST, Scope, Spent, Totals};
use sessile_actors::infra::journal::{StoreCommand, StoreReply};
use sessile_actors::protocol::server::RunState;
use sessile_actors::testing::user;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::kit::{Session, World, accept, at, done, ended, promote, thinking};

super::over_both_backends! {
    what_was_used_adds_up_for_a_session_and_over_all_sessions_of_its_user
    a_new_window_begins_at_zero_for_the_user_alone
    a_clock_that_was_set_back_opens_no_window_again
    a_message_beyond_a_budget_leaves_nothing_and_a_repeat_gets_its_first_answer
    what_a_batch_counts_is_judged_by_its_own_message
    a_message_that_waited_does_not_start_beyond_a_budget
    sums_stop_at_the_most_that_is_counted
    sessions_of_one_user_that_count_at_once_lose_nothing
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A charge in which every kind is told apart.
const CHARGE: Charge = Charge::of_kinds([1, 2, 3, 4, 5, 6, 7]);

fn tokens(tokens: u64) -> Charge {
    Charge { tokens, ..Charge::NONE }
}

fn ten_tokens() -> Caps {
    Caps {
        tokens: 10,
        ..Caps::default()
    }
}

async fn charge(session: &mut Session, charge: Charge) -> Totals {
    match session.ask(StoreCommand::Charge(charge)).await {
        StoreReply::Charged(totals) => totals,
        other => panic!("a charge is counted, not answered by {other:?}"),
    }
}

async fn used(world: &World, name: &str, later: Duration) -> Charge {
    let window = Budgets::default().window_at(at(0) + later);
    world.threads.usage(user(name), window).await.unwrap()
}

async fn what_was_used_adds_up_for_a_session_and_over_all_sessions_of_its_user(world: World) {
    let (mut one, mut two) = (world.session("ada").await, world.session("ada").await);
    let mut eve = world.session("eve").await;
    assert_eq!(used(&world, "ada", Duration::ZERO).await, Charge::NONE);
    charge(&mut one, CHARGE).await;
    charge(&mut two, CHARGE).await;
    charge(&mut eve, tokens(100)).await;
    let totals = charge(&mut one, CHARGE).await;
    let (twice, thrice) = (CHARGE.plus(CHARGE), CHARGE.plus(CHARGE).plus(CHARGE));
    let expected = Totals {
        session: twice,
        user: thrice,
    };
    assert_eq!(totals, expected);
    assert_eq!(used(&world, "ada", Duration::ZERO).await, thrice);
    assert_eq!(used(&world, "eve", Duration::ZERO).await, tokens(100));
}

async fn a_new_window_begins_at_zero_for_the_user_alone(world: World) {
    let mut ada = world.session("ada").await;
    charge(&mut ada, CHARGE).await;
    assert_eq!(
        used(&world, "ada", DAY).await,
        Charge::NONE,
        "nothing was used on that day"
    );
    ada.later = DAY;
    let totals = charge(&mut ada, CHARGE).await;
    assert_eq!((totals.session, totals.user), (CHARGE.plus(CHARGE), CHARGE));
    ada.user_caps = ten_tokens();
    assert_eq!(
        ada.ask(StoreCommand::Accept(accept(ada.thread, "hello", true))).await,
        done()
    );
}

async fn a_clock_that_was_set_back_opens_no_window_again(world: World) {
    let mut ada = world.session("ada").await;
    ada.later = DAY;
    charge(&mut ada, CHARGE).await;
    ada.later = Duration::ZERO;
    assert_eq!(charge(&mut ada, CHARGE).await.user, CHARGE.plus(CHARGE));
}

async fn a_message_beyond_a_budget_leaves_nothing_and_a_repeat_gets_its_first_answer(world: World) {
    let mut ada = world.session("ada").await;
    let first = ada.start("hello").await;
    charge(&mut ada, tokens(10)).await;
    let second = accept(ada.thread, "again", false);
    for (session_caps, user_caps, scope) in [
        (ten_tokens(), Caps::default(), Scope::Session),
        (Caps::default(), ten_tokens(), Scope::User),
    ] {
        (ada.session_caps, ada.user_caps) = (session_caps, user_caps);
        let resets_at = (scope == Scope::User).then(|| Budgets::default().window_at(at(0)).end);
        let spent = Spent::of(scope, (Kind::Tokens, 10, 10), resets_at);
        let reply = ada.ask(StoreCommand::Accept(second.clone())).await;
        assert_eq!(reply, StoreReply::BudgetExhausted(spent));
        let repeat = ada.ask(StoreCommand::Accept(first.clone())).await;
        assert!(matches!(repeat, StoreReply::Duplicate { .. }), "{repeat:?}");
    }
    assert_eq!(world.words(&ada, ada.thread).await, ["hello"]);
    let mut elsewhere = world.session("ada").await;
    elsewhere.session_caps = ten_tokens();
    let there = accept(elsewhere.thread, "hello", true);
    assert_eq!(
        elsewhere.ask(StoreCommand::Accept(there)).await,
        done(),
        "another session has its own"
    );
    (ada.session_caps, ada.user_caps) = (Caps::default(), Caps::default());
    assert_eq!(
        ada.ask(StoreCommand::Accept(second)).await,
        done(),
        "nothing was taken before"
    );
}

async fn what_a_batch_counts_is_judged_by_its_own_message(world: World) {
    let mut ada = world.session("ada").await;
    ada.user_caps = ten_tokens();
    let message = StoreCommand::Accept(accept(ada.thread, "hello", true));
    let batch = ada.batch(Vec::new(), vec![StoreCommand::Charge(tokens(11)), message]);
    let replies = ada.append(batch).await.unwrap();
    assert!(matches!(replies[1], StoreReply::BudgetExhausted(_)), "{replies:?}");
}

async fn a_message_that_waited_does_not_start_beyond_a_budget(world: World) {
    let mut ada = world.session("ada").await;
    let first = ada.start("first").await;
    let second = ada.queue("second").await;
    charge(&mut ada, tokens(10)).await;
    ada.complete(&first, "answer").await;
    ada.user_caps = ten_tokens();
    let reply = ada.ask(promote(&second)).await;
    assert!(matches!(reply, StoreReply::BudgetExhausted(_)), "{reply:?}");
}

async fn sums_stop_at_the_most_that_is_counted(world: World) {
    let mut ada = world.session("ada").await;
    charge(&mut ada, tokens(u64::MAX)).await;
    let totals = charge(&mut ada, tokens(u64::MAX)).await;
    assert_eq!((totals.session, totals.user), (tokens(MOST), tokens(MOST)));
}

async fn sessions_of_one_user_that_count_at_once_lose_nothing(world: World) {
    const SESSIONS: u64 = 8;
    const CHARGES: u64 = 25;
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        let mut session = world.session("ada").await;
        sessions.spawn(async move {
            let mut last = Totals::default();
            for _ in 0..CHARGES {
                last = charge(&mut session, tokens(1)).await;
            }
            last
        });
    }
    let mut most = 0;
    for totals in sessions.join_all().await {
        assert_eq!(totals.session, tokens(CHARGES));
        most = most.max(totals.user.tokens);
    }
    assert_eq!(most, SESSIONS * CHARGES, "the last one was told of all");
    assert_eq!(used(&world, "ada", Duration::ZERO).await, tokens(SESSIONS * CHARGES));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_a_run_was_lost_is_counted_once_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path(), &Handle::current()).await.unwrap();
    let world = World::over(store.clone());
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let records = ada.records(&run, &[thinking()]);
    let batch = ada.batch(records, vec![StoreCommand::Charge(CHARGE)]);
    ada.append(batch).await.unwrap();
    store.close().await;

    // The start ends the run, and does not count it again.
    let store = SqliteStore::open(dir.path(), &Handle::current()).await.unwrap();
    let world = World::over(store);
    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    assert!(revived.runs.is_empty(), "it has its end");
    assert_eq!(used(&world, "ada", Duration::ZERO).await, CHARGE);
    let mut again = world.session("ada").await;
    (again.context, again.fence, again.last) = (ada.context, revived.fence, revived.last_seq);
    let run = again.start("and again").await;
    let records = again.records(&run, &[thinking()]);
    let mut batch = again.batch(records, vec![StoreCommand::Charge(CHARGE)]);
    if let Some(last) = batch.events.last_mut() {
        last.end = Some(ended(RunState::Completed, "answer"));
    }
    let replies = again.append(batch).await.unwrap();
    let twice = CHARGE.plus(CHARGE);
    let totals = Totals {
        session: twice,
        user: twice,
    };
    assert_eq!(replies, [StoreReply::Charged(totals)]);
}
