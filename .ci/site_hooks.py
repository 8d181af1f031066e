"""Hooks of mkdocs: linked files outside `docs/`, public names, and sections of other files.

Pages link to recipes and stored results by their place in the repository, so that links work there
too. The site gets a copy of each linked file. A link to a folder, or to a page outside `docs/`,
becomes its path. A link from a public name to a page of the reference leads to the name there.
"""

import ast
import functools
import os
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
NAMES = re.compile(r"<!-- public names of (\S+?)(?: in (\S+))? -->")
CODE = re.compile(r"<code\b[^>]*>.*?</code>", re.S)
# A flag or an argument's name outside tags, in which browsers would break a line behind a hyphen.
FLAG = re.compile(r"(?<![\w-])--\w[\w-]*(?![^<]*>)")
PREFORMATTED = re.compile(r"(<pre\b.*?</pre>)", re.S)
SIGN = re.compile(r"(?<=[/(,])(?=[^ ])|(?<==)(?=\S{12})")
LONG_CODE = re.compile(r"<code>([^<]{24,})</code>")
NAME = re.compile(r"\[`(?:[\w.]+\.)?(\w+)`\]\(((?:[\w./]*/)?reference/\w+\.md)\)")
SECTION = re.compile(r'<!-- section "([^"]+)" of (\S+) -->')
COPIED = (".json", ".csv", ".png", ".gin", ".pbtxt", ".yaml", ".config")


def on_files(files, config):
    """Adds the files outside `docs/` that pages link to."""
    docs = Path(config.docs_dir)
    for page in list(files.documentation_pages()):
        source = docs / page.src_uri
        for _, _, target, _ in LINK.findall(source.read_text(encoding="utf-8")):
            path = outside(source, target, docs)
            if path and path.suffix in COPIED and files.get_file_from_path(place(path)) is None:
                files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrites links that leave `docs/`, and writes out public names and sections."""
    docs = Path(config.docs_dir)
    source = docs / page.file.src_uri

    def rewritten(match):
        image, text, target, _ = match.groups()
        path = outside(source, target, docs)
        if path is None:
            return match[0]
        if path.suffix in COPIED:
            relative = os.path.relpath(place(path), Path(page.file.src_uri).parent)
            return f"{image}[{text}]({relative})"
        return f"{text} (`{path.relative_to(ROOT)}`)" if path.name not in text else text

    def to_the_name(match):
        name, target = match.groups()
        page_of_names = (source.parent / target).resolve().read_text(encoding="utf-8")
        for package, folder in NAMES.findall(page_of_names):
            where = definitions(ROOT / Path(*(folder or package).split(".")))
            if name in public_names(package) and name in where:
                return f"{match[0][:-1]}#{where[name]})"
        return match[0]

    markdown = NAME.sub(to_the_name, markdown)
    markdown = NAMES.sub(lambda match: listed(match[1], match[2] or match[1]), markdown)
    markdown = SECTION.sub(
        lambda match: section(ROOT / match[2], match[1], source.parent), markdown
    )
    return LINK.sub(rewritten, markdown)


def on_page_content(content, page, config, files):
    """Keeps a flag and an interval on one line, and lets long code break at its signs."""

    def whole(match):
        return FLAG.sub(lambda flag: f'<span class="flag">{flag[0]}</span>', match[0])

    def breakable(match):
        return f"<code>{SIGN.sub('<wbr>', match[1])}</code>"

    parts = PREFORMATTED.split(content)  # text, then a block of code, in turns
    for index in range(0, len(parts), 2):
        text = LONG_CODE.sub(breakable, parts[index])
        parts[index] = text.replace(" +- ", "&nbsp;±&nbsp;")
    return CODE.sub(whole, "".join(parts))


def section(path, title, folder):
    """The text below a heading of second level of a Markdown file, up to the next one.

    Args:
        path: of the file.
        title: the heading.
        folder: of the page that shows the text; its links lead from there.
    """

    def moved(match):
        image, text, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        return f"{image}[{text}]({os.path.relpath(path.parent / target, folder)}{anchor or ''})"

    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
    return LINK.sub(moved, dict(zip(parts[1::2], parts[2::2], strict=True))[title].strip())


def outside(source, target, docs):
    """The file of the repository that a link of a page leads to, if it is not under `docs/`."""
    if "://" in target or target.startswith("mailto:"):
        return None
    path = (source.parent / target).resolve()
    return path if ROOT in path.parents and docs.resolve() not in path.parents else None


def place(path):
    """Where the site has a file of the repository."""
    return f"repository/{path.relative_to(ROOT)}"


def listed(package, folder):
    """A directive of mkdocstrings for each public name of a package, in alphabetical order.

    Args:
        package: whose `__all__` has the names.
        folder: the package whose modules define them.
    """
    where = definitions(ROOT / Path(*folder.split(".")))
    names = sorted(public_names(package), key=str.lower)
    return "\n\n".join(f"::: {where[name]}" for name in names if name in where)


def public_names(package):
    """Names in the `__all__` of a package or module, or keys of its table of lazy names."""
    path = ROOT / Path(*package.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and node.targets[0].id in ("__all__", "_MODULES"):
            value = node.value.keys if isinstance(node.value, ast.Dict) else node.value
            elements = getattr(value, "elts", value)
            if isinstance(elements, list):
                return {element.value for element in elements}
    raise ValueError(f"{path} must have a literal `__all__`.")


@functools.cache
def definitions(folder):
    """The dotted path of each class and function that is defined in a folder of modules."""
    found = {}
    for module in sorted(folder.rglob("*.py")):
        dotted = ".".join(module.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.setdefault(node.name, f"{dotted}.{node.name}")
    return found
