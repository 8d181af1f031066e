// Characters of no alphabet, drawn anew each time, for whoever wants to see the page at work first.

const SMOOTHNESS = 8; // points between two control points
const WOBBLE = 0.018; // of a control point, as a share of the pad: a hand's unsteadiness

const line = (...points) => ({ points, smooth: false });
const curve = (...points) => ({ points, smooth: true });

// Control points of each stroke, on a pad of side 1. No two of them are alike.
const CHARACTERS = [
  [line([0.5, 0.15], [0.5, 0.84]), curve([0.18, 0.55], [0.25, 0.75], [0.5, 0.85], [0.75, 0.75], [0.82, 0.55]), line([0.33, 0.3], [0.67, 0.3])],
  [line([0.32, 0.86], [0.32, 0.15], [0.76, 0.3], [0.32, 0.47])],
  [curve([0.52, 0.5], [0.58, 0.43], [0.48, 0.37], [0.37, 0.48], [0.43, 0.66], [0.63, 0.66], [0.74, 0.46], [0.62, 0.23], [0.34, 0.2], [0.18, 0.4])],
  [curve([0.84, 0.27], [0.6, 0.5], [0.35, 0.68], [0.17, 0.5], [0.35, 0.32], [0.6, 0.5], [0.84, 0.73])],
  [line([0.32, 0.16], [0.3, 0.84]), line([0.69, 0.16], [0.7, 0.84]), line([0.31, 0.38], [0.69, 0.38]), line([0.31, 0.62], [0.69, 0.62])],
  [curve([0.15, 0.38], [0.27, 0.22], [0.4, 0.38], [0.52, 0.52], [0.65, 0.38], [0.78, 0.24], [0.86, 0.34]), line([0.2, 0.74], [0.82, 0.72])],
  [curve([0.2, 0.18], [0.22, 0.48], [0.5, 0.6], [0.78, 0.48], [0.8, 0.18]), line([0.5, 0.18], [0.5, 0.86])],
  [line([0.26, 0.2], [0.75, 0.2], [0.27, 0.8], [0.75, 0.8], [0.26, 0.2])],
  [curve([0.5, 0.15], [0.33, 0.21], [0.3, 0.36], [0.42, 0.49], [0.6, 0.47], [0.69, 0.32], [0.6, 0.18], [0.49, 0.15]), line([0.5, 0.49], [0.5, 0.86]), line([0.5, 0.68], [0.74, 0.68])],
  [line([0.2, 0.8], [0.38, 0.22], [0.52, 0.7], [0.66, 0.22], [0.82, 0.8])],
];

/** Numbers in [0, 1), the same ones for the same seed (mulberry32). */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A task: a drawing of each class, and another drawing of one of them.
 * @param {number} ways
 * @param {number} seed
 * @returns {{supports: number[][][][], query: number[][][], label: number}} strokes on a pad of
 *   side 1, as in strokes.js; `label` is the query's class
 */
export function exampleTask(ways, seed) {
  const random = randomNumbers(seed);
  const left = [...CHARACTERS];
  const taken = Array.from({ length: ways }, () => {
    return left.splice(Math.floor(random() * left.length), 1)[0];
  });
  const label = Math.floor(random() * ways);
  const supports = taken.map((character) => drawn(character, random));
  return { supports, query: drawn(taken[label], random), label };
}

function drawn(character, random) {
  const within = (limit) => (2 * random() - 1) * limit;
  const [turn, slant] = [within(0.1), within(0.12)];
  const [width, height] = [0.85 + within(0.1), 0.85 + within(0.1)];
  const [right, down] = [within(0.04), within(0.04)];
  const [cosine, sine] = [Math.cos(turn), Math.sin(turn)];
  const move = ([x, y]) => {
    const [across, along] = [(x - 0.5 + slant * (y - 0.5)) * width, (y - 0.5) * height];
    return [
      0.5 + across * cosine - along * sine + right + within(WOBBLE),
      0.5 + across * sine + along * cosine + down + within(WOBBLE),
    ];
  };
  return character.map(({ points, smooth }) => sampled(points.map(move), smooth));
}

/** Points along a stroke: straight between control points, or by Catmull-Rom splines. */
function sampled(points, smooth) {
  const stroke = [];
  for (let i = 0; i + 1 < points.length; i++) {
    const [b, c] = [points[i], points[i + 1]];
    const [a, d] = [points[i - 1] ?? b, points[i + 2] ?? c];
    for (let k = 0; k < SMOOTHNESS; k++) {
      const t = k / SMOOTHNESS;
      stroke.push([0, 1].map((axis) => {
        if (!smooth) return b[axis] + (c[axis] - b[axis]) * t;
        return spline(a[axis], b[axis], c[axis], d[axis], t);
      }));
    }
  }
  return [...stroke, points.at(-1)];
}

function spline(a, b, c, d, t) {
  return (
    b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
  );
}
