"""Readers of a caller's input: problems, circuits, and settings from all their sources."""
