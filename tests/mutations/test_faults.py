"""Every fault of the probe can be put into the library as it is now."""

import pathlib

from tests.mutations import of_export, of_learners, of_learning, of_runs, of_serving, of_tasks

ROOT = pathlib.Path(__file__).parents[2]
PARTS = (of_export, of_learners, of_learning, of_runs, of_serving, of_tasks)


def test_every_faults_line_is_there_once_and_its_tests_exist():
    faults = [fault for part in PARTS for fault in part.FAULTS]
    assert [fault.name for fault in faults if fault.applied(ROOT) is None] == []
    files = {name.split("::")[0] for fault in faults for name in fault.tests}
    assert [name for name in files if not name.startswith("-") and not (ROOT / name).exists()] == []
