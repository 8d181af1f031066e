"""Where recipes are: their folder, their names, and a file by its name."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from tfmeta.runs.recipe.errors import RecipeError


def recipe_folder() -> Path:
    """The folder of the installed recipes (in a source tree, `gin/` beside the package)."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "gin"


def recipe_names() -> list[str]:
    """File names of the recipes that come with tfmeta, sorted."""
    return sorted(path.name for path in recipe_folder().glob("*.gin") if path.name != "run.gin")


def describe_recipes() -> str:
    """A text that lists each recipe with the first line of its comment."""
    lines = []
    for name in recipe_names():
        first = (recipe_folder() / name).read_text(encoding="utf-8").split("\n", 1)[0]
        lines.append(f"  {name}\n      {first.lstrip('# ').strip()}")
    return "Recipes that come with tfmeta (--gin_file=NAME):\n" + "\n".join(lines)


def nearest(name: str, names) -> str:
    """Returns " Did you mean ...?" for a misspelt name, or an empty text."""
    close = difflib.get_close_matches(name, sorted(set(names)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def find_recipe(name: str, including: Path | None = None) -> Path:
    """Finds a gin file: as given, in the including file's folder, among the installed recipes.

    Raises:
        RecipeError: if there is none; the message lists all, the nearest names first.
    """
    folders = [Path(), *([including.parent] if including else []), recipe_folder()]
    for candidate in (folder / name for folder in folders):
        if candidate.is_file():
            return candidate
    # A path into the source tree, given where only the package is installed.
    fallback = recipe_folder() / Path(name).name
    if Path(name).parent.name == "gin" and fallback.is_file():
        return fallback
    place = f" (included by {including})" if including else ""
    close = nearest(_with_ending(Path(name).name), recipe_names())
    raise RecipeError(
        f"A recipe must be a gin file, or the name of one that comes with tfmeta. Received: "
        f"{name!r}{place}, which is not there.{close} `python -m tfmeta.train --help` says what "
        f"each of them is: {', '.join(_nearest_first(name, recipe_names()))}."
    )


def _with_ending(name: str) -> str:
    return name if name.endswith(".gin") else f"{name}.gin"


def _nearest_first(name: str, names: Sequence[str]) -> list[str]:
    wanted = _with_ending(Path(name).name)
    close = difflib.get_close_matches(wanted, names, n=len(names), cutoff=0.6)
    return [*close, *(other for other in names if other not in close)]
