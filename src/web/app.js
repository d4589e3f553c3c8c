// A plain client of sessile.v1: gets a ticket, keeps one session over any number of sockets, shows what arrives.

const byId = (id) => document.getElementById(id);

// Events that the list keeps: the page must not grow without end either.
const EVENTS_KEPT = 500;
// Closes after which the client stops for good.
const FINAL = {
  1000: "ended; reload to begin anew",
  4001: "taken over by another tab; reload to take it back",
  4400: "too many faulty frames",
  4403: "revoked",
};
// Closes after which the old session is useless: start anew.
const ANEW = new Set([4409, 4410]);
const ENDS = new Set(["agent_completed", "agent_error", "agent_stopped", "agent_death"]);

// Events taken before the server is told: it then need not keep them in memory.
const ACK_EVERY = 32;
// How near its end a list must be to follow what is added, in pixels.
const NEAR_END = 80;

// Kept over a reload, in this tab alone: the session goes on, and what was said is asked for again.
const NOWHERE = { id: null, epoch: null, lastSeq: 0 };
const session = { ...NOWHERE, ...JSON.parse(sessionStorage.getItem("session") ?? "null") };
// Events that wait for the history of a session that was there before this page.
let held = session.id ? [] : null;
let acked = session.lastSeq;
const runs = new Map();
// Messages sent and not answered, by id: sent again on the next socket. The server knows each id, so that is harmless.
const unanswered = new Map();
let socket = null;
let cutSince = null;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Not crypto.randomUUID: that is missing where the page came over plain HTTP from another machine.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

function remember(change) {
  Object.assign(session, change);
  sessionStorage.setItem("session", JSON.stringify(session));
}

function showName(id, text) {
  byId(id).textContent = text;
  byId(id).title = text;
}

// Adds to a list that is followed only while its end is in view: who reads further up is not pulled away.
function follow(change) {
  const list = byId("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
  change();
  if (atEnd) toEnd();
}

function toEnd() {
  byId("messages").scrollTop = byId("messages").scrollHeight;
}

function showState(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
  // What is written while the line is cut is sent later; where the client has stopped, it never would be.
  byId("send").disabled = state === "stopped";
}

// The connection.

async function ticket() {
  const response = await fetch("/v1/tickets", { method: "POST" });
  const body = await response.json();
  if (response.ok) return body;
  const wait = Number(response.headers.get("retry-after"));
  throw Object.assign(new Error(body.detail || response.statusText), {
    wait: wait ? wait * 1000 : 0,
    // Asking again would not help: the server wants a token, and this page has none.
    refused: response.status === 401 || response.status === 403,
  });
}

async function connect() {
  showState("waiting", "connecting");
  try {
    const pass = await ticket();
    showName("user", pass.user_id);
    if (!byId("agent").options.length) await loadAgents();
    const query = new URLSearchParams({ ticket: pass.ticket });
    if (session.id) {
      query.set("session_id", session.id);
      query.set("last_seq", session.lastSeq);
      if (session.epoch) query.set("epoch", session.epoch);
    }
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/v1/session?${query}`, "sessile.v1");
    socket.onmessage = (message) => receive(message.data);
    socket.onclose = closed;
  } catch (error) {
    if (error.refused) return showState("stopped", error.message);
    reconnect(error.wait === undefined ? "the server is away" : error.message, error.wait);
  }
}

function closed({ code, reason }) {
  socket = null;
  if (code in FINAL) return showState("stopped", FINAL[code]);
  if (ANEW.has(code)) {
    remember(NOWHERE);
    held = null;
  }
  const wait = Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0);
  reconnect(wait ? "the server restarts" : reason || "the connection was cut", wait);
}

// Full jitter from 0.25 s, capped at 5 s for the first minute and at 30 s after.
let attempt = 0;
function reconnect(why, wait = 0) {
  cutSince ??= Date.now();
  const cap = Date.now() - cutSince < 60_000 ? 5_000 : 30_000;
  const backOff = Math.random() * Math.min(cap, 250 * 2 ** Math.min(attempt++, 10));
  const pause = Math.max(wait, backOff);
  showState("waiting", `${why}; again in ${(pause / 1000).toFixed(1)} s`);
  setTimeout(connect, pause);
}

function send(type, payload) {
  const id = newId();
  const frame = JSON.stringify({ type, message_id: id, payload });
  transmit(frame);
  return { id, frame };
}

function transmit(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(frame);
}

function answered(id) {
  unanswered.get(id)?.box.classList.remove("waiting");
  unanswered.delete(id);
}

// A refusal that time mends is tried again, under the same id.
function retry(id, wait) {
  setTimeout(() => unanswered.has(id) && transmit(unanswered.get(id).frame), wait);
}

function acknowledge() {
  if (session.lastSeq - acked < ACK_EVERY && runs.size > 0) return;
  acked = session.lastSeq;
  send("ack", { seq: acked });
}

// What arrives.

function receive(data) {
  const frame = JSON.parse(data);
  note(frame, data);
  if (frame.seq) return held ? held.push(frame) : take(frame);
  const { payload } = frame;
  switch (frame.type) {
    case "connection_established":
      established(payload);
      break;
    case "message_accepted":
      answered(payload.message_id);
      break;
    case "thread_created":
    case "thread_switched":
      showName("thread", payload.thread_id);
      break;
    case "resync":
    case "thread_history":
      showHistory(payload);
      break;
    case "reauth_required":
      ticket().then((pass) => send("refresh_token", { ticket: pass.ticket }), () => {});
      break;
    case "error":
      if (payload.retryable && unanswered.has(payload.reply_to)) {
        retry(payload.reply_to, payload.retry_after_ms ?? 1_000);
      } else {
        answered(payload.reply_to);
      }
      showError(payload);
      break;
  }
}

function established(payload) {
  remember({ id: payload.session_id, epoch: payload.epoch });
  if (!payload.resumed) {
    remember({ lastSeq: payload.head_seq });
    acked = payload.head_seq;
  }
  showName("session", payload.session_id);
  showName("thread", payload.thread_id);
  attempt = 0;
  cutSince = null;
  showState("live", "live");
  if (held) send("get_thread_history", {});
  for (const { frame } of unanswered.values()) transmit(frame);
}

// An event: in order, each once.
function take(frame) {
  if (frame.seq <= session.lastSeq) return;
  remember({ lastSeq: frame.seq });
  byId("seq").textContent = frame.seq;
  if (!frame.payload.erased) follow(() => showEvent(frame));
  acknowledge();
}

// A snapshot, and only what comes after it.
function showHistory(history) {
  byId("messages").replaceChildren();
  runs.clear();
  remember({ epoch: history.epoch ?? session.epoch, lastSeq: history.as_of_seq });
  byId("seq").textContent = session.lastSeq;
  for (const message of [...history.messages].reverse()) {
    const box = addMessage(message.role, message.role === "user" ? "you" : message.role);
    box.append(element("div", "text", message.content));
  }
  for (const active of history.active_runs) {
    const run = runOf(active);
    showText(run, { message_ref: active.message_ref, offset: 0, content: active.text_so_far });
  }
  byId("stop").disabled = runs.size === 0;
  toEnd();
  const waiting = held ?? [];
  held = null;
  waiting.forEach(take);
}

function showEvent({ type, run_id, agent_name, payload }) {
  const run = runOf({ run_id, agent_name });
  switch (type) {
    case "agent_thinking":
      run.steps.append(element("div", "step", payload.reasoning));
      break;
    case "progress_update":
      run.steps.append(element("div", "step", `${payload.percentage ?? "…"} % ${payload.message}`));
      break;
    case "tool_executing":
      run.steps.append(element("div", "call", `${payload.tool_name}(${JSON.stringify(payload.parameters)})`));
      break;
    case "tool_completed":
      run.steps.append(element("div", "call", `→ ${payload.status}: ${JSON.stringify(payload.result)}`));
      break;
    case "partial_result":
      showText(run, payload);
      break;
    case "agent_completed":
      run.text.textContent = payload.result;
      break;
    case "agent_error":
    case "agent_stopped":
    case "agent_death":
      run.box.append(element("div", "end", payload.error_message ?? payload.reason ?? payload.message ?? type));
      break;
  }
  if (ENDS.has(type)) runs.delete(run_id);
  byId("stop").disabled = runs.size === 0;
}

// Offsets count bytes of UTF-8: a piece that was seen is not appended twice.
function showText(run, { message_ref, offset, content }) {
  if (run.ref !== message_ref) Object.assign(run, { ref: message_ref, bytes: 0 });
  if (offset === 0) run.text.textContent = "";
  if (offset > 0 && offset !== run.bytes) return;
  run.text.append(content);
  run.bytes = offset + new TextEncoder().encode(content).length;
}

function runOf({ run_id, agent_name }) {
  if (!runs.has(run_id)) {
    const box = addMessage("agent", agent_name);
    const steps = box.appendChild(element("div", "steps"));
    const text = box.appendChild(element("div", "text"));
    runs.set(run_id, { box, steps, text, ref: null, bytes: 0 });
  }
  return runs.get(run_id);
}

function addMessage(role, who) {
  const box = element("li", `message ${role}`);
  box.append(element("div", "who", who));
  byId("messages").append(box);
  return box;
}

function showError({ code, message }) {
  follow(() => addMessage("error", code).append(element("div", "end", message)));
}

// The raw frames, newest first.
function note(frame, data) {
  const entry = element("li");
  const details = entry.appendChild(element("details"));
  const summary = details.appendChild(element("summary"));
  summary.append(element("b", "", frame.seq ?? "·"), frame.type);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(element("pre", "", JSON.stringify(JSON.parse(data), null, 2)));
    }
  });
  byId("events").prepend(entry);
  while (byId("events").childElementCount > EVENTS_KEPT) byId("events").lastElementChild.remove();
}

// What a person does.

async function loadAgents() {
  const response = await fetch("/v1/agents");
  if (!response.ok) return;
  for (const agent of await response.json()) {
    const option = element("option", "", agent.name);
    option.value = agent.name;
    option.title = agent.description;
    option.selected = agent.default;
    byId("agent").append(option);
  }
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = byId("content").value.trim();
  if (!content || byId("send").disabled) return;
  const { id, frame } = send("user_message", { content, agent: byId("agent").value || undefined });
  const box = addMessage("user waiting", "you");
  box.append(element("div", "text", content));
  toEnd();
  unanswered.set(id, { frame, box });
  byId("content").value = "";
});

byId("content").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    byId("composer").requestSubmit();
  }
});

byId("stop").addEventListener("click", () => send("stop_agent", { reason: "stopped on the page" }));

connect();
