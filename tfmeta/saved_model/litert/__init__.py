"""A learned initialisation as a file for LiteRT: adaptation on a phone, by builtin operations."""
