"""The tables of a document, written from the files under results/.

A comment stands above such a table: `<!-- table results.sinusoids -->` is the table of the function
`sinusoids` in `benchmarks/document_tables/results.py`.
"""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md"))))
TABLE = re.compile(r"^<!-- table (\w+)\.(\w+) -->\n\n((?:\|.*\n)*)", re.M)


def with_tables(text: str) -> str:
    """A document with each of its marked tables written anew."""

    def written(match):
        module = importlib.import_module(f"benchmarks.document_tables.{match[1]}")
        table = markdown(getattr(module, match[2])())
        # A marker without a table is followed by the text that the table will end before.
        end = "" if match[3] else "\n"
        return f"<!-- table {match[1]}.{match[2]} -->\n\n{table}{end}"

    return TABLE.sub(written, text)


def markdown(rows: list[list[str]]) -> str:
    """A table whose first row is its heads."""
    lines = ["".join(f"| {cell} " if cell else "| " for cell in cells) + "|" for cells in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]) + "\n"
