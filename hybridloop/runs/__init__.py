"""Runs without Prefect: lookup in the journal, live state and result."""
