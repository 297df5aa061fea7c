// Questions to the server: the bytes of a picture go out, a document comes back.

const TOKEN = document.querySelector('meta[name="ilk-token"]').content;
let gallery = { noun: "picture", is_whole: true, max_bytes: Infinity, classes: [], num_classes: 0 };

class Refused extends Error {
  constructor(what, todo = "", code = "") { super(what); this.todo = todo; this.code = code; }
}

async function ask(what, values = {}, body = "") {
  const address = `/api/${what}?${new URLSearchParams(values)}`;
  let reply;
  try {
    reply = await fetch(address, { method: "POST", headers: { "X-Ilk-Token": TOKEN }, body, cache: "no-store" });
  } catch {
    throw new Refused("The server does not answer.", "Start `ilk serve` again, then load this page anew.");
  }
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(told.what || `The server refused this (${reply.status}).`, told.do || "", told.code);
  return told;
}

// A few at a time, in the order in which they came.
const waiting = [];
let running = 0;

function inTurn(work) {
  return new Promise((resolve, reject) => { waiting.push([work, resolve, reject]); next(); });
}

function next() {
  if (running >= 2 || !waiting.length) return;
  const [work, resolve, reject] = waiting.shift();
  running += 1;
  work().then(resolve, reject).finally(() => { running -= 1; next(); });
}
