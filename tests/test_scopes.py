"""A scope of this thread ends with its `with`, whether that ends well or not."""

import signal
import threading

import pytest

import gin
from tfmeta.derivatives import exact
from tfmeta.derivatives.exact import portable_operations
from tfmeta.inner import exact_derivatives
from tfmeta.parallel.converters import registry
from tfmeta.parallel.map_tasks import _noted, noting_refusals
from tfmeta.runs.recipe import read_recipe
from tfmeta.runs.recipe.config import configured
from tfmeta.runs.signals import stop_on_signals

# A scope, and what it changes for as long as it lasts.
SCOPES = {
    "exact_derivatives": (exact_derivatives, lambda: exact._thread.scope),
    "portable_operations": (portable_operations, lambda: exact._thread.portable),
    "task_converters": (registry.task_converters, lambda: registry._thread.active),
    "noting_refusals": (noting_refusals, lambda: list(_noted)),
    "configured": (
        lambda: configured(read_recipe(["sinusoid_maml.gin"])),
        lambda: (gin.config_str(), gin.config_is_locked()),
    ),
    "stop_on_signals": (
        stop_on_signals,
        lambda: [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    ),
}


class Failure(Exception):
    """What a body of a `with` raises."""


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize("error", [None, Failure, KeyboardInterrupt])
def test_a_scope_ends_as_it_found_things(name, error):
    scope, state = SCOPES[name]
    before = state()
    if error is None:
        with scope():
            assert state() != before
    else:
        with pytest.raises(error), scope():
            raise error
    assert state() == before


@pytest.mark.parametrize("name", ["exact_derivatives", "portable_operations", "task_converters"])
def test_an_inner_scope_that_fails_leaves_the_outer_one_open(name):
    scope, state = SCOPES[name]
    with scope():
        outer = state()
        with pytest.raises(Failure), scope():
            raise Failure
        assert state() == outer
        other = []
        thread = threading.Thread(target=lambda: other.append(state()))
        thread.start()
        thread.join()
        assert not other[0]  # of this thread alone
