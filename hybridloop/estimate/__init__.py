"""Estimate of a run before it starts: the algorithm runs on an ideal simulator, and its jobs are counted and priced."""
