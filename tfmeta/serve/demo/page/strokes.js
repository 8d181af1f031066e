// From pen strokes to what the network reads: pure functions, no page, no canvas.
//
// A drawing is a list of strokes, a stroke a list of points [x, y] of the pad, 0 to 1 from its
// upper left corner. It becomes what Omniglot's drawings were: 105 x 105 pixels, each ink or
// paper, then 28 x 28 by the filter with which the network's training images were shrunk.
//
// People draw anywhere on a pad and in any size. Centring each drawing and scaling it to the usual
// size makes the answer independent of that, and raises accuracy even on Omniglot's own strokes
// (results/demo_replay.json). Strokes that are not placed become Omniglot's images as they are.

export const BITMAP_SIZE = 105; // pixels of Omniglot's drawings
export const IMAGE_SIZE = 28; // of the network's input
// Of the pen, in pixels of the bitmap: so Omniglot's strokes and bitmaps of the same drawings
// agree best, as well as with 5.1 (benchmarks/demo_pen.py measures this and the next two).
export const PEN_WIDTH = 4.9;

// Of Omniglot's drawings on average: the longer side of the box around the strokes, and its centre,
// both as shares of the pad.
export const USUAL_SIDE = 0.61;
export const USUAL_CENTRE = 0.486;
const SMALLEST_SIDE = 0.12; // smaller drawings are dots, and stay small

const PAPER = 255; // as in Omniglot's files: dark ink on white paper
const INK = 0;
const LANCZOS_LOBES = 3;
const COEFFICIENT_BITS = 22; // of fixed-point coefficients of Pillow's resampling of bytes

/**
 * Smallest box around all points, or null where there are none.
 * @param {number[][][]} strokes
 * @returns {{left: number, top: number, right: number, bottom: number} | null}
 */
export function bounds(strokes) {
  const points = strokes.flat();
  if (points.length === 0) return null;
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const [x, y] of points) {
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  return box;
}

/**
 * Centres a drawing and scales it to the size of Omniglot's drawings, keeping its proportions.
 * @param {number[][][]} strokes
 * @returns {number[][][]}
 */
export function place(strokes) {
  const box = bounds(strokes);
  if (box === null) return [];
  const side = Math.max(box.right - box.left, box.bottom - box.top, SMALLEST_SIDE);
  const scale = USUAL_SIDE / side;
  const [middleX, middleY] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const move = ([x, y]) => [
    (x - middleX) * scale + USUAL_CENTRE,
    (y - middleY) * scale + USUAL_CENTRE,
  ];
  return strokes.map((stroke) => stroke.map(move));
}

/**
 * Draws strokes with a round pen: a pixel is ink if its centre is within half the pen's width of
 * a stroke.
 * @param {number[][][]} strokes
 * @param {number} [penWidth] in pixels
 * @returns {Uint8Array} 105 x 105, by rows, 0 for ink and 255 for paper
 */
export function rasterize(strokes, penWidth = PEN_WIDTH) {
  const bitmap = new Uint8Array(BITMAP_SIZE * BITMAP_SIZE).fill(PAPER);
  for (const stroke of strokes) {
    const pixels = stroke.map(([x, y]) => [x * BITMAP_SIZE - 0.5, y * BITMAP_SIZE - 0.5]);
    if (pixels.length === 1) inkSegment(bitmap, pixels[0], pixels[0], penWidth / 2);
    for (let i = 1; i < pixels.length; i++) {
      inkSegment(bitmap, pixels[i - 1], pixels[i], penWidth / 2);
    }
  }
  return bitmap;
}

function inkSegment(bitmap, [x0, y0], [x1, y1], radius) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const lengthSquared = dx * dx + dy * dy;
  const clip = (value) => Math.min(Math.max(value, 0), BITMAP_SIZE - 1);
  const [left, right] = [Math.min(x0, x1) - radius, Math.max(x0, x1) + radius];
  const [top, bottom] = [Math.min(y0, y1) - radius, Math.max(y0, y1) + radius];
  for (let y = clip(Math.ceil(top)); y <= clip(Math.floor(bottom)); y++) {
    for (let x = clip(Math.ceil(left)); x <= clip(Math.floor(right)); x++) {
      const along = lengthSquared ? ((x - x0) * dx + (y - y0) * dy) / lengthSquared : 0;
      const nearest = Math.min(Math.max(along, 0), 1);
      const [awayX, awayY] = [x - x0 - nearest * dx, y - y0 - nearest * dy];
      if (awayX * awayX + awayY * awayY <= radius * radius) bitmap[y * BITMAP_SIZE + x] = INK;
    }
  }
}

/**
 * Shrinks a bitmap by Lanczos' filter, to the last bit as Pillow does, which made the images
 * that the network was trained on: columns first, then rows, rounded to bytes after each.
 * @param {Uint8Array} bitmap 105 x 105, by rows
 * @returns {Uint8Array} 28 x 28, by rows
 */
export function shrink(bitmap) {
  const narrow = new Uint8Array(BITMAP_SIZE * IMAGE_SIZE);
  for (let y = 0; y < BITMAP_SIZE; y++) {
    FILTERS.forEach(({ first, weights }, x) => {
      narrow[y * IMAGE_SIZE + x] = weighted(bitmap, y * BITMAP_SIZE + first, 1, weights);
    });
  }
  const image = new Uint8Array(IMAGE_SIZE * IMAGE_SIZE);
  FILTERS.forEach(({ first, weights }, y) => {
    for (let x = 0; x < IMAGE_SIZE; x++) {
      image[y * IMAGE_SIZE + x] = weighted(narrow, first * IMAGE_SIZE + x, IMAGE_SIZE, weights);
    }
  });
  return image;
}

function weighted(bytes, start, stride, weights) {
  let sum = 2 ** (COEFFICIENT_BITS - 1);
  for (let i = 0; i < weights.length; i++) sum += bytes[start + i * stride] * weights[i];
  return Math.min(Math.max(Math.floor(sum / 2 ** COEFFICIENT_BITS), 0), 255);
}

const FILTERS = Array.from({ length: IMAGE_SIZE }, (_, position) => {
  const scale = BITMAP_SIZE / IMAGE_SIZE;
  const reach = LANCZOS_LOBES * scale;
  const centre = (position + 0.5) * scale;
  const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
  const last = Math.min(Math.trunc(centre + reach + 0.5), BITMAP_SIZE);
  const weights = [];
  for (let i = first; i < last; i++) weights.push(lanczos((i - centre + 0.5) / scale));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const fixed = weights.map((weight) => Math.round((weight / sum) * 2 ** COEFFICIENT_BITS));
  return { first, weights: fixed };
});

function lanczos(x) {
  if (x <= -LANCZOS_LOBES || x >= LANCZOS_LOBES) return 0;
  return sinc(x) * sinc(x / LANCZOS_LOBES);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/**
 * What the network reads of a bitmap: ink 1 on paper 0.
 * @param {Uint8Array} bitmap 105 x 105, by rows, 0 for ink and 255 for paper
 * @returns {Float32Array} 28 x 28, by rows
 */
export function bitmapToTensor(bitmap) {
  // Bytes become numbers as in training: times the float32 nearest to 1 / 255.
  const scale = Math.fround(1 / 255);
  return Float32Array.from(shrink(bitmap), (byte) => (PAPER - byte) * scale);
}

/**
 * What the network reads of a person's drawing, wherever on the pad it is and however large.
 * @param {number[][][]} strokes
 * @returns {Float32Array} 28 x 28, by rows
 */
export function strokesToTensor(strokes) {
  return bitmapToTensor(rasterize(place(strokes)));
}
