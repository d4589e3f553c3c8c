// One message of the user with the run that answers it.

import { button, durationOf, make, timeOf } from "./dom.js";
import { Steps } from "./steps.js";
import { Words } from "./words.js";

export class Turn {
  // `state`: sending, refused, queued, running, elsewhere, ended.
  // `files` are the documents that the message names: {document_id, name}.
  constructor({ message = null, run = null, content = null, agent = null, files = [], at = null, state }, tools) {
    Object.assign(this, { message, run: null, content, agent, files, state: null, tools, ...tools });
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
    const names = this.files.map(({ name }) => name).join(", ");
    const files = names ? make("p", { className: "files" }, `with ${names}`) : null;
    return make("li", { className: "message", data: { role: "user" } }, who("You", at), words, files, this.note);
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
      this.steps.show(run);
      this.showEnd(run.end);
    });
    this.words.show(run.text, isOver);
    this.showProgress();
  }

  // Shows an answer of which the words alone are known, and of its run perhaps the beginning.
  showAnswer(content, isPartial, run) {
    this.become("ended");
    this.openReply(this.agent);
    if (run) this.steps.show(run);
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
    this.steps = new Steps(make("div", { className: "steps" }), this.tools);
    this.text = make("div", { className: "text" });
    this.words = new Words(this.text, this.follow);
    this.pulse = make("p", { className: "pulse" }, "working");
    this.end = make("div", { className: "ending" });
    this.reply = make(
      "li",
      { className: "message", data: { role: "assistant", run: this.run ?? "" } },
      who(agent ?? "agent"),
      this.steps.box,
      this.text,
      this.pulse,
      this.end,
    );
  }

  showEnd(end) {
    this.end.replaceChildren();
    if (!end) return;
    if (end.trouble) {
      this.end.append(make("p", { className: "end" }, end.trouble));
      if (this.content !== null) this.end.append(this.retryButton("Retry"));
    } else if (end.took !== undefined) {
      this.end.append(make("p", { className: "took" }, usageOf(end)));
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

// What a run took: its time, and what of the rest it used at all.
function usageOf({ took, usage = {} }) {
  const count = (number, word) => (number ? `${number.toLocaleString()} ${word}${number === 1 ? "" : "s"}` : null);
  const tokens = (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
  const cost = usage.cost_micros ? costOf(usage.cost_micros / 1e6) : null;
  const calls = [count(usage.model_calls, "model call"), count(usage.tool_calls, "tool call")];
  return [durationOf(took), ...calls, count(tokens, "token"), cost].filter((part) => part).join(" · ");
}

const costOf = (dollars) => (dollars < 0.000_05 ? "under $0.0001" : `$${dollars.toFixed(4)}`);

function who(name, at) {
  const time = at ? make("time", { dateTime: at }, timeOf(at)) : null;
  return make("p", { className: "who" }, make("b", {}, name), time);
}
