"""Counts what a reader opens to follow one step of MAML, and how learners are put together.

    python -m benchmarks.reading_cost [--write=NAME]

Prints JSON; `--write=NAME` keeps it under NAME in results/reading_cost.json, beside other commits.
The script imports nothing of this folder, so that it counts another checkout too:

    PYTHONPATH=OTHER python benchmarks/reading_cost.py --write=NAME

What is counted:

- step: one `fit` step of a compiled learner under a profiler, until the meta-gradient is applied.
  Files with a function that was called, their lines; functions called, and lines of these
  without docstrings, comments and blank lines.
- methods: names that `MetaLearner` and its bases in tfmeta define, without dunders.
- overridden: names of these that classes below define again, and by how many classes.
- depth: classes of tfmeta in the longest chain of inheritance, mixins included.
- offsets: lists in `tfmeta/learners` cut at a length or a count, such as `values[: len(weights)]`.
- typed: share of public functions and methods with every argument and result annotated.
"""

import ast
import collections
import cProfile
import importlib
import inspect
import json
import pathlib
import sys
import tokenize
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import tfmeta
from tfmeta import learners

ROOT = pathlib.Path(tfmeta.__file__).parent
RESULTS = pathlib.Path(__file__).parents[1] / "results" / "reading_cost.json"
PUBLIC = ("learners", "networks", "tasks", "parts", "rl", "evaluation", "inner")
APPLIES = "apply_meta_gradient"


def dense():
    """A learner of the sinusoids' network, and a batch of tasks."""
    rng = np.random.default_rng(0)
    x = tuple(rng.normal(size=(4, 5, 1)).astype("float32") for _ in range(3))
    return tfmeta.MAML(tfmeta.networks.mlp(), inner_rate=0.01), "mse", (x, x[0])


def conv4():
    """A learner of a network with batch normalisation and strided convolutions."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 5, 28, 28, 1)).astype("float32")
    labels = np.tile(np.arange(5, dtype="int32"), (2, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network = tfmeta.networks.conv4(ways=5, filters=4)
    return tfmeta.MAML(network, inner_rate=0.1), loss, ((images, labels, images), labels)


def codes_of_step(make) -> set:
    """(file, first line, name) of the functions of tfmeta that one step of `fit` calls."""
    learner, loss, batch = make()
    learner.compile("adam", loss)
    data = tf.data.Dataset.from_tensors(batch)
    profile, apply = cProfile.Profile(builtins=False), getattr(type(learner), APPLIES)

    def stop(self, *arguments):
        profile.disable()
        return apply(self, *arguments)

    with mock.patch.object(type(learner), APPLIES, stop):
        profile.enable()
        learner.fit(data, epochs=1, verbose=0)
        profile.disable()
    codes = [entry.code for entry in profile.getstats() if not isinstance(entry.code, str)]
    return {
        (code.co_filename, code.co_firstlineno, code.co_name)
        for code in codes
        if code.co_filename.startswith(str(ROOT))
    }


def code_lines(path: str) -> set[int]:
    """Lines of a file that hold code: no docstring, no comment alone, no blank line."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    lines = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    with open(path, "rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in (*skipped, tokenize.ENCODING, tokenize.ENDMARKER):
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def reading(called: set) -> dict:
    """Counts of files, functions and lines."""
    files = collections.defaultdict(set)
    for path, line, _ in called:
        files[path].add(line)
    lines = 0
    for path, starts in files.items():
        text = pathlib.Path(path).read_text(encoding="utf-8")
        spans = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                first = min(n.lineno for n in (node, *getattr(node, "decorator_list", ())))
                if first in starts:
                    spans.update(range(first, node.end_lineno + 1))
        lines += len(spans & code_lines(path))
    return {
        "files": len(files),
        "lines_of_files": sum(len(pathlib.Path(p).read_text().splitlines()) for p in files),
        "functions": len(called),
        "lines_of_functions": lines,
        "names": sorted(str(pathlib.Path(path).relative_to(ROOT)) for path in files),
    }


def own(cls) -> list:
    """Classes of tfmeta among a class and its bases, from the class on."""
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "tfmeta"]


def defined(cls) -> set[str]:
    """Names of functions and properties in a class's body, without dunders."""
    kinds = (property, classmethod, staticmethod)
    return {
        name
        for name, value in vars(cls).items()
        if not name.startswith("__") and (inspect.isfunction(value) or isinstance(value, kinds))
    }


def classes() -> dict:
    """Counts of methods, overridden names, depth and `get_config`."""
    base = learners.MetaLearner if hasattr(learners, "MetaLearner") else learners.MAML.__base__
    while not base.__name__.startswith("MetaLearner"):
        base = base.__base__
    methods = set().union(*(defined(cls) for cls in own(base)))
    public = [getattr(learners, name) for name in learners.__all__]
    below = [cls for cls in public if inspect.isclass(cls) and issubclass(cls, base)]
    under = {part for cls in below for part in own(cls)} - set(own(base))
    counts = collections.Counter(name for cls in under for name in defined(cls) & methods)
    deepest = max(below, key=lambda cls: len(own(cls)))
    return {
        "methods": len(methods),
        "public_methods": sum(not name.startswith("_") for name in methods),
        "overridden": len(counts),
        "overridden_by_one": sorted(name for name, count in counts.items() if count == 1),
        "depth": len(own(deepest)),
        "deepest": [cls.__name__ for cls in own(deepest)],
        "get_configs": sum("get_config" in vars(cls) for cls in under),
    }


def offsets() -> list[str]:
    """Places where a list is cut at a length or at a count that an attribute holds."""
    found = []
    for path in sorted((ROOT / "learners").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
                continue
            if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
                continue
            bounds = [bound for bound in (node.slice.lower, node.slice.upper) if bound]
            if any(_counts(part) for bound in bounds for part in ast.walk(bound)):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    return found


def _counts(node) -> bool:
    length = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return isinstance(node, ast.Attribute) or (length and node.func.id == "len")


def typed() -> dict:
    """How many public functions, constructors and methods have all annotations."""
    functions = {}
    for module in PUBLIC:
        if not any((ROOT / name).exists() for name in (module, f"{module}.py")):
            continue
        found = importlib.import_module(f"tfmeta.{module}")
        for name in getattr(found, "__all__", ()):
            value = getattr(found, name)
            members = vars(value).values() if inspect.isclass(value) else [value]
            for member in members:
                member = getattr(member, "__func__", getattr(member, "fget", member))
                hidden = getattr(member, "__name__", "_").startswith("_")
                if inspect.isfunction(member) and (not hidden or member.__name__ == "__init__"):
                    functions[member.__module__, member.__qualname__] = member
    whole = [name for name, function in functions.items() if _annotated(function)]
    return {"functions": len(functions), "typed": len(whole)}


def _annotated(function) -> bool:
    signature = inspect.signature(function)
    constructor = function.__name__ == "__init__"
    names = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    whole = all(p.annotation is not p.empty for p in names)
    return whole and (constructor or signature.return_annotation is not signature.empty)


def counts() -> dict:
    """All counts of the tfmeta that is imported."""
    return {
        "step": {make.__name__: reading(codes_of_step(make)) for make in (dense, conv4)},
        "classes": classes(),
        "offsets": offsets(),
        "typed": typed(),
    }


def main(arguments: list[str]) -> int:
    """Prints the counts; returns the exit code."""
    found = counts()
    print(json.dumps(found, indent=1))
    names = [a.partition("=")[2] for a in arguments if a.startswith("--write=")]
    for name in names:
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept.setdefault("command", "python -m benchmarks.reading_cost --write=NAME")
        kept.setdefault("trees", {})[name] = found
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
