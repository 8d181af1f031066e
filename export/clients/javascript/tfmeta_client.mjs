/**
 * Asks a model that tfmeta exported, over the REST API of TensorFlow Serving, from a browser or
 * from Node.js 18 or later. No dependencies.
 */

/** What a server answered in place of predictions. */
export class ServingError extends Error {
  /**
   * @param {number} status HTTP status; 0 where no server answered.
   * @param {string} message the server's words.
   */
  constructor(status, message) {
    super(message);
    this.name = "ServingError";
    this.status = status;
  }
}

const RETRIED = new Set([0, 429, 503]); // nobody answered, no room, not ready
const FIRST_WAIT = 50; // milliseconds, doubled from try to try

const waitFor = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** One model on one server. */
export class Client {
  /**
   * @param {string} url of the server, such as "http://localhost:8501".
   * @param {string} model the name under which it is served.
   * @param {{version?: number, apiKey?: string, timeout?: number}} options timeout: milliseconds
   *   that a call may take, waits included.
   */
  constructor(url, model, { version, apiKey, timeout = 30000 } = {}) {
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
        return (await this.#post(body, end - Date.now())).outputs;
      } catch (error) {
        const pause = wait * (0.5 + Math.random());
        if (!RETRIED.has(error.status) || Date.now() + pause >= end) throw error;
        await waitFor(pause);
      }
    }
  }

  async #post(body, milliseconds) {
    let response;
    try {
      response = await fetch(`${this.url}:predict`, {
        method: "POST",
        headers: this.headers,
        body,
        signal: AbortSignal.timeout(Math.max(milliseconds, 0)),
      });
    } catch (error) {
      if (error.name === "TimeoutError") throw new ServingError(504, "No answer in time.");
      throw new ServingError(0, `No answer from ${this.url}: ${error.cause?.message ?? error.message}`);
    }
    const text = await response.text();
    if (!response.ok) throw new ServingError(response.status, errorText(text));
    return parse(text);
  }
}

function errorText(text) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text;
  }
}

// A fingerprint has 64 bits and a JavaScript number 53: it travels as a BigInt, written as digits.
const FINGERPRINT = "weights_fingerprint";

function parse(text) {
  const quoted = text.replace(new RegExp(`("${FINGERPRINT}"\\s*:\\s*)(-?\\d+)`), '$1"$2"');
  return JSON.parse(quoted, (key, value) => (key === FINGERPRINT ? BigInt(value) : value));
}

function stringify(body) {
  const text = JSON.stringify(body, (key, value) => (
    key === FINGERPRINT ? `${FINGERPRINT}${value}` : value));
  return text.replace(new RegExp(`"${FINGERPRINT}(-?\\d+)"`), "$1");
}
