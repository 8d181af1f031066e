"""Runs that a benchmark judges: trained to their end, or none."""

from pathlib import Path

from tfmeta.runs import recipe, train


def train_whole(name: str, params: list[str], workdir: Path) -> None:
    """Trains and evaluates a run, or the rest of it, unless that is done.

    Args:
        name: of the recipe, with its suffix.
        params: bindings beside it.
        workdir: where the run is, or goes.

    Raises:
        SystemExit: if it was interrupted; part of a run is not to be compared.
    """
    evaluation = workdir / "evaluation.json"
    if not evaluation.is_file():
        train(recipe.read_recipe([name], params), workdir)
    if not evaluation.is_file():
        raise SystemExit(f"Stopped in {workdir}. The same command goes on.")
