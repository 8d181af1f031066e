"""What concerns the whole process: start, signals, caches, lazy names, the version."""
