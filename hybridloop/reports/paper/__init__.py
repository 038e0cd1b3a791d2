"""Folder of a run for a paper: figure, table, methods with citations, and the bundle."""
