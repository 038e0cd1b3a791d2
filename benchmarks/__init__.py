"""Repeatable benchmarks: each prints its figures beside their bounds, and exits with 1 if a bound is missed.

Run one as a module, `python -m benchmarks.submission`, or all by `make bench`.
"""
