"""A result of a run, and all that is said of it: facts, summary, live lines."""
