"""Small runs to compare: what is kept of a work directory."""

import json

import pytest

PROTOCOL = {
    "learner": "MAML",
    "network": "conv4",
    "name": "omniglot",
    "ways": 5,
    "shots": 1,
    "queries": 1,
    "tasks": 600,
    "inner_steps": 3,
    "checkpoint": "last",
    "step": 60000,
    "train_seed": 0,
    "recipe": "one_of_ours",
}
CONFIG = "ways = 5\nconv4.ways = %ways\nconv4.filters = 64\ntrain.steps = 60000\n"
RESULTS = {
    "transductive": {"accuracy": {"mean": [0.2, 0.975], "interval95": [0.01, 0.006]}},
}


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run: (name, config, results, **protocol) -> its folder."""

    def make(name="run", config=CONFIG, results=RESULTS, file="evaluation.json", **protocol):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.gin").write_text(config)
        report = {"schema_version": 1, "protocol": PROTOCOL | protocol, "results": results}
        (folder / file).write_text(json.dumps(report))
        return folder

    return make
