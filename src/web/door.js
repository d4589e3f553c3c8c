// What is asked over HTTP: tickets, agents, documents, Markdown as HTML, a stop past a wedged socket.

// The token of a server that wants one. It stays in this tab.
let token = sessionStorage.getItem("token");

// How long an answer may take, in milliseconds. Beyond: it counts as none; a line that broke without a word brings none.
const ANSWERS_WITHIN = 15_000;

export function signIn(pasted) {
  token = pasted.trim();
  sessionStorage.setItem("token", token);
}

export const isSignedIn = () => token !== null;

// A refusal: what the server says to do, and how long to wait first.
export class Refusal extends Error {
  constructor(status, detail, wait) {
    super(detail);
    this.status = status;
    this.wait = wait;
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  const signal = AbortSignal.timeout(ANSWERS_WITHIN);
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (response.status === 204) return null;
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("retry-after") ?? 0) * 1_000;
  throw new Refusal(response.status, answer.detail ?? response.statusText, wait);
}

export const ticket = () => ask("POST", "/v1/tickets");
export const agents = () => ask("GET", "/v1/agents");
export const markdown = (texts) => ask("POST", "/v1/markdown", { texts });
export const stop = (session, reason) => ask("POST", `/v1/sessions/${session}/stop`, { reason });
export const documents = () => ask("GET", "/v1/documents");
export const forget = (document) => ask("DELETE", `/v1/documents/${document}`);

// Brings a file to the server, and tells how far it is: a share of one. No time is set for it: a slow line takes what it takes.
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/v1/documents?name=${encodeURIComponent(file.name)}`);
    if (token) request.setRequestHeader("authorization", `Bearer ${token}`);
    request.setRequestHeader("content-type", mediaType(file));
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.onload = () => {
      const { status, response } = request;
      if (status === 201) resolve(response);
      else reject(new Refusal(status, response?.detail ?? `the server said ${status}`, 0));
    };
    request.onerror = () => reject(new Error("the connection was cut; try again once the page says “live”"));
    request.send(file);
  });
}

// Some systems call a CSV file a spreadsheet, or nothing at all.
function mediaType({ name, type }) {
  const known = { csv: "text/csv", json: "application/json", md: "text/markdown", txt: "text/plain" };
  return known[name.split(".").pop().toLowerCase()] ?? (type || "text/plain");
}
