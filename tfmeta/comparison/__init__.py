"""Runs side by side with the figures that papers printed: tables, differences, a picture."""

from tfmeta.comparison.published import published_rows
from tfmeta.comparison.row import Row
from tfmeta.comparison.runs import run_rows
from tfmeta.comparison.sections import Section, compare
from tfmeta.comparison.writing import write_comparison

__all__ = ["Row", "Section", "compare", "published_rows", "run_rows", "write_comparison"]
