"""Presentation of a run in Prefect: its artifact, events, log and stored result."""
