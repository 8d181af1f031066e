"""A certificate and its key, checked before a port is opened with them."""

import contextlib
import os
import ssl
import tempfile


@contextlib.contextmanager
def files(certificate, key):
    """Paths of both for the length of a `with`, for what reads them from files only."""
    with tempfile.TemporaryDirectory() as folder:  # of mode 0700
        paths = os.path.join(folder, "certificate"), os.path.join(folder, "key")
        for path, text in zip(paths, (certificate, key), strict=True):
            with open(path, "wb") as file:
                file.write(text)
        yield paths


def check(certificate, key):
    """Refuses what no TLS server can use; gRPC says no more than that a port cannot be bound.

    Args:
        certificate: PEM chain.
        key: PEM private key.

    Raises:
        ValueError: if they cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with files(certificate, key) as paths:
            context.load_cert_chain(*paths, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ValueError(
            "--tls_certificate_file and --tls_key_file must hold a PEM certificate and its key, "
            f"without a password. Received: what cannot be loaded ({_reason(error)})."
        ) from error


def _no_password():
    raise ValueError("the key has a password")  # else OpenSSL would ask at the terminal


def _reason(error):
    return getattr(error, "reason", None) or error
