"""Workers of a run: meeting each other, agreeing, and losing one."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.runs.distributed.worker_processes import free_addresses, tf_config
from tfmeta.runs.distributed.agreement import Agreement
from tfmeta.runs.distributed.cluster import Cluster
from tfmeta.runs.distributed.meeting import meet
from tfmeta.runs.distributed.packing import pack, unpack
from tfmeta.runs.distributed.workers import (
    WorkerLost,
    check_agreement,
    gathering,
    loss_of_workers,
    patience,
)
from tfmeta.runs.recipe import RecipeError
from tfmeta.runs.signals import StopRequest, stop_on_signals
from tfmeta.runs.workdir import WorkDir


@pytest.fixture
def clusters():
    """Each worker's view of a cluster of three."""
    addresses = tuple(free_addresses(3))
    return [Cluster(addresses, index) for index in range(3)]


def test_workers_that_start_one_after_another_meet(clusters):
    everyone = threading.Barrier(3)

    def worker(cluster):
        meet(cluster, seconds=60)
        # From here on TensorFlow's server listens at the address.
        with listening(cluster.addresses[cluster.index]):
            everyone.wait(60)
        return cluster.index

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(worker, clusters, timeout=90)) == [0, 1, 2]


def test_a_worker_that_the_others_do_not_join_says_whom_it_waits_for(clusters, monkeypatch):
    monkeypatch.setenv("TFMETA_WORKERS_TIMEOUT", "0.3")
    with pytest.raises(WorkerLost) as error, gathering(clusters[0]):
        pytest.fail("nobody came")
    first, second, third = clusters[0].addresses
    assert f"worker 0 ({first}) waited in vain for {second}, {third}" in str(error.value)
    assert "within 0.3 s" in str(error.value)
    assert error.value.exit_code == 1


def test_a_port_in_use_is_named(clusters):
    address = clusters[0].addresses[0]
    with listening(address), pytest.raises(TimeoutError, match=f"port {address[10:]}"):
        meet(clusters[0], seconds=0.3)


def listening(address):
    return socket.create_server(("", int(address.rsplit(":", 1)[1])))


def test_a_lone_worker_ends_by_itself_with_code_1(tmp_path):
    environment = {
        **os.environ,
        "TFMETA_WORKERS_TIMEOUT": "1",
        "TF_CONFIG": tf_config(free_addresses(2), 1),
    }
    command = [sys.executable, "-m", "tfmeta.train", "--gin_file=sinusoid_maml.gin"]
    command += [f"--workdir={tmp_path / 'run'}", "--gin_param=run.strategy = 'multi_worker'"]
    done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "error: All workers of a run must start within 1 s of each other." in done.stderr
    assert not (tmp_path / "run" / "config.gin").exists()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(monkeypatch, value):
    monkeypatch.setenv("TFMETA_WORKERS_TIMEOUT", value)
    with pytest.raises(RecipeError, match="TFMETA_WORKERS_TIMEOUT must be a number of seconds"):
        patience()


def test_what_tensorflow_says_of_a_lost_worker_becomes_words(clusters, tmp_path):
    said = "Collective ops is aborted by: Connection reset\nSee /job:worker/task:1"
    with pytest.raises(WorkerLost) as error, loss_of_workers(clusters[0], WorkDir(tmp_path)):
        raise tf.errors.UnavailableError(None, None, said)
    assert "Connection reset" in str(error.value)
    assert "goes on from its beginning" in str(error.value)


def test_a_process_alone_keeps_its_own_errors(tmp_path):
    with pytest.raises(tf.errors.AbortedError), loss_of_workers(Cluster(), WorkDir(tmp_path)):
        raise tf.errors.AbortedError(None, None, "of something else")


def test_workers_that_would_train_different_things_are_named(clusters):
    facts = [{"recipe": "a", "checkpoint": 50}, {"recipe": "a", "checkpoint": 50}]
    check_agreement(clusters[0], facts, {"recipe": "Same.", "checkpoint": "Share."})
    facts.append({"recipe": "a", "checkpoint": 0})
    with pytest.raises(RecipeError) as error:
        check_agreement(clusters[0], facts, {"recipe": "Same.", "checkpoint": "Share."})
    assert f"worker 2 ({clusters[0].addresses[2]}): 0; the chief" in str(error.value)
    assert str(error.value).endswith("50. Share.")


def test_a_process_alone_agrees_with_itself():
    agreement = Agreement(tf.distribute.get_strategy())
    np.testing.assert_array_equal(agreement.everyones([3, 4]), [[3, 4]])
    facts = {"versions": {"x": "1"}, "data": None, "name": "größe"}
    assert agreement.everyones_facts(facts) == [facts]


def test_tensors_of_several_types_are_packed_and_come_back():
    values = [
        [tf.reshape(tf.range(6.0), [2, 3]), tf.constant(7.0)],
        {"seen": tf.constant([1, 2], tf.int64), "loss": tf.zeros([0])},
    ]
    packed = pack(values)
    assert {name: vector.shape.as_list() for name, vector in packed.items()} == {
        "float32": [7],
        "int64": [2],
    }
    again = unpack(packed, like=values)
    tf.nest.assert_same_structure(values, again)
    for one, other in zip(tf.nest.flatten(values), tf.nest.flatten(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_signal_to_another_worker_stops_this_one_too():
    stop = StopRequest()
    stop.agree(0)
    assert not stop
    stop.agree(signal.SIGTERM)
    assert stop.agreed
    assert stop.exit_code == 0


def test_a_signal_is_heard_again_after_a_library_took_it():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as TensorFlow's coordination service does
        stop.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 10
        while not stop and time.monotonic() < deadline:
            time.sleep(1e-3)
        assert stop.signal == signal.SIGTERM
        assert not stop.agreed
    assert signal.getsignal(signal.SIGTERM) == before
