// A square to draw on: by mouse, finger or pen, and by keys.
//
// Keys, while the pad has the focus: arrows move the pen (with Shift in large steps), Space or
// Enter puts it down and lifts it, Backspace or Ctrl+Z takes back the last stroke, Delete clears.

import { BITMAP_SIZE, IMAGE_SIZE, PEN_WIDTH, strokesToTensor } from "./strokes.js";

const SAME_POINT = 0.002; // of the pad: nearer points are one
const KEY_STEP = 1 / 40;
const LARGE_KEY_STEP = 1 / 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLCanvasElement} preview 28 x 28: what the network reads
   * @param {(since: number) => void} onChange given when the person did it, as `performance.now()`
   */
  constructor(canvas, preview, onChange) {
    this.canvas = canvas;
    this.preview = preview;
    this.onChange = onChange;
    this.strokes = [];
    this.tensor = null; // null while nothing is drawn
    this.pointer = null; // the pointer that draws
    this.pen = null; // of the keyboard: {x, y, down}
    this.#listen();
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** Shows these strokes instead, as if they had been drawn. */
  setStrokes(strokes, since = performance.now()) {
    this.strokes = strokes;
    this.#changed(since);
  }

  undo(since) {
    if (this.pen) this.pen.down = false;
    this.pointer = null; // what it goes on to draw would be joined to the stroke before
    if (this.strokes.length) this.setStrokes(this.strokes.slice(0, -1), since);
  }

  clear(since) {
    this.pen = null;
    this.pointer = null;
    if (this.strokes.length) this.setStrokes([], since);
  }

  #changed(since) {
    this.tensor = this.strokes.length ? strokesToTensor(this.strokes) : null;
    this.redraw();
    this.onChange(since);
  }

  #listen() {
    const on = (name, listener) => this.canvas.addEventListener(name, listener);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#lift(event));
    on("pointercancel", (event) => this.#lift(event));
    on("keydown", (event) => this.#key(event));
    on("focus", () => this.redraw());
    on("blur", () => {
      if (this.pen) this.pen.down = false;
      this.redraw();
    });
  }

  #down(event) {
    if (this.pointer !== null || event.button !== 0) return;
    this.pointer = event.pointerId;
    this.pen = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes = [...this.strokes, [this.#place(event)]];
    this.#changed(event.timeStamp);
  }

  #move(event) {
    if (event.pointerId !== this.pointer) return;
    // Browsers bundle the moves of a frame; the line goes through each of them.
    const moves = event.getCoalescedEvents?.() ?? [];
    let grew = false;
    for (const move of moves.length ? moves : [event]) grew = this.#extend(this.#place(move)) || grew;
    if (grew) this.#changed(event.timeStamp);
  }

  #lift(event) {
    if (event.pointerId === this.pointer) this.pointer = null;
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (value, start, size) => Math.min(Math.max((value - start) / size, 0), 1);
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  #extend(point) {
    const stroke = this.strokes.at(-1);
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < SAME_POINT) return false;
    this.strokes = [...this.strokes.slice(0, -1), [...stroke, point]];
    return true;
  }

  #key(event) {
    const command = event.ctrlKey || event.metaKey;
    const back = event.key === "Backspace" || (command && event.key.toLowerCase() === "z");
    if (back) this.undo(event.timeStamp);
    else if (command || event.altKey) return;
    else if (event.key === "Delete") this.clear(event.timeStamp);
    else if (event.key === " " || event.key === "Enter") this.#toggle(event);
    else if (event.key in ARROWS) this.#steer(event);
    else return;
    event.preventDefault();
  }

  #toggle(event) {
    if (event.repeat) return;
    this.pen ??= { x: 0.5, y: 0.5, down: false };
    this.pen.down = !this.pen.down;
    if (this.pen.down) {
      this.strokes = [...this.strokes, [[this.pen.x, this.pen.y]]];
      this.#changed(event.timeStamp);
    } else this.redraw();
  }

  #steer(event) {
    this.pen ??= { x: 0.5, y: 0.5, down: false };
    const step = event.shiftKey ? LARGE_KEY_STEP : KEY_STEP;
    const [right, down] = ARROWS[event.key];
    this.pen.x = Math.min(Math.max(this.pen.x + right * step, 0), 1);
    this.pen.y = Math.min(Math.max(this.pen.y + down * step, 0), 1);
    if (this.pen.down && this.#extend([this.pen.x, this.pen.y])) this.#changed(event.timeStamp);
    else this.redraw();
  }

  /** Draws strokes, the keyboard's pen and the preview, in the page's present colours. */
  redraw() {
    const { canvas } = this;
    const side = Math.round(canvas.clientWidth * (globalThis.devicePixelRatio || 1));
    if (side === 0) return;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    const colour = getComputedStyle(canvas).color;
    context.clearRect(0, 0, side, side);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = (PEN_WIDTH / BITMAP_SIZE) * side;
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] * side, stroke[0][1] * side);
      for (const [x, y] of stroke) context.lineTo(x * side, y * side);
      context.stroke();
    }
    if (this.pen && document.activeElement === canvas) this.#drawPen(context, side, colour);
    this.#drawPreview(colour);
  }

  #drawPen(context, side, colour) {
    const { x, y, down } = this.pen;
    const radius = side * 0.045;
    context.lineWidth = Math.max(side / 120, 1.5);
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(x * side, y * side, radius, 0, 2 * Math.PI);
    context.stroke();
    if (down) context.fill();
  }

  #drawPreview(colour) {
    const context = this.preview.getContext("2d");
    context.clearRect(0, 0, IMAGE_SIZE, IMAGE_SIZE);
    if (this.tensor === null) return;
    const [red, green, blue] = colour.match(/[\d.]+/g).map(Number);
    const image = context.createImageData(IMAGE_SIZE, IMAGE_SIZE);
    this.tensor.forEach((ink, i) => image.data.set([red, green, blue, Math.round(255 * ink)], 4 * i));
    context.putImageData(image, 0, 0);
  }
}
