"""What all tests share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def xla_stays_enabled():
    """A server disables XLA for its whole process, and others of this process's tests need it.

    Keras compiles grouped convolutions. `tests/serve/test_xla.py` looks at processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfmeta.serve.served_version.disable_xla", lambda: None)
        yield
