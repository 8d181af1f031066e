// The page's side of the wire: TensorFlow Serving's REST API, and what its answers mean.

export const MODEL = "/v1/models/omniglot";
const SIGNATURE = "adapt_and_predict_with";
const IMAGE_SIDE = 28;
const PATIENCE = 10_000; // milliseconds until a request is given up

/** Why there is no answer, in words for a person. `kind`: unreachable, busy, key or refused. */
export class NoAnswer extends Error {
  constructor(kind, message) {
    super(message);
    this.name = "NoAnswer";
    this.kind = kind;
  }
}

/**
 * The body of a request: one example a class, one query, and the number of inner steps.
 * @param {{supports: Float32Array[], query: Float32Array}} drawing 28 x 28 numbers each, by rows
 * @param {number} steps
 */
export function requestBody({ supports, query }, steps) {
  return JSON.stringify({
    signature_name: SIGNATURE,
    inputs: {
      support_inputs: supports.map(asImage),
      support_targets: supports.map((_, label) => label),
      query_inputs: [asImage(query)],
      inner_steps: steps,
      inner_rate_scale: 1.0,
    },
  });
}

function asImage(numbers) {
  return Array.from({ length: IMAGE_SIDE }, (_, y) =>
    Array.from({ length: IMAGE_SIDE }, (_, x) => [numbers[y * IMAGE_SIDE + x]]),
  );
}

/**
 * Probabilities of the classes that were drawn. The model knows more classes than that; those
 * without an example are left out, and the others share the whole probability: a softmax over
 * their logits.
 * @param {number[]} logits of all the model's classes
 * @param {number} present how many classes, the first ones, have an example
 */
export function probabilities(logits, present) {
  const kept = logits.slice(0, present);
  const largest = Math.max(...kept);
  const weights = kept.map((logit) => Math.exp(logit - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * How strange the query is to the classes that were drawn: minus the logarithm of the sum of the
 * exponentials of their logits. Larger for a drawing of none of them.
 * @param {number[]} logits of all the model's classes
 * @param {number} present how many classes, the first ones, have an example
 */
export function outlierScore(logits, present) {
  const kept = logits.slice(0, present);
  const largest = Math.max(...kept);
  const sum = kept.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return -(largest + Math.log(sum));
}

/** A share in words. A softmax is never certain, though its numbers may round to 0 and 1. */
export function percent(share) {
  if (share >= 0.995) return ">99 %";
  if (share <= 0.005) return "<1 %";
  return `${Math.round(100 * share)} %`;
}

/**
 * Asks the server to adapt to the examples and to predict the query.
 * @returns {Promise<number[]>} a probability for each example, with `outlierScore` beside them
 * @throws {NoAnswer} or the signal's AbortError
 */
export async function predict(drawing, steps, options = {}) {
  const { apiKey, signal, fetch = globalThis.fetch } = options;
  const headers = { "Content-Type": "application/json", ...keyHeader(apiKey) };
  const body = requestBody(drawing, steps);
  const answer = await call(fetch, `${MODEL}:predict`, { method: "POST", headers, body, signal });
  const logits = answer?.outputs?.logits?.[0];
  if (!Array.isArray(logits) || !logits.every(Number.isFinite)) {
    throw new NoAnswer("refused", "The model answered without logits. Is it a classifier?");
  }
  if (logits.length < drawing.supports.length) {
    throw new NoAnswer("refused", `This model knows ${logits.length} classes. Remove some.`);
  }
  const present = drawing.supports.length;
  return Object.assign(probabilities(logits, present), {
    outlierScore: outlierScore(logits, present),
  });
}

/** Whether the server has the model ready. Throws NoAnswer where it cannot say. */
export async function isReady({ apiKey, fetch = globalThis.fetch } = {}) {
  const answer = await call(fetch, MODEL, { headers: keyHeader(apiKey) });
  return (answer?.model_version_status ?? []).some(({ state }) => state === "AVAILABLE");
}

function keyHeader(apiKey) {
  if (!apiKey) return {};
  if (!/^[\x20-\x7e]+$/.test(apiKey)) {
    throw new NoAnswer("key", "A key has only Latin letters, digits and signs. Paste it again.");
  }
  return { Authorization: `Bearer ${apiKey}` };
}

async function call(fetch, path, { signal, ...request }) {
  const patience = new AbortController();
  const giveUp = () => patience.abort();
  const timer = setTimeout(giveUp, PATIENCE);
  signal?.addEventListener("abort", giveUp);
  try {
    const response = await fetch(path, { ...request, signal: patience.signal });
    const text = await response.text();
    if (!response.ok) throw refusal(response.status, text, request.headers);
    return JSON.parse(text);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswer) throw error;
    if (patience.signal.aborted) {
      const seconds = PATIENCE / 1000;
      throw new NoAnswer("unreachable", `The server did not answer within ${seconds} seconds.`);
    }
    if (error instanceof SyntaxError) {
      throw new NoAnswer("refused", "The server's answer is not JSON. Is it this model's server?");
    }
    throw new NoAnswer("unreachable", "The server cannot be reached. Is it still running?");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

function refusal(status, text, headers) {
  let words = text.slice(0, 300);
  try {
    words = JSON.parse(text).error ?? words;
  } catch {
    // Not the server's own message but, say, a proxy's page: shown as it is.
  }
  if (status === 401 || status === 403) {
    const given = "Authorization" in headers;
    const said = given ? "This is not the server's key." : "This server asks for its API key.";
    return new NoAnswer("key", said);
  }
  if (status === 429 || status === 503 || status === 504) {
    return new NoAnswer("busy", `The server is busy (${status}): ${words}`);
  }
  return new NoAnswer("refused", `The server refused the request (${status}): ${words}`);
}
