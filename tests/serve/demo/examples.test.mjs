import assert from "node:assert/strict";
import { test } from "node:test";

import { exampleTask, randomNumbers } from "../../../tfmeta/serve/demo/page/examples.js";

test("the same seed draws the same task, another seed another one", () => {
  assert.deepEqual(exampleTask(3, 5), exampleTask(3, 5));
  assert.notDeepEqual(exampleTask(3, 5), exampleTask(3, 6));
});

test("a task has a drawing of each class and a new drawing of one of them", () => {
  for (let ways = 2; ways <= 5; ways++) {
    const { supports, query, label } = exampleTask(ways, ways);
    assert.equal(supports.length, ways);
    assert.ok(label >= 0 && label < ways);
    assert.equal(query.length, supports[label].length, "as many strokes as its class");
    assert.notDeepEqual(query, supports[label]);
  }
});

test("every drawing lies on the pad", () => {
  for (let seed = 0; seed < 300; seed++) {
    const { supports, query } = exampleTask(5, seed);
    for (const value of [...supports, query].flat(3)) assert.ok(value > 0 && value < 1);
  }
});

test("classes of a task differ, and every class is the query's as often", () => {
  const counts = new Map();
  for (let seed = 0; seed < 600; seed++) {
    const { label } = exampleTask(3, seed);
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  for (const label of [0, 1, 2]) assert.ok(counts.get(label) > 150, `${label}: ${counts.get(label)}`);
});

test("random numbers are spread over [0, 1)", () => {
  const random = randomNumbers(1);
  const numbers = Array.from({ length: 1000 }, random);
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  assert.ok(Math.abs(numbers.reduce((a, b) => a + b) / 1000 - 0.5) < 0.05);
});
