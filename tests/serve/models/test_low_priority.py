"""Work beside requests yields the processors, and requests do not."""

import os
import sys
import threading

import pytest
from serving_clients import Client, wait_until

from tfmeta.serve.models import low_priority
from tfmeta.serve.models.c_api import api


def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_only_the_work_itself_yields():
    before = niceness()
    assert low_priority.call(niceness) == min(before + low_priority.NICENESS, 19)
    assert niceness() == before


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        low_priority.call(divmod, 1, 0)


def test_a_swap_is_loaded_and_warmed_at_low_priority(
    start, base_path, half_plus_two, half_plus_three, monkeypatch
):
    called = []
    direct = low_priority.call
    monkeypatch.setattr(
        low_priority,
        "call",
        lambda function, *rest: called.append(function) or direct(function, *rest),
    )
    server = start(base_path(half_plus_two), "model")
    # The first version has the pools of threads made, which keep the priority of their maker.
    assert not called
    with Client(server.grpc_address) as client:
        base_path(half_plus_three, 2)
        wait_until(lambda: client.states("model") == {2: "AVAILABLE", 1: "END"})
    functions = api()
    assert called[0] == functions.TF_LoadSessionFromSavedModel
    assert called[-1] == functions.TF_DeleteGraph
