// One session over any number of sockets: it connects, resumes, backs off, and sends again what was not answered.

import { bytesOf, newId } from "./dom.js";
import * as door from "./door.js";

// Closes after which the client stops for good.
const FINAL = {
  1000: "ended; reload to begin anew",
  4001: "taken over by another tab; reload to go on here",
  4400: "too many faulty frames; reload to begin anew",
  4403: "access was revoked",
};
// Closes that what was sent has brought about: sent again, it would do so again.
const OURS = new Set([1002, 1007, 1009]);
// Closes after which the old session is useless: start anew.
const ANEW = new Set([4409, 4410]);
// Events taken before the server is told: it then need not keep them in memory.
const ACK_EVERY = 32;
// Events that are asked for once more after a reload, for the timeline and the tool cards.
const SEEN_AGAIN = 200;
// Messages that wait for an answer. Beyond: the next is refused here.
const UNANSWERED_MAX = 16;
// Tries of a message that the server is too busy for, and the wait where it names none, in milliseconds.
const TRIES = 5;
const RETRY_AFTER = 1_000;

// How long a live line may be silent before it is asked for a sign of life, and how long that may take, in milliseconds. A line
// that broke without a word (a laptop that slept, a network that changed) would otherwise look live for minutes.
const SILENT = 15_000;
const ANSWERS_WITHIN = 10_000;

// How long a line must have held for its loss to count as the first, in milliseconds: a server that greets and cuts is not asked
// ever again at once.
const SETTLED = 5_000;

const NOWHERE = { id: null, epoch: null, lastSeq: 0 };

export class Link {
  // Told of each frame in order and each event once, of the link's state, and that the server wants to know who this is.
  constructor({ onFrame, onState, onSignIn }) {
    Object.assign(this, { onFrame, onState, onSignIn });
    this.session = { ...NOWHERE };
    this.limits = null;
    // By id: {frame, tries}. Sent again on the next socket, after a reload too: the server knows each id, so that is harmless.
    this.unanswered = new Map(JSON.parse(sessionStorage.getItem("unanswered") ?? "[]"));
    this.socket = null;
    this.attempt = 0;
    this.cutSince = null;
    this.liveSince = NaN;
    this.timer = null;
    this.heardAt = 0;
    this.askedAt = 0;
  }

  async start() {
    const kept = JSON.parse(sessionStorage.getItem("session") ?? "null");
    if (kept?.id && (await holdAlone(kept.id))) {
      this.session = { ...kept, lastSeq: Math.max(0, kept.lastSeq - SEEN_AGAIN) };
    }
    this.acked = this.session.lastSeq;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    setInterval(() => this.listen(), ANSWERS_WITHIN / 2);
    await this.connect();
  }

  get isLive() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  async connect() {
    clearTimeout(this.timer);
    this.timer = null;
    this.say("connecting", "connecting");
    try {
      const pass = await door.ticket();
      const query = new URLSearchParams({ ticket: pass.ticket });
      if (this.session.id) {
        query.set("session_id", this.session.id);
        query.set("last_seq", this.session.lastSeq);
        if (this.session.epoch) query.set("epoch", this.session.epoch);
      }
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}/v1/session?${query}`, "sessile.v1");
      // One that was given up may speak, and end, much later.
      socket.onmessage = ({ data }) => socket === this.socket && this.receive(JSON.parse(data));
      socket.onclose = (close) => socket === this.socket && this.closed(close);
      this.socket = socket;
      this.heardAt = Date.now();
    } catch (error) {
      if (error.status === 401) return this.onSignIn(error.message);
      if (error.status === 403) return this.say("stopped", error.message);
      this.reconnect(error instanceof door.Refusal ? error.message : "the server is away", error.wait);
    }
  }

  // The same user, a little longer.
  async prolong() {
    try {
      const { ticket } = await door.ticket();
      this.send("refresh_token", { ticket });
    } catch (error) {
      if (error.status === 401) this.onSignIn(error.message);
      // Else the server cuts the line when the time has come, and the way back says what is wrong.
    }
  }

  // A person has shown a token.
  signedIn() {
    return this.socket === null ? this.connect() : this.prolong();
  }

  // Comes back at once where a person or the network says that it is worth trying.
  hurry() {
    if (this.timer === null) return;
    this.connect();
  }

  // Gives a line up that does not open, or does not answer. A hidden page's timers are rare: it is judged by what it was asked,
  // not by silence.
  listen() {
    const now = Date.now();
    const isOpening = this.socket?.readyState === WebSocket.CONNECTING;
    if (isOpening || (this.isLive && this.askedAt > this.heardAt)) {
      if (now - (isOpening ? this.heardAt : this.askedAt) < ANSWERS_WITHIN) return;
      this.socket.close();
      this.closed({ code: 1006, reason: "" });
    } else if (this.isLive && now - this.heardAt > SILENT) {
      this.askedAt = now;
      this.send("ping", {});
    }
  }

  closed({ code, reason }) {
    this.socket = null;
    if (code in FINAL) return this.say("stopped", FINAL[code]);
    if (ANEW.has(code)) this.remember(NOWHERE);
    if (OURS.has(code)) this.giveUp(`the server closed the connection over a message (${code}): write it another way, or less at once`);
    const wait = Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0);
    this.reconnect(wait ? "the server restarts" : "the connection was cut", wait);
  }

  // Full jitter from 0.25 s, capped at 5 s for the first minute and at 30 s after.
  reconnect(why, wait = 0) {
    if (Date.now() - this.liveSince >= SETTLED) {
      this.attempt = 0;
      this.cutSince = null;
    }
    this.liveSince = NaN;
    this.cutSince ??= Date.now();
    const cap = Date.now() - this.cutSince < 60_000 ? 5_000 : 30_000;
    const backOff = Math.random() * Math.min(cap, 250 * 2 ** Math.min(this.attempt++, 10));
    const pause = Math.max(wait, backOff);
    this.say("waiting", `${why}; again in ${(pause / 1_000).toFixed(1)} s`);
    this.timer = setTimeout(() => this.connect(), pause);
  }

  receive(frame) {
    this.heardAt = Date.now();
    const { type, seq, payload } = frame;
    if (seq) {
      // In order, each once.
      if (seq <= this.session.lastSeq) return;
      this.remember({ lastSeq: seq });
      if (seq - this.acked >= ACK_EVERY) this.acknowledge();
      return this.onFrame(frame);
    }
    switch (type) {
      case "connection_established":
        this.established(payload);
        break;
      case "message_accepted":
        this.settle(payload.message_id);
        break;
      case "resync":
        // What is between is gone: the snapshot stands for it.
        this.remember({ epoch: payload.epoch, lastSeq: payload.as_of_seq });
        this.acked = payload.as_of_seq;
        break;
      case "reauth_required":
        this.prolong();
        break;
      case "error":
        if (this.tryAgain(payload)) return;
        return this.refuse(frame);
    }
    this.onFrame(frame);
  }

  // Hands a refusal on, with what was refused.
  refuse(frame) {
    const refused = this.unanswered.get(frame.payload.reply_to);
    this.settle(frame.payload.reply_to);
    this.onFrame(frame, refused && JSON.parse(refused.frame).payload);
  }

  settle(id) {
    if (!this.unanswered.delete(id)) return;
    this.keepUnanswered();
    this.sendFirst();
  }

  // Counts everything that waits for an answer as refused.
  giveUp(message) {
    for (const reply_to of [...this.unanswered.keys()]) {
      this.refuse({ type: "error", payload: { reply_to, message, retryable: false } });
    }
  }

  keepUnanswered() {
    sessionStorage.setItem("unanswered", JSON.stringify([...this.unanswered]));
  }

  established({ session_id, epoch, head_seq, resumed, limits }) {
    this.remember({ id: session_id, epoch });
    holdAlone(session_id);
    if (!resumed) {
      this.remember({ lastSeq: head_seq });
      this.acked = head_seq;
    }
    this.limits = limits;
    this.liveSince = Date.now();
    this.say("live", "live");
    this.sendFirst();
  }

  // A refusal that time mends is tried again under the same id.
  tryAgain({ reply_to, retryable, retry_after_ms }) {
    const waiting = this.unanswered.get(reply_to);
    if (!retryable || !waiting || waiting.tries >= TRIES) return false;
    waiting.tries += 1;
    setTimeout(() => this.unanswered.has(reply_to) && this.sendFirst(), retry_after_ms ?? RETRY_AFTER);
    return true;
  }

  acknowledge() {
    this.acked = this.session.lastSeq;
    this.send("ack", { seq: this.acked });
  }

  // Sends what may be lost with the socket. Gives back its id; none where the line is cut.
  send(type, payload) {
    if (!this.isLive) return null;
    const id = newId();
    this.socket.send(JSON.stringify({ type, message_id: id, payload }));
    return id;
  }

  // Sends what has to arrive: now, or once the line is back. Throws a sentence where it can't.
  deliver(type, payload) {
    const id = newId();
    const frame = JSON.stringify({ type, message_id: id, payload });
    const [size, most] = [bytesOf(frame), this.limits?.frame_bytes ?? Infinity];
    if (size > most) {
      const kib = (bytes) => `${Math.ceil(bytes / 1024)} KiB`;
      throw new Error(`This message has ${kib(size)}, and ${kib(most)} go in one: send it in parts.`);
    }
    if (this.unanswered.size >= UNANSWERED_MAX) {
      throw new Error("Too many messages wait for the connection: send this one once it is back.");
    }
    this.unanswered.set(id, { frame, tries: 0 });
    this.keepUnanswered();
    if (this.unanswered.size === 1) this.sendFirst();
    return id;
  }

  // One at a time: a message that has to be sent again keeps its place before the next.
  sendFirst() {
    const [first] = this.unanswered.values();
    if (first && this.isLive) this.socket.send(first.frame);
  }

  remember(change) {
    Object.assign(this.session, change);
    sessionStorage.setItem("session", JSON.stringify(this.session));
  }

  say(state, text) {
    this.onState(state, text);
  }
}

// A tab that was duplicated has a copy of the other's storage: only one of them goes on in the session, the other begins its
// own. Without locks (plain HTTP from another machine) the later one takes over.
const held = new Set();
// How long a page that is being left may take to let go, in milliseconds.
const LETS_GO = 500;
function holdAlone(session) {
  if (!navigator.locks || held.has(session)) return Promise.resolve(true);
  return new Promise((answer) => {
    const hold = () => {
      held.add(session);
      answer(true);
      // Held until the tab goes.
      return new Promise(() => {});
    };
    const signal = AbortSignal.timeout(LETS_GO);
    navigator.locks.request(`session:${session}`, { signal }, hold).catch(() => answer(false));
  });
}
