// Who is enrolled, what is promised, and how to take the last enrollment back.

const enrolledHere = [];

async function loadGallery() {
  try {
    gallery = await ask("gallery");
  } catch (error) {
    alertAbout(error.message, error.todo);
    return;
  }
  byId("title").textContent = gallery.noun === "face" ? "Who is this?" : "What is this?";
  byId("promise").textContent = `${gallery.name}. ${gallery.promise || sentence(`No names are given yet: ${gallery.reason}`)}`;
  byId("told").textContent = gallery.told || gallery.reason;
  byId("crops").textContent = gallery.keeps_crops
    ? "Enrolling keeps a small picture in the gallery."
    : "Enrolling keeps numbers that describe the picture, not the picture.";
  const things = gallery.noun === "face" ? (gallery.num_classes === 1 ? "person" : "people") : gallery.num_classes === 1 ? "class" : "classes";
  byId("count").textContent = gallery.num_classes ? `${gallery.num_classes.toLocaleString("en")} ${things}` : `${gallery.noun === "face" ? "Nobody" : "Nothing"} yet: ask about a picture, then give a name.`;
  byId("classes").replaceChildren(...gallery.classes.map((row) => element("li", {},
    element("span", { text: row.label }), element("span", { class: "soft", text: counted(row.num, "example") }))));
  byId("labels").replaceChildren(...gallery.classes.map((row) => element("option", { value: row.label })));
  showLast();
}

function showLast() {
  const last = enrolledHere.at(-1);
  byId("last").hidden = !last;
  if (last) byId("last-told").textContent = `Last enrolled: ${last.label}, from ${last.name}.`;
}

async function undoLast() {
  const last = enrolledHere.at(-1);
  if (!last) return;
  byId("undo").disabled = true;
  try {
    await ask("undo", { call: last.call });
    enrolledHere.pop();
    say(`${last.label}, from ${last.name}, is taken back.`);
  } catch (error) {
    if (error.code === "nothing_to_undo") enrolledHere.pop();
    alertAbout(error.message, error.todo);
  }
  byId("undo").disabled = false;
  await loadGallery();
  if (last.again) await last.again();
}

byId("undo").addEventListener("click", undoLast);
