"""A recipe: where its gin files are found, what they say, and how two of them differ.

Knows neither TensorFlow nor what the names in a recipe stand for (`config.py` does), so that a
command can list recipes or refuse a flag at once.
"""

import contextlib
import dataclasses
import difflib
import importlib.util  # noqa: F401  (gin uses it without importing it)
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gin import config_parser

_UNREAD_WORD = re.compile(r"Failed to parse token '([^']+)'")
# Bindings that may change from one session of a run to the next: they leave the weights alone.
FREE_TO_CHANGE = ("evaluate", "export", "log", "validate")


class RecipeError(ValueError):
    """A recipe or flag that is wrong: the message is what the user should read."""

    exit_code = 2  # of shells and argparse for wrong arguments


class RunError(RecipeError):
    """A run that could not go on, through no fault of its recipe's words."""

    exit_code = 1


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@name` or `@name()` in a recipe."""

    name: str
    called: bool

    def __repr__(self):
        return f"@{self.name}" + ("()" if self.called else "")


@dataclasses.dataclass(frozen=True)
class Macro:
    """`%name` in a recipe."""

    name: str

    def __repr__(self):
        return f"%{self.name}"


@dataclasses.dataclass(frozen=True)
class Binding:
    """One line of a recipe: `scope/selector.argument = value`; a macro has no argument."""

    scope: str
    selector: str
    argument: str
    value: Any
    where: str

    @property
    def key(self) -> str:
        scoped = f"{self.scope}/{self.selector}" if self.scope else self.selector
        return f"{scoped}.{self.argument}" if self.argument else scoped


@dataclasses.dataclass(frozen=True)
class Source:
    """A stretch of gin text without includes, padded so that its line numbers are the file's."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What was asked for: texts in the order in which gin is to read them, and their bindings.

    `folders` are the folders of the recipe's files, where modules that it imports may be.
    """

    name: str
    sources: tuple[Source, ...]
    bindings: tuple[Binding, ...]
    imports: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class _Collector(config_parser.ParserDelegate):
    def configurable_reference(self, scoped_configurable_name, evaluate):
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name):
        return Macro(macro_name)


def recipe_folder() -> Path:
    """The folder of the installed recipes (in a source tree, `gin/` beside the package)."""
    package = Path(__file__).resolve().parents[1]
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


def read_recipe(files: Sequence[str], params: Sequence[str] = ()) -> Recipe:
    """Reads gin files with their includes, then single bindings, into a `Recipe`.

    Args:
        files: names or paths of gin files; a later one overrides an earlier one.
        params: bindings such as "train.steps = 100", which override the files.

    Raises:
        RecipeError: if a file is missing or not gin.
    """
    sources = [source for name in files for source in _sources(find_recipe(name), ())]
    sources += [Source("--gin_param", text) for text in params]
    folders = dict.fromkeys(str(find_recipe(name).resolve().parent) for name in files)
    folders.pop(str(recipe_folder().resolve()), None)
    recipe = _recipe("+".join(Path(file).stem for file in files), sources)
    return dataclasses.replace(recipe, folders=tuple(folders))


def parse_recipe(text: str, name: str) -> Recipe:
    """Reads gin text without includes, such as a work directory's config.gin."""
    return _recipe(name, [Source(name, text)])


def _recipe(name, sources) -> Recipe:
    bindings, imports = [], []
    for source in sources:
        for statement in _statements(source):
            if isinstance(statement, config_parser.BindingStatement):
                scope, selector, argument, value, location = statement
                where = f"{source.name}:{location.line_num}"
                bindings.append(Binding(scope, selector, argument, value, where))
            elif isinstance(statement, config_parser.ImportStatement):
                imports.append(statement.module)
    return Recipe(name, tuple(sources), tuple(bindings), tuple(imports))


def _sources(path: Path, parents: tuple[Path, ...]) -> Iterator[Source]:
    if path in parents:
        chain = " includes ".join(str(parent) for parent in (*parents, path))
        raise RecipeError(f"A recipe must not include itself. Received: {chain}.")
    lines = path.read_text(encoding="utf-8").split("\n")
    start = 0
    for statement in _statements(Source(str(path), "\n".join(lines))):
        if isinstance(statement, config_parser.IncludeStatement):
            line = statement.location.line_num - 1
            yield Source(str(path), "\n" * start + "\n".join(lines[start:line]))
            yield from _sources(find_recipe(statement.filename, path), (*parents, path))
            start = line + 1
    yield Source(str(path), "\n" * start + "\n".join(lines[start:]))


def _statements(source: Source) -> Iterator[Any]:
    try:
        yield from config_parser.ConfigParser(source.text, _Collector())
    except (SyntaxError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None)
        place = f"{source.name}:{line}" if line else source.name
        said = (getattr(error, "text", None) or source.text.strip()[:200]).strip()
        # gin's own words, without Python's of its syntax tree; a word it could not read.
        reason = error.args[0].strip().splitlines()[-1].strip()
        word = _UNREAD_WORD.search(reason)
        if word:
            reason = _meant(said, word[1])
        raise RecipeError(
            f"A binding must read name.argument = value, with text in quotes. Received: {said!r} "
            f"in {place} ({reason}). In a shell, put the whole of it in quotes: "
            "--gin_param=\"from_directory.path='images'\"."
        ) from error


def _meant(binding: str, word: str) -> str:
    """What a word without quotes may stand for, as the whole binding would be written."""
    constants = {"true": "True", "false": "False", "none": "None", "null": "None"}
    if word.lower() in constants:
        return f"did you mean {constants[word.lower()]}?"
    name, _, value = binding.partition("=")
    # The whole word, of which gin names the part before a dot.
    whole = re.search(rf"{re.escape(word)}[\w.]*", value)
    whole = whole[0] if whole else word
    last = whole.rpartition(".")[2]
    if f"{whole}(" in value:
        return f"did you mean {name.strip()} = @{last}()?"
    return (
        f"did you mean {name.strip()} ={value.replace(whole, repr(whole), 1)}? Write @{last} for a "
        f"class or function, @{last}() for what it gives, %{last} for a macro"
    )


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Says in lines what a new recipe changes, apart from what may change (`FREE_TO_CHANGE`)."""
    before, after = _compared(old), _compared(new)
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def bound_values(recipe: Recipe) -> dict[str, Any]:
    """What each argument is bound to, by key ("train.steps"), with macros replaced by values."""
    macros = {b.key: b.value for b in recipe.bindings if not b.argument}
    return {b.key: _without_macros(b.value, macros) for b in recipe.bindings if b.argument}


def _compared(recipe: Recipe) -> dict[str, str]:
    """The bindings that make the weights, as texts, with macros replaced by their values."""
    values, compared = bound_values(recipe), {}
    for binding in recipe.bindings:
        owner = binding.scope.split("/")[0] or re.split(r"\W", binding.selector)[-1]
        if binding.argument and owner not in FREE_TO_CHANGE:
            compared[binding.key] = repr(values[binding.key])
    return compared


def _without_macros(value, macros):
    if isinstance(value, Macro) and value.name in macros:
        return _without_macros(macros[value.name], macros)
    if isinstance(value, (list, tuple)):
        return type(value)(_without_macros(item, macros) for item in value)
    if isinstance(value, dict):
        return {key: _without_macros(item, macros) for key, item in value.items()}
    return value


def iterate_values(value) -> Iterator[Any]:
    """Yields the leaves of a binding's value: literals, references, macros."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from iterate_values(item)
    elif isinstance(value, dict):
        yield from iterate_values([*value.keys(), *value.values()])
    else:
        yield value


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns an error in what a recipe builds into a `RecipeError` in the user's words."""
    try:
        yield
    except RecipeError:
        raise
    except (ValueError, TypeError, OSError, LookupError, RuntimeError, ImportError) as error:
        text, *calls = str(error).split("\n  In call to configurable ")
        inside = f" (in {', '.join(call.split()[0] for call in calls)})" if calls else ""
        raise RecipeError(f"{what}: {text.strip() or type(error).__name__}{inside}") from error
