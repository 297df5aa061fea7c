// Elements of the page. Text is set as text, never as markup.

const byId = (id) => document.getElementById(id);

function element(kind, options = {}, ...children) {
  const made = document.createElement(kind);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function alertAbout(what, todo = "") {
  const text = element("div", {}, element("strong", { text: what }), todo);
  const shown = element("div", { class: "alert" }, text);
  const close = element("button", { type: "button", class: "quiet", text: "Close", onclick: () => shown.remove() });
  shown.append(close);
  const alerts = byId("alerts");
  alerts.append(shown);
  while (alerts.childElementCount > 4) alerts.firstElementChild.remove();
}

const say = (text) => { byId("status").textContent = text; };
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : noun.endsWith("x") ? "es" : "s"}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const KINDS = { identified: "", ambiguous: "ambiguous", unknown: "unknown", not_assessable: "not assessable" };

// What is said of one answer: the name, or why there is none.
function said(answer) {
  if (answer.decision === "identified") return answer.label;
  if (answer.code === "not_calibrated") return "no name yet";
  if (answer.decision !== "ambiguous") return KINDS[answer.decision];
  return `ambiguous: ${answer.candidates.slice(0, 2).map((c) => c.label).join(" or ")}`;
}

// A sentence of the server ends in a full stop here.
const sentence = (text) => (text && !/[.!?]$/.test(text) ? `${text}.` : text);

// What one picture comes to, in a few words.
function summed(answers) {
  if (answers.length === 1) return said(answers[0]);
  const named = answers.filter((answer) => answer.label !== null).length;
  return `${named} of ${counted(answers.length, gallery.noun)} ${named === 1 ? "has" : "have"} a name`;
}
