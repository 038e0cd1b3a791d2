"""Basics that all other folders may use: clock, threads, signals, paths, durations, text tables, crash points."""
