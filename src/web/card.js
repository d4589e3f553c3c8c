// A card for a tool call: arguments, result, time.

import { durationOf, make } from "./dom.js";

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

// Characters of an argument or a result in the card's line; the whole stands inside.
const GIST = 70;

export class Card {
  constructor(step) {
    this.state = make("span", { className: "state" });
    this.gist = make("span", { className: "gist" });
    this.input = make("pre", { className: "arguments", tabIndex: 0, ariaLabel: "Arguments", role: "region" });
    this.output = make("pre", { className: "result", tabIndex: 0, ariaLabel: "Result", role: "region" });
    const summary = make("summary", {}, make("b", {}, step.tool), this.gist, this.state);
    const label = (text) => make("p", { className: "label" }, text);
    this.node = make("details", { className: "tool", data: { call: step.key } }, summary, label("Arguments"), this.input);
    this.node.append(label("Result"), this.output);
    this.update(step);
  }

  update({ status, parameters, result, truncated, took }) {
    // Each event of a run asks every card, and an argument or a result may be long.
    if (status === this.status && parameters === this.parameters) return;
    Object.assign(this, { status, parameters });
    this.node.dataset.status = status;
    this.state.textContent = took === undefined ? SAYS[status] : `${SAYS[status]}, ${durationOf(took)}`;
    this.input.textContent = parameters === null ? "not known any more" : pretty(parameters);
    this.output.textContent = status === "running" ? "at work" : pretty(result) + (truncated ? "\n(cut at its limit)" : "");
    this.gist.textContent = parameters === null ? "" : short(parameters);
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
