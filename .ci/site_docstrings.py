"""Lets mkdocstrings set the section `Example:` of a docstring as code."""

import re

import griffe

# Lines of a doctest below the heading that are not indented, as some docstrings have them.
FLUSH = re.compile(r"(?m)^Examples:\n\n((?:>>>.*\n(?:.+\n|(?=>>>))*\n?)+)")


class Examples(griffe.Extension):
    """Names the section as Google's style has it, and indents what stands below it."""

    def on_object(self, *, obj, loader, **kwargs):
        """Changes the docstring of each function, class and module that is read."""
        if obj.docstring:
            value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value) + "\n"
            obj.docstring.value = FLUSH.sub(indented, value).rstrip()


def indented(match):
    """The section with its lines indented, and a blank line behind it."""
    lines = (f"    {line}" if line else "" for line in match[1].rstrip().splitlines())
    return "Examples:\n" + "\n".join(lines) + "\n\n"
