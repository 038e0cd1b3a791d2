"""Points of a sweep: their specification, execution and table."""
