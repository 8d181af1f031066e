"""The REST port: JSON in and out as TF Serving reads and writes it."""
