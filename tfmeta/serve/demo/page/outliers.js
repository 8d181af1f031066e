// Whether a query is none of the drawn classes: above which score the page says so.

// By the number of classes with one drawing each, for the shipped model after 5 inner steps: 5 % of
// drawings of the classes themselves are above (results/demo_outliers.json).
export const THRESHOLDS = { 2: -4.140, 3: -3.617, 4: -3.316, 5: -3.218 };
export const STEPS = 5;

/**
 * Whether an answer is that of a drawing of none of the classes, as far as that is known.
 * @param {number[]} probabilities an answer of `predict`, with its `outlierScore`
 * @param {number} steps inner steps of the answer
 */
export function isStrange(probabilities, steps) {
  if (steps !== STEPS) return false;
  return probabilities.outlierScore > (THRESHOLDS[probabilities.length] ?? Infinity);
}
