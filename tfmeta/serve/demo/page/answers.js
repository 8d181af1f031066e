// Which question to ask next: of many drawings in quick succession only the newest matters.
//
// One request is under way at a time. While it is, newer drawings replace the one that waits, so
// answers follow the pen as fast as the server gives them. Once a drawing has rested, the other
// points of its curve over inner steps are asked for, one by one; a new line of the pen stops that.

const REST = 200; // milliseconds without a change after which the curve is asked for

/**
 * @param {object} options
 * @param {(drawing: object, steps: number, signal: AbortSignal) => Promise<number[]>}
 *   options.predict
 * @param {(answer: {drawing: object, steps: number, probabilities: number[], since: number}) =>
 *   void} options.onAnswer called for the wanted number of steps
 * @param {(curve: Map<number, number[]>) => void} options.onCurve
 * @param {(error: Error) => void} options.onError called once; nothing more is asked until `ask`
 * @param {number} options.maxSteps of the curve
 * @param {number} [options.rest]
 */
export function createAnswers({ predict, onAnswer, onCurve, onError, maxSteps, rest = REST }) {
  let wanted = null; // {drawing, steps, since, known: Map of steps to probabilities, rested}
  let underway = null; // {job, controller}
  let timer = null;

  /** Asks about a drawing; `since` is when the person did what changed it. */
  function ask(drawing, steps, since) {
    const same = wanted !== null && wanted.drawing === drawing;
    wanted = same
      ? { ...wanted, steps, since, answered: false }
      : { drawing, steps, since, known: new Map(), rested: false, answered: false };
    if (underway?.forCurve) underway.controller.abort();
    clearTimeout(timer);
    const asked = wanted;
    timer = setTimeout(() => {
      asked.rested = true;
      if (wanted === asked) next();
    }, rest);
    next();
  }

  /** Forgets the drawing: answers to it that are still under way are not shown. */
  function forget() {
    wanted = null;
    clearTimeout(timer);
    underway?.controller.abort();
  }

  function next() {
    if (wanted === null) return;
    if (!wanted.answered && wanted.known.has(wanted.steps)) report(wanted, wanted.steps);
    if (underway !== null || wanted === null) return;
    const steps = wanted.known.has(wanted.steps) ? curvePoint(wanted) : wanted.steps;
    if (steps !== null) start(wanted, steps);
  }

  function curvePoint({ known, rested }) {
    if (!rested) return null;
    for (let steps = 0; steps <= maxSteps; steps++) if (!known.has(steps)) return steps;
    return null;
  }

  async function start(asked, steps) {
    const controller = new AbortController();
    underway = { controller, forCurve: steps !== asked.steps };
    try {
      const probabilities = await predict(asked.drawing, steps, controller.signal);
      if (!controller.signal.aborted) {
        asked.known.set(steps, probabilities);
        // An older drawing's answer is shown too: it is the newest there is.
        if (steps === asked.steps) report(asked, steps);
        if (wanted?.known === asked.known) onCurve(asked.known);
      }
    } catch (error) {
      if (!controller.signal.aborted) {
        wanted = null;
        clearTimeout(timer);
        onError(error);
      }
    } finally {
      underway = null;
    }
    next();
  }

  function report(asked, steps) {
    asked.answered = true;
    const { drawing, since } = asked;
    onAnswer({ drawing, steps, since, probabilities: asked.known.get(steps) });
  }

  return { ask, forget };
}
