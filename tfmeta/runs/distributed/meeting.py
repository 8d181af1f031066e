"""Workers that start one after another wait until all of them listen, before TensorFlow does.

Each listens at its own address and connects to every other; who was reached once is there. The
address then goes to TensorFlow's server, which listens on it too, so the last to come finds it.
"""

import contextlib
import socket
import time

from tfmeta.runs.distributed.cluster import Cluster

_PAUSE = 0.1  # seconds between two attempts
_ATTEMPT = 2.0  # seconds that one attempt to connect may take


def meet(cluster: Cluster, seconds: float) -> None:
    """Returns when every other worker was reached.

    Raises:
        TimeoutError: after `seconds`: who was not reached, or why this process can't listen.
    """
    deadline = time.monotonic() + seconds
    missing = list(cluster.others)
    with _listening(cluster.addresses[cluster.index], deadline):
        while True:
            missing = [address for address in missing if not _answers(address)]
            if not missing:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain for {', '.join(missing)}")
            time.sleep(_PAUSE)


def _listening(address: str, deadline: float) -> socket.socket:
    """Listens on an address's port; a process that is just ending may hold it a while longer."""
    port = int(address.rsplit(":", 1)[1])
    both = socket.has_dualstack_ipv6()
    while True:
        try:
            return socket.create_server(
                ("", port),
                family=socket.AF_INET6 if both else socket.AF_INET,
                dualstack_ipv6=both,
                backlog=socket.SOMAXCONN,
            )
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"could not listen on port {port} ({error})") from error
            time.sleep(_PAUSE)


def _answers(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ATTEMPT).close()
        return True
    return False
