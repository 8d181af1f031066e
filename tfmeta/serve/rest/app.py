"""TF Serving's REST API on a `ModelServer`, as an ASGI application.

Whatever blocks (parsing, running,
writing JSON) runs in a bounded pool of threads, so that the event loop stays free.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import re
import threading
import time

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from tfmeta.serve import logs
from tfmeta.serve.api_key import NO_KEY, key_agrees
from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.grpc.services import SIGNATURE_DEF, metadata_response, status_response
from tfmeta.serve.models.large_work import on_large
from tfmeta.serve.rest.body import Bodies, unpacked
from tfmeta.serve.rest.json_reading import check_containers
from tfmeta.serve.rest.json_text import answer_body, error_body
from tfmeta.serve.rest.paths import Call, parse_path
from tfmeta.serve.rest.requests import predict_request

# RFC 9112, 3.2.2: a target may name the server too.
_ABSOLUTE = re.compile("https?://[^/?]*", re.IGNORECASE)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}


def create_app(models, *, routes=()):
    """The ASGI application of a server.

    Args:
        models: `ModelServer`, started.
        routes: more Starlette routes (a demo's page), tried first; the API key does not guard them.

    Returns:
        A Starlette application.
    """
    api = _RestApi(models)

    async def rest(scope, receive, send):
        # Not a route: Starlette's match no path with a line break in it.
        response = await api.answer(Request(scope, receive))
        await response(scope, receive, send)

    path = models.options.metrics_path
    shown = [Route(path, api.metrics, methods=["GET"])] if path else []
    app = Starlette(routes=[*routes, *shown])
    app.router.default = rest
    app.router.redirect_slashes = False  # it would send to whatever host the client names
    app.add_middleware(_OriginForm)
    return app


class _OriginForm:
    """Takes the server's name off a request's target."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        if scope.get("path", "/")[:1] != "/":
            raw = _ABSOLUTE.sub("", scope["raw_path"].decode("latin-1")) or "/"
            path = _ABSOLUTE.sub("", scope["path"]) or "/"
            scope = {**scope, "raw_path": raw.encode("latin-1"), "path": path}
        await self._app(scope, receive, send)


class _RestApi:
    """The endpoints."""

    def __init__(self, models):
        self._models, self._options = models, models.options
        threads = self._options.max_concurrent_requests + self._options.max_queued_requests
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "rest")
        self._threads, self._busy = threads, 0
        self._bodies = Bodies(self._options.max_message_bytes, self._options.client_timeout_seconds)

    async def metrics(self, request):
        """Prometheus' page."""
        if not self._key_agrees(request):
            return PlainTextResponse(NO_KEY, 401)
        return PlainTextResponse(self._models.metrics.page(), 200)

    async def answer(self, request):
        """Any call under /v1/; elsewhere there is nothing."""
        path = request.scope["raw_path"].decode("latin-1")
        if not path.lower().startswith("/v1/"):
            return Response(status_code=404)
        begin = time.monotonic()
        call = Call("", "", None, "")
        try:
            if request.method == "OPTIONS":  # browsers send no key with it
                body = _preflight(request)
            elif not self._key_agrees(request):
                raise ServingError(Code.UNAUTHENTICATED, NO_KEY)
            else:
                call = parse_path(request.method, path)
                body = await self._respond(call, request, begin)
            failure = None
        except ServingError as error:
            body, failure = error_body(error.message), error.alone()
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            logs.internal_error("internal_error", api=call.method, entrypoint="REST")
            failure = ServingError(Code.INTERNAL, "The server failed; its log says where.")
            body = error_body(failure.message)
        return self._finish(call, body, failure, begin)

    def _finish(self, call, body, failure, begin):
        code, seconds = failure.code.name if failure else "OK", time.monotonic() - begin
        name = call.spec.name if call.spec else ""
        self._models.metrics.requested(name, code, call.method, "REST", seconds)
        known = name if name in self._models.names else None
        logs.request(known, call.method, "REST", code, seconds)
        headers = _CORS if self._options.rest_api_enable_cors_support else {}
        status = failure.http_status if failure else 200
        return Response(body, status, headers, media_type="application/json")

    async def _respond(self, call, request, begin):
        if call.method == "predict":
            return await self._respond_predict(call, request, begin)
        if call.verb == "POST":
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"The embedded server answers predict only. Received: {call.method}.",
            )
        if call.method == "metadata":
            return await self._in_pool(functools.partial(self._metadata, call.spec))
        return _message_json(status_response(self._models.status(call.spec)), False)

    async def _respond_predict(self, call, request, begin):
        async with self._bodies.body(request) as body:
            seconds = self._options.rest_api_timeout_in_ms / 1000
            deadline = min(self._models.deadline(None), begin + seconds)
            packed = "gzip" in request.headers.get("content-encoding", "")
            gone = threading.Event()
            work = functools.partial(self._predict, call.spec, body, packed, deadline, gone)
            async with _watched(request, gone):
                return await self._in_pool(work)

    async def _in_pool(self, work):
        if self._busy >= self._threads:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f"The server works on {self._threads} REST requests. Try again later, with "
                "growing pauses.",
            )
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._busy -= 1

    def _predict(self, spec, body, packed, deadline, gone):
        with self._models.admitted(deadline), contextlib.ExitStack() as held:
            if gone.is_set():
                raise ServingError(Code.CANCELLED, "The client is gone.")
            most = self._options.max_message_bytes
            body = unpacked(body, most) if packed else body
            check_containers(body, most)
            version = None

            def signature_of(name):  # once the document is read, as in TF Serving
                nonlocal version
                version = held.enter_context(self._models.use(spec))
                return self._models.signature_of_rest(version, name)

            name, inputs, rows = on_large(len(body), lambda: predict_request(body, signature_of))
            outputs = self._models.run(spec, version, inputs, name, deadline=deadline)
            text = answer_body(outputs, rows)
            if time.monotonic() > deadline:  # in the runtime's words for a run that is too long
                raise ServingError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
            return text

    def _metadata(self, spec):
        with self._models.use(spec) as version:
            response = metadata_response(spec, version)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        return (
            f'{{\n"model_spec":{_message_json(response.model_spec, True)},\n'
            f'"metadata": {{"signature_def": {_message_json(signatures, True)}}}\n}}\n'
        )

    def _key_agrees(self, request):
        key = self._options.api_key
        return not key or key_agrees(request.headers.get("authorization"), key)


@contextlib.asynccontextmanager
async def _watched(request, gone):
    """Sets an event if the client hangs up before the end of the `async with`."""

    async def wait():
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(wait())
    try:
        yield
    finally:
        watcher.cancel()


def _preflight(request):
    if not re.search("https?://", request.headers.get("origin", "")):
        raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
    return b""


def _message_json(message, keep_names):
    return json_format.MessageToJson(
        message,
        indent=1,
        preserving_proto_field_name=keep_names,
        always_print_fields_with_no_presence=True,
    )
