// The picture of probabilities over inner steps: a line a class, in an SVG element.

import { percent } from "./client.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [320, 168];
const EDGE = { left: 46, right: 26, top: 10, bottom: 34 };
const LABEL_GAP = 13; // between letters at the lines' ends, so that none covers another

/**
 * @param {SVGElement} svg
 * @param {number} maxSteps
 */
export function createCurve(svg, maxSteps) {
  const x = (steps) => EDGE.left + (steps / maxSteps) * (WIDTH - EDGE.left - EDGE.right);
  const y = (share) => HEIGHT - EDGE.bottom - share * (HEIGHT - EDGE.top - EDGE.bottom);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const axes = child(svg, "g", { class: "axes" });
  for (const share of [0, 0.5, 1]) {
    child(axes, "line", { x1: x(0), x2: x(maxSteps), y1: y(share), y2: y(share) });
    child(axes, "text", { x: x(0) - 7, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`);
  }
  for (let steps = 0; steps <= maxSteps; steps += 2) {
    child(axes, "text", { x: x(steps), y: y(0) + 16, "text-anchor": "middle" }, String(steps));
  }
  child(axes, "text", { x: x(maxSteps / 2), y: HEIGHT - 3, "text-anchor": "middle" }, "inner steps");
  const marker = child(svg, "line", { class: "marker", y1: y(0), y2: y(1) });
  const lines = child(svg, "g", { class: "lines" });

  /**
   * @param {Map<number, number[]>} known probabilities of each class by number of steps
   * @param {number} steps where the slider is
   * @param {{letter: string, colour: string}[]} classes those with an example
   */
  function draw(known, steps, classes) {
    marker.setAttribute("x1", x(steps));
    marker.setAttribute("x2", x(steps));
    lines.replaceChildren();
    const counts = [...known.keys()].sort((a, b) => a - b);
    const last = counts.at(-1);
    classes.forEach(({ colour }, label) => {
      const points = counts.map((count) => [x(count), y(known.get(count)[label])]);
      const line = points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ");
      child(lines, "polyline", { points: line, class: `class-${colour}` });
      for (const [i, [cx, cy]] of points.entries()) {
        const r = counts[i] === steps ? 4 : 2;
        child(lines, "circle", { cx, cy, r, class: `class-${colour}` });
      }
    });
    if (counts.length > 1) {
      const ends = classes.map(({ letter, colour }, label) => {
        return { letter, colour, height: y(known.get(last)[label]) };
      });
      for (const { letter, colour, height } of spread(ends)) {
        const place = { x: x(last) + 9, y: height + 4, class: `class-${colour}` };
        child(lines, "text", place, letter);
      }
    }
    svg.setAttribute("aria-label", inWords(known, counts, classes));
  }

  return { draw };
}

/** Moves labels apart, upwards from the lowest: most lines end at 0 %. */
function spread(ends) {
  let limit = Infinity;
  return [...ends]
    .sort((a, b) => b.height - a.height)
    .map((end) => {
      limit = Math.min(end.height, limit - LABEL_GAP);
      return { ...end, height: limit };
    });
}

function inWords(known, counts, classes) {
  const title = "Probabilities over inner steps";
  if (counts.length === 0) return `${title}: nothing to show yet`;
  const told = classes.map(({ letter }, label) => {
    return `${letter} ${counts.map((count) => percent(known.get(count)[label])).join(", ")}`;
  });
  return `${title} ${counts.join(", ")}: ${told.join("; ")}`;
}

function child(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}
