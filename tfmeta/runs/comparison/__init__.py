"""Runs side by side with the figures that papers printed: tables, differences, a picture."""

from tfmeta.runs.comparison.published import published_rows
from tfmeta.runs.comparison.row import Row
from tfmeta.runs.comparison.runs import run_rows
from tfmeta.runs.comparison.sections import Section, compare
from tfmeta.runs.comparison.writing import write_comparison

__all__ = ["Row", "Section", "compare", "published_rows", "run_rows", "write_comparison"]
