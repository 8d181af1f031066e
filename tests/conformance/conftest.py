"""What several properties need."""

import contextlib

import pytest

from tfmeta.inner import network


@pytest.fixture
def stock_keras(monkeypatch):
    """Keras' own second derivatives, as without tfmeta."""

    @contextlib.contextmanager
    def stock(**options):
        yield

    monkeypatch.setattr(network, "exact_derivatives", stock)
