// What a run did on the way to its answer: thoughts, tool calls, workflows with their steps, child runs.

import { Card } from "./card.js";
import { make } from "./dom.js";
import { Words } from "./words.js";

const SAYS = { waiting: "waits", running: "at work", completed: "done", failed: "failed", skipped: "left out", unknown: "not ended" };

export class Steps {
  // `tools` is what is handed on: {follow, onDecide}.
  constructor(box, tools) {
    Object.assign(this, { box, tools });
    this.shown = new Map();
  }

  show(run) {
    for (const step of run.steps) {
      if (!this.shown.has(step.key)) {
        const made = this.make(step);
        this.shown.set(step.key, made);
        this.box.append(made.node);
      }
      this.shown.get(step.key).update(step);
    }
  }

  make(step) {
    switch (step.kind) {
      case "call":
        return new Card(step, this.tools);
      case "workflow":
        return new Workflow(step, this.tools);
      case "child":
        return new Child(step.run, this.tools);
      case "steer":
        return new Told(step);
      default:
        return { node: make("p", { className: step.kind === "warning" ? "warning" : "thinking" }, step.text), update() {} };
    }
  }
}

// What the user told the run while it worked.
class Told {
  constructor({ text }) {
    this.state = make("span", { className: "state" });
    this.node = make("p", { className: "told" }, make("b", {}, "You, meanwhile: "), text, " ", this.state);
  }

  update({ isApplied }) {
    this.state.textContent = isApplied ? "taken into account" : "waits for the next step";
  }
}

// The steps of a workflow, as a list that shows how far it is.
class Workflow {
  constructor({ name, steps }, tools) {
    this.parts = steps.map((step) => new Part(step, tools));
    const list = make("ol", { className: "parts" }, ...this.parts.map(({ node }) => node));
    this.node = make("section", { className: "workflow", ariaLabel: `Steps of ${name}` }, list);
  }

  update({ steps }) {
    steps.forEach((step, place) => this.parts[place].update(step));
  }
}

class Part {
  constructor({ name }, tools) {
    Object.assign(this, { name, tools });
    this.workflows = new Map();
    this.children = new Map();
    this.state = make("span", { className: "state" });
    this.inside = make("div");
    this.node = make("li", {}, make("p", {}, make("b", {}, name.replaceAll("_", " ")), " ", this.state), this.inside);
  }

  update({ status, children, inner }) {
    this.node.dataset.status = status;
    this.state.textContent = SAYS[status] ?? status;
    for (const workflow of inner) {
      if (!this.workflows.has(workflow.key)) {
        this.workflows.set(workflow.key, new Workflow(workflow, this.tools));
        this.inside.append(this.workflows.get(workflow.key).node);
      }
      this.workflows.get(workflow.key).update(workflow);
    }
    for (const run of children) {
      if (!this.children.has(run.id)) {
        this.children.set(run.id, new Child(run, this.tools, run.agent === this.name ? "its work" : run.agent));
        this.inside.append(this.children.get(run.id).node);
      }
      this.children.get(run.id).update({ run });
    }
  }
}

// A child run: open while it works, closed once it is done, unless a person chose otherwise.
class Child {
  constructor(run, tools, label = run.agent) {
    this.steps = new Steps(make("div", { className: "steps" }), tools);
    this.text = make("div", { className: "text" });
    this.words = new Words(this.text, tools.follow);
    this.trouble = make("p", { className: "end", hidden: true });
    this.label = make("span", {}, label);
    const summary = make("summary", { onclick: () => (this.isChosen = true) }, this.label);
    this.node = make("details", { className: "child", open: run.end === null, data: { run: run.id } }, summary);
    this.node.append(this.steps.box, this.text, this.trouble);
    this.node.addEventListener("toggle", () => this.run && this.say());
  }

  update({ run }) {
    const hasEnded = run.end !== null && this.run && !this.hadEnded;
    this.hadEnded = run.end !== null;
    this.run = run;
    this.steps.show(run);
    const asks = run.steps.some(({ approval, status }) => approval?.decision === null && status === "running");
    if (asks) this.node.open = true;
    else if (hasEnded && !this.isChosen) this.node.open = false;
    this.trouble.hidden = !run.end?.trouble;
    this.trouble.textContent = run.end?.trouble ?? "";
    this.say();
  }

  // Words that nobody sees are not laid out.
  say() {
    if (this.node.open && this.run.text) this.words.show(this.run.text, this.run.end !== null);
  }
}
