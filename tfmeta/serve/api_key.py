"""The key that clients send: what it may be, how it is compared, and who is refused."""

import hmac
import re

import grpc

from tfmeta.serve.errors import Code

NO_KEY = "An API key is needed: send the header 'authorization: Bearer KEY'."
# What a header carries unchanged; spaces at its ends are not part of it.
_SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def check_key(key):
    """Refuses a key that no client could send.

    Raises:
        ValueError: if it is anything but printable ASCII.
    """
    if not _SENDABLE.fullmatch(key):
        raise ValueError(
            "The API key (--api_key_file) must be one line of printable ASCII, which a header can "
            f"carry. Received: {len(key)} characters, others among them. Make one by: "
            "openssl rand -hex 32"
        )


def key_agrees(sent, key) -> bool:
    """Whether an authorization header carries the key, in a time that says nothing of it."""
    scheme, _, given = (sent or "").partition(" ")
    same = hmac.compare_digest(given.strip(" ").encode(), key.encode())
    return same and scheme.lower() == "bearer"  # of any case: RFC 9110, 11.1


class ApiKey(grpc.ServerInterceptor):
    """Refuses calls without the key, but those of the health service."""

    def __init__(self, key):
        self._key = key

    def intercept_service(self, continuation, handler_call_details):
        """The handler of a call, or one that refuses it."""
        sent = dict(handler_call_details.invocation_metadata).get("authorization")
        if handler_call_details.method.startswith("/grpc.health.") or key_agrees(sent, self._key):
            return continuation(handler_call_details)
        return _REFUSAL


def _refuse(_, context):
    context.abort(Code.UNAUTHENTICATED, NO_KEY)


# Of streams, since it then runs before the message is here: a stranger holds no thread.
_REFUSAL = grpc.stream_stream_rpc_method_handler(_refuse)
