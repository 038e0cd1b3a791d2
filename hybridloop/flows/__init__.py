"""Prefect flows and their settings: they compose tasks and algorithms, and compute nothing themselves."""
