"""Properties that a learner must have: each a function of a `Case` that asserts one of them."""

import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from tfmeta.saved_model import ExportedModel
from tfmeta.testing.case import Case

# Central differences; the better of two neighbours counts.
STEPS = (1e-5, 1e-6)


def meta_gradient_equals_its_oracle(case: Case) -> None:
    """The gradient of one task is the objective's, by finite differences or by the oracle."""
    learner, task = case.learner(), case.task(0)
    parameters, state = _values(learner)
    key = learner.task_keys(0, 1)[0]
    gradient = learner.task_gradient(parameters, task, state, key).gradient
    if case.oracle is not None:
        expected = case.oracle(learner, parameters, task, state, key)
        _assert_close(gradient, expected, 1e-6, "the gradient is not the oracle's")
        return
    context = learner.task_context(parameters, task.support, state, key)

    def objective(step, direction):
        moved = [p + step * d for p, d in zip(parameters, direction, strict=True)]
        packed = tf.nest.pack_sequence_as(context.parameters, moved)
        rule, functions = learner.gradient_rule, learner.task_functions
        return float(rule.objective(functions, packed, task, context.state, key).value)

    rng = np.random.default_rng(0)
    noise = [rng.normal(size=value.shape) for value in gradient]
    for direction in (_unit(gradient), _unit(noise)):
        expected = sum(np.sum(np.asarray(g) * d) for g, d in zip(gradient, direction, strict=True))
        slopes = [(objective(h, direction) - objective(-h, direction)) / (2 * h) for h in STEPS]
        error = min(abs(slope - expected) for slope in slopes) / max(_norm(gradient), 1e-12)
        assert error < 1e-6, f"the gradient is {error:.1e} of its norm from finite differences"


def vectorised_equals_sequential(case: Case) -> None:
    """The meta-gradient of a batch is the mean over its tasks, one after another."""
    learner = case.learner()
    together, _ = learner.meta_gradient(*case.batch)
    parameters, state = _values(learner)
    count = len(case.batch[1])
    gradients = []
    for index, key in enumerate(learner.task_keys(0, count)):
        found = learner.task_gradient(parameters, case.task(index), state, key)
        state = found.state if learner.chains_state else state
        gradients.append(found.gradient)
    mean = [np.mean([np.asarray(g) for g in of], axis=0) for of in zip(*gradients, strict=True)]
    _assert_close(together, mean, 1e-9, "a batch's meta-gradient is not the mean of its tasks'")


def answers_are_independent_of_other_tasks(case: Case) -> None:
    """A task of a batch is answered as the task alone is, in the network's dtype."""
    learner = case.learner()
    together = learner.predict_on_batch(case.batch[0])
    assert together.dtype == np.float64, f"answers of a float64 network are {together.dtype}"
    for index in range(len(together)):
        alone = learner.predict_on_batch(tuple(a[index : index + 1] for a in case.batch[0]))
        _assert_close([together[index]], [alone[0]], 1e-9, f"task {index} is answered otherwise")


def a_step_is_traced_once(case: Case) -> None:
    """Meta-steps on batches of one shape share one trace."""
    learner, traces = case.learner(), []
    original = learner.task_gradient

    def task_gradient(*arguments, **options):
        traces.append(1)
        return original(*arguments, **options)

    # Around Keras' tracking of attributes, which is for layers and variables.
    object.__setattr__(learner, "task_gradient", task_gradient)
    learner.train_on_batch(*case.batch)
    first = len(traces)
    for _ in range(2):
        learner.train_on_batch(*case.batch)
    assert len(traces) == first, f"two further steps were traced {len(traces) - first} times"


def a_loaded_learner_goes_on_as_the_saved_one(case: Case) -> None:
    """A `.keras` file gives the same configuration, answers and next meta-step."""
    learner = case.learner()
    learner.train_on_batch(*case.batch)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "learner.keras"
        learner.save(path)
        loaded = keras.saving.load_model(path)
    names = [set(each.get_config()) for each in (learner, loaded)]
    assert names[0] == names[1], f"the configuration differs in {sorted(names[0] ^ names[1])}"
    ours, theirs = ([each.predict_on_batch(case.batch[0])] for each in (learner, loaded))
    _assert_close(ours, theirs, 1e-12, "the loaded learner gives other answers")
    for each in (learner, loaded):
        each.train_on_batch(*case.batch)
    ours, theirs = (each.parameter_variables for each in (learner, loaded))
    _assert_close(ours, theirs, 1e-12, "the loaded learner's next meta-step is another")


def an_export_answers_as_the_learner_does(case: Case) -> None:
    """The SavedModel's signature `adapt_and_predict` gives the learner's own answers."""
    learner = case.learner()
    support_x, support_y, query_x = (array[:1] for array in case.batch[0])
    x = [a.astype("float32") if a.dtype.kind == "f" else a for a in (support_x, support_y, query_x)]
    with tempfile.TemporaryDirectory() as folder:
        learner.export(folder, warmup_sizes=[])
        names = ("support_inputs", "support_targets", "query_inputs")
        request = {name: array[0] for name, array in zip(names, x, strict=True)}
        answer = ExportedModel(folder)("adapt_and_predict", **request)
    outputs = answer["logits" if case.kind == "classification" else "predictions"]
    own = learner.predict_on_batch(tuple(x))[0]
    _assert_close([outputs], [own], 1e-5, "the exported model gives other answers")


PROPERTIES = (
    meta_gradient_equals_its_oracle,
    vectorised_equals_sequential,
    answers_are_independent_of_other_tasks,
    a_step_is_traced_once,
    a_loaded_learner_goes_on_as_the_saved_one,
    an_export_answers_as_the_learner_does,
)


def _values(learner):
    return tuple(
        [tf.convert_to_tensor(variable) for variable in variables]
        for variables in (learner.parameter_variables, learner.state_variables)
    )


def _norm(values) -> float:
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(value))) for value in values)))


def _unit(values):
    norm = max(_norm(values), 1e-12)
    return [np.asarray(value) / norm for value in values]


def _assert_close(actual, expected, tolerance, what):
    pairs = zip(actual, expected, strict=True)
    distance = _norm([np.asarray(a) - np.asarray(b) for a, b in pairs])
    error = distance / max(_norm(expected), 1e-12)
    assert error <= tolerance, f"{what} (relative distance {error:.1e})"
