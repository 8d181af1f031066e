"""`python -m tfmeta.table`: puts runs side by side with the figures that papers printed."""

from absl import flags

from tfmeta import commands
from tfmeta.runs import recipe

_DOC = """Puts runs beside published figures: OUTPUT.md, OUTPUT.csv and OUTPUT.png.

Runs are found at any depth below --workdirs. Every evaluation*.json of a run is a row a
normalisation; runs that differ in train.seed alone get one more row, their mean and its spread.

Example: python -m tfmeta.table --workdirs=results,runs/omniglot_5way_1shot_maml --output=table
"""


def main() -> int:
    """Reads the runs and writes the comparison."""
    values = flags.FLAGS
    if not values.workdirs:
        raise recipe.RecipeError(
            "A table needs runs. Received: no --workdirs. Give folders of runs, or folders that "
            "hold such: --workdirs=results,runs/sinusoid."
        )
    from tfmeta.runs import comparison

    sections = comparison.compare(comparison.run_rows(values.workdirs), comparison.published_rows())
    paths = comparison.write_comparison(sections, values.output)
    print(f"written: {', '.join(map(str, paths))}")
    return 0


def _define_flags() -> None:
    flags.DEFINE_list("workdirs", [], "Folders of runs, or folders that hold runs at any depth.")
    flags.DEFINE_string("output", "table", "Path of what is written, without its ending.")


if __name__ == "__main__":
    _define_flags()
    commands.run(main, _DOC)
