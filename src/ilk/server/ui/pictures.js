// One card per picture: the picture with its boxes, the answers, and the form that gives a name.

const MOST_CARDS = 60;
const LEAST_SHOWN = 420; // pixels of the longer side
const MANY = 12; // answers that go below the picture, in columns

// Draw the answers over a picture of width x height pixels; `choose` is called with a number.
function drawBoxes(layer, told, choose) {
  const { width, height } = told;
  layer.replaceChildren(...told.answers.flatMap((answer, at) => {
    const box = answer.region ? answer.region.box : gallery.is_whole ? [0, 0, width, height] : null;
    if (!box) return [];
    const [x1, y1, x2, y2] = [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(width, box[2]), Math.min(height, box[3])];
    const options = { class: `box ${answer.decision}` };
    if (choose) Object.assign(options, { type: "button", "aria-pressed": "false", "data-at": at, tabindex: "-1", onclick: () => choose(at) });
    const made = element(choose ? "button" : "div", options, element("span", { class: "tag" },
      element("span", { text: told.answers.length > 1 ? `${at + 1} ` : "" }), element("span", { class: "said", text: said(answer) })));
    const share = (value, of) => `${(100 * value) / of}%`;
    Object.assign(made.style, { left: share(x1, width), top: share(y1, height), width: share(x2 - x1, width), height: share(y2 - y1, height) });
    made.classList.toggle("inside", y2 > height * 0.93);
    made.classList.toggle("right", x1 > width * 0.7);
    return [made];
  }));
  fitTags(layer, told.width);
}

// Where boxes are narrow and many, a tag is the number alone, unless there is a name to tell.
function fitTags(layer, width) {
  const shown = layer.clientWidth || width;
  for (const box of layer.children) {
    const pixels = (parseFloat(box.style.width) / 100) * shown;
    const least = box.classList.contains("identified") ? 34 : 70;
    box.classList.toggle("small", pixels < least && layer.childElementCount > 1);
  }
}

function rail(answer, threshold) {
  if (answer.distance === null || !threshold || !(threshold.value > 0)) return [];
  const limit = element("span", { class: "limit" }), dot = element("span", { class: "dot" });
  limit.style.left = "50%";
  dot.style.left = `${Math.min(100, (50 * answer.distance) / threshold.value)}%`;
  return [element("span", { class: "rail", "aria-hidden": "true" }, limit, dot)];
}

class Picture {
  constructor(file, name) {
    this.file = file;
    this.name = name;
    this.chosen = null;
    this.address = URL.createObjectURL(file);
    const id = `picture-${(Picture.count = (Picture.count || 0) + 1)}`;
    this.image = element("img", { src: this.address, alt: name, onerror: () => this.frame.classList.add("unseen"), onload: () => this.enlarge() });
    this.layer = element("div", { class: "boxes", "aria-hidden": "true" }); // the list says the same
    this.frame = element("div", { class: "frame" }, this.image, this.layer);
    this.list = element("ol", { class: "answers" });
    this.promises = element("div", { class: "promises" });
    this.told = element("p", { class: "told", role: "status" });
    this.form = this.makeForm(id);
    const close = element("button", { type: "button", class: "quiet", text: "Close", "aria-label": `Close ${name}`, onclick: () => this.close() });
    this.card = element("article", { class: "picture", "aria-labelledby": id },
      element("div", { class: "head" }, element("h2", { id, text: name }), close),
      this.both = element("div", { class: "both" }, this.frame, element("div", {}, this.list, this.told, this.promises)));
    new ResizeObserver(() => fitTags(this.layer, 0)).observe(this.frame);
  }

  makeForm(id) {
    this.question = element("label", { for: `${id}-label` });
    this.input = element("input", { type: "text", id: `${id}-label`, list: "labels", maxlength: "500", autocomplete: "off", required: "" });
    this.button = element("button", { class: "first", text: "Enroll" });
    const form = element("form", { class: "naming" }, this.question, element("div", { class: "line" }, this.input, this.button));
    form.hidden = true;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.enroll(); });
    return form;
  }

  // What is small is shown larger, as far as it helps to see and to click.
  enlarge() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const scale = LEAST_SHOWN / Math.max(width, height);
    if (scale > 1) this.image.style.width = `${Math.round(width * scale)}px`;
  }

  async look() {
    this.told.textContent = "Looking ...";
    try {
      this.show(await inTurn(() => ask("identify", { name: this.name }, this.file)));
      this.told.textContent = "";
    } catch (error) {
      this.told.textContent = "";
      this.list.replaceChildren(element("li", { class: "not_assessable" }, element("p", { class: "who", text: "not assessable" }), element("p", { class: "why", text: `${sentence(error.message)} ${error.todo}` })));
      this.frame.hidden = true;
      this.both.classList.add("unread");
      if (error.code !== "unreadable") alertAbout(error.message, error.todo);
    }
  }

  show(told) {
    this.answers = told.answers;
    this.both.classList.toggle("many", told.answers.length > MANY);
    this.frame.classList.toggle("unseen", this.image.complete && !this.image.naturalWidth);
    if (this.frame.classList.contains("unseen")) this.frame.style.aspectRatio = `${told.width} / ${told.height}`;
    this.image.alt = `${this.name}: ${told.answers.map(said).join(", ")}`;
    drawBoxes(this.layer, told, (at) => this.choose(at, true));
    this.list.replaceChildren(...told.answers.map((answer, at) => element("li", { class: answer.decision }, this.row(answer, at, told.threshold))));
    this.promises.replaceChildren(...told.promises.map((text) => element("p", { text })));
    this.choose(told.answers.length === 1 ? 0 : null, false);
    say(`${this.name}: ${summed(told.answers)}.`);
  }

  row(answer, at, threshold) {
    const lines = [element("span", { class: "number", text: `${at + 1}` }), element("span", { class: "who", text: said(answer) }), element("span", { class: "why", text: answer.reason }), ...rail(answer, threshold)];
    return element("button", { type: "button", class: "row", "aria-pressed": "false", onclick: () => this.choose(at, true) }, ...lines);
  }

  // Which region is meant is always said by a person, or there is only one.
  choose(at, isAsked) {
    this.chosen = at;
    const answer = at === null ? null : this.answers[at];
    [...this.list.querySelectorAll(".row")].forEach((row, i) => row.setAttribute("aria-pressed", i === at));
    [...this.layer.children].forEach((box) => box.setAttribute("aria-pressed", at !== null && box.dataset.at === `${at}`));
    const canEnroll = answer !== null && (answer.decision !== "not_assessable" || answer.code === "not_calibrated");
    this.form.hidden = !canEnroll;
    if (!canEnroll) {
      if (answer && isAsked) this.told.textContent = sentence(`This cannot be enrolled: ${answer.reason}`);
      return;
    }
    this.list.children[at].append(this.form);
    this.told.textContent = "";
    const which = this.answers.length > 1 ? `${capital(gallery.noun)} ${at + 1}` : `This ${gallery.noun}`;
    this.question.textContent = `${which} is`;
    this.input.value = answer.label || "";
    if (isAsked) this.input.focus();
  }

  async enroll() {
    const label = this.input.value.trim(), at = this.chosen, answer = this.answers[at];
    if (!label) return;
    const values = { name: this.name, label };
    if (answer.region) values.box = answer.region.box.join(",");
    this.button.disabled = true;
    let told = "";
    try {
      const done = await inTurn(() => ask("enroll", values, this.file));
      told = done.answer.is_enrolled ? `Enrolled as ${label}.` : sentence(`Not enrolled: ${done.answer.reason}`);
      if (done.answer.is_enrolled) {
        enrolledHere.push({ call: done.call, label, name: this.name, again: () => this.look() });
        if (done.answer.reason) told += sentence(` Look at it: ${done.answer.reason}`);
        await loadGallery();
        await this.look();
        const row = this.list.querySelectorAll(".row")[at];
        if (row) row.focus();
      }
    } catch (error) {
      alertAbout(error.message, error.todo);
    }
    this.button.disabled = false;
    this.told.textContent = told;
    if (told) say(told);
  }

  close() {
    URL.revokeObjectURL(this.address);
    this.card.remove();
    byId("pictures").focus();
  }
}

function addPicture(file, name) {
  if (file.size > gallery.max_bytes) {
    alertAbout(`${name} has ${counted(file.size, "byte")}; at most ${counted(gallery.max_bytes, "byte")} are taken.`, "Choose a smaller copy of it.");
    return;
  }
  const picture = new Picture(file, name), pictures = byId("pictures");
  pictures.prepend(picture.card);
  picture.look();
  while (pictures.childElementCount > MOST_CARDS) pictures.lastElementChild.remove();
}
