// Asks the server for texts as safe HTML: many at once, and each text once.

import { markdown } from "./door.js";
import { bytesOf } from "./dom.js";

// Texts that are kept as HTML. Beyond: the oldest is asked for again.
const KEPT = 300;
// Texts of one request, and their bytes: below what the server takes, with room for escapes.
const TEXTS_MAX = 100;
const BYTES_MAX = 200 * 1024;

const known = new Map();
let waiting = [];

// The HTML of a text; none where the server can't be asked, or the text is too long for it. One that still grows is not kept.
export function htmlOf(text, { grows = false } = {}) {
  if (known.has(text)) return Promise.resolve(known.get(text));
  if (bytesOf(text) > BYTES_MAX) return Promise.resolve(null);
  return new Promise((answer) => {
    waiting.push({ text, grows, answer });
    // What is asked for in the same breath goes in one request.
    if (waiting.length === 1) setTimeout(flush);
  });
}

async function flush() {
  const asked = waiting;
  waiting = [];
  for (const batch of batches(asked)) {
    let html = [];
    try {
      ({ html } = await markdown(batch.map(({ text }) => text)));
      batch.forEach(({ text, grows }, index) => grows || keep(text, html[index]));
    } catch {
      // The words are shown as they are.
    }
    batch.forEach(({ answer }, index) => answer(html[index] ?? null));
  }
}

function batches(asked) {
  const made = [[]];
  let bytes = 0;
  for (const one of asked) {
    const size = bytesOf(one.text);
    if (made.at(-1).length === TEXTS_MAX || bytes + size > BYTES_MAX) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1).push(one);
    bytes += size;
  }
  return made;
}

function keep(text, html) {
  known.set(text, html);
  if (known.size > KEPT) known.delete(known.keys().next().value);
}
