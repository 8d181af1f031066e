"""Lets mkdocstrings set the section `Example:` of a docstring as code."""

import re

import griffe


class Examples(griffe.Extension):
    """Names the section as Google's style has it."""

    def on_object(self, *, obj, loader, **kwargs):
        """Changes the docstring of each function, class and module that is read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
