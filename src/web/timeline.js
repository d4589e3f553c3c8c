// Every event of the session with its number, newest first.

import { byId, make } from "./dom.js";

// Events that are listed. Beyond: the oldest goes; the page must not grow without end.
const LISTED = 500;
// Where there is room, the pane is open from the start.
const WIDE = matchMedia("(min-width: 1200px)");

export function begin() {
  const kept = localStorage.getItem("timeline");
  show(kept ? kept === "open" : WIDE.matches);
  byId("toggle-timeline").addEventListener("click", () => {
    const open = byId("timeline").hidden;
    localStorage.setItem("timeline", open ? "open" : "closed");
    show(open);
  });
  byId("timeline").addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    show(false);
    byId("toggle-timeline").focus();
  });
}

function show(open) {
  byId("timeline").hidden = !open;
  byId("toggle-timeline").setAttribute("aria-expanded", open);
}

export function note(frame) {
  const { seq, type, agent_name, timestamp } = frame;
  const summary = make("summary", {}, make("b", {}, seq), make("span", {}, type), make("i", {}, gist(frame)));
  const details = make("details", {}, summary);
  details.addEventListener(
    "toggle",
    () => details.append(make("pre", { tabIndex: 0 }, JSON.stringify(frame, null, 2))),
    { once: true },
  );
  summary.title = `${agent_name} at ${timestamp}`;
  const list = byId("events");
  list.prepend(make("li", { data: { seq, type } }, details));
  list.start = seq;
  while (list.childElementCount > LISTED) list.lastElementChild.remove();
}

// A word on what an event says.
function gist({ payload }) {
  const { tool_name, status, reasoning, step, workflow, decision, content, result, name, reason, message } = payload;
  if (payload.erased) return "erased";
  if (payload.is_complete && !content) return "(end of the text)";
  if (step ?? workflow) return status ? `${step ?? workflow}: ${status}` : (step ?? workflow);
  if (decision) return decision;
  if (tool_name) return status ? `${tool_name}: ${status}` : tool_name;
  return String(reasoning ?? content ?? result ?? payload.error_message ?? reason ?? name ?? message ?? "").slice(0, 60);
}

// Another session begins.
export function clear() {
  byId("events").replaceChildren();
}
