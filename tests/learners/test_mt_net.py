"""T-net and MT-net: the matrices, the masks, and what each leaves of MAML."""

import numpy as np
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.conftest import compiled, relative_error, values
from tfmeta.learners.batch.task_keys import answer_keys

WITHOUT_MATRICES = "!*_warp/*"


def t_net(problem):
    return tfmeta.networks.t_net(problem.network())


def mt_net(problem, steps=2, **options):
    return compiled(
        tfmeta.MTNet(t_net(problem), 0.3, steps, **{"adapted": WITHOUT_MATRICES, **options})
    )


def warped(weights, examples):
    """The squared error of the problem's network with matrices, written out."""
    kernel, bias, warp, head, head_bias, head_warp = weights
    hidden = tf.tanh((examples.inputs @ kernel + bias) @ warp)
    outputs = (hidden @ head + head_bias) @ head_warp
    return tf.reduce_mean(tf.square(outputs - examples.targets))


def reference(problem, learner, steps, masks_of=None):
    """Mean gradients of weights (and logits), by plain descent in the four weights W, b."""
    weights = values(learner.network.trainable_variables)
    logits = values(learner.logit_variables) if masks_of else []
    expected = []
    for index in range(3):
        task, key = problem.task(index), learner.task_keys(0, 3)[index]
        with tf.GradientTape() as tape:
            tape.watch([weights, logits])
            masks = masks_of(logits, key) if masks_of else [1.0, 1.0]
            current = list(weights)
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(current)
                    loss = warped(current, task.support)
                slopes = inner.gradient(loss, current)
                for position, mask in ((0, 0), (1, 0), (3, 1), (4, 1)):
                    current[position] -= 0.3 * masks[mask] * slopes[position]
            loss = warped(current, task.query)
        expected.append([g.numpy() for g in tape.gradient(loss, [*weights, *logits])])
    return [np.mean(parts, axis=0) for parts in zip(*expected, strict=True)]


def randomise(learner):
    """Matrices that are not the identity, logits that are not 0."""
    rng = np.random.default_rng(2)
    for variable in learner.parameter_variables:
        if "warp" in variable.path or "mask" in variable.path:
            variable.assign(variable.numpy() + 0.3 * rng.normal(size=variable.shape))


@pytest.mark.usefixtures("without_traces")
def test_a_t_net_with_matrices_of_one_adapts_as_maml(problem):
    learner = compiled(tfmeta.MAML(t_net(problem), 0.3, 3, adapted=WITHOUT_MATRICES))
    maml = compiled(tfmeta.MAML(problem.network(), 0.3, 3))
    gradients = [each.meta_gradient(*problem.batch)[0] for each in (learner, maml)]
    of_weights = [
        gradient
        for gradient, path in zip(gradients[0], learner.task_network.paths, strict=True)
        if "warp" not in path
    ]
    assert relative_error(of_weights, gradients[1]) < 1e-12


def test_a_t_nets_gradient_is_that_of_a_few_line_reference(problem):
    learner = compiled(tfmeta.MAML(t_net(problem), 0.3, 2, adapted=WITHOUT_MATRICES))
    randomise(learner)
    expected = reference(problem, learner, 2)
    assert relative_error(learner.meta_gradient(*problem.batch)[0], expected) < 1e-12


def noise(sizes, key):
    """log u - log(1 - u) of the task's uniform draw, split by mask."""
    key = tf.random.experimental.stateless_fold_in(key, 0x6D61736B)
    u = tf.random.stateless_uniform([sum(sizes)], key, 1e-30, 1.0, "float64").numpy()
    return np.split(np.log(u) - np.log1p(-u), np.cumsum(sizes)[:-1])


def soft_masks(logits, key):
    drawn = noise([4, 2], key)
    return [1 / (1 + tf.exp(-(z + n) / 0.7)) for z, n in zip(logits, drawn, strict=True)]


def straight_through(logits, key):
    """0 or 1, with the derivative of the soft mask."""

    @tf.custom_gradient
    def rounded(mask):
        return tf.cast(mask > 0.5, "float64"), lambda upstream: upstream

    return [rounded(mask) for mask in soft_masks(logits, key)]


@pytest.mark.parametrize(("hard", "masks_of"), [(False, soft_masks), (True, straight_through)])
@pytest.mark.parametrize("parallel", ["vectorized", "sequential"])
def test_masked_gradients_are_those_of_a_few_line_reference(problem, hard, masks_of, parallel):
    learner = mt_net(problem, temperature=0.7, hard=hard, parallel=parallel)
    randomise(learner)
    expected = reference(problem, learner, 2, masks_of)
    assert relative_error(learner.meta_gradient(*problem.batch)[0], expected) < 1e-10


def test_the_logits_gradient_agrees_with_finite_differences_at_a_fixed_key(problem):
    learner = mt_net(problem, hard=False)
    randomise(learner)
    gradients, _ = learner.meta_gradient(*problem.batch)
    logit = learner.logit_variables[0]
    start, batch = logit.numpy(), tf.nest.map_structure(tf.constant, problem.batch)
    traced = tf.function(learner.compute_meta_gradient, autograph=False)
    for unit in range(2):
        ends = []
        for step in (1e-5, -1e-5):
            logit.assign(start + step * np.eye(4)[unit])
            ends.append(float(traced(batch)[2]["loss"]))
        logit.assign(start)
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx(float(gradients[-2][unit]), rel=1e-6, abs=1e-12)


def test_only_the_units_of_a_tasks_mask_adapt(problem):
    learner = mt_net(problem)
    before = values(learner.network.trainable_variables)
    after = learner.task_weights(problem.support_x, problem.support_y)
    # A task that is answered has the key of index 0, whatever its place in the batch.
    mask = learner.masks(values(learner.logit_variables), answer_keys(learner.seed, 1)[0])[0]
    assert set(mask.numpy()) == {0.0, 1.0}
    for task in range(3):
        moved = np.abs(after[0][task] - before[0]).max(axis=0) > 0
        np.testing.assert_array_equal(moved, mask == 1)


def test_masks_are_1_as_often_as_their_logits_say():
    network = tfmeta.networks.mlp(hidden=(3,), dtype="float64")
    learner = tfmeta.MTNet(network)
    logits = [tf.constant([-1.0, 0.0, 2.0], "float64"), tf.zeros([1], "float64")]

    @tf.function(autograph=False)
    def draw(keys):
        return tf.map_fn(
            lambda key: learner.masks(logits, key)[0], keys, fn_output_signature="float64"
        )

    drawn = draw(learner.task_keys(0, 4000))
    # Five standard errors of 4,000 draws.
    np.testing.assert_allclose(
        drawn.numpy().mean(axis=0), 1 / (1 + np.exp([1.0, 0.0, -2.0])), atol=0.04
    )


@pytest.mark.usefixtures("without_traces")
def test_large_logits_leave_maml(problem):
    learner = mt_net(problem, initial_logit=60.0)
    maml = compiled(tfmeta.MAML(t_net(problem), 0.3, 2, adapted=WITHOUT_MATRICES))
    gradients = [each.meta_gradient(*problem.batch)[0] for each in (learner, maml)]
    assert relative_error(gradients[0][:6], gradients[1]) < 1e-12


def test_a_temperature_of_0_is_refused(problem):
    with pytest.raises(ValueError, match=r"temperature must be above 0\. Received: 0\."):
        mt_net(problem, temperature=0)


@pytest.mark.usefixtures("without_traces")
def test_logits_are_trained_with_the_weights(problem):
    learner = mt_net(problem)
    before = [v.numpy() for v in learner.logit_variables]
    learner.train_on_batch(*problem.batch)
    after = [v.numpy() for v in learner.logit_variables]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True))
