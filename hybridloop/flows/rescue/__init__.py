"""Rescue of runs whose process died: close their sessions, end or restart their flow runs, say what waits."""
