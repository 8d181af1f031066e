"""A run on several workers: who they are, how they start together, agree and end together."""
