"""Measurements that can be repeated: each prints its figures beside their bounds, and exits 1 if one is missed.

Run one as a module, `python -m benchmarks.submission`, or all by `make bench`.
"""
