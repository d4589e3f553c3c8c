// A plain client of sessile.v1: gets a ticket, keeps one session over any number of sockets, shows what arrives.

const byId = (id) => document.getElementById(id);

// Events that the list keeps: the page must not grow without end either.
const EVENTS_KEPT = 500;
// Closes after which the client stops for good.
const FINAL = { 1000: "ended", 4001: "taken over by another tab", 4400: "too many faulty frames", 4403: "revoked" };
// Closes after which the old session is useless: start anew.
const ANEW = new Set([4409, 4410]);
const ENDS = new Set(["agent_completed", "agent_error", "agent_stopped", "agent_death"]);

const session = { id: null, epoch: null, lastSeq: 0 };
const runs = new Map();
// Messages sent and not answered: sent again on the next socket. The server knows each id, so that is harmless.
const unanswered = new Map();
let socket = null;
let cutSince = null;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function showState(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
}

// The connection.

async function ticket() {
  const response = await fetch("/v1/tickets", { method: "POST" });
  const body = await response.json();
  if (response.ok) return body;
  const wait = Number(response.headers.get("retry-after"));
  throw Object.assign(new Error(body.detail || response.statusText), { wait: wait ? wait * 1000 : 0 });
}

async function connect() {
  showState("waiting", "connecting");
  try {
    const pass = await ticket();
    byId("user").textContent = pass.user_id;
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
    reconnect(error.message, error.wait);
  }
}

function closed({ code, reason }) {
  socket = null;
  if (code in FINAL) return showState("stopped", FINAL[code]);
  if (ANEW.has(code)) Object.assign(session, { id: null, epoch: null, lastSeq: 0 });
  const wait = Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0);
  reconnect(reason || `cut (${code})`, wait);
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

function send(type, payload, id = crypto.randomUUID()) {
  const frame = JSON.stringify({ type, message_id: id, payload });
  if (socket?.readyState === WebSocket.OPEN) socket.send(frame);
  return [id, frame];
}

// What arrives.

function receive(data) {
  const frame = JSON.parse(data);
  note(frame, data);
  if (frame.seq) {
    if (frame.seq <= session.lastSeq) return;
    session.lastSeq = frame.seq;
    byId("seq").textContent = frame.seq;
    send("ack", { seq: frame.seq });
    showEvent(frame);
    return;
  }
  const { payload } = frame;
  switch (frame.type) {
    case "connection_established":
      Object.assign(session, { id: payload.session_id, epoch: payload.epoch });
      if (!payload.resumed) session.lastSeq = payload.head_seq;
      byId("session").textContent = payload.session_id;
      byId("thread").textContent = payload.thread_id;
      attempt = 0;
      cutSince = null;
      showState("live", "live");
      for (const waiting of unanswered.values()) socket.send(waiting);
      break;
    case "message_accepted":
      unanswered.delete(payload.message_id);
      break;
    case "thread_created":
    case "thread_switched":
      byId("thread").textContent = payload.thread_id;
      break;
    case "resync":
      showHistory(payload);
      break;
    case "error":
      if (!payload.retryable) unanswered.delete(payload.reply_to);
      showError(payload);
      break;
  }
}

function showHistory(history) {
  byId("messages").replaceChildren();
  runs.clear();
  session.epoch = history.epoch ?? session.epoch;
  session.lastSeq = history.as_of_seq;
  for (const message of [...history.messages].reverse()) {
    const box = addMessage(message.role, message.role);
    box.append(element("div", "text", message.content));
  }
  for (const run of history.active_runs) {
    runOf(run).said = run.text_so_far;
    runOf(run).ref = run.message_ref;
    runOf(run).text.textContent = run.text_so_far;
  }
}

function showEvent({ type, run_id, agent_name, payload }) {
  const run = runOf({ run_id, agent_name });
  switch (type) {
    case "agent_thinking":
      run.steps.append(element("div", "step", payload.reasoning));
      break;
    case "tool_executing":
      run.steps.append(element("div", "call", `${payload.tool_name}(${JSON.stringify(payload.parameters)})`));
      break;
    case "tool_completed":
      run.steps.append(element("div", "call", `${payload.tool_name} ${payload.status}: ${JSON.stringify(payload.result)}`));
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
  byId("messages").lastElementChild?.scrollIntoView({ block: "end" });
}

// Offsets count bytes of UTF-8: a piece that was seen is not appended twice.
function showText(run, { message_ref, offset, content }) {
  if (run.ref !== message_ref) Object.assign(run, { ref: message_ref, said: "" });
  const said = new TextEncoder().encode(run.said);
  run.said = new TextDecoder().decode(said.slice(0, offset)) + content;
  run.text.textContent = run.said;
}

function runOf({ run_id, agent_name }) {
  if (!runs.has(run_id)) {
    const box = addMessage("agent", agent_name);
    const steps = box.appendChild(element("div", "steps"));
    const text = box.appendChild(element("div", "text"));
    runs.set(run_id, { box, steps, text, ref: null, said: "" });
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
  const box = addMessage("error", code);
  box.append(element("div", "end", message));
  box.scrollIntoView({ block: "end" });
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
  if (!content) return;
  const [id, frame] = send("user_message", { content, agent: byId("agent").value || undefined });
  unanswered.set(id, frame);
  addMessage("user", "you").append(element("div", "text", content));
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
