// The list of threads: which there are, which is shown, and in which something goes on.

import { button, byId, make } from "./dom.js";

export class Threads {
  constructor({ onOpen, onCreate, onRename, onDelete, onMore }) {
    Object.assign(this, { onOpen, onRename, onDelete });
    // Newest first: {thread_id, name, updated_at}.
    this.list = [];
    this.current = null;
    // Runs at work, by thread.
    this.running = new Map();
    byId("new-thread").addEventListener("click", () => this.leaveDrawer(onCreate));
    byId("more-threads").addEventListener("click", () => onMore(this.before));
    byId("toggle-threads").addEventListener("click", () => this.openDrawer(!this.isOpen));
    byId("threads-panel").addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.isOpen) return;
      this.openDrawer(false);
      byId("toggle-threads").focus();
    });
    document.addEventListener("click", ({ target }) => {
      if (this.isOpen && target.id !== "toggle-threads" && !target.closest("#threads-panel, dialog")) this.openDrawer(false);
    });
  }

  // A page of the list. The first page takes the place of its part of what was shown; a later one goes on from there.
  take({ threads, next_before }, isFirst) {
    const ids = new Set(threads.map(({ thread_id }) => thread_id));
    const others = this.list.filter(({ thread_id }) => !ids.has(thread_id));
    const last = threads.at(-1)?.updated_at;
    const older = isFirst && next_before !== null ? others.filter(({ updated_at }) => updated_at <= last) : [];
    this.list = isFirst ? [...threads, ...older] : [...others, ...threads];
    if (older.length === 0) this.before = next_before;
    byId("more-threads").hidden = this.before === null;
    this.render();
  }

  forget(id) {
    this.list = this.list.filter(({ thread_id }) => thread_id !== id);
    this.running.delete(id);
    this.render();
  }

  rename(id, name) {
    const thread = this.list.find(({ thread_id }) => thread_id === id);
    if (thread) thread.name = name;
    this.render();
  }

  show(id) {
    this.current = id;
    this.render();
  }

  // A run began or ended in a thread.
  mark(thread, run, isActive) {
    const runs = this.running.get(thread) ?? new Set();
    isActive ? runs.add(run) : runs.delete(run);
    runs.size ? this.running.set(thread, runs) : this.running.delete(thread);
    const item = byId("threads").querySelector(`[data-thread="${thread}"]`);
    if (item) showRunning(item, runs.size > 0);
  }

  nameOf(id) {
    return this.list.find(({ thread_id }) => thread_id === id)?.name;
  }

  render() {
    byId("title").textContent = this.nameOf(this.current) ?? "New thread";
    const list = byId("threads");
    // An entry that is being renamed, or has the focus, stays as it is.
    if (list.querySelector("input")) return;
    const focus = document.activeElement?.closest?.("#threads li")?.dataset.thread;
    const control = focus && document.activeElement.className;
    list.replaceChildren(...this.list.map((thread) => this.entry(thread)));
    if (focus) list.querySelector(`[data-thread="${focus}"] .${control}`)?.focus();
  }

  entry({ thread_id, name }) {
    const isCurrent = thread_id === this.current;
    const open = button(name, () => this.leaveDrawer(() => this.onOpen(thread_id)), { className: "thread", title: name });
    if (isCurrent) open.setAttribute("aria-current", "true");
    const item = make(
      "li",
      { data: { thread: thread_id } },
      open,
      button("", () => this.edit(item, thread_id, name), { className: "rename", title: "Rename", ariaLabel: `Rename ${name}` }),
      button("", () => this.confirm(thread_id, name), { className: "delete", title: "Delete", ariaLabel: `Delete ${name}` }),
    );
    showRunning(item, this.running.has(thread_id));
    return item;
  }

  edit(item, id, name) {
    const field = make("input", { value: name, maxLength: 200, ariaLabel: "Name of the thread" });
    let isDone = false;
    const done = (isSaved) => {
      // Taking the field away takes its focus, which would save it once more.
      if (isDone) return;
      isDone = true;
      const renamed = field.value.trim();
      field.remove();
      // Without a connection nothing is asked, and it keeps its name.
      if (isSaved && renamed && renamed !== name && this.onRename(id, renamed) !== null) this.rename(id, renamed);
      else this.render();
    };
    const leave = (isSaved) => {
      done(isSaved);
      byId("threads").querySelector(`[data-thread="${id}"] .rename`)?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      leave(event.key === "Enter");
    });
    field.addEventListener("blur", () => done(true));
    item.replaceChildren(field);
    field.select();
  }

  confirm(id, name) {
    const dialog = byId("confirm");
    byId("confirm-text").textContent = `Delete “${name}” with all that was said in it?`;
    dialog.returnValue = "no";
    dialog.onclose = () => {
      if (dialog.returnValue !== "yes") return;
      this.onDelete(id);
      byId(this.isOpen ? "new-thread" : "content").focus();
    };
    dialog.showModal();
  }

  // On a phone the list lies over the conversation.

  get isOpen() {
    return document.body.classList.contains("drawer");
  }

  openDrawer(open) {
    document.body.classList.toggle("drawer", open);
    byId("toggle-threads").setAttribute("aria-expanded", open);
    // What lies below can't be reached by keyboard either.
    document.querySelector("main").inert = open;
    if (open) byId("new-thread").focus();
  }

  leaveDrawer(then) {
    this.openDrawer(false);
    then();
  }
}

function showRunning(item, isRunning) {
  item.toggleAttribute("data-running", isRunning);
  const open = item.querySelector(".thread");
  if (open) open.ariaDescription = isRunning ? "An agent is at work here" : null;
}
