"""Faults of `serving_faults` that need a server of their own: crowds, pings, unreadable files."""

import collections
import contextlib
import os
import shutil
import time

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from benchmarks.serving_bad_requests import BadRequests
from benchmarks.serving_bad_versions import wait
from benchmarks.serving_process import ServerProcess

_CLIENTS = 200
_ROUNDS = 5
_NOBODY = 65534
# Clients that look every few seconds whether their connection is alive, idle or not.
_PINGS = (
    ("grpc.keepalive_time_ms", 5_500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


class Crowds(BadRequests):
    """Crowds of gRPC clients and versions that may not be read."""

    def fault_two_hundred_clients_in_a_queue_that_holds_them(self):
        """Each on a connection of its own, one request after the other."""
        with _server(self.base, f"--max_queued_requests={_CLIENTS}") as server:
            return self._answers(server, _CLIENTS, _ROUNDS)

    def fault_clients_that_ping(self):
        return self._answers(self.server, 10, 2, _PINGS, idle_seconds=12.0)

    def fault_connections_that_grow_old(self):
        aged = "--grpc_channel_arguments=grpc.max_connection_age_ms=300"
        with _server(self.base, aged, f"--max_queued_requests={_CLIENTS}") as server:
            return self._answers(server, 20, 10, idle_seconds=0.2)

    def fault_versions_that_may_not_be_read(self):
        if os.geteuid() != 0:
            return self._hidden(self.base)
        open_base = self.base.with_name("open")
        shutil.copytree(self.base / "1", open_base / "1")
        self.base.parent.chmod(0o755)
        try:
            return self._hidden(open_base, f"--user_number={_NOBODY}")
        finally:
            shutil.rmtree(open_base)

    def _hidden(self, base, *flags):
        """Versions with an unreadable part each; the first one goes on answering."""
        seen = collections.Counter()
        module = "benchmarks.serving_unprivileged" if flags else "tfmeta.serve"
        quick = "--file_system_poll_wait_seconds=0.1"
        with _server(base, quick, *flags, module=module) as server:
            for number, name in enumerate((".", "saved_model.pb", "variables"), start=2):
                beside = base / f".{number}"
                shutil.copytree(base / "1", beside)
                (beside / name).chmod(0)
                beside.rename(base / str(number))
                wait(lambda number=number: server.states().get(number, "?")[0] == "END")
                seen["reported" if server.states()[number][1] else "silent"] += 1
                (base / str(number) / name).chmod(0o755)
                shutil.rmtree(base / str(number))
            seen[server.predict(server.request(self.good))] += 1
        return seen

    def _answers(self, server, clients, rounds, options=(), idle_seconds=0.0):
        request, seen = server.request(self.good), collections.Counter()
        alone = [("grpc.use_local_subchannel_pool", 1), *options]
        with contextlib.ExitStack() as stack:
            channels = [
                stack.enter_context(grpc.insecure_channel(server.address, alone))
                for _ in range(clients)
            ]
            stubs = [prediction_service_pb2_grpc.PredictionServiceStub(each) for each in channels]
            for _ in range(rounds):
                calls = [stub.Predict.future(request, timeout=120) for stub in stubs]
                seen.update(server.code_of(call) for call in calls)
                time.sleep(idle_seconds)
        return seen


@contextlib.contextmanager
def _server(base, *flags, module="tfmeta.serve"):
    server = ServerProcess(base, *flags, program=("-m", module))
    try:
        yield server
    finally:
        server.stop()
