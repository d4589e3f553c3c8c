// One message of the user with the run that answers it.

import { Card } from "./card.js";
import { button, durationOf, make, timeOf } from "./dom.js";
import { Words } from "./words.js";

export class Turn {
  // `state`: sending, refused, queued, running, elsewhere, ended.
  constructor({ message = null, run = null, content = null, agent = null, at = null, state }, { onRetry, follow }) {
    Object.assign(this, { message, run: null, content, agent, state: null, onRetry, follow });
    this.steps = new Map();
    this.said = content === null ? null : this.userNode(content, at);
    this.reply = null;
    if (run) this.answeredBy(run);
    this.become(state);
  }

  get nodes() {
    return [this.said, this.reply].filter((node) => node !== null);
  }

  get isAtWork() {
    return this.state === "running" || this.state === "queued";
  }

  userNode(content, at) {
    this.note = make("p", { className: "note" });
    const words = make("div", { className: "text plain" }, content);
    return make("li", { className: "message", data: { role: "user" } }, who("You", at), words, this.note);
  }

  // The message that began it, of which the answer alone was known.
  asks({ message_id, content, created_at }) {
    if (this.said) return;
    Object.assign(this, { message: message_id, content, said: this.userNode(content, created_at) });
    this.said.dataset.run = this.run;
    this.become(this.state);
  }

  // The server has taken the message: this run answers it.
  answeredBy(run) {
    if (this.run) return;
    this.run = run;
    if (this.said) this.said.dataset.run = run;
  }

  become(state, why = "") {
    this.state = state;
    if (!this.said) return;
    this.said.dataset.state = state;
    const notes = {
      sending: "waits to be sent",
      refused: why,
      queued: "waits for the answer before it",
    };
    this.note.replaceChildren(notes[state] ?? "");
    if (state === "refused") this.note.append(this.retryButton("Send again"));
  }

  retryButton(label) {
    return button(label, () => this.onRetry(this), { className: "retry" });
  }

  // Shows a run as far as it is known.
  showRun(run) {
    const isOver = run.end !== null;
    if (isOver) this.become("ended");
    this.openReply(run.agent);
    this.follow(() => {
      for (const step of run.steps) this.showStep(step);
      this.showEnd(run.end);
    });
    this.words.show(run.text, isOver);
    this.showProgress();
  }

  // Shows an answer of which the words alone are known.
  showAnswer(content, isPartial) {
    this.become("ended");
    this.openReply(this.agent);
    this.words.show(content, true);
    if (isPartial) this.showEnd({ trouble: "This run ended before its time." });
    this.showProgress();
  }

  // Nothing is known but that it is over.
  showNothing() {
    this.become("ended");
    this.openReply(this.agent);
    this.showEnd({ trouble: "This run ended without an answer." });
    this.showProgress();
  }

  openReply(agent) {
    if (this.reply) return;
    this.stepList = make("div", { className: "steps" });
    this.text = make("div", { className: "text" });
    this.words = new Words(this.text, this.follow);
    this.pulse = make("p", { className: "pulse" }, "working");
    this.end = make("div", { className: "ending" });
    this.reply = make(
      "li",
      { className: "message", data: { role: "assistant", run: this.run ?? "" } },
      who(agent ?? "agent"),
      this.stepList,
      this.text,
      this.pulse,
      this.end,
    );
  }

  showStep(step) {
    const known = this.steps.get(step.key);
    if (known) {
      if (step.kind === "call") known.update(step);
      return;
    }
    const shown = step.kind === "call" ? new Card(step) : { node: make("p", { className: "thinking" }, step.text) };
    this.steps.set(step.key, shown);
    this.stepList.append(shown.node);
  }

  showEnd(end) {
    this.end.replaceChildren();
    if (!end) return;
    if (end.trouble) {
      this.end.append(make("p", { className: "end" }, end.trouble));
      if (this.content !== null) this.end.append(this.retryButton("Retry"));
    } else if (end.took !== undefined) {
      this.end.append(make("p", { className: "took" }, durationOf(end.took)));
    }
  }

  showProgress() {
    const isAtWork = this.state === "running";
    this.pulse.hidden = !isAtWork;
    // A screen reader reads the answer once it is whole, not each piece of it.
    this.reply.setAttribute("aria-busy", isAtWork);
  }

  repaint() {
    if (this.state === "ended" && this.words && !this.words.isRendered) this.words.show(this.words.text, true);
  }
}

function who(name, at) {
  const time = at ? make("time", { dateTime: at }, timeOf(at)) : null;
  return make("p", { className: "who" }, make("b", {}, name), time);
}
