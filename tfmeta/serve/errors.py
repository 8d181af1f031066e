"""Errors that a client gets: a gRPC code and a message, the same over gRPC and REST.

Codes and their HTTP statuses are TF Serving's (`ToHTTPStatusCode` in its
`model_servers/http_server.cc`), and so is the length at which a gRPC message is cut
(`model_servers/grpc_status_util.cc`).
"""

import grpc

Code = grpc.StatusCode

LONGEST_GRPC_MESSAGE = 1024
_OF_NUMBER = {code.value[0]: code for code in Code}
_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
}


class ServingError(Exception):
    """A request that cannot be answered.

    Attributes:
        code: `grpc.StatusCode`.
        message: what the client reads.
        http_status: that of the code, 500 for what is the server's own fault, unless another
            is given.
    """

    def __init__(self, code, message, http_status=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or _HTTP.get(code, 500)

    def alone(self) -> "ServingError":
        """The same error without its traceback, whose frames hold what the client sent."""
        return ServingError(self.code, self.message, self.http_status)

    @property
    def text(self) -> str:
        """The message as protocol buffers can carry it; a path may hold bytes that are no UTF-8."""
        return self.message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @property
    def grpc_message(self) -> str:
        """The message, cut where TF Serving cuts it."""
        if len(self.text) <= LONGEST_GRPC_MESSAGE:
            return self.text
        return self.text[:LONGEST_GRPC_MESSAGE] + "...TRUNCATED"


def invalid(message) -> ServingError:
    """An INVALID_ARGUMENT."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def too_large(message) -> ServingError:
    """An INVALID_ARGUMENT, 413 over REST: what is too large now is too large for ever.

    RESOURCE_EXHAUSTED and 429 are for what there is no room for now; clients send that again.
    """
    return ServingError(Code.INVALID_ARGUMENT, message, 413)


def of_number(number) -> grpc.StatusCode:
    """The code that a number stands for in protocol buffers and in TensorFlow's statuses."""
    return _OF_NUMBER.get(number, Code.UNKNOWN)


def of_tensorflow(error) -> ServingError:
    """The code and message of a `tf.errors.OpError`."""
    return ServingError(of_number(error.error_code), error.message)


def number(code) -> int:
    """The number of a code, as protocol buffers carry it."""
    return code.value[0]
