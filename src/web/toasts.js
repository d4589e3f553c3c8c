// Says what went wrong, and what to do about it.

import { button, byId, make } from "./dom.js";

// How long a toast stays while nobody looks at it, in milliseconds. One that is pointed at or has the focus stays.
const STAYS = 12_000;
// Toasts at once. Beyond: the oldest goes.
const KEPT = 4;

export function toast(text) {
  for (const shown of byId("toasts").children) {
    // Said already: a retry that fails the same way is no news.
    if (shown.firstChild.textContent === text) return;
  }
  const box = make("div", { className: "toast" }, make("p", {}, text));
  const leave = () => box.remove();
  box.append(button("Dismiss", leave));
  const isHeld = () => box.matches(":hover, :focus-within");
  const timer = setInterval(() => {
    if (isHeld() && box.isConnected) return;
    clearInterval(timer);
    leave();
  }, STAYS);
  byId("toasts").append(box);
  while (byId("toasts").childElementCount > KEPT) byId("toasts").firstElementChild.remove();
}
