"""The page beside a model that compares pixels: quick, exact, and failing when it is told to.

Its logits grow with the number of inner steps, and those of absent classes are the largest.
"""

import contextlib
import socket
import threading

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tfmeta.serve.demo import routes

WAYS = 5
ABSENT_LOGIT = 50.0


class StandIn:
    """Answers the page; what it is asked is in `requests`.

    Attributes:
        requests: JSON of each predict request.
        failure: (status, message) of the next answers, or None.
        key: API key that requests must carry, or None.
    """

    def __init__(self):
        self.requests, self.failure, self.key = [], None, None
        self.app = Starlette(
            routes=[
                *routes.routes(),
                Route("/v1/models/omniglot", self._status),
                Route("/v1/models/omniglot:predict", self._predict, methods=["POST"]),
            ]
        )

    async def _status(self, request):
        return self._refusal(request) or JSONResponse(
            {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
        )

    async def _predict(self, request):
        document = await request.json()
        self.requests.append(document)
        return self._refusal(request) or JSONResponse({"outputs": _answer(document["inputs"])})

    def _refusal(self, request):
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "An API key is needed."}, 401)
        if self.failure:
            status, message = self.failure
            return JSONResponse({"error": message}, status)
        return None


def _answer(inputs):
    supports = np.asarray(inputs["support_inputs"])
    query = np.asarray(inputs["query_inputs"])
    distances = np.square(supports - query).sum(axis=(1, 2, 3))
    logits = np.full((1, WAYS), ABSENT_LOGIT)
    logits[0, inputs["support_targets"]] = -distances * inputs["inner_steps"] / 10
    return {"logits": logits.tolist(), "support_loss": [0.0]}


@contextlib.contextmanager
def serving(app, port=0):
    """Serves an application on a port of this machine; yields the port."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()  # from here on clients wait until the thread answers
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()
