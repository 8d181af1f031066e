"""Every learner against programs in other frameworks, on the papers' two image networks."""

import functools
import importlib.util
import pathlib
import subprocess
import sys

import keras
import pytest

import tfmeta
from tests.references import problems

# In float32 the order of operations alone moves a network with kinks: by so much at most, or by
# three times what it moves the reference itself.
FLOAT32_TOLERANCE = 1e-3
FLOAT32_FACTOR = 3.0
# Enough for conjugate gradients to converge on either network.
CG_STEPS = 50
# The other cases repeat, with more or fewer steps or on the other network, what one of these shows.
QUICK = {
    "omniglot": {
        *("maml_1", "maml_5", "first_order_maml_3", "anil_3"),
        *("meta_sgd_1", "imaml_5", "reptile_5", "reptile_adam_5"),
    },
    "mini_imagenet": {"maml_1"},
}
SLOW = {"omniglot": {}, "mini_imagenet": {"maml_5", "first_order_maml_3", "reptile_5"}}

ROOT = pathlib.Path(__file__).parents[2]
CASES = [
    pytest.param(
        problem.name,
        case,
        id=f"{problem.name}-{case.name}",
        marks=()
        if case.name in QUICK[problem.name]
        else pytest.mark.slow
        if case.name in SLOW[problem.name]
        else pytest.mark.product,
    )
    for problem in problems.PROBLEMS.values()
    for case in problem.cases()
]
FLOAT32_CASES = [case for case in CASES if case.values[1].name == "maml_1"]


@pytest.mark.parametrize(("problem_name", "case"), CASES)
def test_meta_gradient_equals_that_of_pytorch(problem_name, case):
    gradient, outputs, loss = computed(problem_name, case, "float64")
    expected = problems.stored(problem_name)[case.name]

    prints = {path: problems.fingerprint(path, value) for path, value in gradient.items()}
    received = {"query_loss": loss, "gradient": prints}
    assert problems.case_distance(received, expected) < problems.TOLERANCE
    outputs = problems.fingerprint("query_outputs", outputs)
    assert outputs["projections"] == pytest.approx(
        expected["query_outputs"]["projections"], abs=problems.TOLERANCE
    )


@pytest.mark.parametrize(("problem_name", "case"), FLOAT32_CASES)
def test_float32_is_as_near_to_float64_as_the_reference_is(problem_name, case):
    exact, _, _ = computed(problem_name, case, "float64")
    single, _, _ = computed(problem_name, case, "float32")

    own = problems.stored(problem_name)[case.name]["float32_distance"]
    tolerance = max(FLOAT32_TOLERANCE, FLOAT32_FACTOR * own)
    assert problems.distance(single, exact) < tolerance


def test_stored_values_are_of_every_case():
    for problem in problems.PROBLEMS.values():
        names = [case.name for case in problem.cases()]
        assert list(problems.stored(problem.name)) == names


def test_a_gradient_that_is_off_by_a_billionth_has_another_fingerprint():
    expected = problems.stored("omniglot")["maml_1"]
    path, weight = next(iter(expected["gradient"].items()))
    shifted = weight | {"projections": [p + 2e-8 for p in weight["projections"]]}
    changed = expected | {"gradient": expected["gradient"] | {path: shifted}}

    assert problems.case_distance(expected, expected) == 0.0
    assert problems.case_distance(changed, expected) > problems.TOLERANCE


@pytest.mark.parametrize(
    ("framework", "program"),
    [("torch", ["pytorch_reference", "--check"]), ("jax", ["jax_reference"])],
)
def test_the_reference_program_gives_what_is_stored(framework, program):
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed here")
    module, *options = program
    # In a process of its own: two frameworks in one fight over threads.
    command = [sys.executable, "-m", f"tests.references.{module}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def computed(problem_name, case, dtype):
    """tfmeta's meta-gradient by path, query outputs, and query loss."""
    problem = problems.PROBLEMS[problem_name]
    learner = make_learner(problem, case, dtype)
    support_x, support_y, query_x, query_y = problem.batch()
    gradients, outputs = learner.meta_gradient((support_x, support_y, query_x), query_y)
    loss = keras.ops.mean(
        keras.ops.sparse_categorical_crossentropy(query_y, outputs, from_logits=True)
    )
    arrays = [keras.ops.convert_to_numpy(value) for value in gradients]
    by_path = dict(zip(learner.parameter_paths, arrays, strict=True))
    return by_path, keras.ops.convert_to_numpy(outputs), float(loss)


def make_learner(problem, case, dtype):
    network = make_network(problem, dtype)
    steps, rate = case.inner_steps, case.inner_rate
    # One task after another traces sooner; that both ways agree is tested elsewhere.
    options = {"parallel": "sequential"}
    if case.algorithm == "meta_sgd":
        learner = tfmeta.MetaSGD(network, steps, **options)
        assign(learner.rate_variables, problem.rates())
    elif case.algorithm == "imaml":
        tolerance = 1e-13 if dtype == "float64" else 1e-6
        cg = {"cg_steps": CG_STEPS, "cg_tolerance": tolerance}
        regularization = case.regularization
        learner = tfmeta.IMAML(network, rate, steps, regularization=regularization, **cg, **options)
    elif case.algorithm.startswith("reptile"):
        inner = "adam" if case.algorithm == "reptile_adam" else "sgd"
        learner = tfmeta.Reptile(network, rate, steps, inner_optimizer=inner, **options)
    else:
        options["first_order"] = case.algorithm == "first_order_maml"
        options["adapted"] = ["head/*"] if case.algorithm == "anil" else None
        learner = tfmeta.MAML(network, rate, steps, **options)
    learner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return learner


def make_network(problem, dtype):
    network = tfmeta.networks.conv4(
        problem.ways,
        problem.image_shape,
        filters=problem.filters,
        downsampling="max_pool" if problem.pooled else "stride",
        head="flatten" if problem.pooled else "mean",
        dtype=dtype,
    )
    assign(network.trainable_variables, problem.weights())
    return network


def assign(variables, arrays):
    for variable, array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)
