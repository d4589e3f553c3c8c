// What is known of each run from its events. Applying an event twice changes nothing: text goes by offsets, calls by id.

import { bytesOf } from "./dom.js";

// Runs that are kept for their tool calls and thoughts. Beyond: the oldest that has ended is forgotten, or where none has, the
// oldest: one of another tab, whose end is never told here.
const KEPT = 200;
// Pieces of a text behind a gap that are kept until a snapshot fills it. Beyond: the oldest goes, which the snapshot has by then.
const AHEAD_MAX = 100;
// Steps of a run that are kept. Beyond: later ones are only counted.
const STEPS_MAX = 400;

const ENDS = new Set(["agent_completed", "agent_error", "agent_stopped", "agent_death"]);

export class Runs {
  constructor() {
    this.byId = new Map();
  }

  get(id) {
    return this.byId.get(id);
  }

  // Takes an event in; gives back its run.
  take({ type, seq, thread_id, run_id, agent_name, payload }) {
    const run = this.open(run_id, thread_id, agent_name);
    for (let at = run; at; at = this.get(at.parent)) at.seq = seq;
    if (payload.erased) {
      // Its thread was deleted. That it ended is still told.
      if (ENDS.has(type)) end(run, type, seq, { reason: "its thread was deleted", message: "Its thread was deleted" });
      return run;
    }
    switch (type) {
      case "agent_started":
        this.begin(run, payload.parent_run_id);
        break;
      case "agent_thinking":
        addStep(run, { kind: "thought", key: seq, text: payload.reasoning });
        break;
      case "progress_update":
        addStep(run, { kind: "thought", key: seq, text: progress(payload) });
        break;
      case "tool_executing":
        addStep(run, callOf(payload.call_id, payload.tool_name, payload.parameters));
        break;
      case "tool_approval_requested":
        askForApproval(run, payload);
        break;
      case "tool_approval_decided":
        decide(run, payload);
        break;
      case "tool_completed":
        complete(run, payload);
        break;
      case "steering_applied":
        this.steer(run, payload.message_id, payload.content, true);
        break;
      case "budget_warning":
        addStep(run, { kind: "warning", key: seq, text: budget(payload) });
        break;
      case "workflow_started":
        beginWorkflow(run, seq, payload);
        break;
      case "step_started":
        atStep(run, payload, "running");
        break;
      case "step_completed":
        atStep(run, payload, payload.status);
        break;
      case "partial_result":
        addText(run, payload);
        break;
    }
    if (ENDS.has(type)) end(run, type, seq, payload);
    return run;
  }

  // A run whose first event was seen. A child stands in its parent: in the step that is at work for it, or by itself.
  begin(run, parent) {
    run.isBegun = true;
    if (!parent || run.parent) return;
    run.parent = parent;
    const above = this.open(parent, run.thread, null);
    const step = stepFor(above, run.agent);
    if (step) step.children.push(run);
    else addStep(above, { kind: "child", key: run.id, run });
  }

  // What the user told a run while it worked: taken by the server, then by the agent.
  steer(run, id, text, isApplied) {
    addStep(run, { kind: "steer", key: id, text, isApplied });
    if (isApplied) run.steps.find((step) => step.key === id && (step.isApplied = true));
  }

  // A call that waits for a person, as a snapshot tells it. Only the session that has its run takes a decision.
  takePending(pending, root, isElsewhere) {
    const run = this.get(pending.run_id) ?? this.open(pending.run_id, root.thread, pending.agent_name ?? "agent");
    if (run !== root) this.begin(run, root.id);
    askForApproval(run, { ...pending, isElsewhere });
  }

  // A run that ended where its events are not told.
  endedElsewhere(run) {
    for (const part of this.byId.values()) if (this.rootOf(part) === run) closeSteps(part);
  }

  // The run that answers the message for which this one works.
  rootOf(run) {
    let root = run;
    while (root.parent && this.get(root.parent)) root = this.get(root.parent);
    return root;
  }

  // A run at work as a snapshot tells it. One whose end came after the snapshot stays ended.
  takeActive(active, thread, asOfSeq) {
    const run = this.open(active.run_id, thread, active.agent_name);
    run.isBegun = true;
    if (run.end && run.end.seq <= asOfSeq) run.end = null;
    if (active.message_ref && bytesOf(active.text_so_far) >= run.bytes) {
      Object.assign(run, { ref: active.message_ref, text: active.text_so_far, bytes: bytesOf(active.text_so_far) });
      // What came between the snapshot and its arrival.
      for (const piece of run.ahead.splice(0)) addText(run, piece);
    }
    for (const { call_id, tool_name } of active.open_calls) addStep(run, callOf(call_id, tool_name, null));
    return run;
  }

  // The runs of a thread, oldest first.
  of(thread) {
    return [...this.byId.values()].filter((run) => run.thread === thread);
  }

  // The run, made where it is not known yet. `seq` is its last event, `bytes` the length of `text` in UTF-8, `ahead` what came
  // behind a gap in it, `parent` the run that began it, `workflows` those that it follows, the inner ones of others included.
  open(id, thread, agent) {
    if (!this.byId.has(id)) {
      const nothing = { seq: 0, steps: [], workflows: [], ref: null, text: "", bytes: 0, ahead: [], end: null, parent: null, isBegun: false };
      this.byId.set(id, { id, thread, agent, ...nothing });
      this.forget();
    }
    const run = this.byId.get(id);
    run.agent ??= agent;
    return run;
  }

  forget() {
    if (this.byId.size <= KEPT) return;
    const runs = [...this.byId.values()];
    this.byId.delete((runs.find(({ end }) => end) ?? runs[0]).id);
  }
}

// One that is there already (it was seen before a reload) is not added again.
function addStep(run, step) {
  if (run.steps.length < STEPS_MAX && !run.steps.some((known) => known.key === step.key)) run.steps.push(step);
}

const callOf = (id, tool, parameters) => ({ kind: "call", key: id, tool, parameters, status: "running", result: null });

function complete(run, { call_id, tool_name, status, result, truncated, execution_time_ms }) {
  addStep(run, callOf(call_id, tool_name, null));
  const call = run.steps.find((step) => step.key === call_id);
  if (call) Object.assign(call, { status, result, truncated, took: execution_time_ms });
}

function askForApproval(run, { call_id, tool_name, parameters = null, expires_at, isElsewhere = false }) {
  addStep(run, callOf(call_id, tool_name, parameters));
  const call = run.steps.find((step) => step.key === call_id);
  // After a reload its beginning may be gone: whoever decides must see what it would do.
  if (call) call.parameters ??= parameters;
  if (call?.status === "running") call.approval ??= { until: expires_at, decision: null, isElsewhere };
}

function decide(run, { call_id, decision, note }) {
  const call = run.steps.find((step) => step.key === call_id);
  if (call) call.approval = { ...call.approval, decision, note };
}

// Budgets are named by whose they are and what they count: `run.tokens`, `user.cost`.
function budget({ budget: name, used, limit }) {
  return `${Math.round((100 * used) / limit)} % of the budget ${name} is used: ${used} of ${limit}`;
}

// A workflow that begins while a step of another is at work is that step.
function beginWorkflow(run, seq, { workflow, steps }) {
  const key = `workflow ${seq}`;
  if (run.workflows.some((known) => known.key === key)) return;
  const waiting = steps.map((name) => ({ name, status: "waiting", children: [], inner: [] }));
  const begun = { kind: "workflow", key, name: workflow, steps: waiting };
  const step = stepFor(run, workflow);
  if (step) step.inner.push(begun);
  else addStep(run, begun);
  run.workflows.push(begun);
}

// The step of the newest workflow that has one of this name.
function atStep(run, { step, step_number }, status) {
  const workflows = run.workflows.toReversed();
  const [found] = workflows.flatMap(({ steps }) => steps.filter(({ name }) => name === step));
  const known = found ?? workflows[0]?.steps[step_number - 1];
  if (known) known.status = status;
}

// The step at work that a child, or a workflow within, is for: the one of its name, or else the newest that has none yet.
function stepFor(run, name) {
  const steps = run.workflows.toReversed().flatMap((workflow) => workflow.steps);
  const atWork = steps.filter(({ status }) => status === "running");
  const isFree = ({ children, inner }) => children.length + inner.length === 0;
  return atWork.find((step) => step.name === name) ?? atWork.find(isFree) ?? atWork[0];
}

function progress({ percentage, message }) {
  return percentage === undefined ? message : `${percentage} % ${message}`;
}

// Offsets count bytes of UTF-8: a piece that was seen is not appended twice, and one behind a gap waits for the snapshot.
function addText(run, piece) {
  const { message_ref, offset, content } = piece;
  if (run.ref !== message_ref && offset === 0) Object.assign(run, { ref: message_ref, text: "", bytes: 0 });
  if (run.ref !== message_ref || offset > run.bytes) {
    run.ahead.push(piece);
    if (run.ahead.length > AHEAD_MAX) run.ahead.shift();
    return;
  }
  if (offset < run.bytes) return;
  run.text += content;
  run.bytes += bytesOf(content);
}

function end(run, type, seq, payload) {
  run.end = { seq, ...outcome(type, payload) };
  run.ahead = [];
  if (type === "agent_completed") run.text = payload.result;
  else if ((payload.partial ?? "").length > run.text.length) run.text = payload.partial;
  closeSteps(run);
}

// What a run had begun and whose end was never told: the run is over, so nothing of it is at work any more.
function closeSteps(run) {
  for (const step of run.steps) if (step.status === "running") step.status = "unknown";
  for (const part of run.workflows.flatMap(({ steps }) => steps)) {
    if (part.status === "running") part.status = "unknown";
    else if (part.status === "waiting") part.status = "skipped";
  }
}

// What is said of an end, beside the answer.
function outcome(type, payload) {
  switch (type) {
    case "agent_completed":
      return { took: payload.execution_time_ms, usage: payload.usage };
    case "agent_error":
      return { trouble: payload.error_message };
    case "agent_stopped":
      return { trouble: `Stopped: ${payload.reason}`, discarded: payload.discarded_message_ids };
    case "agent_death":
      return { trouble: payload.message };
  }
}
