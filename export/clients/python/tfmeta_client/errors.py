"""What a server may answer in place of predictions, as exceptions with the server's own words."""

import contextlib


class ServingError(Exception):
    """The server refused a request or failed at it.

    Attributes:
        code: name of the gRPC status, e.g. "INVALID_ARGUMENT"; over REST the one that the HTTP
            status stands for.
        message: the server's words.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class InvalidRequest(ServingError):
    """The request broke a rule, which the message names. The same request will fail again."""


class NotFound(ServingError):
    """No such model or version is served."""


class Overloaded(ServingError):
    """The server had no room for the request, also when asked again."""


class Unavailable(ServingError):
    """No server answered, also when asked again."""


class DeadlineExceeded(ServingError):
    """The answer did not come within the timeout."""


_CLASSES = {
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "FAILED_PRECONDITION": InvalidRequest,
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "OUT_OF_RANGE": InvalidRequest,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
}
# TensorFlow Serving's own mapping, read backwards (model_servers/http_server.cc); 400 also
# stands for FAILED_PRECONDITION and OUT_OF_RANGE, which over REST nobody can tell apart.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


# What gRPC says of a message, and the embedded server of a request, that is too large for ever;
# without it, RESOURCE_EXHAUSTED is for what there is no room for now.
_TOO_LARGE = ("larger than max", "must be at most")


def error_of_code(code: str, message: str) -> ServingError:
    """The exception for the name of a gRPC status."""
    if code == "RESOURCE_EXHAUSTED" and any(words in message for words in _TOO_LARGE):
        return InvalidRequest(code, message)
    return _CLASSES.get(code, ServingError)(code, message)


def error_of_status(status: int, message: str) -> ServingError:
    """The exception for an HTTP status."""
    if status == 413:  # a request too large once is too large for ever
        return InvalidRequest("RESOURCE_EXHAUSTED", message)
    return error_of_code(_CODES.get(status, "UNKNOWN"), message)


@contextlib.contextmanager
def well_formed():
    """Makes an error of the server's of what fails at reading its answer."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServingError(
            "UNKNOWN", f"The answer is not one of TensorFlow Serving's: {error}"
        ) from error
