"""Faults of the inner loop, derivatives, the task axis, learners and policies."""

from tests.mutations.fault import Faults

FAULTS = Faults()

EXACT = "tfmeta/derivatives/exact.py"
SCOPES = "tests/test_scopes.py"
FAULTS.add(
    "exact derivatives go on after an exception",
    EXACT,
    "    try:\n        yield\n    finally:\n        _thread.scope = previous",
    "    yield\n    _thread.scope = previous",
    SCOPES,
)
FAULTS.add(
    "an inner scope of exact derivatives ends the outer one",
    EXACT,
    "    finally:\n        _thread.scope = previous",
    "    finally:\n        _thread.scope = None",
    SCOPES,
)
FAULTS.add(
    "portable operations go on after an exception",
    EXACT,
    "    try:\n        yield\n    finally:\n        _thread.portable = previous",
    "    yield\n    _thread.portable = previous",
    SCOPES,
)
FAULTS.add(
    "exact derivatives are those of every thread",
    EXACT,
    "class _ThreadState(threading.local):",
    "class _ThreadState:",
    SCOPES,
)
FAULTS.add(
    "converters of tasks go on after an exception",
    "tfmeta/parallel/converters/registry.py",
    "    try:\n        yield\n    finally:\n        _thread.active = previous",
    "    yield\n    _thread.active = previous",
    SCOPES,
)
FAULTS.add(
    "refusals are noted after an exception",
    "tfmeta/parallel/map_tasks.py",
    "    try:\n        yield refusals\n    finally:\n        _noted.pop()",
    "    yield refusals\n    _noted.pop()",
    SCOPES,
)
FAULTS.add(
    "the gradient of a variance is off by its mean",
    "tfmeta/derivatives/moments.py",
    "offset = mean_gradient / size - slope * tf.reduce_mean(inputs, axes, keepdims=True)",
    "offset = mean_gradient / size",
    "tests/derivatives/test_moments.py",
)
FAULTS.add(
    "second derivatives of moments stop at the mean",
    "tfmeta/derivatives/moments.py",
    "slope * tf.reduce_mean(inputs, axes, keepdims=True)",
    "slope * tf.stop_gradient(tf.reduce_mean(inputs, axes, keepdims=True))",
    "tests/derivatives",
    "-k=moments or batch_norm",
)
FAULTS.add(
    "pooling pads with zeros",
    "tfmeta/derivatives/max_pool.py",
    "constant_values=inputs.dtype.min",
    "constant_values=0",
    "tests/derivatives/test_max_pool.py",
)
FAULTS.add(
    "padding of pooling begins with the larger half",
    "tfmeta/derivatives/max_pool.py",
    "paddings.append((total // 2, total - total // 2))",
    "paddings.append((total - total // 2, total // 2))",
    "tests/derivatives/test_max_pool.py",
)
CG, OF_CG = "tfmeta/inner/conjugate_gradient.py", "tests/inner/test_conjugate_gradient.py"
FAULTS.add(
    "directions of conjugate gradients are residuals",
    CG,
    "direction = [r + ratio * d for r, d in zip(residual, direction, strict=True)]",
    "direction = list(residual)",
    OF_CG,
)
FAULTS.add(
    "the tolerance is of the square",
    CG,
    "threshold = squared * tolerance**2",
    "threshold = squared * tolerance",
    OF_CG,
)
FAULTS.add(
    "a step is skipped of a loop that is not unrolled",
    "tfmeta/inner/loop.py",
    "lambda index, *_: index < steps, body, (tf.constant(0), carry, losses, records)",
    "lambda index, *_: index < steps - 1, body, (tf.constant(0), carry, losses, records)",
    "tests/learners/test_maml.py",
)
FAULTS.add(
    "divergences of Gaussians swap their variances",
    "tfmeta/inner/gaussian.py",
    "+ tf.exp(log_q - log_p)",
    "+ tf.exp(log_p - log_q)",
    "tests/inner/test_gaussian.py",
)
FAULTS.add(
    "a draw has the variance for its deviation",
    "tfmeta/inner/gaussian.py",
    "mean + tf.exp(0.5 * log_variance) * drawn",
    "mean + tf.exp(log_variance) * drawn",
    "tests/inner/test_gaussian.py",
)
FAULTS.add(
    "a Kronecker block lacks its prior",
    "tfmeta/inner/laplace.py",
    "tf.math.log(self._prior + values)",
    "tf.math.log(1.0 + values)",
    "tests/inner/test_laplace.py",
)
FAULTS.add(
    "a factor of a Kronecker block is not scaled",
    "tfmeta/inner/laplace.py",
    "return left * root, right * root",
    "return left * root, right",
    "tests/inner/test_laplace.py",
)

CONVOLUTIONS, PATCHES = (
    "tfmeta/parallel/converters/convolutions.py",
    "tfmeta/parallel/converters/patches.py",
)
OF_CONVERTERS = "tests/parallel/converters/test_converters.py"
FAULTS.add(
    "a convolution with kernels a task ignores its dilation",
    CONVOLUTIONS,
    'dilations=tuple(pfor_input.get_attr("dilations")[1:3]),',
    "dilations=(1, 1),",
    OF_CONVERTERS,
    "-k=dilation",
)
FAULTS.add(
    "dilations down and across are swapped",
    CONVOLUTIONS,
    'dilations=tuple(pfor_input.get_attr("dilations")[1:3]),',
    'dilations=tuple(pfor_input.get_attr("dilations")[1:3][::-1]),',
    OF_CONVERTERS,
    "-k=dilation",
)
FAULTS.add(
    "gradients of dilated taps are taken side by side",
    PATCHES,
    "np.subtract.outer(pixels, np.array(taps, int) * dilation) // stride",
    "np.subtract.outer(pixels, np.array(taps, int)) // stride",
    OF_CONVERTERS,
    "-k=dilation",
)
FAULTS.add(
    "padding of a convolution is all before",
    PATCHES,
    "max((o - 1) * s + r - i, 0) // 2",
    "max((o - 1) * s + r - i, 0)",
    OF_CONVERTERS,
    "-k=conv2d and same",
)
FAULTS.add(
    "strides down and across are swapped",
    CONVOLUTIONS,
    'strides=tuple(pfor_input.get_attr("strides")[1:3]),',
    'strides=tuple(pfor_input.get_attr("strides")[1:3][::-1]),',
    OF_CONVERTERS,
    "-k=window and conv2d",
)
FAULTS.add(
    "padding of tasks is zero whatever its value",
    "tfmeta/parallel/converters/pooling.py",
    "constant_values=value",
    "constant_values=0.0",
    OF_CONVERTERS,
    "-k=padding_keeps",
)
FAULTS.add(
    "a volume's taps are laid without their dilation",
    "tfmeta/parallel/converters/volumes.py",
    "total += self._placed(part, tap * self.dilation, length)",
    "total += self._placed(part, tap, length)",
    OF_CONVERTERS,
    "tests/conformance/test_vectorised.py",
    "-k=conv3d",
)
FAULTS.add(
    "tasks of a chain begin from one state",
    "tfmeta/parallel/chain_tasks.py",
    "result, state = concrete([t[index] for t in flat], *state)",
    "result, _ = concrete([t[index] for t in flat], *state)",
    "tests/parallel/test_map_tasks.py",
    "-k=chain",
)

GAE, OF_GAE = "tfmeta/rl/advantages.py", "tests/rl/test_advantages.py"
FAULTS.add(
    "temporal differences lack the discount",
    GAE,
    "errors = (rewards + discount * following - values) * mask",
    "errors = (rewards + following - values) * mask",
    OF_GAE,
)
FAULTS.add(
    "advantages are summed by the discount alone",
    GAE,
    "return discounted_sums(errors, discount * gae_lambda) * mask",
    "return discounted_sums(errors, discount) * mask",
    OF_GAE,
)
FAULTS.add(
    "steps after the end count in a mean",
    "tfmeta/rl/trajectories.py",
    "total = tf.reduce_sum(values * mask, axis=[-2, -1])",
    "total = tf.reduce_sum(values, axis=[-2, -1])",
    OF_GAE,
)
FAULTS.add(
    "TRPO takes a step that leaves the trust region",
    "tfmeta/rl/outer_steps.py",
    "accepted = tf.logical_and(loss < before, kl <= self.max_kl)",
    "accepted = loss < before",
    "tests/rl/test_outer_steps.py",
)
FAULTS.add(
    "the natural step has half its length",
    "tfmeta/rl/outer_steps.py",
    "tf.math.divide_no_nan(2 * self.max_kl, ",
    "tf.math.divide_no_nan(self.max_kl, ",
    "tests/rl/test_outer_steps.py",
)
FAULTS.add(
    "the likelihood of an action lacks its deviation",
    "tfmeta/rl/gaussian_policy.py",
    "parts = -0.5 * tf.square(scaled) - log_std - 0.5",
    "parts = -0.5 * tf.square(scaled) - 0.5",
    "tests/rl/test_gaussian_policy.py",
)
FAULTS.add(
    "points move as far as they want",
    "tfmeta/rl/navigation.py",
    "move = self.speed * tf.clip_by_value(actions, -1.0, 1.0)",
    "move = self.speed * actions",
    "tests/rl/test_navigation.py",
)
