"""What a learner is worth: curves over inner steps, and calibration."""

from tfmeta.evaluation.calibration import calibrate
from tfmeta.evaluation.curves import (
    DIVERGED_TIMES,
    HIGHER_IS_BETTER,
    diverged_tasks,
    evaluate_learner,
)
from tfmeta.evaluation.metrics import ACCURACY, query_metrics
from tfmeta.evaluation.outliers import measure_outliers
from tfmeta.evaluation.report import (
    SCHEMA_VERSION,
    has_batch_statistics,
    protocol,
    report_of,
    table,
)

__all__ = [
    "ACCURACY",
    "DIVERGED_TIMES",
    "HIGHER_IS_BETTER",
    "SCHEMA_VERSION",
    "calibrate",
    "diverged_tasks",
    "evaluate_learner",
    "has_batch_statistics",
    "measure_outliers",
    "protocol",
    "query_metrics",
    "report_of",
    "table",
]
