"""Checks for a learner of your own: the properties that every learner of the library has."""

from tfmeta.testing.checking import check_learner

__all__ = ["check_learner"]
