//! Random interleavings of everything that can happen to a session, in a small model of the world around it.

mod model;
mod store;

use proptest::prelude::*;

use super::*;
use model::{Task, World};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Message {
        on_busy: OnBusy,
        to: Option<u64>,
        content: &'static str,
    },
    NewThread,
    /// An earlier message again, word for word.
    Repeat(usize),
    /// Other words under the id of an earlier message.
    Conflict(usize),
    StopThread(Option<u64>),
    StopRun(usize),
    StopAll,
    Create,
    Switch(u64),
    Rename,
    Delete(u64),
    List,
    Ping,
    Nothing,
    Faulty,
    Attach,
    Detach,
    Rate(bool),
    Commit,
    Deliver,
    Say(usize, usize),
    OpenCall(usize),
    CloseCall(usize),
    Think(usize),
    AskApproval(usize),
    TellDecision(usize),
    Steer(usize),
    ApplySteering(usize),
    Decide(usize, bool),
    Finish(usize, Outcome),
    /// A run begins a child.
    BeginChild(usize),
    OtherTakes(u64),
    OtherEnds(u64, bool),
    OtherWants(usize, bool),
    Pass(u64),
    Tick,
    FlushDue,
    ClockDue,
}

fn on_busy() -> impl Strategy<Value = OnBusy> {
    prop::sample::select(vec![
        OnBusy::Enqueue,
        OnBusy::Reject,
        OnBusy::Interrupt,
        OnBusy::Rollback,
    ])
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Said {
            usage: Usage::default(),
        },
        answered(""),
        answered("an answer of its own"),
        Outcome::Failed {
            code: "no_luck".to_owned(),
            message: "try again".to_owned(),
            retryable: true,
        },
        Outcome::Panicked,
        Outcome::Cancelled,
        Outcome::Abandoned,
    ])
}

fn act() -> impl Strategy<Value = Act> {
    let of_three = 0..3_u64;
    let which = 0..8_usize;
    prop_oneof![
        8 => (on_busy(), prop::option::weighted(0.3, of_three.clone())).prop_map(|(on_busy, to)| Act::Message {
            on_busy,
            to,
            content: "hello",
        }),
        1 => Just(Act::NewThread),
        2 => which.clone().prop_map(Act::Repeat),
        1 => which.clone().prop_map(Act::Conflict),
        2 => prop::option::of(of_three.clone()).prop_map(Act::StopThread),
        2 => which.clone().prop_map(Act::StopRun),
        1 => Just(Act::StopAll),
        1 => Just(Act::Create),
        2 => of_three.clone().prop_map(Act::Switch),
        1 => Just(Act::Rename),
        1 => of_three.clone().prop_map(Act::Delete),
        1 => Just(Act::List),
        1 => Just(Act::Ping),
        1 => Just(Act::Nothing),
        1 => Just(Act::Faulty),
        1 => Just(Act::Attach),
        1 => Just(Act::Detach),
        8 => prop::bool::weighted(0.9).prop_map(Act::Rate),
        8 => Just(Act::Commit),
        8 => Just(Act::Deliver),
        3 => (which.clone(), 1..400_usize).prop_map(|(run, bytes)| Act::Say(run, bytes)),
        3 => which.clone().prop_map(Act::OpenCall),
        2 => which.clone().prop_map(Act::CloseCall),
        1 => which.clone().prop_map(Act::Think),
        3 => which.clone().prop_map(Act::AskApproval),
        3 => which.clone().prop_map(Act::TellDecision),
        3 => which.clone().prop_map(Act::Steer),
        2 => which.clone().prop_map(Act::ApplySteering),
        3 => (which.clone(), any::<bool>()).prop_map(|(run, approve)| Act::Decide(run, approve)),
        6 => (which.clone(), outcome()).prop_map(|(run, outcome)| Act::Finish(run, outcome)),
        6 => which.clone().prop_map(Act::BeginChild),
        2 => of_three.clone().prop_map(Act::OtherTakes),
        2 => (of_three, any::<bool>()).prop_map(|(thread, told)| Act::OtherEnds(thread, told)),
        1 => (which, any::<bool>()).prop_map(|(run, deletes)| Act::OtherWants(run, deletes)),
        2 => (0..12_000_u64).prop_map(Act::Pass),
        2 => Just(Act::Tick),
        2 => Just(Act::FlushDue),
        1 => Just(Act::ClockDue),
    ]
}

/// Does one thing. `number` is new: frames make their ids of it.
fn play(world: &mut World, number: u64, act: Act) {
    match act {
        Act::Message { on_busy, to, content } => {
            let command = Command::Say(Say {
                content: content.to_owned(),
                thread: to.map_or(ThreadTarget::Current, |to| ThreadTarget::Given(thread(to))),
                ..words(on_busy)
            });
            message_of(world, number, number, command);
        }
        Act::NewThread => {
            let command = Command::Say(Say {
                thread: ThreadTarget::New,
                ..words(OnBusy::Enqueue)
            });
            message_of(world, number, number, command);
        }
        Act::Repeat(which) => {
            if let Some((first, command)) = nth(&world.messages, which).cloned() {
                message_of(world, number, first, command);
            }
        }
        Act::Conflict(which) => {
            if let Some((first, _)) = nth(&world.messages, which).cloned() {
                let command = Command::Say(Say {
                    content: "other words".to_owned(),
                    ..words(OnBusy::Enqueue)
                });
                let messages = world.messages.clone();
                message_of(world, number, first, command);
                world.messages = messages;
            }
        }
        Act::StopThread(of) => {
            let Input::Frame(mut arrived) = stop_frame(number, None) else {
                unreachable!("a stop is a frame");
            };
            arrived.frame.thread_id = of.map(thread);
            world.send(Input::Frame(arrived), true);
        }
        Act::StopRun(which) => {
            let id = working(world, which).unwrap_or(run(number));
            world.send(stop_frame(number, Some(id)), true);
        }
        Act::StopAll => world.give(Input::StopRuns {
            run: None,
            thread: None,
            stop: by_user(),
        }),
        Act::Steer(which) => {
            let run_id = working(world, which).unwrap_or(run(number));
            let content = "left".to_owned();
            world.send(frame(number, Command::Steer { run_id, content }), true);
        }
        Act::Decide(which, approve) => {
            let task = working(world, which).and_then(|run| world.tasks.get(&run));
            let waiting = task.and_then(|task| task.waiting.last());
            let decision = Command::DecideTool {
                call_id: waiting.map_or(call(number), |(call, _)| *call),
                approve,
                note: None,
            };
            world.send(frame(number, decision), true);
        }
        Act::Create => world.send(frame(number, Command::CreateThread { name: None }), true),
        Act::Switch(to) => world.send(frame(number, Command::SwitchThread { thread_id: thread(to) }), true),
        Act::Rename => {
            let name = "plans".to_owned();
            world.send(frame(number, Command::RenameThread { thread_id: None, name }), true);
        }
        Act::Delete(of) => world.send(frame(number, Command::DeleteThread { thread_id: thread(of) }), true),
        Act::List => world.send(frame(number, Command::ListThreads(Page::default())), true),
        Act::Ping => world.send(frame(number, Command::Ping { timestamp: None }), false),
        Act::Nothing => world.send(frame(number, Command::Nothing), false),
        Act::Faulty => world.send(
            Input::Faulty(FrameError {
                code: ErrorCode::BadJson,
                message: "no JSON".to_owned(),
                pointer: None,
                reply_to: None,
            }),
            false,
        ),
        Act::Attach => world.give(Input::Attached),
        Act::Detach => world.give(Input::Detached),
        Act::Rate(true) => world.rate(Rating::Within),
        Act::Rate(false) => world.rate(Rating::Beyond {
            retry_after: Duration::from_secs(1),
        }),
        Act::Commit => world.commit(),
        Act::Deliver => world.deliver(),
        Act::OtherTakes(of) => world.other_takes(of),
        Act::OtherEnds(of, told) => world.other_ends(of, told),
        Act::OtherWants(which, deletes) => {
            if let Some(run) = working(world, which) {
                let stop = if deletes { thread_deleted() } else { replaced(true) };
                for number in 0..3 {
                    world.give(Input::Yield {
                        thread: thread(number),
                        run,
                        stop: stop.clone(),
                    });
                }
            }
        }
        Act::Pass(millis) => {
            world.bench.pass_ms(millis);
        }
        Act::Tick => world.give(Input::Tick),
        Act::FlushDue => world.give(Input::FlushDue),
        Act::ClockDue => world.give(Input::ClockDue),
        Act::Say(..)
        | Act::OpenCall(_)
        | Act::CloseCall(_)
        | Act::Think(_)
        | Act::AskApproval(_)
        | Act::TellDecision(_)
        | Act::ApplySteering(_)
        | Act::Finish(..)
        | Act::BeginChild(_) => work(world, number, act),
    }
}

/// Does one thing of a run's task. A task that was cancelled may go on for a while: it does not know yet.
fn work(world: &mut World, number: u64, act: Act) {
    let (Act::Say(which, _)
    | Act::OpenCall(which)
    | Act::CloseCall(which)
    | Act::Think(which)
    | Act::AskApproval(which)
    | Act::TellDecision(which)
    | Act::ApplySteering(which)
    | Act::Finish(which, _)
    | Act::BeginChild(which)) = act
    else {
        unreachable!("a deed of a run");
    };
    let Some(run) = working(world, which) else { return };
    let Some(task) = world.tasks.get_mut(&run) else { return };
    let event = match act {
        Act::Say(_, bytes) => {
            let text = "x".repeat(bytes);
            return world.give(Input::Said { run, text });
        }
        Act::Finish(_, outcome) => return world.finish(run, outcome),
        Act::BeginChild(_) => return world.give(child(run, number)),
        Act::OpenCall(_) => {
            task.open.push(number);
            tool_executing(number)
        }
        Act::CloseCall(_) => match task.open.pop() {
            Some(open) => {
                task.waiting.retain(|(waiting, _)| *waiting != call(open));
                tool_completed(open)
            }
            None => return,
        },
        Act::AskApproval(_) => match task.open.last() {
            Some(open) if task.waiting.iter().all(|(waiting, _)| *waiting != call(*open)) => {
                // Of a task that was stopped nothing is heard, so nothing waits.
                if !task.cancelled {
                    task.waiting.push((call(*open), None));
                }
                asks_for_approval(*open)
            }
            _ => return,
        },
        Act::TellDecision(_) => match task
            .waiting
            .iter_mut()
            .find_map(|(call, decided)| Some((*call, decided.take()?)))
        {
            Some((call_id, decision)) => {
                task.waiting.retain(|(waiting, _)| *waiting != call_id);
                Event::ToolApprovalDecided {
                    call_id,
                    decision,
                    note: None,
                }
            }
            None => return,
        },
        Act::ApplySteering(_) => match task.steering.checked_sub(1) {
            Some(left) => {
                task.steering = left;
                steering_applied(number)
            }
            None => return,
        },
        _ => Event::AgentThinking {
            reasoning: "hm".to_owned(),
            step_number: 1,
            progress_percentage: None,
        },
    };
    world.give(Input::Emitted { run, event });
}

/// Sends a message under the id of frame `id`, with ids of its own for what it makes.
fn message_of(world: &mut World, number: u64, id: u64, command: Command) {
    let Input::Frame(mut arrived) = frame(number, command.clone()) else {
        unreachable!("a message is a frame");
    };
    arrived.frame.message_id = Some(message(id));
    world.messages.push((id, command));
    world.send(Input::Frame(arrived), true);
}

fn child(parent: RunId, number: u64) -> Input {
    Input::Child(Box::new(NewChild {
        parent,
        run: run(5_000 + number),
        request: request(5_000 + number),
        answer: answer(5_000 + number),
        agent: "poet".into(),
        content: "do this".to_owned(),
    }))
}

/// One of the runs at work.
fn working(world: &World, which: usize) -> Option<RunId> {
    let tasks: Vec<(&RunId, &Task)> = world.tasks.iter().collect();
    nth(&tasks, which).map(|(run, _)| **run)
}

fn nth<T>(of: &[T], which: usize) -> Option<&T> {
    of.get(which.checked_rem(of.len())?)
}

fn play_all(world: &mut World, acts: Vec<Act>, first: u64) {
    for (number, act) in (first..).zip(acts) {
        play(world, number, act);
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_accepted_run_ends_once_and_each_frame_is_answered_once(
        acts in prop::collection::vec(act(), 1..150),
    ) {
        let mut world = World::new();
        play_all(&mut world, acts, 1);
        world.settle(false);
    }

    #[test]
    fn a_revived_session_ends_what_waited_in_it_whatever_happens(
        waiting in prop::collection::btree_set(0..9_u64, 0..4),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut world = World::new();
        world.revive(&waiting.into_iter().collect::<Vec<_>>());
        play_all(&mut world, acts, 1);
        world.settle(false);
    }

    #[test]
    fn a_drain_comes_to_its_end_whatever_happens_before_and_during_it(
        before in prop::collection::vec(act(), 0..60),
        during in prop::collection::vec(act(), 0..40),
        expires in any::<bool>(),
        after in prop::collection::vec(act(), 0..20),
    ) {
        let mut world = World::new();
        play_all(&mut world, before, 1);
        world.give(Input::Drain);
        play_all(&mut world, during, 1_001);
        if expires {
            world.give(Input::DrainExpired);
        }
        play_all(&mut world, after, 2_001);
        world.settle(true);
    }
}
