"""The Python of the guides runs, in the order of the page."""

import re
from pathlib import Path

import keras
import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
SHORTER = (("steps_per_epoch=10", "steps_per_epoch=2"),)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_tasks.md"])
def test_the_python_of_a_guide_runs(name, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / name).read_text(encoding="utf-8"), re.S)
    source = "\n".join(blocks)
    for long, short in SHORTER:
        assert long in source
        source = source.replace(long, short)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    exec(compile(source, name, "exec"), {})
    assert re.search(r"\[\[\d+\.\d+\]\]", capsys.readouterr().out)  # a forecast of sales
