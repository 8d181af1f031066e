"""A hook of mkdocs: a page for each notebook in `docs/tutorials/`, with outputs and pictures."""

import re
from pathlib import Path

import nbformat
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

# A link to a notebook works in the repository; on the site it leads to the notebook's page.
NOTEBOOK_LINK = re.compile(r"\]\(([^)\s]+)\.ipynb(#[^)]*)?\)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files, config):
    """Adds the pages and their pictures; leaves scripts and notebooks out."""
    folder = Path(config.docs_dir) / "tutorials"
    for file in [file for file in files if file.src_uri.startswith("tutorials/")]:
        if file.src_uri.endswith((".py", ".ipynb")):
            files.remove(file)
    for path in sorted(folder.glob("*.ipynb")):
        text, pictures = exported(path)
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to notebooks become links to their pages."""
    return NOTEBOOK_LINK.sub(lambda match: f"]({match[1]}.md{match[2] or ''})", markdown)


def exported(path):
    """The Markdown of a notebook, and its pictures by name."""
    notebook = nbformat.read(path, as_version=4)
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    where = f"[`docs/tutorials/{path.stem}.py`]"
    note = f"\n!!! note\n    This page is the notebook of {where[1:-1]}, run as it stands.\n"
    head, _, rest = text.lstrip().partition("\n")
    return head + "\n" + note + COLOUR.sub("", rest), resources["outputs"]
