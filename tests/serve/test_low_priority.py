"""Work beside requests yields the processors, and requests do not."""

import os
import sys
import threading

import pytest

from tfmeta.serve.low_priority import NICENESS, at_low_priority


def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_only_the_work_itself_yields():
    before = niceness()
    assert at_low_priority(niceness) == min(before + NICENESS, 19)
    assert niceness() == before


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        at_low_priority(lambda: 1 / 0)


def test_a_swap_is_loaded_and_warmed_at_low_priority(
    start, base_path, half_plus_two, half_plus_three, monkeypatch
):
    from serving_clients import Client, wait_until

    from tfmeta.serve import model_versions

    seen = []
    warm = model_versions.warm
    monkeypatch.setattr(
        model_versions,
        "warm",
        lambda *arguments: seen.append(threading.current_thread().name) or warm(*arguments),
    )
    server = start(base_path(half_plus_two), "model")
    with Client(server.grpc_address) as client:
        base_path(half_plus_three, 2)
        wait_until(lambda: client.states("model").get(2) == "AVAILABLE")
    # The first version has the pools of threads made, which keep the priority of their maker.
    assert seen[0] != "low priority"
    assert seen[1] == "low priority"
