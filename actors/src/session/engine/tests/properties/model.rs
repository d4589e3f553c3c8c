//! What stands around an engine, as small as can be: a store, the tasks of runs, other sessions of the same user.
//! It answers like the real ones, when it is told to, and checks each effect as it comes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::store::{RUNS_PER_USER, Store};

/// Messages that wait per thread, in this world.
pub const QUEUE: usize = 2;

/// How long a run may work, in this world.
const RUN_TIME: Duration = Duration::from_secs(40);

/// Child runs of one run at once, and in all, in this world.
const CHILDREN: (usize, usize) = (2, 4);

/// An engine in its world.
pub struct World {
    pub bench: Bench,
    store: Store,
    /// What is asked of the supervisor.
    rating: bool,
    /// Ends on their way to the store, then commands: a commit takes them in this order.
    ends: Vec<RunId>,
    commands: Vec<(StoreCommand, Option<RunId>, bool)>,
    /// What the store has answered and the engine does not know yet.
    replies: Vec<Input>,
    pub tasks: BTreeMap<RunId, Task>,
    /// Children of whose ends their parents know.
    reported: BTreeSet<RunId>,
    told: BTreeMap<RunId, Told>,
    frames: usize,
    grants: usize,
    /// Of each id, the frames and the replies.
    sent: BTreeMap<String, usize>,
    answered: BTreeMap<String, usize>,
    /// Of each id that made a run, the frame.
    pub messages: Vec<(u64, Command)>,
    /// Of each message that was accepted, the run.
    accepted: BTreeMap<String, RunId>,
    drained: usize,
}

/// The task of a run.
#[derive(Default)]
pub struct Task {
    pub cancelled: bool,
    pub open: Vec<u64>,
    /// What it was told and has not taken.
    pub steering: usize,
    /// Its calls that wait for a person, with what was decided.
    pub waiting: Vec<(CallId, Option<ApprovalDecision>)>,
}

/// What the client knows of a run.
struct Told {
    thread: ThreadId,
    parent: Option<RunId>,
    started: bool,
    ended: bool,
    text: usize,
    complete: bool,
    open: BTreeSet<CallId>,
}

impl World {
    pub fn new() -> Self {
        Self {
            bench: Bench::with(|limits| {
                limits.queued_per_thread = QUEUE;
                limits.runs_per_user = RUNS_PER_USER;
                (limits.children_at_once, limits.children_per_run) = CHILDREN;
                limits.run_time = RUN_TIME;
                limits.result_bytes = 600;
                limits.faulty_frames = 3;
                limits.flood_messages = 3;
                limits.approval_time = Duration::from_secs(20);
            }),
            store: Store::default(),
            rating: false,
            ends: Vec::new(),
            commands: Vec::new(),
            replies: Vec::new(),
            tasks: BTreeMap::new(),
            reported: BTreeSet::new(),
            told: BTreeMap::new(),
            frames: 0,
            grants: 0,
            sent: BTreeMap::new(),
            answered: BTreeMap::new(),
            messages: Vec::new(),
            accepted: BTreeMap::new(),
            drained: 0,
        }
    }

    /// Runs that had waited when the session's last incarnation ended.
    pub fn revive(&mut self, waiting: &[u64]) {
        let runs = waiting.iter().map(|number| {
            let (run_id, thread_id) = (run(9_000 + number), thread(number % 3));
            self.store.threads.insert(thread_id);
            self.store.runs.insert(run_id, (thread_id, false));
            self.told.insert(run_id, Told::of(thread_id));
            StoredRun {
                run_id,
                thread_id,
                request_id: request(9_000 + number),
                message_id: message(9_000 + number),
                agent: "echo".to_owned(),
                content: "hello".to_owned(),
                references: Vec::new(),
                metadata: None,
                state: RunState::Queued,
                open_calls: Vec::new(),
                said: None,
                children: Vec::new(),
            }
        });
        let runs = runs.collect();
        self.give(Input::Requeued(runs));
    }

    pub fn give(&mut self, input: Input) {
        for effect in self.bench.give(input) {
            self.perform(effect);
        }
    }

    /// Gives a frame of the client that wants a reply, or none.
    pub fn send(&mut self, input: Input, replied: bool) {
        self.frames += 1;
        if let Input::Frame(arrived) = &input
            && replied
        {
            let id = arrived.frame.message_id.expect("a test's frame has an id");
            *self.sent.entry(id.to_string()).or_default() += 1;
        }
        self.give(input);
    }

    /// The supervisor answers, if it was asked.
    pub fn rate(&mut self, rating: Rating) {
        if std::mem::take(&mut self.rating) {
            self.give(Input::Rated(rating));
        }
    }

    /// The store commits what is on its way, unless it has answers that are not known yet.
    pub fn commit(&mut self) {
        if !self.replies.is_empty() {
            return;
        }
        for run in self.ends.drain(..) {
            self.store.runs.remove(&run);
        }
        for (command, promoted, wanted) in std::mem::take(&mut self.commands) {
            let reply = self.store.obey(command);
            match promoted {
                Some(run) => self.replies.push(Input::Promoted { run, reply }),
                None if wanted => self.replies.push(Input::Stored(reply)),
                None => {}
            }
        }
    }

    /// The engine gets the answers of the last commit.
    pub fn deliver(&mut self) {
        for reply in std::mem::take(&mut self.replies) {
            self.give(reply);
        }
    }

    /// Another session begins a run in a thread, where it may.
    pub fn other_takes(&mut self, number: u64) {
        let thread = thread(number);
        if self.store.refuse_start(thread).is_none() {
            self.store.held.insert(thread);
        }
    }

    /// Another session's run ends; the news may be lost on the way.
    pub fn other_ends(&mut self, number: u64, told: bool) {
        let thread = thread(number);
        if self.store.held.remove(&thread) && told {
            self.give(Input::ThreadChanged {
                thread,
                run: run(77),
                state: RunState::Completed,
            });
        }
    }

    /// A run whose time is over is being ended; one that waits for nobody has a time.
    fn check_clock(&self) {
        let engine = &self.bench.engine;
        let waits = |run: &RunId| {
            let undecided = |task: &Task| task.waiting.iter().any(|(_, decided)| decided.is_none());
            let mut below = self.tasks.iter().filter(|(_, task)| undecided(task));
            below
                .any(|(id, _)| std::iter::successors(Some(*id), |run| self.told[run].parent).any(|above| above == *run))
        };
        let works = self.tasks.keys().any(|run| engine.listens_to(*run) && !waits(run));
        assert!(
            !works || engine.clock_runs_out_at().is_some(),
            "a run works without a bound"
        );
    }

    pub fn finish(&mut self, run: RunId, outcome: Outcome) {
        if self.tasks.remove(&run).is_some() {
            self.give(Input::Finished { run, outcome });
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(control) => self.reply(&control),
            Effect::Grant => self.grants += 1,
            Effect::Rate => assert!(!std::mem::replace(&mut self.rating, true), "one rating at a time"),
            Effect::Store(command) => {
                let asked = self.commands.iter().filter(|(_, run, wanted)| run.is_none() && *wanted);
                assert_eq!(asked.count(), 0, "one operation at a time");
                self.commands.push((command, None, true));
            }
            Effect::Note(command) => self.commands.push((command, None, false)),
            Effect::Promote { run, thread } => {
                let command = StoreCommand::Promote {
                    run_id: run,
                    thread_id: thread,
                };
                self.commands.push((command, Some(run), true));
            }
            Effect::Emit(emission) => self.emit(*emission),
            Effect::Start(start) => self.start(&start),
            Effect::Cancel(run) => {
                let task = self.tasks.get_mut(&run).expect("a task that is cancelled is at work");
                task.cancelled = true;
            }
            Effect::List { message_id, .. } | Effect::History { message_id, .. } => {
                let id = message_id.expect("a test's frame has an id").to_string();
                *self.answered.entry(id).or_default() += 1;
            }
            Effect::Leave => assert!(self.bench.engine.is_idle(), "only an idle session leaves"),
            Effect::Drained => {
                self.drained += 1;
                let at_work = self.tasks.keys().any(|run| !self.told[run].ended);
                assert!(!at_work, "nothing runs in a drained session");
            }
            Effect::ChildEnded(report) => {
                assert_ne!(report.result.is_some(), report.error.is_some(), "{report:?}");
                if self.told.get(&report.run).is_some_and(|told| told.ended) {
                    assert!(self.reported.insert(report.run), "a parent is told once");
                }
            }
            Effect::Violation(what) => panic!("a violation: {what}"),
            Effect::Steer { run, .. } => {
                let task = self.tasks.get_mut(&run).expect("who is steered is at work");
                task.steering += 1;
                assert!(
                    task.steering <= STEERING_WAITING,
                    "a run is told no more than it may be"
                );
            }
            Effect::Decide { call, decision, .. } => {
                let waiting = self.tasks.values_mut().flat_map(|task| &mut task.waiting);
                let waiting: Vec<_> = waiting.filter(|(id, _)| *id == call).collect();
                assert!(matches!(waiting[..], [(_, None)]), "a call that waits is decided once");
                for (_, decided) in waiting {
                    *decided = Some(decision);
                }
            }
            Effect::Acked(_)
            | Effect::FlushAt(_)
            | Effect::Began { .. }
            | Effect::AskYield { .. }
            | Effect::ThreadGone(_)
            | Effect::Refresh { .. }
            | Effect::Close(_) => {}
        }
    }

    fn reply(&mut self, control: &Control) {
        let id = match control {
            Control::MessageAccepted {
                message_id,
                thread_id,
                run_id,
                status,
                ..
            } => {
                if *status != AcceptStatus::Duplicate {
                    let earlier = self.told.insert(*run_id, Told::of(*thread_id));
                    assert!(earlier.is_none(), "a run is accepted once");
                    let earlier = self.accepted.insert(message_id.to_string(), *run_id);
                    assert!(earlier.is_none(), "a message is accepted once");
                }
                Some(message_id.to_string())
            }
            Control::ThreadCreated { message_id, .. }
            | Control::SteeringAccepted { message_id, .. }
            | Control::DecisionAccepted { message_id, .. } => Some(message_id.to_string()),
            Control::StopAccepted { message_id, .. }
            | Control::ThreadSwitched { message_id, .. }
            | Control::ThreadRenamed { message_id, .. }
            | Control::ThreadDeleted { message_id, .. } => message_id.map(|id| id.to_string()),
            Control::Error(error) => {
                if matches!(error.code, ErrorCode::RunActive | ErrorCode::QueueFull) {
                    let run = error.reply_to.as_ref().and_then(|id| self.accepted.get(id));
                    let over = run.is_none_or(|run| self.told[run].ended);
                    assert!(over, "sending again what runs or waits is safe: {error:?}");
                }
                error.reply_to.clone()
            }
            Control::Pong { .. } | Control::ThreadChanged { .. } => None,
            other => panic!("the engine says no such thing: {other:?}"),
        };
        if let Some(id) = id {
            let replies = self.answered.entry(id.clone()).or_default();
            *replies += 1;
            assert!(
                self.sent.get(&id) >= Some(replies),
                "no reply without a frame: {control:?}"
            );
        }
    }

    fn start(&mut self, start: &StartRun) {
        assert_eq!(self.drained, 0, "nothing begins in a drained session");
        let told = self
            .told
            .get(&start.run)
            .expect("a message is accepted before its run starts");
        assert!(told.started && !told.ended, "a run's first event comes before its task");
        assert_eq!(told.parent, start.parent);
        if start.parent.is_some() {
            self.tasks.insert(start.run, Task::default());
            return;
        }
        let others = self
            .tasks
            .keys()
            .filter(|run| self.told[*run].thread == start.thread && !self.told[*run].ended)
            .count();
        assert_eq!(others, 0, "one run at work in a thread");
        assert_eq!(
            self.store.runs.get(&start.run),
            Some(&(start.thread, true)),
            "a run starts when the store has granted its thread"
        );
        assert!(!self.store.held.contains(&start.thread), "a thread has one holder");
        self.tasks.insert(start.run, Task::default());
    }

    fn emit(&mut self, emission: Emission) {
        let parent = match &emission.event {
            Event::AgentStarted { parent_run_id, .. } => *parent_run_id,
            _ => None,
        };
        if let Some(parent) = parent {
            let above = &self.told[&parent];
            assert!(above.started && !above.ended, "a child begins while its parent works");
            assert_eq!(above.thread, emission.thread, "a child works in its parent's thread");
            let child = Told {
                parent: Some(parent),
                ..Told::of(emission.thread)
            };
            assert!(self.told.insert(emission.run, child).is_none(), "a child begins once");
        }
        if emission.event.is_terminal() {
            let open = self
                .told
                .values()
                .any(|told| told.parent == Some(emission.run) && !told.ended);
            assert!(!open, "children end before their parent");
        }
        let told = self
            .told
            .get_mut(&emission.run)
            .expect("a message is accepted before its run's first event");
        assert!(!told.ended, "nothing is told after the end: {emission:?}");
        assert_eq!(emission.end.is_some(), emission.event.is_terminal());
        if let Some(end) = &emission.end {
            assert_eq!(end.child, told.parent.is_some());
            assert!(
                !end.child || (end.message.is_none() && !end.forget),
                "a child leaves no rows"
            );
        }
        match &emission.event {
            Event::AgentStarted { .. } => assert!(!std::mem::replace(&mut told.started, true), "a run starts once"),
            Event::ToolExecuting { call_id, .. } => assert!(told.open.insert(*call_id), "a call opens once"),
            Event::ToolCompleted { call_id, .. } => assert!(told.open.remove(call_id), "a call closes once"),
            Event::PartialResult {
                offset,
                content,
                is_complete,
                ..
            } => {
                assert_eq!(*offset, told.text as u64, "text is told without a hole");
                assert!(
                    !std::mem::replace(&mut told.complete, *is_complete),
                    "text is complete once"
                );
                told.text += content.len();
            }
            event if event.is_terminal() => {
                assert!(told.open.is_empty(), "calls end before their run");
                told.ended = true;
                if told.parent.is_none() {
                    self.ends.push(emission.run);
                }
            }
            _ => assert!(told.started, "an event of a run that has not begun"),
        }
    }

    /// What holds after each step.
    pub fn check(&self) {
        self.check_clock();
        assert!(self.grants <= self.frames, "no grant without a frame");
        let mut waiting = BTreeMap::<ThreadId, usize>::new();
        for told in self.told.values().filter(|told| !told.started && !told.ended) {
            *waiting.entry(told.thread).or_default() += 1;
        }
        // One more where the store is being asked for the first.
        assert!(waiting.values().all(|waiting| *waiting <= QUEUE + 1), "{waiting:?}");
        let mut children = BTreeMap::<RunId, (usize, usize)>::new();
        for told in self.told.values() {
            let Some(parent) = told.parent else { continue };
            children.entry(parent).or_default().0 += usize::from(!told.ended);
            for above in std::iter::successors(Some(parent), |run| self.told[run].parent) {
                children.entry(above).or_default().1 += 1;
            }
        }
        let within = |(at_once, in_all): &(usize, usize)| *at_once <= CHILDREN.0 && *in_all <= CHILDREN.1;
        assert!(children.values().all(within), "{children:?}");
    }

    fn is_settled(&self, draining: bool) -> bool {
        let engine = &self.bench.engine;
        engine.is_idle() || (draining && engine.is_still())
    }

    /// Lets everything end by itself, then checks that it did.
    pub fn settle(&mut self, draining: bool) {
        for _ in 0..200 {
            self.rate(Rating::Within);
            self.commit();
            self.deliver();
            for number in 0..3 {
                self.other_ends(number, true);
            }
            let working: Vec<(RunId, bool)> = self.tasks.iter().map(|(run, task)| (*run, task.cancelled)).collect();
            for (run, cancelled) in working {
                let outcome = if cancelled { Outcome::Cancelled } else { answered("") };
                self.finish(run, outcome);
            }
            self.bench.pass_ms(1_000);
            self.give(Input::Tick);
            if self.is_settled(draining) && self.ends.is_empty() && self.commands.is_empty() {
                break;
            }
        }
        assert!(self.is_settled(draining), "everything ends: {:#?}", self.bench.engine);
        // What waits in a drain is left to the next start.
        let left = |begun: bool| draining && !begun;
        assert!(
            self.told.values().all(|told| told.ended || left(told.started)),
            "each accepted run ends"
        );
        assert!(
            self.store.runs.values().all(|(_, active)| left(*active)),
            "the store knows of each end: {:?}",
            self.store.runs
        );
        let children = self.told.iter().filter(|(_, told)| told.parent.is_some());
        assert!(
            children.map(|(run, _)| run).eq(self.reported.iter()),
            "each parent knows how its children ended"
        );
        assert_eq!(self.grants, self.frames, "each frame is granted one after it");
        assert_eq!(self.sent, self.answered, "each frame has one reply");
        assert_eq!(self.drained, usize::from(draining), "a drain is told once");
    }
}

impl Told {
    fn of(thread: ThreadId) -> Self {
        Self {
            thread,
            parent: None,
            started: false,
            ended: false,
            text: 0,
            complete: false,
            open: BTreeSet::new(),
        }
    }
}
