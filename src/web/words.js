// The words of an answer: as they come, then as HTML from the server.

import { button, copy, make } from "./dom.js";
import { htmlOf } from "./markdown.js";
import { toast } from "./toasts.js";

// How often a growing text is rendered at most, in milliseconds, and how much slower than the server answers: a server that stood
// still for a minute does not hold the words back for longer.
const PAUSE = 400;
const SLOWER = 4;
const PAUSE_MAX = 2_000;
// A growing text beyond this many characters is shown as it is until it is whole.
const GROWING_MAX = 32 * 1024;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Words {
  // `follow` makes each change, so that a list can follow it.
  constructor(box, follow) {
    this.box = box;
    this.follow = follow;
    this.text = "";
    this.isWhole = false;
    this.isPainting = false;
  }

  show(text, isWhole) {
    if (this.text === text && this.isWhole === isWhole && (!isWhole || this.isRendered)) return;
    if (this.text !== text) delete this.box.dataset.rendered;
    Object.assign(this, { text, isWhole });
    if (!this.box.hasChildNodes()) this.follow(() => this.plain(text));
    if (text && !this.isPainting) this.paint();
  }

  get isRendered() {
    return "rendered" in this.box.dataset;
  }

  // Each round shows what is there by then; the last one shows the whole.
  async paint() {
    this.isPainting = true;
    for (let shown = null; shown !== this.text || (this.isWhole && !this.isRendered); ) {
      const { text, isWhole } = this;
      const begun = performance.now();
      const html = isWhole || text.length <= GROWING_MAX ? await htmlOf(text, { grows: !isWhole }) : null;
      if (text !== this.text && isWhole) continue;
      this.follow(() => (html === null ? this.plain(text) : this.rendered(html, isWhole)));
      shown = text;
      // Without an answer from the server the words stay as they are until somebody asks again.
      if (isWhole) break;
      await pause(Math.min(PAUSE_MAX, Math.max(PAUSE, SLOWER * (performance.now() - begun))));
    }
    this.isPainting = false;
  }

  plain(text) {
    this.box.classList.add("plain");
    this.box.textContent = text;
  }

  rendered(html, isWhole) {
    this.box.classList.remove("plain");
    // The one place where HTML is taken: the server has cleaned it.
    this.box.innerHTML = html;
    for (const table of this.box.querySelectorAll("table")) {
      const frame = make("div", { className: "table", tabIndex: 0, role: "region", ariaLabel: "Table" });
      table.replaceWith(frame);
      frame.append(table);
    }
    for (const box of this.box.querySelectorAll("input")) box.ariaLabel = box.checked ? "done" : "to do";
    for (const code of this.box.querySelectorAll("pre")) {
      code.tabIndex = 0;
      if (isWhole) withCopy(code);
    }
    if (isWhole) this.box.dataset.rendered = "";
  }
}

function withCopy(code) {
  const language = /language-(\S+)/.exec(code.firstElementChild?.className ?? "")?.[1] ?? "";
  const label = button("Copy", async () => {
    try {
      await copy(code.textContent);
      label.textContent = "Copied";
    } catch (error) {
      toast(`The code could not be copied: ${error.message}. Select it and copy it by hand.`);
    }
    setTimeout(() => (label.textContent = "Copy"), 2_000);
  }, { className: "copy", ariaLabel: "Copy code" });
  const frame = make("div", { className: "code" }, make("div", { className: "bar" }, make("span", {}, language), label));
  code.replaceWith(frame);
  frame.append(code);
}
