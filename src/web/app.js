// The page: one link, the threads, the conversation that is shown, and the events of the session.

import { Conversation } from "./conversation.js";
import { byId, make } from "./dom.js";
import * as door from "./door.js";
import * as files from "./files.js";
import { Link } from "./link.js";
import { Runs } from "./runs.js";
import { Threads } from "./threads.js";
import * as timeline from "./timeline.js";
import { toast } from "./toasts.js";

// Changes of the list of threads that come in one breath are asked for once, in milliseconds.
const GATHER = 150;

// How often a text that grows is shown, in milliseconds.
const TEXT_EVERY = 50;
// How long to wait before what could not be read is read again, in milliseconds, and how often in a row.
const READ_AGAIN = 1_000;
const READ_AGAIN_MAX = 5;

const ACTIVE = new Set(["running", "waiting", "cancelling"]);

const runs = new Runs();
const link = new Link({ onFrame: take, onState: showState, onSignIn: signIn });
const conversation = new Conversation(runs, {
  onRetry: again,
  onDecide: decide,
  onEarlier: (before) => loadHistory(before),
  onTooLong: () => loadHistory(),
});
const threads = new Threads({
  onOpen: (thread_id) => ask("switch_thread", { thread_id }),
  onCreate: () => ask("create_thread", {}),
  onRename: (thread_id, name) => ask("rename_thread", { thread_id, name }),
  onDelete: (thread_id) => {
    asked.deletion = thread_id;
    ask("delete_thread", { thread_id });
  },
  onMore: (before) => loadThreads(before),
});
// The requests that are open, by what they are for: an older answer is not taken for a newer one.
const asked = { threads: null, moreThreads: null, history: null, earlier: null, back: null, deletion: null };
let readAgain = 0;
// What is told to runs at work, by the frame's id: {run, content}; and what is to be asked again where a decision is refused.
const steered = new Map();
const decisions = new Map();
// The agents that can be told something while they work.
const steerable = new Set();

// What arrives.

function take(frame, refusedMessage) {
  const { type, seq, payload } = frame;
  if (seq) return takeEvent(frame);
  switch (type) {
    case "connection_established":
      return established(payload);
    case "message_accepted":
      if (!conversation.thread) adopt(payload.thread_id);
      conversation.accepted(payload);
      threads.mark(payload.thread_id, payload.run_id, ACTIVE.has(payload.run_state));
      loadThreads();
      break;
    case "steering_accepted":
      told(payload.message_id);
      break;
    case "decision_accepted":
      decisions.delete(payload.message_id);
      break;
    case "thread_created":
    case "thread_switched":
      open(payload.thread_id);
      loadHistory();
      loadThreads();
      byId("content").focus();
      break;
    case "thread_renamed":
      threads.rename(payload.thread_id, payload.name);
      break;
    case "thread_deleted":
      deleted(payload.thread_id);
      break;
    case "thread_list":
      if (payload.message_id === asked.threads) takeThreads(payload);
      if (payload.message_id === asked.moreThreads) threads.take(payload, false);
      break;
    case "thread_history":
      takeHistory(payload);
      break;
    case "resync":
      // Where nothing was shown yet, nothing is missed.
      if (conversation.turns.length > 0) toast("Some events are gone; this is how things stand now.");
      beginAnew();
      open(payload.thread_id);
      conversation.showHistory(payload, link.session.id, false);
      break;
    case "thread_changed":
      changedElsewhere(payload);
      break;
    case "server_shutdown":
      showState("waiting", payload.message);
      break;
    case "error":
      refused(payload, refusedMessage);
      break;
  }
  showStop();
}

function takeEvent(frame) {
  timeline.note(frame);
  const run = runs.take(frame);
  threads.mark(run.thread, run.id, run.end === null);
  if (frame.type === "partial_result") showSoon(run);
  else if (run.thread === conversation.thread) conversation.update(run);
  const { erased, stopped_by } = frame.payload;
  if (run.end && (erased || stopped_by === "thread_deleted")) deletedElsewhere(run.thread);
  showStop();
}

// Text that comes in many small pieces is shown a few times a second: each time costs a layout of the page.
const grown = new Set();
function showSoon(run) {
  if (grown.size === 0) setTimeout(showGrown, TEXT_EVERY);
  grown.add(run);
}

function showGrown() {
  for (const run of grown) if (run.thread === conversation.thread) conversation.update(run);
  grown.clear();
}

function established({ user_id, thread_id, resumed }) {
  byId("user").textContent = user_id;
  byId("user").title = user_id;
  byId("sign-out").hidden = !door.isSignedIn();
  if (!resumed) beginAnew();
  // The thread that this tab showed, where its session is a new one.
  const shown = conversation.thread ?? sessionStorage.getItem("thread");
  asked.back = !resumed && shown && shown !== thread_id ? ask("switch_thread", { thread_id: shown }) : null;
  if (conversation.thread !== thread_id || !resumed) open(thread_id);
  loadHistory();
  loadThreads();
  loadAgents();
  conversation.repaint();
}

// Other numbers begin, or some are gone: of a run that was at work the end may never come.
function beginAnew() {
  runs.byId.clear();
  threads.running.clear();
  timeline.clear();
}

function open(thread) {
  if (thread !== conversation.thread) conversation.open(thread);
  threads.show(thread);
  sessionStorage.setItem("thread", thread);
  // What was written and not answered yet, before a reload too.
  for (const [id, { frame }] of link.unanswered) {
    const { payload } = JSON.parse(frame);
    if ((payload.thread_id ?? thread) === thread) conversation.add(id, payload, named(payload.references));
  }
}

// The thread that the first message after a deletion was said in: what is shown stays.
function adopt(thread) {
  conversation.thread = thread;
  conversation.asOfSeq = link.session.lastSeq;
  threads.show(thread);
  sessionStorage.setItem("thread", thread);
}

function takeThreads(list) {
  threads.take(list, true);
  const isGone = list.next_before === null && !threads.nameOf(conversation.thread);
  // Another tab deleted what is shown: the session says where it is now.
  if (isGone && conversation.hasAnswers) loadHistory();
}

function takeHistory(history) {
  readAgain = 0;
  const isEarlier = history.message_id === asked.earlier;
  if (!isEarlier && history.message_id !== asked.history) return;
  if (history.thread_id !== conversation.thread) {
    if (isEarlier) return;
    // The one that was shown is gone: another tab deleted it.
    open(history.thread_id);
  }
  conversation.showHistory(history, link.session.id, isEarlier);
  for (const { run_id } of history.active_runs) threads.mark(history.thread_id, run_id, true);
}

function deleted(thread) {
  threads.forget(thread);
  if (thread !== conversation.thread) return;
  const next = threads.list[0];
  if (next) return ask("switch_thread", { thread_id: next.thread_id });
  // The session has an empty one by now, whose name comes with its first message.
  conversation.open(null);
  threads.show(null);
  sessionStorage.removeItem("thread");
}

// By another tab, while this one was at work in it: the session says where it is now. The end of the run comes first, and the
// deletion itself is not told.
function deletedElsewhere(thread) {
  if (thread === conversation.thread && thread !== asked.deletion) setTimeout(() => loadHistory(), READ_AGAIN);
}

// The server took what a run was told; the run takes it at its next step.
function told(id) {
  const { run, content } = steered.get(id) ?? {};
  steered.delete(id);
  if (!run) return;
  runs.steer(run, id, content, false);
  conversation.update(run);
  if (byId("content").value.trim() === content) draft("");
}

function refused({ reply_to, message, retryable, retry_after_ms }, words) {
  steered.delete(reply_to);
  decisions.get(reply_to)?.();
  decisions.delete(reply_to);
  // What is only read is read again.
  const read = { [asked.history]: () => loadHistory(), [asked.threads]: () => loadThreads() }[reply_to];
  if (read && retryable && readAgain < READ_AGAIN_MAX) {
    readAgain += 1;
    setTimeout(read, retry_after_ms ?? READ_AGAIN);
    return;
  }
  // The thread that this tab showed is gone with its session: the new one stands open.
  if (reply_to === asked.back) return;
  const isShown = conversation.refused(reply_to, message);
  // Of a thread that is not shown any more: its words are given back where they can be sent again.
  if (words && !isShown) {
    draft(`${byId("content").value}\n${words.content}`.trim());
    files.giveBack(named(words.references));
  }
  toast(sentence(message));
  loadThreads();
}

// A run of another tab or device began or ended.
function changedElsewhere({ thread_id, run_id, state }) {
  threads.mark(thread_id, run_id, ACTIVE.has(state));
  if (thread_id === conversation.thread) loadHistory();
  loadThreads();
}

// What is asked for.

// Asks for something that only makes sense while the line is there.
function ask(type, payload) {
  const id = link.send(type, payload);
  if (id === null) toast("There is no connection to the server now; try again once the page says “live”.");
  return id;
}

function loadHistory(before) {
  const id = link.send("get_thread_history", before ? { before } : {});
  if (before) asked.earlier = id;
  else asked.history = id;
}

let gathering = null;
function loadThreads(before) {
  if (before) {
    asked.moreThreads = link.send("list_threads", { before });
    return;
  }
  gathering ??= setTimeout(() => {
    gathering = null;
    asked.threads = link.send("list_threads", {});
  }, GATHER);
}

async function loadAgents() {
  if (byId("agent").options.length) return;
  try {
    const agents = await door.agents();
    const chosen = sessionStorage.getItem("agent");
    const isThere = agents.some(({ name }) => name === chosen);
    for (const { name, description, default: isDefault, steerable: takesSteering } of agents) {
      if (takesSteering) steerable.add(name);
      const selected = isThere ? name === chosen : isDefault;
      byId("agent").append(make("option", { value: name, title: description, selected }, name));
    }
  } catch (error) {
    toast(`The agents can't be listed: ${error.message}. The default one answers.`);
  }
}

// What a person does.

function say(content, agent, with_files = []) {
  if (byId("send").disabled) {
    toast("This page has stopped: reload it to go on.");
    return false;
  }
  const references = with_files.length ? with_files.map(({ document_id }) => document_id) : undefined;
  const payload = { content, agent: agent || undefined, thread_id: conversation.thread ?? undefined, references };
  try {
    conversation.add(link.deliver("user_message", payload), payload, with_files);
  } catch (refusal) {
    toast(refusal.message);
    return false;
  }
  return true;
}

// Once more: the same message where it was refused, the same words where the run came to nothing.
function again(turn) {
  // Dropped only once it is kept anew: it may be refused again, here, and its words must not go with it.
  const isRefused = turn.state === "refused";
  if (say(turn.content, turn.agent ?? byId("agent").value, turn.files) && isRefused) conversation.drop(turn);
}

// Tells the run at work something. The words stay in their field until the server has taken them.
function steer() {
  const content = byId("content").value.trim();
  const run = runs.get(conversation.atWork?.run);
  if (!content || !run) return;
  const id = ask("steer", { run_id: run.id, content });
  if (id) steered.set(id, { run, content });
}

function decide(call_id, decision, note, askAgain) {
  const id = ask("tool_decision", { call_id, decision, note: note || undefined });
  id ? decisions.set(id, askAgain) : askAgain();
}

// Of a message that is read back only the ids of its files are known.
const named = (references = []) => references.map((document_id) => ({ document_id, name: "a file" }));

function stop() {
  const reason = "on the page";
  if (link.isLive) return link.send("stop_agent", { reason });
  // Past a wedged socket.
  door.stop(link.session.id, reason).catch((error) => toast(sentence(error.message)));
}

function showStop() {
  byId("stop").disabled = !conversation.isAtWork;
  byId("steer").hidden = !steerable.has(runs.get(conversation.atWork?.run)?.agent);
}

function showState(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
  byId("state").title = text;
  // What is written while the line is cut is sent later; where the client has stopped, it never would be.
  byId("send").disabled = state === "stopped";
}

function signIn(why) {
  if (!link.isLive) showState("stopped", "signed out");
  const dialog = byId("sign-in");
  if (dialog.open) return;
  // Who was not asked before has done nothing wrong.
  byId("sign-in-why").textContent = door.isSignedIn() ? sentence(why) : "";
  byId("token").value = "";
  dialog.onclose = () => {
    // Left without a token, by Escape: nothing else leads back here while there is no line.
    if (!byId("token").value) return link.isLive || showState("stopped", "signed out; reload to sign in");
    door.signIn(byId("token").value);
    byId("token").value = "";
    link.signedIn();
  };
  dialog.showModal();
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

// Keeps what is being written, over a reload too.
function draft(text) {
  if (byId("content").value !== text) byId("content").value = text;
  sessionStorage.setItem("draft", text);
  fit();
}

function fit() {
  const field = byId("content");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = byId("content").value.trim();
  const with_files = files.taken();
  if (with_files === null) return toast("A file is still on its way: send the message once it has arrived.");
  if (!content || !say(content, byId("agent").value, with_files)) return;
  byId("content").value = "";
  sessionStorage.removeItem("draft");
  files.clear();
  fit();
});

byId("content").addEventListener("keydown", (event) => {
  // Enter also ends a word that is being composed from several keys.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});

byId("content").addEventListener("input", ({ target }) => draft(target.value));

byId("ideas").addEventListener("click", ({ target }) => {
  if (target.matches("button")) say(target.textContent, byId("agent").value);
});

byId("stop").addEventListener("click", stop);
byId("steer").addEventListener("click", steer);

byId("agent").addEventListener("change", ({ target }) => sessionStorage.setItem("agent", target.value));

// With the token goes what this tab keeps of the user.
byId("sign-out").addEventListener("click", () => {
  sessionStorage.clear();
  location.reload();
});

addEventListener("resize", fit);

// Other tabs and devices change the list too.
addEventListener("focus", () => link.isLive && loadThreads());

byId("content").value = sessionStorage.getItem("draft") ?? "";
fit();
timeline.begin();
files.begin(() => link.limits?.document_bytes);
link.start();
