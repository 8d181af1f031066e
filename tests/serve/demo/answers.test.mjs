import assert from "node:assert/strict";
import { test } from "node:test";

import { createAnswers } from "../../../tfmeta/serve/demo/page/answers.js";

const MAX_STEPS = 3;
// Lets everything run that waits for a promise and not for time.
const settled = () => new Promise((done) => setImmediate(done));

/** Answers, with a server whose every answer the test gives itself. */
function asked(context) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const [calls, told, curves, errors] = [[], [], [], []];
  const answers = createAnswers({
    predict: (drawing, steps, signal) =>
      new Promise((resolve, reject) => {
        calls.push({ drawing, steps, signal, resolve, reject });
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
    onAnswer: ({ drawing, steps, probabilities }) => told.push([drawing, steps, probabilities]),
    onCurve: (known) => curves.push([...known.keys()]),
    onError: (error) => errors.push(error.message),
    maxSteps: MAX_STEPS,
    rest: 100,
  });
  return { answers, calls, told, curves, errors, rest: () => context.mock.timers.tick(100) };
}

test("one request is under way at a time, and of those that wait only the newest goes", async (context) => {
  const { answers, calls, told } = asked(context);
  for (const drawing of ["a", "b", "c", "d"]) answers.ask(drawing, 2, 0);
  assert.deepEqual(calls.map((call) => call.drawing), ["a"]);
  calls[0].resolve([1]);
  await settled();
  assert.deepEqual(calls.map((call) => call.drawing), ["a", "d"]);
  calls[1].resolve([2]);
  await settled();
  assert.deepEqual(told, [["a", 2, [1]], ["d", 2, [2]]]);
});

test("the curve is asked for once the drawing rests, each number of steps once", async (context) => {
  const { answers, calls, curves, rest } = asked(context);
  answers.ask("a", 2, 0);
  calls[0].resolve([0.5]);
  await settled();
  assert.equal(calls.length, 1, "not while the pen may still move");
  rest();
  for (let i = 1; i <= MAX_STEPS; i++) {
    calls[i].resolve([0.1 * i]);
    await settled();
  }
  assert.deepEqual(calls.map((call) => call.steps), [2, 0, 1, 3]);
  assert.deepEqual(curves.at(-1), [2, 0, 1, 3]);
});

test("another number of steps on the same drawing is answered from the curve", async (context) => {
  const { answers, calls, told, rest } = asked(context);
  answers.ask("a", 2, 0);
  calls[0].resolve(["two"]);
  await settled();
  rest();
  calls[1].resolve(["zero"]);
  await settled();
  answers.ask("a", 0, 0);
  assert.deepEqual(told.at(-1), ["a", 0, ["zero"]]);
});

test("a new line of the pen stops the curve and is asked at once", async (context) => {
  const { answers, calls, told, rest } = asked(context);
  answers.ask("a", 2, 0);
  calls[0].resolve([1]);
  await settled();
  rest();
  assert.equal(calls[1].steps, 0);
  answers.ask("b", 2, 0);
  assert.ok(calls[1].signal.aborted);
  await settled();
  assert.deepEqual([calls[2].drawing, calls[2].steps], ["b", 2]);
  calls[2].resolve([3]);
  await settled();
  assert.deepEqual(told.at(-1), ["b", 2, [3]]);
});

test("what is forgotten is never shown", async (context) => {
  const { answers, calls, told, errors, rest } = asked(context);
  answers.ask("a", 2, 0);
  answers.forget();
  calls[0].resolve([1]);
  await settled();
  rest();
  assert.deepEqual([told, errors, calls.length], [[], [], 1]);
});

test("a drawing after a forgotten one is asked about", async (context) => {
  const { answers, calls, told } = asked(context);
  answers.ask("a", 2, 0);
  answers.forget();
  answers.ask("b", 2, 0);
  await settled();
  calls[1].resolve([2]);
  await settled();
  assert.deepEqual(told, [["b", 2, [2]]]);
});

test("an error is told once, and nothing is asked until the next drawing", async (context) => {
  const { answers, calls, told, errors, rest } = asked(context);
  answers.ask("a", 2, 0);
  calls[0].reject(new Error("down"));
  await settled();
  rest();
  assert.deepEqual([errors, calls.length], [["down"], 1]);
  answers.ask("a", 2, 0);
  calls[1].resolve([1]);
  await settled();
  assert.deepEqual(told, [["a", 2, [1]]]);
});
