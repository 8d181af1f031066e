"""Learners that sample: adaptation gives several weights of a task."""
