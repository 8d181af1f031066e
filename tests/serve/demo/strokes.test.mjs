import assert from "node:assert/strict";
import { test } from "node:test";

import * as strokes from "../../../tfmeta/serve/demo/page/strokes.js";

const { BITMAP_SIZE, IMAGE_SIZE, PEN_WIDTH, USUAL_CENTRE, USUAL_SIDE } = strokes;
const HOOK = [[[0.2, 0.3], [0.2, 0.7], [0.5, 0.7]], [[0.4, 0.35]]];
const moved = (drawing, scale, right, down) =>
  drawing.map((stroke) => stroke.map(([x, y]) => [x * scale + right, y * scale + down]));
const inked = (bitmap) => bitmap.filter((pixel) => pixel === 0).length;

test("a line is as thick as the pen, wherever and whichever way it goes", () => {
  const length = 0.5 * BITMAP_SIZE;
  const caps = Math.PI * (PEN_WIDTH / 2) ** 2;
  for (const line of [[[0.2, 0.5], [0.7, 0.5]], [[0.31, 0.2], [0.31, 0.7]], [[0.3, 0.3], [0.7, 0.6]]]) {
    const share = inked(strokes.rasterize([line])) / (length * PEN_WIDTH + caps);
    assert.ok(share > 0.93 && share < 1.07, `${share} of the ink of a line that thick`);
  }
});

test("a tap is a dot", () => {
  const bitmap = strokes.rasterize([[[0.5, 0.5]]]);
  assert.equal(bitmap[52 * BITMAP_SIZE + 52], 0);
  const share = inked(bitmap) / (Math.PI * (PEN_WIDTH / 2) ** 2);
  assert.ok(share > 0.8 && share < 1.2, `${share} of the ink of a dot`);
});

test("what leaves the pad is cut off, and nothing fails", () => {
  const inside = strokes.rasterize([[[0.5, 0.5], [0.99, 0.5]]]);
  const beyond = strokes.rasterize([[[0.5, 0.5], [40, 0.5]]]);
  assert.ok(inked(beyond) >= inked(inside));
  assert.equal(inked(strokes.rasterize([[[3, 3], [4, 4]]])), 0);
});

test("a drawing becomes the same numbers wherever on the pad it is and however large", () => {
  const expected = strokes.strokesToTensor(HOOK);
  for (const [scale, right, down] of [[1, 0.3, 0.1], [0.5, 0, 0.4], [1.4, -0.2, -0.3]]) {
    const tensor = strokes.strokesToTensor(moved(HOOK, scale, right, down));
    // Rounding may put a pixel of the 105 x 105 on the other side of the pen's edge.
    const off = tensor.reduce((sum, value, i) => sum + Math.abs(value - expected[i]), 0);
    assert.ok(off < 0.005 * tensor.length, `mean difference ${off / tensor.length}`);
  }
});

test("a placed drawing has the usual size and centre and its own proportions", () => {
  const box = strokes.bounds(strokes.place(HOOK));
  assert.ok(Math.abs(box.bottom - box.top - USUAL_SIDE) < 1e-9);
  assert.ok(Math.abs(box.right - box.left - USUAL_SIDE * 0.75) < 1e-9);
  assert.ok(Math.abs((box.left + box.right) / 2 - USUAL_CENTRE) < 1e-9);
  assert.ok(Math.abs((box.top + box.bottom) / 2 - USUAL_CENTRE) < 1e-9);
});

test("a dot stays small: it is centred, and not blown up into a blot", () => {
  const box = strokes.bounds(strokes.place([[[0.1, 0.1], [0.11, 0.1]]]));
  assert.ok(box.right - box.left < 0.1);
  assert.ok(inked(strokes.rasterize(strokes.place([[[0.1, 0.1]]]))) > 0);
});

test("an empty drawing is blank paper", () => {
  assert.equal(strokes.bounds([]), null);
  assert.deepEqual(strokes.place([]), []);
  assert.ok(strokes.strokesToTensor([]).every((value) => value === 0));
});

test("the network reads ink 1 on paper 0, 28 x 28, by rows", () => {
  const tensor = strokes.strokesToTensor([[[0.2, 0.2], [0.8, 0.2]]]);
  assert.equal(tensor.length, IMAGE_SIZE ** 2);
  assert.ok(tensor.every((value) => value >= 0 && value <= 1));
  assert.ok(Math.max(...tensor) > 0.5);
  const ink = (top, bottom) =>
    tensor.slice(top * IMAGE_SIZE, bottom * IMAGE_SIZE).reduce((sum, value) => sum + value, 0);
  const expected = (USUAL_SIDE * BITMAP_SIZE * PEN_WIDTH) / (BITMAP_SIZE / IMAGE_SIZE) ** 2;
  assert.ok(ink(11, 16) > 0.9 * expected, "a level line lies in the middle rows");
  assert.ok(ink(0, 9) + ink(19, 28) < 0.1);
});

test("drawing changes nothing it was given", () => {
  const drawing = structuredClone(HOOK);
  strokes.strokesToTensor(drawing);
  assert.deepEqual(drawing, HOOK);
});
