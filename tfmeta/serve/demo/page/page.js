// The page: pads of the classes and of the query, what the network says of them, and its notices.

import { createAnswers } from "./answers.js";
import { NoAnswer, isReady, percent, predict } from "./client.js";
import { createCurve } from "./curve.js";
import { exampleTask } from "./examples.js";
import { isStrange } from "./outliers.js";
import { Pad } from "./pad.js";

const LETTERS = ["A", "B", "C", "D", "E"]; // the model's five classes
const [FIRST_CLASSES, FEWEST_CLASSES] = [3, 2];
const [USUAL_STEPS, MAX_STEPS] = [5, 10]; // the shipped model is evaluated after 5 steps
const SPEAK_AFTER = 800; // milliseconds without a change, lest a screen reader never stops
const LOOK_AGAIN_AFTER = 2000; // milliseconds, while the server cannot be reached
const DRAWING_TIME = 1600; // milliseconds in which an example's query is drawn

const byId = (id) => document.getElementById(id);

let classes = []; // {letter, pad, element}, in the order of letters
let query = null;
let example = null; // {letter, frame}: the class that an example's query was drawn from
let shown = null; // the answer that is on the page
let apiKey = "";
let steps = USUAL_STEPS;
let [speaking, looking] = [null, null];

const curve = createCurve(byId("curve"), MAX_STEPS);
const answers = createAnswers({
  predict: (drawing, count, signal) => predict(drawing, count, { apiKey, signal }),
  onAnswer: showAnswer,
  onCurve: (known) => shown && curve.draw(known, steps, shown.drawing.classes),
  onError: showError,
  maxSteps: MAX_STEPS,
});

function createPad(letter, name) {
  const element = byId("pad-template").content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  element.classList.add(`class-${letter.toLowerCase() || "query"}`);
  find(".badge").textContent = letter || "?";
  find(".pad-name").textContent = name;
  find(".hint").textContent = "Draw here";
  find(".drawing").setAttribute("aria-label", letter ? `Example of class ${letter}` : "Query");
  const pad = new Pad(find(".drawing"), find(".preview"), (since) => {
    element.classList.toggle("drawn", pad.strokes.length > 0);
    find(".undo").disabled = find(".clear").disabled = pad.strokes.length === 0;
    ask(since);
  });
  // Whoever starts to draw is no longer looking at the example.
  for (const event of ["pointerdown", "keydown"]) element.addEventListener(event, endExample);
  for (const name of ["undo", "clear"]) {
    const button = find(`.${name}`);
    button.disabled = true;
    const what = letter ? `example of class ${letter}` : "query";
    button.setAttribute("aria-label", `${button.textContent} ${what}`);
    button.addEventListener("click", (event) => pad[name](event.timeStamp));
  }
  return { letter, pad, element, find };
}

function addClass() {
  const letter = LETTERS.find((free) => classes.every((taken) => taken.letter !== free));
  const added = createPad(letter, "Class");
  const remove = added.find(".remove");
  remove.setAttribute("aria-label", `Remove class ${letter}`);
  remove.addEventListener("click", () => removeClass(added));
  classes = [...classes, added].sort((a, b) => a.letter.localeCompare(b.letter));
  layOut();
  return added;
}

function removeClass(removed) {
  classes = classes.filter((kept) => kept !== removed);
  layOut();
  ask(performance.now());
  classes[0].pad.canvas.focus();
}

function layOut() {
  const add = byId("add") ?? Object.assign(document.createElement("button"), {
    id: "add", type: "button", className: "add", textContent: "Add a class", onclick: () => {
      addClass().pad.canvas.focus();
      ask(performance.now());
    },
  });
  add.hidden = classes.length === LETTERS.length;
  const pads = classes.map(({ element }) => element);
  // Only what is new is put in: a pad that is moved would lose the focus.
  for (const old of [...byId("pads").children]) {
    if (old !== add && !pads.includes(old)) old.remove();
  }
  [...pads, add].forEach((element, i) => {
    const present = byId("pads").children[i];
    if (present !== element) byId("pads").insertBefore(element, present ?? null);
  });
  for (const { find } of classes) find(".remove").hidden = classes.length <= FEWEST_CLASSES;
}

function ask(since) {
  if (query === null) return;
  const drawn = classes.filter(({ pad }) => pad.tensor !== null);
  if (drawn.length < FEWEST_CLASSES || query.pad.tensor === null) {
    answers.forget();
    showNothing(drawn);
    return;
  }
  if (shown && shown.drawing.classes.length !== drawn.length) answers.forget();
  const drawing = {
    supports: drawn.map(({ pad }) => pad.tensor),
    query: query.pad.tensor,
    classes: drawn.map(({ letter }) => ({ letter, colour: letter.toLowerCase() })),
  };
  latest = drawing;
  answers.ask(drawing, steps, since);
}
let latest = null; // the drawing that is asked about

function showNothing(drawn) {
  shown = latest = null;
  clearTimeout(speaking);
  const missing = classes.filter((one) => !drawn.includes(one)).map(({ letter }) => letter);
  byId("verdict").textContent = nextToDraw(missing, FEWEST_CLASSES - drawn.length);
  byId("timing").textContent = "";
  byId("spoken").textContent = "";
  drawBars(null);
  curve.draw(new Map(), steps, []);
}

function nextToDraw(missing, needed) {
  if (needed <= 0) return "Now draw one of them again.";
  const all = missing.length === needed;
  const list = new Intl.ListFormat("en", { type: all ? "conjunction" : "disjunction" });
  const what = all || needed === 1 ? "an example of" : `examples of ${needed} of`;
  const letters = all || needed === 1 ? list.format(missing) : missing.join(", ");
  return `Draw ${what} ${letters}, or try an example.`;
}

function drawBars(answer) {
  const rows = classes.map(({ letter }) => {
    const row = document.createElement("li");
    row.className = `bar class-${letter.toLowerCase()}`;
    const label = answer?.drawing.classes.findIndex((one) => one.letter === letter) ?? -1;
    const share = label < 0 ? null : answer.probabilities[label];
    const [badge, track, fill, number] = ["span", "span", "span", "span"].map((name) =>
      document.createElement(name),
    );
    badge.className = "badge";
    badge.textContent = letter;
    track.className = "track";
    fill.className = "fill";
    fill.style.width = `${100 * (share ?? 0)}%`;
    number.className = "share";
    number.textContent = share === null ? (answer ? "absent" : "–") : percent(share);
    track.append(fill);
    row.append(badge, track, number);
    return row;
  });
  byId("bars").replaceChildren(...rows);
}

function showAnswer(answer) {
  shown = answer;
  hideNotice();
  drawBars(answer);
  const best = answer.probabilities.indexOf(Math.max(...answer.probabilities));
  const { letter } = answer.drawing.classes[best];
  const sentence = `It is ${letter}, ${percent(answer.probabilities[best])} sure`;
  const strange = isStrange(answer.probabilities, answer.steps);
  byId("verdict").textContent = strange ? `${sentence}, or none of these.` : `${sentence}.`;
  const milliseconds = performance.now() - answer.since;
  const count = `${answer.steps} inner ${answer.steps === 1 ? "step" : "steps"}`;
  const truth = example ? ` The example's query is another ${example.letter}.` : "";
  byId("timing").textContent = `${count}, answered in ${Math.round(milliseconds)} ms.${truth}`;
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    const doubt = strange ? " It may be none of these." : "";
    byId("spoken").textContent = `${sentence} after ${count}.${doubt}`;
  }, SPEAK_AFTER);
  const isLatest = answer.drawing === latest;
  document.dispatchEvent(new CustomEvent("answer", { detail: { milliseconds, isLatest } }));
}

function showError(error) {
  const known = error instanceof NoAnswer;
  if (!known) console.error(error);
  clearTimeout(speaking);
  const passing = known && (error.kind === "unreachable" || error.kind === "busy");
  const start = error.kind === "unreachable" ? " Start it by: python -m tfmeta.serve --demo." : "";
  const again = passing ? " This page asks again by itself." : "";
  byId("notice-text").textContent = `${known ? error.message : `The page failed: ${error}.`}${start}${again}`;
  byId("key-form").hidden = error.kind !== "key";
  byId("retry").hidden = error.kind === "key";
  byId("notice").hidden = false;
  document.body.classList.add("without-answer");
  clearTimeout(looking);
  if (passing) looking = setTimeout(lookAgain, LOOK_AGAIN_AFTER);
}

function hideNotice() {
  clearTimeout(looking);
  byId("notice").hidden = true;
  document.body.classList.remove("without-answer");
}

async function lookAgain() {
  clearTimeout(looking);
  try {
    if (!(await isReady({ apiKey }))) throw new NoAnswer("busy", "The model is still loading.");
  } catch (error) {
    showError(error);
    return;
  }
  hideNotice();
  ask(performance.now());
}

function showExample() {
  clearAll();
  const task = exampleTask(classes.length, Math.floor(Math.random() * 2 ** 32));
  task.supports.forEach((strokes, i) => classes[i].pad.setStrokes(strokes));
  example = { letter: classes[task.label].letter, frame: null };
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    query.pad.setStrokes(task.query);
    return;
  }
  const begin = performance.now();
  const points = task.query.flat().length;
  const draw = (now) => {
    const part = Math.min((now - begin) / DRAWING_TIME, 1);
    query.pad.setStrokes(firstPoints(task.query, Math.max(Math.ceil(part * points), 1)));
    if (part < 1) example.frame = requestAnimationFrame(draw);
  };
  example.frame = requestAnimationFrame(draw);
}

function firstPoints(strokes, count) {
  let left = count;
  return strokes
    .map((stroke) => {
      const part = stroke.slice(0, Math.max(left, 0));
      left -= stroke.length;
      return part;
    })
    .filter((part) => part.length > 0);
}

function endExample() {
  if (example === null) return;
  cancelAnimationFrame(example.frame);
  example = null;
}

function clearAll() {
  endExample();
  for (const { pad } of [...classes, query]) pad.clear();
}

query = createPad("", "Query");
byId("query").append(query.element);
for (let i = 0; i < FIRST_CLASSES; i++) addClass();
byId("example").addEventListener("click", showExample);
byId("reset").addEventListener("click", clearAll);
byId("retry").addEventListener("click", lookAgain);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  apiKey = byId("key").value.trim();
  lookAgain();
});
const slider = byId("steps");
slider.max = String(MAX_STEPS);
slider.value = String(USUAL_STEPS);
byId("steps-value").textContent = slider.value;
slider.addEventListener("input", (event) => {
  steps = Number(slider.value);
  byId("steps-value").textContent = slider.value;
  if (latest) answers.ask(latest, steps, event.timeStamp);
  else curve.draw(new Map(), steps, []);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const { pad } of [...classes, query]) pad.redraw();
});
showNothing([]);
lookAgain();
