/**
 * Asks a model that tfmeta exported, over the REST API of TensorFlow Serving, from a browser or
 * from Node.js 18 or later. No dependencies.
 */

/** What a server answered in place of predictions. */
export class ServingError extends Error {
  /**
   * @param {number} status HTTP status; 0 where no server answered, 504 where not in time.
   * @param {string} message the server's words.
   */
  constructor(status, message) {
    super(message);
    this.name = "ServingError";
    this.status = status;
  }
}

const RETRIED = new Set([0, 429, 503]); // nobody answered, no room, not ready
// What the embedded server says with 413, and others may with 429: too large for ever.
const TOO_LARGE = /larger than max|must be at most/;
const FIRST_WAIT = 50; // milliseconds, doubled from try to try

const waitFor = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** One model on one server. */
export class Client {
  /**
   * @param {string} url of the server, such as "http://localhost:8501".
   * @param {string} model the name under which it is served.
   * @param {{version?: number, apiKey?: string, timeout?: number}} options timeout: milliseconds
   *   that a call may take, waits included.
   * @throws {TypeError} for a key that no header can carry.
   */
  constructor(url, model, { version, apiKey, timeout = 30000 } = {}) {
    if (apiKey && !/^[!-~]([ -~]*[!-~])?$/.test(apiKey)) {
      throw new TypeError("An apiKey must be one line of printable ASCII. Strip line breaks.");
    }
    const path = version === undefined ? "" : `/versions/${version}`;
    this.url = `${url.replace(/\/$/, "")}/v1/models/${model}${path}`;
    this.headers = { "Content-Type": "application/json" };
    if (apiKey) this.headers.Authorization = `Bearer ${apiKey}`;
    this.timeout = timeout;
  }

  /**
   * Adapts to a support set and predicts the queries.
   *
   * @param {{support_inputs: Array, support_targets: Array, query_inputs: Array}} request nested
   *   arrays of numbers, [S, ...], [S] or [S, ...], [Q, ...].
   * @param {{innerSteps?: number, innerRateScale?: number}} options of adaptation; as trained
   *   where left out.
   * @returns {Promise<{predictions: Array, logits?: Array, support_loss: Array}>}
   * @throws {ServingError}
   */
  adaptAndPredict(request, { innerSteps, innerRateScale = 1.0 } = {}) {
    if (innerSteps === undefined) return this.ask("adapt_and_predict", request);
    return this.ask("adapt_and_predict_with", {
      ...request,
      inner_steps: innerSteps,
      inner_rate_scale: innerRateScale,
    });
  }

  /** Adapts once; gives what `predictAdapted` sends with each set of queries. */
  async adapt({ support_inputs, support_targets }) {
    const { adapted_weights, weights_fingerprint } = await this.ask(
      "adapt", { support_inputs, support_targets });
    return { adapted_weights, weights_fingerprint };
  }

  /** Predicts with weights from `adapt`; `extra` holds support_inputs where a model wants them. */
  predictAdapted(adapted, query_inputs, extra = {}) {
    return this.ask("predict_adapted", { ...adapted, query_inputs, ...extra });
  }

  /** Asks any signature: its inputs by name in, its outputs by name out. */
  async ask(signature, inputs) {
    const body = stringify({ signature_name: signature, inputs });
    const end = Date.now() + this.timeout;
    for (let wait = FIRST_WAIT; ; wait *= 2) {
      try {
        return await this.#post(body, end - Date.now());
      } catch (error) {
        const pause = wait * (0.5 + Math.random());
        const retried = RETRIED.has(error.status) && !TOO_LARGE.test(error.message);
        if (!retried || Date.now() + pause >= end) throw error;
        await waitFor(pause);
      }
    }
  }

  async #post(body, milliseconds) {
    let response;
    let text;
    try {
      response = await fetch(`${this.url}:predict`, {
        method: "POST",
        headers: this.headers,
        body,
        redirect: "manual",
        signal: AbortSignal.timeout(Math.max(milliseconds, 0)),
      });
      text = await response.text();
    } catch (error) {
      if (error.name === "TimeoutError") throw new ServingError(504, "No answer in time.");
      throw new ServingError(0, `No answer from ${this.url}: ${error.cause?.message ?? error.message}`);
    }
    // Browsers hide where a redirection leads, its status too.
    if (response.type === "opaqueredirect") throw new ServingError(302, "The server redirects.");
    if (!response.ok) throw new ServingError(response.status, errorText(text));
    return outputsOf(response.status, text);
  }
}

function outputsOf(status, text) {
  let answer;
  try {
    answer = parse(text);
  } catch {
    throw new ServingError(status, `The answer is not JSON: ${text.slice(0, 200)}`);
  }
  if (answer?.outputs === undefined) {
    throw new ServingError(status, `The answer has no outputs: ${text.slice(0, 200)}`);
  }
  return answer.outputs;
}

function errorText(text) {
  try {
    return String(JSON.parse(text).error ?? text);
  } catch {
    return text;
  }
}

// A fingerprint has 64 bits and a JavaScript number 53: it travels as a BigInt, written as digits.
const FINGERPRINT = "weights_fingerprint";

// NaN and Infinity are tokens of TensorFlow Serving's JSON, though not of JavaScript's.
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:NaN|Infinity)/g;
const MARK = "\u0000number ";

function parse(text) {
  let quoted = text.replace(new RegExp(`("${FINGERPRINT}"\\s*:\\s*)(-?\\d+)`), '$1"$2"');
  if (/NaN|Infinity/.test(quoted)) {
    const marked = JSON.stringify(MARK).slice(0, -1);
    quoted = quoted.replace(TOKENS, (found) => (found[0] === '"' ? found : `${marked}${found}"`));
  }
  return JSON.parse(quoted, (key, value) => {
    if (typeof value !== "string") return value;
    if (value.startsWith(MARK)) return Number(value.slice(MARK.length));
    return key === FINGERPRINT ? BigInt(value) : value;
  });
}

function stringify(body) {
  const text = JSON.stringify(body, (key, value) => (
    key === FINGERPRINT ? `${FINGERPRINT}${value}` : value));
  return text.replace(new RegExp(`"${FINGERPRINT}(-?\\d+)"`), "$1");
}
