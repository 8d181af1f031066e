"""Faults of exports."""

# ruff: noqa: E501 (lines of the library, two in one)

from tests.mutations.fault import Faults

FAULTS = Faults()

DIRECTORY, OF_DIRECTORY = (
    "tfmeta/saved_model/version_directory.py",
    "tests/saved_model/test_version_directory.py",
)
FAULTS.add(
    "a version is copied to its place",
    DIRECTORY,
    "temporary.rename(target)",
    "shutil.copytree(temporary, target)",
    OF_DIRECTORY,
)
FAULTS.add(
    "a version appears before it is on the disk",
    DIRECTORY,
    "            _sync_tree(temporary)\n            directory.path = _publish(temporary, export_dir, version)",
    "            directory.path = _publish(temporary, export_dir, version)\n            _sync_tree(directory.path)",
    OF_DIRECTORY,
)
FAULTS.add(
    "a version is not written to the disk",
    DIRECTORY,
    "            _sync_tree(temporary)\n",
    "",
    OF_DIRECTORY,
)
FAULTS.add(
    "a server takes a version that is being written for one",
    DIRECTORY,
    'temporary = export_dir / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"',
    "temporary = export_dir / str(uuid.uuid4().int % 10**9)",
    OF_DIRECTORY,
)
FAULTS.add(
    "an export that failed is left behind",
    DIRECTORY,
    "        shutil.rmtree(temporary, ignore_errors=True)\n        raise",
    "        raise",
    OF_DIRECTORY,
)
FAULTS.add(
    "what another exporter is writing is removed",
    DIRECTORY,
    "if left_behind:",
    "if not left_behind:",
    OF_DIRECTORY,
)
FAULTS.add(
    "version 0 is the first",
    DIRECTORY,
    "max(versions(export_dir), default=0) + 1",
    "max(versions(export_dir), default=-1) + 1",
    OF_DIRECTORY,
)

GUARDS, OF_GUARDS = "tfmeta/saved_model/guards.py", "tests/saved_model/test_guards.py"
FAULTS.add(
    "a label of the number of ways passes",
    GUARDS,
    "good = tf.logical_and(tensor >= 0, tensor < ways)",
    "good = tf.logical_and(tensor >= 0, tensor <= ways)",
    OF_GUARDS,
)
FAULTS.add(
    "rows of any sum are one-hot",
    GUARDS,
    "tf.abs(sums - 1.0) <= ROW_SUM_TOLERANCE",
    "sums <= 1.0 + ROW_SUM_TOLERANCE",
    OF_GUARDS,
    "tests/saved_model/test_signatures.py",
)
FAULTS.add(
    "infinity is a finite number",
    GUARDS,
    'tf.reduce_all(tf.math.is_finite(tensor)),\n                f"{name} must be finite',
    'tf.reduce_all(tf.logical_not(tf.math.is_nan(tensor))),\n                f"{name} must be finite',
    OF_GUARDS,
)
AXIS, OF_AXIS = "tfmeta/saved_model/task_axis.py", "tests/saved_model/test_task_axis.py"
FAULTS.add(
    "a task that diverged keeps its numbers",
    AXIS,
    'answers = _zeros_unless(tf.equal(status, OK), {**predictions, "support_loss": losses})',
    'answers = {**predictions, "support_loss": losses}',
    OF_AXIS,
)
FAULTS.add(
    "the last fault of a task gives its code",
    AXIS,
    "status = tf.where(tf.logical_or(good, status != OK), status, code)",
    "status = tf.where(good, status, code)",
    OF_AXIS,
)
SIGNATURES, OF_SIGNATURES = (
    "tfmeta/saved_model/signatures.py",
    "tests/saved_model/test_signatures.py",
)
FAULTS.add(
    "a scaled rate is not passed on",
    SIGNATURES,
    "self.model.adapt_or_fail(support, targets, steps, scale)",
    "self.model.adapt_or_fail(support, targets, steps)",
    OF_SIGNATURES,
)
FAULTS.add(
    "adapted weights carry the fingerprint of others",
    SIGNATURES,
    '            "weights_fingerprint": tf.constant(self.fingerprint, tf.int64),',
    '            "weights_fingerprint": tf.constant(self.fingerprint + 1, tf.int64),',
    OF_SIGNATURES,
)
FAULTS.add(
    "adapted weights are packed from the first weight on",
    "tfmeta/saved_model/adapted_weights.py",
    "rows, offset = [], 0\n    for index in servable.adapted:",
    "rows, offset = [], 0\n    for index in range(len(servable.adapted)):",
    OF_SIGNATURES,
)
FAULTS.add(
    "no inner steps are refused",
    "tfmeta/saved_model/limits.py",
    'if not whole or value < (0 if name == "max_inner_steps" else 1):',
    "if not whole or value < 0:",
    "tests/saved_model/test_export_servable.py",
)
