"""Replay of a run from its journal: what was measured or computed is not measured or computed again."""
