"""The earlier place of `tfmeta.evaluation.calibration`, for one release."""

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    from tfmeta.evaluation import calibration

    value = getattr(calibration, name)
    warnings.warn(
        f"tfmeta.calibration.{name} is tfmeta.evaluation.calibration.{name} now.",
        DeprecationWarning,
        stacklevel=2,
    )
    return value
