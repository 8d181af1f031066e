"""`check_learner` accepts learners that are right, and names what is wrong with others."""

import dataclasses

import keras
import pytest
import tensorflow as tf

import tfmeta
from tests.learners.core.own_learners import CentroidMAML, momentum_learner
from tfmeta import parts
from tfmeta.testing import case, check_learner, properties


class Doubled(tfmeta.MAML):
    """Its gradient is twice the objective's."""

    def task_gradient(self, parameters, task, state, key):
        found = super().task_gradient(parameters, task, state, key)
        return found._replace(gradient=[2 * value for value in found.gradient])


class Centred(tfmeta.MAML):
    """Its answers depend on the other tasks of the batch."""

    def call(self, inputs, training=None):
        outputs = super().call(inputs, training=training)
        return outputs - tf.reduce_mean(outputs, axis=0)


@keras.saving.register_keras_serializable("tests")
class Forgetful(tfmeta.MAML):
    """Its configuration has another inner rate than the learner."""

    def get_config(self):
        return {**super().get_config(), "inner_rate": 0.5}


class Counting(tfmeta.MAML):
    """Its gradient depends on how often Python ran it."""

    def task_gradient(self, parameters, task, state, key):
        self.seed += 1
        found = super().task_gradient(parameters, task, state, key)
        return found._replace(gradient=[self.seed * value for value in found.gradient])


@dataclasses.dataclass(frozen=True)
class InFloat32(parts.PlainGradient):
    """Multiplies by a number of float32, whatever the network's dtype."""

    def directions(self, context, prepared, values, gradients):
        return [tf.constant(2.0) * value for value in gradients]


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (Doubled, "meta_gradient_equals_its_oracle"),
        (Counting, "vectorised_equals_sequential"),
        (Centred, "answers_are_independent_of_other_tasks"),
        pytest.param(
            Forgetful, "a_loaded_learner_goes_on_as_the_saved_one", marks=pytest.mark.slow
        ),
    ],
)
def test_a_broken_learner_is_told_the_property(broken, name, monkeypatch):
    held = getattr(properties, name)
    monkeypatch.setattr("tfmeta.testing.checking.PROPERTIES", (held,))
    with pytest.raises(AssertionError, match=f"Property '{name.replace('_', ' ')}' does not hold"):
        check_learner(broken)


def test_a_part_of_float32_is_told_what_to_do(monkeypatch):
    def make(network):
        rates = parts.FixedRates(0.1)
        adaptation = parts.GradientDescent(rates=rates, direction=InFloat32())
        return tfmeta.MetaLearner(network, adaptation, parts.QueryGradient())

    held = (properties.meta_gradient_equals_its_oracle,)
    monkeypatch.setattr("tfmeta.testing.checking.PROPERTIES", held)
    with pytest.raises(AssertionError, match="computes in float64: give variables"):
        check_learner(make)


def test_the_gradient_of_maml_holds_and_tasks_may_be_given(monkeypatch):
    held = (properties.meta_gradient_equals_its_oracle,)
    monkeypatch.setattr("tfmeta.testing.checking.PROPERTIES", held)
    check_learner(tfmeta.MAML)
    check_learner(CentroidMAML, tasks=case.made_up_tasks("classification"))


def test_a_rule_without_an_objective_needs_an_oracle():
    with pytest.raises(ValueError, match=r"needs an oracle .* MomentumRule"):
        check_learner(momentum_learner)
    with pytest.raises(ValueError, match=r"needs an oracle .* QueryGradient"):
        check_learner(lambda network: tfmeta.MAML(network, first_order=True))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .* Received: 'labels'"):
        check_learner(tfmeta.MAML, kind="labels")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(tfmeta.MAML, "regression", marks=pytest.mark.slow),
        pytest.param(tfmeta.MAML, "classification", marks=pytest.mark.product),
        pytest.param(CentroidMAML, "classification", marks=pytest.mark.slow),
    ],
)
def test_learners_that_are_right_have_all_properties(make, kind):
    check_learner(make, kind=kind)
