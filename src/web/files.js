// Files for the next message: dropped or chosen, brought to the server, and named in the message by their ids.

import { button, byId, make } from "./dom.js";
import * as door from "./door.js";
import { toast } from "./toasts.js";

// Files of one message, as the protocol has it.
const FILES_MAX = 32;

// Those that the server has: {document_id, name}. They outlive a reload, as the words that are being written do.
let ready = JSON.parse(sessionStorage.getItem("files") ?? "[]");
// Names of those on their way, by key, with how far they are.
const coming = new Map();

export function begin(limitOf) {
  const choose = byId("choose-files");
  byId("attach").addEventListener("click", () => choose.click());
  choose.addEventListener("change", () => {
    bring(choose.files, limitOf);
    choose.value = "";
  });
  const main = document.querySelector("main");
  const holdsFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  main.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    main.classList.add("drop");
  });
  main.addEventListener("dragleave", ({ relatedTarget }) => main.contains(relatedTarget) || main.classList.remove("drop"));
  main.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    main.classList.remove("drop");
    bring(event.dataTransfer.files, limitOf);
  });
  byId("show-files").addEventListener("click", list);
  show();
}

// The files of the message that is being written; none while one is still on its way.
export function taken() {
  return coming.size === 0 ? ready : null;
}

export function clear() {
  keep([]);
}

// Given back with the words of a refused message.
export function giveBack(files) {
  keep([...ready, ...files.filter(({ document_id }) => !ready.some((file) => file.document_id === document_id))]);
}

function bring(files, limitOf) {
  for (const file of files) {
    const most = limitOf() ?? Infinity;
    if (ready.length + coming.size >= FILES_MAX) return toast(`A message names at most ${FILES_MAX} files.`);
    if (file.size > most) {
      toast(`${file.name} has ${mebibytes(file.size)}, and a document has at most ${mebibytes(most)}: bring a part of it.`);
    } else bringOne(file);
  }
}

async function bringOne(file) {
  const key = Symbol(file.name);
  const tell = (share) => {
    coming.set(key, `${file.name}, ${Math.round(100 * share)} %`);
    show();
  };
  tell(0);
  try {
    const { document_id, name } = await door.upload(file, tell);
    coming.delete(key);
    keep([...ready, { document_id, name }]);
  } catch (error) {
    coming.delete(key);
    show();
    toast(`${file.name} was not taken: ${error.message}.`);
  }
}

function keep(files) {
  ready = files;
  sessionStorage.setItem("files", JSON.stringify(files));
  show();
}

function show() {
  const taken = ready.map((file) => {
    const leave = () => keep(ready.filter((other) => other !== file));
    return make("li", {}, file.name, button("×", leave, { ariaLabel: `Leave ${file.name} out` }));
  });
  const onTheirWay = [...coming.values()].map((text) => make("li", { className: "coming" }, text));
  byId("files").replaceChildren(...taken, ...onTheirWay);
}

// All documents of the user, with what can be done with them.
async function list() {
  try {
    const { documents } = await door.documents();
    const entries = documents.map((document) => entry(document));
    byId("documents").replaceChildren(...(entries.length ? entries : [make("li", {}, "There are none yet.")]));
    if (!byId("all-files").open) byId("all-files").showModal();
  } catch (error) {
    toast(`Your files can't be listed: ${error.message}.`);
  }
}

function entry({ document_id, name, bytes }) {
  const attach = button("Use", () => {
    giveBack([{ document_id, name }]);
    byId("all-files").close();
    byId("content").focus();
  }, { ariaLabel: `Use ${name} in the next message` });
  const forget = button("Delete", async () => {
    try {
      await door.forget(document_id);
    } catch (error) {
      return toast(`${name} was not deleted: ${error.message}.`);
    }
    keep(ready.filter((file) => file.document_id !== document_id));
    list();
  }, { ariaLabel: `Delete ${name}` });
  return make("li", {}, make("span", {}, `${name}, ${Math.ceil(bytes / 1024).toLocaleString()} KiB`), attach, forget);
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
