"""Faults of inner optimisers, patterns, particles, likelihoods and learners."""

from tests.mutations.fault import Faults

FAULTS = Faults()

OPTIMIZERS, OF_OPTIMIZERS = "tfmeta/inner/optimizers.py", "tests/inner/test_optimizers.py"
FAULTS.add(
    "Adam's second moment is not corrected",
    OPTIMIZERS,
    "root = safe_sqrt(second / self._correction(self.beta_2, count, weight)) + self.epsilon",
    "root = safe_sqrt(second) + self.epsilon",
    OF_OPTIMIZERS,
)
FAULTS.add(
    "Adam's epsilon stands under the root",
    OPTIMIZERS,
    "root = safe_sqrt(second / self._correction(self.beta_2, count, weight)) + self.epsilon",
    "root = safe_sqrt(second / self._correction(self.beta_2, count, weight) + self.epsilon)",
    OF_OPTIMIZERS,
)
FAULTS.add(
    "momentum damps the gradient",
    OPTIMIZERS,
    "self.momentum * slot + gradient\n",
    "self.momentum * slot + (1.0 - self.momentum) * gradient\n",
    OF_OPTIMIZERS,
)
FAULTS.add(
    "a rate passes through float32",
    OPTIMIZERS,
    "return tf.cast(rate, weight.dtype) if tf.is_tensor(rate) else tf.constant(rate, weight.dtype)",
    "return tf.cast(tf.cast(rate, tf.float32), weight.dtype)",
    OF_OPTIMIZERS,
)
FAULTS.add(
    "the derivative of a root at zero is not finite",
    OPTIMIZERS,
    "return [tf.math.divide_no_nan(0.5 * upstream, safe_sqrt(x))]",
    "return [0.5 * upstream / safe_sqrt(x)]",
    OF_OPTIMIZERS,
)
SELECTION, OF_SELECTION = "tfmeta/inner/selection.py", "tests/inner/test_selection.py"
FAULTS.add(
    "what a pattern leaves out adapts",
    SELECTION,
    "and not any(fnmatch.fnmatchcase(path, p) for p in excluded)",
    "",
    OF_SELECTION,
)
FAULTS.add(
    "the last pattern that matches gives the rate",
    SELECTION,
    "chosen.append(matches[0])",
    "chosen.append(matches[-1])",
    OF_SELECTION,
)
SVGD, OF_SVGD = "tfmeta/inner/svgd.py", "tests/inner/test_svgd.py"
FAULTS.add(
    "particles attract each other",
    SVGD,
    "(kernel @ flat[1] - strength * (laplacian @ flat[0])) / count",
    "(kernel @ flat[1] + strength * (laplacian @ flat[0])) / count",
    OF_SVGD,
)
FAULTS.add(
    "the bandwidth is the median itself",
    SVGD,
    "bandwidth = _median_of_pairs(distances) / math.log(count)",
    "bandwidth = _median_of_pairs(distances)",
    OF_SVGD,
)
LIKELIHOOD, OF_LIKELIHOOD = "tfmeta/inner/likelihood.py", "tests/inner/test_likelihood.py"
FAULTS.add(
    "samples' logits are averaged in place of their probabilities",
    LIKELIHOOD,
    "return log_mean_exp(tf.nn.log_softmax(outputs))",
    "return tf.reduce_mean(outputs, axis=0)",
    OF_LIKELIHOOD,
)
FAULTS.add(
    "a regression's likelihood lacks its deviation's logarithm",
    LIKELIHOOD,
    "constant = math.log(self.noise) + 0.5",
    "constant = 0.5",
    OF_LIKELIHOOD,
)
FAULTS.add(
    "the curvature of a softmax lacks its mean",
    LIKELIHOOD,
    "tf.linalg.diag(tf.sqrt(p)) - p[:, :, None] * tf.sqrt(p)[:, None, :]",
    "tf.linalg.diag(tf.sqrt(p))",
    OF_LIKELIHOOD,
)
FAULTS.add(
    "small tasks are computed each by itself",
    "tfmeta/learners/keras_model/execution.py",
    ">= LARGE",
    ">= TINY",
    "tests/learners/test_execution.py",
)
FAULTS.add(
    "a product of vectors divides by their length",
    "tfmeta/inner/gradients.py",
    "return tf.add_n([tf.reduce_sum(a * b) for a, b in zip(left, right, strict=True)])",
    "return tf.add_n([tf.reduce_mean(a * b) for a, b in zip(left, right, strict=True)])",
    "tests/inner/test_conjugate_gradient.py",
)
