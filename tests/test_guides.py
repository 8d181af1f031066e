"""The Python of the guides runs, in the order of the page."""

import re
from pathlib import Path

import keras
import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
SHORTER = (("steps_per_epoch=10", "steps_per_epoch=2"),)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("own_tasks.md", r"\[\[\d+\.\d+\]\]"),  # a forecast of sales
        ("own_learner.md", r"decay_factor.*value=0\.\d+"),
        ("phone.md", r"largest prediction \d+\.\d+"),
    ],
)
def test_the_python_of_a_guide_runs(name, printed, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / name).read_text(encoding="utf-8"), re.S)
    source = "\n".join(blocks)
    for long, short in SHORTER:
        assert long in source
        source = source.replace(long, short)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    exec(compile(source, name, "exec"), {})
    assert re.search(printed, capsys.readouterr().out)
