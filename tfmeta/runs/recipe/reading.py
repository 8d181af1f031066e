"""A recipe as it was asked for: the texts of its gin files, and their bindings.

Knows neither TensorFlow nor what the names in a recipe stand for (`config.py` does), so that a
command can list recipes or refuse a flag at once.
"""

import dataclasses
import importlib.util  # noqa: F401  (gin uses it without importing it)
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gin import config_parser
from tfmeta.runs.recipe.errors import RecipeError
from tfmeta.runs.recipe.finding import find_recipe, recipe_folder

_UNREAD_WORD = re.compile(r"Failed to parse token '([^']+)'")


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
