// A card for a tool call: arguments, result, time, and a person's decision where the tool asks for one.

import { button, durationOf, make, timeOf } from "./dom.js";

const SAYS = {
  running: "at work",
  ok: "done",
  error: "failed",
  timeout: "took too long",
  denied: "not allowed",
  cancelled: "cancelled",
  panicked: "broke down",
  unknown: "outcome unknown",
};

const DECIDED = { approve: "Approved", deny: "Denied", expired: "Nobody decided in time" };

// Characters of an argument or a result in the card's line; the whole stands inside.
const GIST = 70;

export class Card {
  constructor(step, { onDecide }) {
    this.decide = (decision) => {
      for (const control of this.approval.querySelectorAll("button")) control.disabled = true;
      onDecide(step.key, decision, this.note.value.trim(), () => this.ask());
    };
    this.approval = make("div", { className: "approval", hidden: true });
    this.state = make("span", { className: "state" });
    this.gist = make("span", { className: "gist" });
    this.input = make("pre", { className: "arguments", tabIndex: 0, ariaLabel: "Arguments", role: "region" });
    this.output = make("pre", { className: "result", tabIndex: 0, ariaLabel: "Result", role: "region" });
    const summary = make("summary", {}, make("b", {}, step.tool), this.gist, this.state);
    const label = (text) => make("p", { className: "label" }, text);
    this.node = make("details", { className: "tool", data: { call: step.key } }, summary, label("Arguments"), this.input);
    this.node.append(this.approval, label("Result"), this.output);
    this.update(step);
  }

  update({ status, parameters, result, truncated, took, approval = null }) {
    // Each event of a run asks every card, and an argument or a result may be long.
    if (status === this.status && parameters === this.parameters && approval === this.asked) return;
    Object.assign(this, { status, parameters, asked: approval });
    if (approval) this.ask();
    this.node.dataset.status = status;
    const isAsked = status === "running" && approval?.decision === null;
    this.state.textContent = isAsked ? "waits for you" : took === undefined ? SAYS[status] : `${SAYS[status]}, ${durationOf(took)}`;
    this.input.textContent = parameters === null ? "not known any more" : pretty(parameters);
    this.output.textContent = status === "running" ? "at work" : pretty(result) + (truncated ? "\n(cut at its limit)" : "");
    this.gist.textContent = parameters === null ? "" : short(parameters);
  }

  // Asks for a decision, or tells the one that was made.
  ask() {
    const { until, decision, note, isElsewhere } = this.asked;
    this.approval.hidden = false;
    if (decision !== null || this.status !== "running") {
      const said = DECIDED[decision] ?? (isElsewhere ? "Decided where it was asked" : "Not decided before the run ended");
      return this.approval.replaceChildren(make("p", {}, note ? `${said}: ${note}` : said));
    }
    this.node.open = true;
    if (isElsewhere) {
      const where = "It waits for you in the tab or on the device where it was asked: approve or deny it there.";
      return this.approval.replaceChildren(make("p", {}, where));
    }
    this.note ??= make("input", { ariaLabel: "A word on why", placeholder: "A word on why, if you like", maxLength: 200 });
    const buttons = [
      button("Approve", () => this.decide("approve"), { className: "approve" }),
      button("Deny", () => this.decide("deny"), { className: "deny" }),
    ];
    const question = make("p", {}, `The agent asks to do exactly this. It waits for you until ${timeOf(until)}.`);
    this.approval.replaceChildren(question, this.note, ...buttons);
  }
}

function pretty(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function short(parameters) {
  const values = Object.values(parameters ?? {}).map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  const text = values.join(", ");
  return text.length > GIST ? `${text.slice(0, GIST)}…` : text;
}
