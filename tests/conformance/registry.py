"""Every public learner, registered once: small settings, and the traits that properties ask about.

A property is a file that runs over `LEARNERS`. A new learner gets all of them by one entry here;
`test_registry.py` fails for a public learner without an entry, and for a trait that is not true.

Example:
    @pytest.mark.parametrize("name", registry.LEARNERS)
    def test_property(name):
        entry = registry.LEARNERS[name]
        learner = entry.compiled(normalization="inductive")  # any option of the learner
        gradient, outputs = learner.meta_gradient(*entry.batch(tasks=3))

    # Some learners in the quick tests, the others in the slow part; only those with a trait.
    @pytest.mark.parametrize("name", registry.some(quick=("maml", "llama"), samples=True))
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

import tfmeta
from tests.marks import marked

LEARNERS = {}

# Of the network and the tasks that an entry makes.
INPUTS, OUTPUTS, SUPPORT, QUERIES = 2, 3, 6, 5

# Training classes of learners that are pre-trained on all of them.
CLASSES = 9


@dataclasses.dataclass(frozen=True)
class Learner:
    """A learner with small settings, a network and tasks for it, and its traits.

    Attributes:
        name: key of `LEARNERS`.
        cls: class of the learner.
        settings: options of the constructor; a caller's options replace them.
        warp: None, or a function from the network to the one that the learner wraps.
        classifies: whether it is for classification only.
        embedding: whether it needs a network that ends in a dense layer, behind an embedding.
        joint: whether it is pre-trained on all training classes: the targets of its training
            queries are classes below `CLASSES`, and its head is no part of training.
        gradient_steps: whether adaptation is by gradient steps (else by comparison).
        samples: whether adaptation gives several weights, as `predictive` shows.
        own_parameters: whether it learns variables other than the network's weights, beside
            them or, as particles, in place of them.
        own_state: whether it carries state beside the network's.
        second_order: whether its meta-gradient needs second derivatives of the network.
        random: whether adaptation draws by its key (minibatches, masks, noise).
        any_ways: whether a task may have more classes than the network has outputs.
        oracle: name of the oracle of `test_meta_gradients.py` or `test_probabilistic.py`; None
            where the learner's own test file holds it.
        exact: settings under which the oracle is exact.
        variant: whether another entry is the class's first.
    """

    name: str
    cls: type
    settings: dict
    warp: Callable | None = None
    classifies: bool = False
    embedding: bool = False
    joint: bool = False
    gradient_steps: bool = True
    samples: bool = False
    own_parameters: bool = False
    own_state: bool = False
    second_order: bool = False
    random: bool = False
    any_ways: bool = False
    oracle: str | None = None
    exact: dict = dataclasses.field(default_factory=dict)
    variant: bool = False

    @property
    def kinds(self):
        """The kinds of task that the learner is for."""
        return ("classification",) if self.classifies else ("regression", "classification")

    def __call__(self, network, **options):
        """Makes the learner of a network.

        Args:
            network: a built `keras.Model`, ending in a dense layer.
            **options: of the learner's constructor, instead of or beside `settings`.
        """
        network = self.warp(network) if self.warp else network
        return self.cls(network, **{**self.settings, **options})

    def exact_learner(self, network, **options):
        """Makes the learner with the settings under which its oracle is exact."""
        return self(network, **{**self.exact, **options})

    def compiled(self, kind=None, *, optimizer=None, dtype="float64", fit=None, **options):
        """Makes a compiled learner of `network(dtype)`.

        Args:
            kind: of task, one of `kinds`; None: the first.
            optimizer: of the outer loop; None: SGD(0.1).
            dtype: of the network.
            fit: None, or further options of `compile`.
            **options: of the learner's constructor.
        """
        learner = self(network(dtype), **options)
        optimizer = keras.optimizers.SGD(0.1) if optimizer is None else optimizer
        learner.compile(optimizer, loss(kind or self.kinds[0]), **(fit or {}))
        return learner

    def batch(self, kind=None, tasks=3, seed=0, dtype="float64"):
        """A batch of tasks for the learner's training: `batch`, with targets as it needs them."""
        kind = kind or self.kinds[0]
        return batch(kind, tasks, seed, dtype, classes=CLASSES if self.joint else OUTPUTS)


def network(dtype="float64", seed=3):
    """A tanh network 2-4-3 whose weights are not their initial ones; the same each time."""
    keras.utils.set_random_seed(seed)
    made = tfmeta.networks.mlp((4,), OUTPUTS, input_dim=INPUTS, activation="tanh", dtype=dtype)
    for index, weight in enumerate(made.trainable_variables):
        weight.assign(np.random.default_rng(seed + index).normal(size=weight.shape))
    return made


def loss(kind):
    """The loss of a kind of task: squared error, or cross-entropy of logits."""
    if kind == "regression":
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batch(kind="regression", tasks=3, seed=0, dtype="float64", classes=OUTPUTS):
    """Tasks `((support_x, support_y, query_x), query_y)`, numpy arrays with a leading task axis.

    Args:
        kind: "regression" (targets [T, S, outputs]) or "classification" (labels [T, S], every
            class in each support set).
        tasks: number of tasks T.
        seed: of the draw.
        dtype: of inputs and of a regression's targets.
        classes: number of classes of the query labels.
    """
    rng = np.random.default_rng(seed)
    support_x, query_x = (
        rng.normal(size=(tasks, count, INPUTS)).astype(dtype) for count in (SUPPORT, QUERIES)
    )
    if kind == "regression":
        support_y, query_y = (
            rng.normal(size=(tasks, count, OUTPUTS)).astype(dtype) for count in (SUPPORT, QUERIES)
        )
    else:
        labels = np.arange(SUPPORT, dtype="int32") % OUTPUTS
        support_y = np.stack([rng.permutation(labels) for _ in range(tasks)])
        query_y = rng.integers(classes, size=(tasks, QUERIES)).astype("int32")
    return (support_x, support_y, query_x), query_y


def some(quick=None, slow=None, **traits):
    """Names of learners for `pytest.mark.parametrize`.

    Args:
        quick: names that the quick tests run. None: all are quick.
        slow: names that are marked slow, and the others are marked product. None: all but the
            quick ones are slow.
        **traits: only learners with these, as `samples=True` or `variant=False`.
    """
    names = [
        name
        for name, entry in LEARNERS.items()
        if all(getattr(entry, trait) == value for trait, value in traits.items())
    ]
    unknown = {*(quick or ()), *(slow or ())} - set(names)
    if unknown:
        raise ValueError(
            f"quick and slow must be names of learners here. Received: {sorted(unknown)}."
        )
    return names if quick is None else marked(names, quick, slow)


def register(name, cls, settings, **traits):
    """Adds an entry to `LEARNERS`; a further one of a class is a variant."""
    variant = any(entry.cls is cls for entry in LEARNERS.values())
    LEARNERS[name] = Learner(name, cls, settings, variant=variant, **traits)


def variant(name, of, settings=None, **traits):
    """Adds an entry with the class, settings and traits of another, but for the ones named."""
    entry = LEARNERS[of]
    changed = {"settings": {**entry.settings, **(settings or {})}, **traits}
    LEARNERS[name] = dataclasses.replace(entry, name=name, variant=True, **changed)


RATE = 0.1
STEP = {"inner_rate": RATE, "inner_steps": 1}
STEPS = {"inner_rate": RATE, "inner_steps": 2}

register("maml", tfmeta.MAML, STEP, second_order=True, oracle="query_loss")
variant(
    "first_order_maml",
    "maml",
    {"first_order": True},
    second_order=False,
    oracle=None,
)
variant("anil", "maml", {"adapted": "head/*"})
register(
    "meta_sgd",
    tfmeta.MetaSGD,
    {"inner_steps": 1},
    second_order=True,
    own_parameters=True,
    oracle="query_loss",
)
register(
    "maml_plus_plus",
    tfmeta.MAMLPlusPlus,
    STEPS,
    second_order=True,
    own_parameters=True,
    own_state=True,
    oracle="halfway_loss",
    # As far in two steps as others in one: the differences' own error grows with the path.
    exact={"inner_rate": RATE / 2, "multi_step_loss_steps": 10},
)
register(
    "mt_net",
    tfmeta.MTNet,
    STEP,
    second_order=True,
    own_parameters=True,
    random=True,
    oracle="query_loss",
    # Rounded masks have the derivative of what was rounded, which differences do not see.
    exact={"hard": False},
)
variant(
    "warped_mt_net", "mt_net", {"adapted": "!*_warp/*"}, warp=tfmeta.networks.t_net, oracle=None
)
register(
    "imaml",
    tfmeta.IMAML,
    {**STEPS, "cg_steps": 2},
    second_order=True,
    oracle="implicit",
    # So large that a few steps of conjugate gradients converge for every layer.
    exact={"inner_steps": 1, "regularization": 1e5, "cg_steps": 4},
)
register(
    "reptile",
    tfmeta.Reptile,
    {**STEPS, "batch_size": 4},
    random=True,
    oracle="displacement",
    exact={"inner_steps": 1, "batch_size": None, "inner_optimizer": "sgd"},
)
variant(
    "carrying_reptile",
    "reptile",
    {"batch_size": None, "carry_moments": True},
    own_state=True,
    random=False,
    oracle=None,
)
register(
    "gradient_combination",
    tfmeta.GradientCombination,
    {"inner_rate": RATE, "coefficients": (1, 1)},
    oracle="displacement",
    exact={"coefficients": (1,)},
)
register(
    "bmaml",
    tfmeta.BMAML,
    {**STEP, "particles": 2},
    samples=True,
    own_parameters=True,
    second_order=True,
)
register(
    "bfa",
    tfmeta.BFA,
    {**STEP, "particles": 3, "temperature": 0.1, "noise": 0.7},
    samples=True,
    own_parameters=True,
    second_order=True,
    oracle="objective",
)
register(
    "platipus",
    tfmeta.PLATIPUS,
    {**STEP, "samples": 3, "noise": 0.7},
    samples=True,
    second_order=True,
    own_parameters=True,
    random=True,
    oracle="objective",
)
register(
    "llama",
    tfmeta.LLAMA,
    {**STEP, "samples": 3, "noise": 0.7, "determinant_weight": 0.1},
    samples=True,
    second_order=True,
    random=True,
    oracle="objective",
)
variant("llama_full", "llama", {"curvature": "full"})
register(
    "prototypical_network",
    tfmeta.PrototypicalNetwork,
    {},
    classifies=True,
    embedding=True,
    any_ways=True,
    gradient_steps=False,
    oracle="training_loss",
)
register(
    "matching_network",
    tfmeta.MatchingNetwork,
    {},
    classifies=True,
    embedding=True,
    any_ways=True,
    gradient_steps=False,
    oracle="training_loss",
)
register(
    "nearest_neighbor",
    tfmeta.NearestNeighbor,
    {"classes": CLASSES},
    classifies=True,
    embedding=True,
    any_ways=True,
    joint=True,
    gradient_steps=False,
    own_parameters=True,
    oracle="training_loss",
)
register(
    "fine_tuning",
    tfmeta.FineTuning,
    {**STEPS, "classes": CLASSES},
    classifies=True,
    embedding=True,
    joint=True,
    own_parameters=True,
    oracle="training_loss",
)


def with_context(network):
    """The network behind a layer of context parameters, which is what CAVIA adapts."""
    # A model's own dtype is Keras' default, whatever its layers'.
    dtype = network.trainable_variables[0].dtype
    inputs = keras.Input(network.input_shape[1:], dtype=dtype)
    context = tfmeta.networks.Context(2, dtype=dtype, name="context")(inputs)
    mixed = keras.layers.Dense(network.input_shape[-1], dtype=dtype, name="mixed")(context)
    return keras.Model(inputs, network(mixed))


register(
    "cavia",
    tfmeta.CAVIA,
    STEP,
    warp=with_context,
    second_order=True,
)
register("boil", tfmeta.BOIL, STEP, embedding=True, second_order=True, oracle="query_loss")
register(
    "proto_maml",
    tfmeta.ProtoMAML,
    STEP,
    classifies=True,
    embedding=True,
    any_ways=True,
    second_order=True,
    oracle="query_loss",
)
register(
    "unicorn_maml",
    tfmeta.UnicornMAML,
    STEP,
    embedding=True,
    any_ways=True,
    second_order=True,
    own_parameters=True,
    oracle="query_loss",
)
register(
    "r2d2",
    tfmeta.R2D2,
    {"regularization": 1.0},
    classifies=True,
    embedding=True,
    any_ways=True,
    gradient_steps=False,
    own_parameters=True,
    oracle="query_loss",
)
register(
    "meta_curvature",
    tfmeta.MetaCurvature,
    STEP,
    second_order=True,
    own_parameters=True,
    oracle="query_loss",
)
register(
    "alfa",
    tfmeta.ALFA,
    {**STEP, "decay": 0.01},
    second_order=True,
    own_parameters=True,
    oracle="query_loss",
)
