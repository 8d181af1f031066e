import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as client from "../../../tfmeta/serve/demo/page/client.js";
import { STEPS, THRESHOLDS, isStrange } from "../../../tfmeta/serve/demo/page/outliers.js";

const blank = () => new Float32Array(784);
const drawing = { supports: [blank().fill(1, 0, 1), blank()], query: blank() };
const answering = (status, body) => {
  const calls = [];
  const fetch = async (path, request) => {
    calls.push({ path, ...request });
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return new Response(text, { status });
  };
  return { fetch, calls };
};
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
};

test("a request has one labelled example a class, one query, and the number of steps", async () => {
  const { fetch, calls } = answering(200, { outputs: { logits: [[0, 1, 2, 3, 4]] } });
  await client.predict(drawing, 7, { fetch });
  const [{ path, method, body, headers }] = calls;
  const { signature_name: name, inputs } = JSON.parse(body);
  assert.deepEqual([path, method], ["/v1/models/omniglot:predict", "POST"]);
  assert.equal(name, "adapt_and_predict_with");
  assert.deepEqual([inputs.support_targets, inputs.inner_steps], [[0, 1], 7]);
  assert.deepEqual(shape(inputs.support_inputs), [2, 28, 28, 1]);
  assert.deepEqual(shape(inputs.query_inputs), [1, 28, 28, 1]);
  assert.deepEqual(inputs.support_inputs[0][0].slice(0, 2), [[1], [0]]);
  assert.ok(!("Authorization" in headers));
});

test("absent classes are left out, and the rest sum to one", async () => {
  const { fetch } = answering(200, { outputs: { logits: [[1, 3, 50, 50, 50]] } });
  const [a, b] = await client.predict(drawing, 5, { fetch });
  assert.ok(Math.abs(a + b - 1) < 1e-12);
  assert.ok(Math.abs(Math.log(b / a) - 2) < 1e-12, "odds are those of the logits");
});

test("the outlier score is the energy of the classes that were drawn", async () => {
  const { fetch } = answering(200, { outputs: { logits: [[1, 3, 50, 50, 50]] } });
  const { outlierScore } = await client.predict(drawing, 5, { fetch });
  assert.ok(Math.abs(outlierScore + Math.log(Math.exp(1) + Math.exp(3))) < 1e-12);
  assert.equal(client.outlierScore([1e4, -1e4, 2e4], 2), -1e4);
});

test("the thresholds are those that were measured", () => {
  const path = new URL("../../../results/demo_outliers.json", import.meta.url);
  const { rows, inner_steps: steps, shots } = JSON.parse(readFileSync(path, "utf-8"));
  const measured = rows.map(({ ways, threshold }) => [String(ways), Math.round(1e3 * threshold)]);
  const page = Object.entries(THRESHOLDS).map(([ways, t]) => [ways, Math.round(1e3 * t)]);
  assert.deepEqual(page, measured);
  assert.deepEqual([steps, shots], [STEPS, 1]);
});

test("a drawing is strange above its number of classes' threshold, after 5 steps only", () => {
  for (const [classes, threshold] of Object.entries(THRESHOLDS)) {
    const answer = (score) => Object.assign(Array(Number(classes)).fill(0), { outlierScore: score });
    assert.ok(isStrange(answer(threshold + 1), 5));
    assert.ok(!isStrange(answer(threshold - 1), 5));
    assert.ok(!isStrange(answer(threshold + 1), 4));
  }
  assert.ok(!isStrange(Object.assign([1], { outlierScore: 1e9 }), 5));
});

test("large logits do not overflow", () => {
  assert.deepEqual(client.probabilities([1e4, -1e4, 0], 2), [1, 0]);
});

test("nothing is 0 % or 100 %", () => {
  assert.deepEqual([0, 0.004, 0.005, 0.006, 0.5, 0.994, 0.995, 0.9999, 1].map(client.percent), [
    "<1 %", "<1 %", "<1 %", "1 %", "50 %", "99 %", ">99 %", ">99 %", ">99 %",
  ]);
});

test("a key that cannot be sent is not tried, and is no fault of the server", async () => {
  const { fetch, calls } = answering(200, {});
  for (const apiKey of ["ключ", "a\nb"]) {
    const error = await failure(client.predict(drawing, 5, { fetch, apiKey }));
    assert.equal(error.kind, "key");
    assert.match(error.message, /Latin letters/);
    assert.equal((await failure(client.isReady({ fetch, apiKey }))).kind, "key");
  }
  assert.deepEqual(calls, []);
});

test("a wrong key is told from none", async () => {
  const { fetch } = answering(401, { error: "An API key is needed" });
  const [none, wrong] = [undefined, "wrong"].map((apiKey) => client.isReady({ fetch, apiKey }));
  assert.match((await failure(none)).message, /asks for its API key/);
  const error = await failure(wrong);
  assert.equal(error.kind, "key");
  assert.match(error.message, /not the server's key/);
});

test("a given key is sent as a bearer's", async () => {
  const { fetch, calls } = answering(200, { outputs: { logits: [[0, 1]] } });
  await client.predict(drawing, 5, { fetch, apiKey: "secret" });
  assert.equal(calls[0].headers.Authorization, "Bearer secret");
});

test("each way of failing has its kind and says what the server said", async () => {
  const cases = [
    [400, { error: "support_inputs must be finite." }, "refused", /finite/],
    [401, { error: "An API key is needed" }, "key", /key/],
    [404, { error: "Servable not found" }, "refused", /404.*Servable/],
    [429, { error: "queue is full" }, "busy", /queue is full/],
    [503, { error: "shutting down" }, "busy", /shutting down/],
    [502, "<html>Bad gateway</html>", "refused", /502.*Bad gateway/],
    [200, "<html>hello</html>", "refused", /not JSON/],
    [200, { outputs: [[0.1, 0.2]] }, "refused", /without logits/],
    [200, { outputs: { logits: [[NaN, 1]] } }, "refused", /without logits/],
    [200, { outputs: { logits: [[1]] } }, "refused", /knows 1 classes/],
  ];
  for (const [status, body, kind, said] of cases) {
    const error = await failure(client.predict(drawing, 5, answering(status, body)));
    assert.ok(error instanceof client.NoAnswer, `${status}: ${error}`);
    assert.equal(error.kind, kind);
    assert.match(error.message, said);
  }
});

test("a server that is not there is unreachable", async () => {
  const fetch = () => Promise.reject(new TypeError("Failed to fetch"));
  assert.equal((await failure(client.predict(drawing, 5, { fetch }))).kind, "unreachable");
});

test("a server that never answers is given up", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const silent = failure(client.predict(drawing, 5, { fetch: never }));
  context.mock.timers.tick(10_000);
  const error = await silent;
  assert.equal(error.kind, "unreachable");
  assert.match(error.message, /10 seconds/);
});

test("whoever cancels gets an AbortError, and no message to a person", async () => {
  const controller = new AbortController();
  const cancelled = failure(
    client.predict(drawing, 5, { fetch: never, signal: controller.signal }),
  );
  controller.abort();
  assert.equal((await cancelled).name, "AbortError");
});

test("the model is ready once a version is available", async () => {
  const state = (name) => answering(200, { model_version_status: [{ version: "1", state: name }] });
  assert.equal(await client.isReady(state("AVAILABLE")), true);
  assert.equal(await client.isReady(state("LOADING")), false);
  assert.equal(await client.isReady(answering(200, {})), false);
});

function never(path, { signal }) {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });
}

function shape(value) {
  return Array.isArray(value) ? [value.length, ...shape(value[0])] : [];
}
