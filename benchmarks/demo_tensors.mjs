// The demo page's own functions for a program that is no browser: JSON in, JSON out.
//
// In: {"task": one of TASKS, ...}; out: {"tensors": base64 of float32 [N, 28, 28]} and what else
// the task gives. benchmarks/demo_tensors.py calls it.

import { exampleTask } from "../tfmeta/serve/demo/page/examples.js";
import {
  BITMAP_SIZE,
  bitmapToTensor,
  rasterize,
  strokesToTensor,
} from "../tfmeta/serve/demo/page/strokes.js";

const TASKS = {
  // As the page does: centred and scaled.
  strokes: ({ drawings }) => ({ tensors: packed(drawings.map(strokesToTensor)) }),
  // The strokes where they are, as Omniglot's own images were made of them; with the bitmaps.
  unplaced: ({ drawings, penWidth }) => {
    const bitmaps = drawings.map((strokes) => rasterize(strokes, penWidth));
    return {
      tensors: packed(bitmaps.map(bitmapToTensor)),
      bitmaps: Buffer.concat(bitmaps).toString("base64"),
    };
  },
  bitmaps: ({ bitmaps }) => {
    const pixels = new Uint8Array(Buffer.from(bitmaps, "base64"));
    const size = BITMAP_SIZE ** 2;
    const drawings = Array.from({ length: pixels.length / size }, (_, i) => {
      return pixels.subarray(i * size, (i + 1) * size);
    });
    return { tensors: packed(drawings.map(bitmapToTensor)) };
  },
  // The page's examples: supports, then the query, of each task.
  examples: ({ ways, seeds }) => {
    const tasks = seeds.map((seed) => exampleTask(ways, seed));
    const drawings = tasks.flatMap(({ supports, query }) => [...supports, query]);
    return {
      tensors: packed(drawings.map(strokesToTensor)),
      labels: tasks.map(({ label }) => label),
    };
  },
};

function packed(tensors) {
  return Buffer.concat(tensors.map(({ buffer }) => Buffer.from(buffer))).toString("base64");
}

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { task, ...given } = JSON.parse(text);
process.stdout.write(JSON.stringify(TASKS[task](given)));
