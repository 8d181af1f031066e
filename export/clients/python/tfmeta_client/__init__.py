"""A client of models that tfmeta exported; needs neither tfmeta nor TensorFlow."""

from tfmeta_client.adapted import Adapted
from tfmeta_client.client import Client
from tfmeta_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServingError,
    Unavailable,
)

__all__ = [
    "Adapted",
    "Client",
    "DeadlineExceeded",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "ServingError",
    "Unavailable",
]
