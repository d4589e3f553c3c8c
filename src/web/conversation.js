// The thread that is shown: its turns, put together from history, events and what was just written.

import { byId, make } from "./dom.js";
import { Turn } from "./turn.js";

// Turns that are shown. Beyond: the newest page alone is shown again; the page must not grow without end.
const TURNS_MAX = 200;
// How near its end the list must be to follow what is added, in pixels.
const NEAR_END = 120;

export class Conversation {
  constructor(runs, { onRetry, onDecide, onEarlier, onTooLong }) {
    this.runs = runs;
    this.onTooLong = onTooLong;
    this.tools = { onRetry, onDecide, follow: (change) => this.follow(change) };
    byId("earlier").addEventListener("click", () => onEarlier(this.before));
    this.open(null);
  }

  // Shows another thread, empty until its history comes.
  open(thread) {
    this.thread = thread;
    this.turns = [];
    this.before = null;
    // The event up to which the history tells; none until it came.
    this.asOfSeq = null;
    this.arrange();
  }

  get isAtWork() {
    return this.turns.some((turn) => turn.isAtWork);
  }

  // The turn whose run works now.
  get atWork() {
    return this.turns.find((turn) => turn.state === "running");
  }

  get hasAnswers() {
    return this.turns.some((turn) => turn.state === "ended");
  }

  byMessage(id) {
    return this.turns.find((turn) => turn.message === id);
  }

  byRun(id) {
    return this.turns.find((turn) => turn.run === id);
  }

  // What was just written.
  add(message, { content, agent }, files = []) {
    if (this.byMessage(message)) return;
    const at = new Date().toISOString();
    this.turns.push(new Turn({ message, content, agent, files, at, state: "sending" }, this.tools));
    this.arrange();
    this.toEnd();
  }

  accepted({ message_id, run_id, run_state }) {
    const turn = this.byMessage(message_id);
    if (!turn || turn.run) return;
    // Its first events may be known already, where this is the answer to a repeat.
    const known = this.byRun(run_id);
    if (known) this.turns.splice(this.turns.indexOf(known), 1);
    turn.answeredBy(run_id);
    this.settle(turn, run_state);
    this.arrange();
  }

  settle(turn, runState) {
    const run = this.runs.get(turn.run);
    if (runState === "queued" && !run) return turn.become("queued");
    turn.become("running");
    turn.showRun(run ?? this.runs.open(turn.run, this.thread, turn.agent));
  }

  refused(message, why) {
    const turn = this.byMessage(message);
    turn?.become("refused", `${why} `);
    return turn !== undefined;
  }

  drop(turn) {
    this.turns.splice(this.turns.indexOf(turn), 1);
    this.arrange();
  }

  // A run of this thread went on. One that the history tells of, or will tell of, has its place there.
  update(part) {
    const run = this.runs.rootOf(part);
    let turn = this.byRun(run.id);
    if (!turn) {
      // One whose beginning was not seen may be a child of a run that the history tells of.
      if (this.asOfSeq === null || run.seq <= this.asOfSeq || !run.isBegun) return;
      turn = new Turn({ run: run.id, agent: run.agent, state: "running" }, this.tools);
      this.turns.push(turn);
    }
    if (turn.state === "queued" || turn.state === "elsewhere") turn.become("running");
    const isNew = turn.reply === null;
    turn.showRun(run);
    for (const forgotten of run.end?.discarded ?? []) {
      const gone = this.byMessage(forgotten);
      if (gone) this.turns.splice(this.turns.indexOf(gone), 1);
    }
    if (isNew || run.end?.discarded) this.arrange();
    if (run.end && this.turns.length > TURNS_MAX) this.onTooLong();
  }

  // A page of the thread, newest first: the newest page with all that goes on, or one before what is shown.
  showHistory(history, session, isEarlier) {
    const known = new Map(this.turns.map((turn) => [turn.message ?? turn.run, turn]));
    const page = [];
    const turnOf = (run) => page.find((turn) => turn.run === run);
    for (const said of [...history.messages].reverse()) {
      if (said.role === "user") page.push(this.turnOfMessage(said, known));
      else this.answer(said, turnOf(said.run_id), page, known);
    }
    this.before = history.next_before;
    if (isEarlier) {
      const shown = new Set(page.map((turn) => turn.run));
      this.turns = [...page, ...this.turns.filter((turn) => !shown.has(turn.run))];
      for (const turn of page) if (turn.state === "ended" && !turn.reply) turn.showNothing();
      return this.keepPlace(() => this.arrange());
    }
    this.asOfSeq = history.as_of_seq;
    // What was written or begun after the snapshot.
    const later = this.turns.filter((turn) => this.isLater(turn, page));
    this.turns = [...page, ...later];
    this.showGoingOn(history, session, page, known);
    for (const run of this.runs.of(this.thread)) if (run.seq > this.asOfSeq) this.update(run);
    this.follow(() => this.arrange());
  }

  turnOfMessage(said, known) {
    // A page may have begun between a message and its answer: that turn now gets its message.
    const begun = known.get(said.run_id);
    begun?.asks(said);
    const turn =
      known.get(said.message_id) ??
      begun ??
      new Turn({ message: said.message_id, content: said.content, at: said.created_at, state: "ended" }, this.tools);
    turn.answeredBy(said.run_id);
    return turn;
  }

  answer(said, asked, page, known) {
    let turn = asked;
    if (!turn) {
      turn = known.get(said.run_id) ?? new Turn({ run: said.run_id, state: "ended" }, this.tools);
      page.push(turn);
    }
    const run = this.runs.get(said.run_id);
    if (run?.end) {
      // After a reload its events may begin in the middle of the text, and only a whole answer comes with the end.
      run.text = said.content;
      turn.showRun(run);
    } else {
      if (run) this.runs.endedElsewhere(run);
      turn.showAnswer(said.content, said.status === "partial", run);
    }
  }

  showGoingOn({ active_runs, queued, pending_approvals }, session, page, known) {
    const waiting = new Set(queued.map(({ run_id }) => run_id));
    for (const active of active_runs) {
      let turn = page.find(({ run }) => run === active.run_id);
      if (!turn) {
        turn = known.get(active.run_id) ?? new Turn({ run: active.run_id, state: "running" }, this.tools);
        page.push(turn);
      }
      const run = this.runs.takeActive(active, this.thread, this.asOfSeq);
      const isElsewhere = active.session_id !== session;
      for (const pending of pending_approvals) this.runs.takePending(pending, run, isElsewhere);
      turn.become(isElsewhere ? "elsewhere" : "running");
      turn.showRun(run);
    }
    // The words of a message that waits come with it: it is no part of the history yet.
    for (const message of queued) {
      if (!page.some(({ run }) => run === message.run_id)) page.push(this.turnOfMessage(message, known));
    }
    this.turns = [...page, ...this.turns.filter((shown) => !page.includes(shown))];
    const atWork = new Set(active_runs.map(({ run_id }) => run_id));
    for (const turn of page) {
      // What was at work and is no more has ended, here or in another tab, without an answer that the history tells of.
      if (atWork.has(turn.run) || (turn.reply && turn.state === "ended")) continue;
      const run = this.runs.get(turn.run);
      if (waiting.has(turn.run) && !run) turn.become("queued");
      else if (run && (run.end || run.seq > this.asOfSeq)) this.update(run);
      else turn.showNothing();
    }
  }

  isLater(turn, page) {
    if (page.includes(turn) || page.some(({ run }) => run !== null && run === turn.run)) return false;
    if (turn.state === "sending" || turn.state === "refused") return true;
    const run = this.runs.get(turn.run);
    return turn.isAtWork || (run?.end && run.end.seq > this.asOfSeq);
  }

  repaint() {
    for (const turn of this.turns) turn.repaint();
  }

  // Puts the nodes of all turns in their order, and touches none that stands where it should.
  arrange() {
    const list = byId("messages");
    const nodes = this.turns.flatMap((turn) => turn.nodes);
    if (this.turns.some((turn) => turn.state === "elsewhere")) nodes.push(elsewhere());
    const keep = new Set(nodes);
    for (const node of [...list.children]) if (!keep.has(node)) node.remove();
    nodes.forEach((node, place) => {
      if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
    });
    byId("hint").hidden = nodes.length > 0;
    byId("earlier").hidden = this.before === null;
  }

  // Adds to the list, which is followed only while its end is in view: who reads further up is not pulled away.
  follow(change) {
    const box = byId("scroll");
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
    change();
    if (atEnd) this.toEnd();
  }

  keepPlace(change) {
    const box = byId("scroll");
    const fromEnd = box.scrollHeight - box.scrollTop;
    change();
    box.scrollTop = box.scrollHeight - fromEnd;
  }

  toEnd() {
    byId("scroll").scrollTop = byId("scroll").scrollHeight;
  }
}

function elsewhere() {
  return make("li", { className: "elsewhere" }, "An answer is being written in another tab; it appears here once it is whole.");
}
